"""`python -m bot.lab.diagram`: the table of turn-taking as a Mermaid state diagram; with `--write`, into the README.

An arrow stands for every change of state that a row of the table allows, with the events that may cause it. What leaves
the state as it is is left out.
"""

import sys
from collections import defaultdict
from pathlib import Path

from bot.conversation.events import Timer
from bot.conversation.floor import State
from bot.conversation.turns import TABLE

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "```mermaid\n", "```\n"


def diagram() -> str:
    """The whole table, as the text of a Mermaid diagram."""
    arrows: dict[tuple[State, State], list[str]] = defaultdict(list)
    for (state, event), row in TABLE.items():
        for leads_to in row.leads_to - {state}:
            arrows[state, leads_to].append(f"{event} due" if isinstance(event, Timer) else event.__name__)
    order = list(State)
    lines = ["stateDiagram-v2", f"    [*] --> {State.GREETING}"]
    for (state, leads_to), events in sorted(arrows.items(), key=lambda item: [order.index(end) for end in item[0]]):
        lines.append(f"    {state} --> {leads_to}: {', '.join(sorted(events))}")
    return "\n".join([*lines, f"    {State.CLOSED} --> [*]", ""])


def in_readme(text: str) -> str:
    """The diagram that stands in the README."""
    return text.partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    """Print it, or write it into the README."""
    if "--write" in sys.argv[1:]:
        text = README.read_text("utf-8")
        before, begin, rest = text.partition(BEGIN)
        README.write_text(before + begin + diagram() + rest[rest.index(END) :], "utf-8")
    else:
        print(diagram(), end="")


if __name__ == "__main__":
    main()
