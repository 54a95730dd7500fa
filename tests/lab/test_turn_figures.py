"""The figures of turn-taking, from reports that are drawn: a letter is 20 ms of the bot's side."""

import pytest

from bot.lab import utterances
from bot.lab.report import CallReport, Disturbance, Piece, Turn
from bot.lab.turn_figures import answers, differences, outcome, real_words_at_ms, silenced_ms, was_ignored

KNOWN = utterances.load()
LOUD = bytes([0x10, 0x90] * 80)
QUIET = b"\xff" * 160


def drawn(bot: str, *, cleared_ms: tuple[int, ...] = ()) -> CallReport:
    """`*`: a loud frame of a reply; `-`: a quiet one; `a`: a loud one of none; `.`: nothing."""
    report = CallReport("CA1", "+8210", cleared_ms=list(cleared_ms))
    for letter in bot:
        report.recording.add(QUIET, LOUD if letter in "*a" else QUIET, replying=letter in "*-")
    return report


@pytest.mark.parametrize(
    ("parts", "after_ms"),
    [
        (("jia-not-that",), 0),
        (("jia-interrupt",), KNOWN["jia-interrupt"].words[0].end_ms),
        (("jia-um", 300, "jia-wait"), KNOWN["jia-um"].length_ms + 300),
        (("jia-so", 150, "jia-not-that"), KNOWN["jia-so"].length_ms + 160),
        (("jia-yes",), KNOWN["jia-yes"].length_ms),
    ],
)
def test_the_first_real_word_is_behind_what_a_listener_says_too(parts: tuple[str | int, ...], after_ms: int) -> None:
    assert real_words_at_ms(Turn("", 1000, parts=parts), KNOWN) == 1000 + after_ms


@pytest.mark.parametrize(
    ("bot", "expected_ms"),
    [
        ("****......", 80),
        ("****--....", 80),
        ("**....****", 200),  # it stopped, and went on
        ("..........", 0),
        ("...aa.....", 0),
    ],
)
def test_silence_is_after_the_last_sound_of_a_reply_during_the_turn(bot: str, expected_ms: int) -> None:
    report = drawn("*****" + bot + "*****")
    turn = Turn("", 100, said_end_ms=300, parts=("jia-not-that",))
    assert silenced_ms(report, turn, KNOWN) == expected_ms


def test_a_caller_is_heeded_when_the_reply_is_dropped_before_the_answer() -> None:
    turn = Turn("", 100, said_end_ms=300, heard_start_ms=700)
    assert not was_ignored(drawn("*" * 50, cleared_ms=(500,)), turn)
    assert was_ignored(drawn("*" * 50, cleared_ms=(80, 900)), turn)


def disturbed(
    bot: str, *, end_ms: int = 200, cleared_ms: tuple[int, ...] = (), next_ms: int | None = None
) -> CallReport:
    report = drawn(bot, cleared_ms=cleared_ms)
    report.turns = [Turn("말", 0)] + ([] if next_ms is None else [Turn("또", next_ms)])
    report.disturbances = [Disturbance("네", 100, end_ms, over_bot=True)]
    return report


@pytest.mark.parametrize(
    ("bot", "paused_ms", "resumed_ms"),
    [
        ("*" * 60, 0, -100),  # it never stopped
        ("*" * 10 + "." * 20 + "*" * 30, 400, 400),
        ("*" * 8 + ".." + "*" * 50, 0, -100),  # not heard as a pause
        ("*" * 8 + "." * 10 + "***" + "." * 10 + "*" * 20, 400, 420),  # paused twice
        ("*" * 10 + "." * 50, 0, None),
    ],
)
def test_a_reply_that_was_not_killed_went_on_or_was_lost(bot: str, paused_ms: int, resumed_ms: int | None) -> None:
    report = disturbed(bot)
    found = outcome(report, report.disturbances[0])
    assert (found.paused_ms, found.resumed_ms, found.killed) == (paused_ms, resumed_ms, False)


def test_a_pause_between_two_replies_is_not_the_disturbance_s() -> None:
    report = disturbed("*" * 60 + "." * 20 + "*" * 20)
    assert outcome(report, report.disturbances[0]).paused_ms == 0


@pytest.mark.parametrize(("cleared_ms", "killed"), [(80, False), (160, True), (900, True), (1100, False)])
def test_a_clear_before_the_next_turn_killed_it(cleared_ms: int, killed: bool) -> None:
    report = disturbed("*" * 60, cleared_ms=(cleared_ms,), next_ms=1000)
    assert outcome(report, report.disturbances[0]).killed is killed


def heard(*pieces: bytes, disturbed: bool = False) -> CallReport:
    report = drawn("*" * 100)
    report.turns = [Turn("말", 0, said_end_ms=100), Turn("또", 1500, said_end_ms=1600)]
    report.pieces = [Piece("0:0", 0, b"before"), Piece("2:0", 1700, b"later")]
    report.pieces += [Piece(f"1:{index}", 200 + index, piece) for index, piece in enumerate(pieces)]
    report.disturbances = [Disturbance("네", 300, 400, over_bot=True)] if disturbed else []
    return report


def test_an_answer_is_all_that_was_heard_between_two_turns() -> None:
    assert answers(heard(b"one", b"two")) == {"말": b"onetwo", "또": b"later"}


def test_a_disturbed_answer_is_held_against_the_same_undisturbed() -> None:
    alone = heard(b"one", b"two")
    same, short, doubled = (
        heard(b"onetwo", disturbed=True),
        heard(b"one", disturbed=True),
        heard(b"one", b"one", b"two", disturbed=True),
    )
    assert differences([same, short, doubled], [alone]) == (3, ["말", "말"])
    assert differences([same, alone], []) == (0, [])
