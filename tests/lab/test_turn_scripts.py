"""The bench's calls: enough of everything, and all of it can be played."""

import pytest

from bot.lab import utterances
from bot.lab.caller import Caller
from bot.lab.script import BargeIn, Burst, HangUp, Murmur, Say, Step, WaitForBot
from bot.lab.turn_figures import NO_WORDS
from bot.lab.turn_scripts import SECTIONS, UNFINISHED, VOICES, scripts, undisturbed

KNOWN = utterances.load()


def all_of(section: str, kind: type[Step]) -> list[Step]:  # type: ignore[valid-type]
    return [step for script in scripts(section) for step in script if isinstance(step, kind)]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_call_can_be_played_and_no_call_says_the_same_twice(section: str) -> None:
    for script in scripts(section):
        assert Caller(script).steps
        said = [step.parts for step in script if isinstance(step, Say)]
        assert len(said) == len(set(said))


def test_there_are_enough_turns_of_each_voice_and_some_end_otherwise() -> None:
    said = [step.parts for section in ("turns", "pauses") for step in all_of(section, Say) if isinstance(step, Say)]
    assert len(said) >= 100
    assert {str(parts[0]).split("-")[0] for parts in said} == {material.voice for material in VOICES}
    assert 0.05 <= sum(parts[-1] in UNFINISHED for parts in said) / len(said) <= 0.2


def test_there_are_enough_pauses_of_every_length_behind_fillers_and_beginnings() -> None:
    before: dict[int, set[bool]] = {}
    count = 0
    for step in all_of("pauses", Say):
        assert isinstance(step, Say)
        for part, pause in zip(step.parts, step.parts[1:], strict=False):
            if isinstance(pause, int):
                count += 1
                before.setdefault(pause, set()).add(KNOWN[str(part)].text in NO_WORDS)
    assert count >= 100
    assert sorted(before) == [400, 500, 600, 700, 800, 900]
    assert all(kinds == {True, False} for kinds in before.values())


def test_stories_are_long_and_never_sound_finished_before_their_end() -> None:
    stories = [step.parts for step in all_of("pauses", Say) if isinstance(step, Say) and len(step.parts) > 10]
    assert {str(story[0]).split("-")[0] for story in stories} == {material.voice for material in VOICES}
    for story in stories:
        assert sum(part if isinstance(part, int) else KNOWN[part].length_ms for part in story) > 18_000
        assert [part for part in story if str(part).endswith("-then")] == [story[-1]]


def test_there_are_enough_disturbances_of_every_kind() -> None:
    murmurs = [step for step in all_of("disturbances", Murmur) if isinstance(step, Murmur)]
    bursts = [step for step in all_of("disturbances", Burst) if isinstance(step, Burst)]
    assert len(murmurs) + len(bursts) >= 100
    assert {KNOWN[str(step.parts[0])].text for step in murmurs} == {"네", "음", "아", "응", "그렇죠", "맞아요"}
    assert {step.kind for step in bursts} >= {"cough", "keyboard", "street", "babble"}
    assert sum(step.kind == "cough" for step in bursts) >= 15


def test_the_same_is_said_undisturbed() -> None:
    for material in VOICES:
        alone = undisturbed(material)
        assert not any(isinstance(step, Murmur | Burst) for step in alone)
        with_them = [script for script in scripts("disturbances") if script[1] == alone[1]]
        says = [step for step in alone if isinstance(step, Say)]
        assert with_them and all([step for step in script if isinstance(step, Say)] == says for script in with_them)


def test_callers_break_in_with_and_without_a_small_word_and_hang_up_after_the_answer() -> None:
    parts = [step.parts for step in all_of("bargein", BargeIn) if isinstance(step, BargeIn)]
    assert len(parts) >= 40
    assert {len(each) for each in parts} == {1, 3}
    assert all(isinstance(script[-2], WaitForBot) and isinstance(script[-1], HangUp) for script in scripts("bargein"))
