"""The README shows the table of turn-taking as it is."""

from bot.conversation.floor import State
from bot.conversation.turns import TABLE
from bot.lab.diagram import README, diagram, in_readme


def test_the_readme_shows_the_table() -> None:
    assert in_readme(README.read_text("utf-8")) == diagram(), "run `python -m bot.lab.diagram --write`"


def test_every_change_of_state_is_an_arrow() -> None:
    lines = diagram().splitlines()
    changes = {(state, leads_to) for (state, _), row in TABLE.items() for leads_to in row.leads_to - {state}}
    for state, leads_to in changes:
        assert any(line.startswith(f"    {state} --> {leads_to}: ") for line in lines)
    assert sum("-->" in line for line in lines) == 2 + len(changes)
    assert (State.PROBATION, State.SPEAKING) in changes
