import pytest

from bot.audio.onset import (
    BACKGROUND_FRAMES,
    BACKGROUND_LAG,
    CERTAIN,
    DOUBT_FRAMES,
    KNOWN_FRAMES,
    LIKELY,
    LIKELY_AGAIN,
    LIKELY_AT_ONCE,
    LONGEST_BEFORE,
    OVER_BACKGROUND_DB,
    Background,
    DoubtedOnset,
    Look,
    Onset,
)

QUIET = Look(False, False, False, False, False, True, -80.0)
HINT = Look(True, True, False, False, True, False, -20.0)
CANDIDATE = HINT._replace(candidate=True)
VOICED = CANDIDATE._replace(voiced=True)
HUM = HINT._replace(strict=False, hint=False)


class Opinion:
    """Gives the answers that it is told to, then 0; whoever asks is counted."""

    def __init__(self, *answers: float) -> None:
        self.answers = list(answers)
        self.asked = 0

    def hear(self, pcm_16k_20ms: bytes) -> None:
        raise AssertionError("the detector lets it hear")

    def ask(self) -> float:
        self.asked += 1
        return self.answers.pop(0) if self.answers else 0.0


def after_quiet(*answers: float) -> tuple[DoubtedOnset, Opinion]:
    opinion = Opinion(*answers)
    onset = DoubtedOnset(opinion)
    assert [onset.begins(QUIET) for _ in range(100)] == [0] * 100
    return onset, opinion


def test_alone_two_candidates_begin_a_talk_when_one_is_voiced() -> None:
    onset = Onset()
    assert [onset.begins(look) for look in (QUIET, VOICED, CANDIDATE)] == [0, 0, 2]
    onset.clear()
    assert [onset.begins(look) for look in (VOICED, QUIET, CANDIDATE, QUIET)] == [0, 0, 3, 0]
    onset.clear()
    assert [onset.begins(look) for look in (CANDIDATE, CANDIDATE, CANDIDATE, HINT)] == [0] * 4
    onset.clear()
    assert [onset.begins(look) for look in (VOICED, QUIET, QUIET, VOICED)] == [0] * 4


def test_two_hints_raise_a_doubt_and_the_opinion_decides() -> None:
    onset, opinion = after_quiet(LIKELY)
    assert [onset.begins(HINT), opinion.asked] == [0, 0]
    assert [onset.begins(HINT), opinion.asked] == [2, 1]


def test_without_a_doubt_nothing_is_asked() -> None:
    onset, opinion = after_quiet()
    assert [onset.begins(look) for look in (HINT, QUIET, QUIET, HUM, HINT, QUIET, QUIET)] == [0] * 7
    assert opinion.asked == 0


def test_in_doubt_it_is_asked_again_about_what_may_be_speech() -> None:
    onset, opinion = after_quiet(0.1, 0.1, LIKELY)
    told = [onset.begins(look) for look in (HINT, HINT, HINT, HUM, QUIET, HINT)]
    assert told == [0, 0, 0, 0, 0, LONGEST_BEFORE]
    assert opinion.asked == 3


def test_a_doubt_ends_with_frames_that_no_talk_would_keep() -> None:
    onset, opinion = after_quiet(0.1)
    for look in (HINT, HINT, *[QUIET] * DOUBT_FRAMES, HINT):
        assert onset.begins(look) == 0
    assert opinion.asked == 1
    assert onset.begins(HINT) == 0
    assert opinion.asked == 2


def test_less_is_demanded_where_the_frames_alone_would_do() -> None:
    onset, _ = after_quiet(LIKELY_AT_ONCE)
    assert [onset.begins(look) for look in (VOICED, VOICED)] == [0, 2]
    onset, _ = after_quiet(LIKELY_AT_ONCE)
    assert [onset.begins(look) for look in (HINT, HINT)] == [0, 0]
    onset, _ = after_quiet(0.06, LIKELY_AGAIN)
    assert [onset.begins(look) for look in (VOICED, VOICED, VOICED)] == [0, 0, 3]
    onset, _ = after_quiet(0.04, LIKELY_AGAIN)
    assert [onset.begins(look) for look in (VOICED, VOICED, VOICED)] == [0, 0, 0]


@pytest.mark.parametrize(("likelihood", "begins"), [(CERTAIN, 2), (CERTAIN - 0.01, 0)])
def test_more_is_demanded_of_what_may_be_the_background(likelihood: float, begins: int) -> None:
    onset = DoubtedOnset(Opinion(likelihood))
    babble = HUM._replace(level_db=HINT.level_db - OVER_BACKGROUND_DB + 0.1)
    for _ in range(200):
        onset.begins(babble)
    assert [onset.begins(HINT) for _ in range(2)] == [0, begins]


@pytest.mark.parametrize(("likelihood", "begins"), [(CERTAIN, 2), (LIKELY, 0)])
def test_more_is_demanded_far_under_the_loudest_of_late(likelihood: float, begins: int) -> None:
    onset, _ = after_quiet(likelihood)
    assert [onset.begins(HINT._replace(far=True)) for _ in range(2)] == [0, begins]


def test_a_new_doubt_does_not_remember_the_last_one() -> None:
    onset, opinion = after_quiet(LIKELY)
    assert [onset.begins(HINT), onset.begins(HINT)] == [0, 2]
    onset.clear()
    assert onset.begins(HINT) == 0
    assert opinion.asked == 1


def heard(levels_db: list[float], likelihood: float | None = None) -> Background:
    background = Background()
    for level_db in levels_db:
        background.take(level_db, likelihood)
    return background


def test_at_first_anything_may_be_background_and_soon_only_what_is_not_far_louder() -> None:
    assert heard([-60.0] * BACKGROUND_LAG).covers(0.0)
    early = heard([-60.0] * (BACKGROUND_LAG + 5))
    assert early.covers(-60 + OVER_BACKGROUND_DB + 1)
    assert not early.covers(-45)
    assert not heard([-60.0] * KNOWN_FRAMES).covers(-60 + OVER_BACKGROUND_DB + 0.1)


def test_the_background_is_nearly_its_loudest_and_not_of_the_last_moment() -> None:
    loud_then_quiet = [-30.0] * 20 + [-60.0] * (BACKGROUND_FRAMES - 20)
    assert heard(loud_then_quiet + [-60.0] * BACKGROUND_LAG).covers(-29)
    assert not heard([-60.0] * BACKGROUND_FRAMES + [-30.0] * BACKGROUND_LAG).covers(-29)
    assert not heard(loud_then_quiet + [-60.0] * 100).covers(-29)
    one_clap = [-60.0] * (BACKGROUND_FRAMES - 1) + [-10.0]
    assert not heard(one_clap + [-60.0] * BACKGROUND_LAG).covers(-40)


def test_what_surely_was_no_speech_is_no_background_to_speech() -> None:
    assert heard([-30.0] * 100, likelihood=0.1).covers(-29)
    assert not heard([-30.0] * 100, likelihood=0.01).covers(-29)
