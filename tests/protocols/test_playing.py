"""Which sentences count as played: as the page tells, or as long as they are."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.protocols.browser_messages import Heard
from bot.protocols.playing import LATE_MS, STANDS_STILL_MS, TELLS_WITHIN_MS, TOLD_EVERY_MS, Interrupt, Played, Playing
from bot.protocols.twilio import Mark

FRAME_MS = 20


def send(playing: Playing, name: str, ms: int, at_ms: int = 0, *, text: str = "", whole: bool = True) -> None:
    """Send so much of a sentence, whose name on the wire is `w` and its name."""
    if playing.last != name:
        playing.add(name, f"w{name}", text)
    playing.sound(ms, at_ms)
    if whole:
        playing.whole(at_ms)


def heard(name: str, ms: int) -> Heard:
    return Heard(f"w{name}", ms)


def test_a_sentence_is_echoed_when_the_page_has_played_all_of_it() -> None:
    playing = Playing()
    send(playing, "1:0", 400, text="안녕하세요.")
    assert playing.unplayed_ms(0) is None
    assert playing.heard(heard("1:0", 20), 0) == [Played(("안녕하세요.",))]
    assert playing.unplayed_ms(0) == 380
    assert playing.heard(heard("1:0", 399), 0) == []
    assert playing.heard(heard("1:0", 400), 0) == [Played(()), Mark("1:0")]
    assert (playing.unplayed_ms(0), playing.last) == (0, None)
    assert playing.heard(heard("1:0", 400), 0) == []


def test_all_before_the_sentence_that_is_played_were_played() -> None:
    playing = Playing()
    for index in range(3):
        send(playing, f"1:{index}", 200, text=str(index))
    assert playing.heard(heard("1:2", 40), 0) == [Played(("0", "1", "2")), Mark("1:0"), Mark("1:1")]
    assert playing.unplayed_ms(0) == 160


def test_a_sentence_that_was_played_before_its_end_was_known_is_echoed_when_it_is() -> None:
    playing = Playing()
    send(playing, "1:0", 80, whole=False)
    playing.heard(heard("1:0", 80), 0)
    playing.whole(0)
    assert playing.due(FRAME_MS) == [Mark("1:0")]


def test_after_a_clear_nothing_older_is_ever_echoed() -> None:
    playing = Playing()
    send(playing, "1:0", 80, whole=False)
    playing.heard(heard("1:0", 80), 0)
    playing.whole(0)
    send(playing, "1:1", 80)
    playing.clear()
    assert (playing.last, playing.unplayed_ms(0)) == (None, 0)
    send(playing, "2:0", 80)
    assert playing.heard(heard("1:1", 80), FRAME_MS) == []
    assert playing.heard(heard("2:0", 80), FRAME_MS) == [Played(()), Mark("2:0")]


def test_who_does_not_tell_is_taken_to_have_heard_all_a_little_late() -> None:
    playing = Playing()
    send(playing, "1:0", 400, text="하나")
    send(playing, "1:1", 200, 100, text="둘")
    found = {at_ms: due for at_ms in range(0, 2_000, FRAME_MS) if (due := playing.due(at_ms))}
    assert found == {
        0: [Played(("하나",))],
        400 + LATE_MS: [Played(("둘",)), Mark("1:0")],
        600 + LATE_MS: [Mark("1:1")],
    }
    assert playing.unplayed_ms(2_000) is None


def test_who_tells_no_more_is_taken_to_hear_on() -> None:
    playing = Playing()
    send(playing, "1:0", 400)
    playing.heard(heard("1:0", 100), 0)
    assert playing.unplayed_ms(TELLS_WITHIN_MS) == 300
    assert playing.due(TELLS_WITHIN_MS) == []
    assert playing.due(TELLS_WITHIN_MS + FRAME_MS) == [Mark("1:0")]
    send(playing, "2:0", 400, 5_000)
    playing.heard(heard("2:0", 100), 5_000)
    assert playing.unplayed_ms(5_000) == 300


@pytest.mark.parametrize("told", [heard("1:0", 20), heard("0:0", 700)], ids=["of this sentence", "of the one before"])
def test_who_tells_the_same_for_ever_has_heard_no_more_and_after_a_while_wants_to_hear_no_more(told: Heard) -> None:
    playing = Playing()
    playing.heard(told, 0)
    send(playing, "1:0", 400)
    stopped_at = []
    for at_ms in range(0, STANDS_STILL_MS + 200, FRAME_MS):
        found = [*playing.heard(told, at_ms), *playing.due(at_ms)]
        assert Mark("1:0") not in found
        stopped_at += [at_ms] * found.count(Interrupt())
    assert stopped_at == [STANDS_STILL_MS + FRAME_MS]
    playing.clear()
    send(playing, "2:0", 400, 11_000)
    playing.heard(heard("2:0", 100), 11_000)
    assert playing.unplayed_ms(11_000) == 300


def test_a_player_that_has_played_all_there_was_does_not_stand_still() -> None:
    playing = Playing()
    send(playing, "1:0", 400, whole=False)
    for at_ms in range(0, 2 * STANDS_STILL_MS, FRAME_MS):
        assert Interrupt() not in [*playing.heard(heard("1:0", 400), at_ms), *playing.due(at_ms)]
    send(playing, "1:0", 400, 2 * STANDS_STILL_MS)
    assert playing.due(2 * STANDS_STILL_MS) == []


def test_what_is_played_is_passed_on_now_and_then_and_at_once_when_it_is_asked_for() -> None:
    playing = Playing()
    send(playing, "1:0", 2_000)
    passed_on = [ms for ms in range(0, 1_000, FRAME_MS) if playing.heard(heard("1:0", ms), ms)]
    assert [later - before for before, later in pairwise(passed_on)] == [TOLD_EVERY_MS] * 4
    assert playing.heard(heard("1:0", 1_000), 980, at_once=True) == [Played(())]
    assert playing.heard(None, 980, at_once=True) == []
    assert playing.heard(heard("1:0", 1_010), 980) == [Played(())], "what there was none of to tell, is due"


@given(st.data())
def test_whatever_a_page_reports_a_sentence_is_echoed_once_in_order_and_never_before_it_was_sent(
    data: st.DataObject,
) -> None:
    playing = Playing()
    sent_ms: dict[str, int] = {}
    whole: set[str] = set()
    echoed: list[str] = []
    alive: list[str] = []
    for step in range(data.draw(st.integers(1, 40))):
        match data.draw(st.sampled_from(["sound", "whole", "report", "clear"])):
            case "sound":
                name = f"{step}:0" if not alive or alive[-1] in whole else alive[-1]
                if name not in alive:
                    alive.append(name)
                send(playing, name, FRAME_MS, whole=False)
                sent_ms[name] = sent_ms.get(name, 0) + FRAME_MS
            case "whole" if alive and playing.last == alive[-1]:
                playing.whole(0)
                whole.add(alive[-1])
            case "report":
                name = data.draw(st.sampled_from([*sent_ms, "99:9"]))
                for found in playing.heard(heard(name, data.draw(st.integers(0, 2_000))), 0):
                    if isinstance(found, Mark):
                        assert found.name in alive and found.name not in echoed
                        assert found.name in whole
                        echoed.append(found.name)
            case "clear":
                playing.clear()
                alive = []
        if (unplayed_ms := playing.unplayed_ms(0)) is not None:
            assert 0 <= unplayed_ms <= sum(sent_ms.values())
    assert echoed == sorted(echoed, key=lambda name: int(name.partition(":")[0]))
