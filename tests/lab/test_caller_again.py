"""A caller who wants to be understood: waits for the bot, speaks, and speaks again when it was for nothing."""

from collections.abc import Callable

import pytest

from bot.lab.acts import Act, GaveUpWaiting, SaidAgain, SaidFrame, TurnBegan, TurnEnded
from bot.lab.caller import Caller, Ear
from bot.lab.script import HangUp, ScriptError, Silent, Step, Tell, Wait, WaitForBot, script


class Talk:
    """A caller and a bot, frame by frame: `bot(frame)` is audible or not; the line breaks before each of `breaks`."""

    def __init__(self, *steps: Step, leaves: Callable[[], bool] = lambda: False) -> None:
        self.caller = Caller(list(steps), patience_ms=0, leaves=leaves)
        self.acts: list[tuple[int, Act]] = []

    def play(self, bot: Callable[[int], bool], breaks: tuple[int, ...] = ()) -> None:
        frame = 0
        for act in self.caller.acts():
            self.acts.append((frame, act))
            if isinstance(act, SaidFrame):
                frame += 1
                if frame in breaks:
                    self.caller.line_broke()
                self.caller.ear.listen(bot(frame), not bot(frame))

    def at(self, kind: type) -> list[int]:
        return [frame for frame, act in self.acts if isinstance(act, kind)]


def speaking(*stretches: tuple[int, int]) -> Callable[[int], bool]:
    return lambda frame: any(start <= frame < end for start, end in stretches)


def test_what_is_answered_is_said_once() -> None:
    talk = Talk(Tell(("jia-yes",), quiet_ms=100))
    talk.play(speaking((2, 10), (60, 70)))
    assert len(talk.at(TurnBegan)) == 1
    assert talk.at(TurnBegan)[0] == 14
    assert talk.at(SaidAgain) == []
    assert talk.at(HangUp) == [60]


def test_when_the_line_breaks_in_the_middle_it_stops_and_says_it_again() -> None:
    talk = Talk(Tell(("jia-lunch",), quiet_ms=100))
    talk.play(speaking((2, 10), (60, 70), (300, 310)), breaks=(30,))
    assert talk.at(TurnEnded)[0] == 30
    assert talk.at(TurnBegan) == [14, 74]
    assert len(talk.at(SaidAgain)) == 1


def test_when_the_line_breaks_before_the_answer_it_is_said_again() -> None:
    talk = Talk(Tell(("jia-yes",), quiet_ms=100))
    talk.play(speaking((2, 10), (90, 100), (180, 190)), breaks=(70,))
    assert talk.at(TurnBegan) == [14, 104]


def test_when_the_line_breaks_in_the_answer_it_is_not_said_again() -> None:
    talk = Talk(Tell(("jia-yes",), quiet_ms=100), WaitForBot(quiet_ms=100))
    talk.play(speaking((2, 10), (60, 65), (100, 110)), breaks=(65,))
    assert talk.at(SaidAgain) == []
    assert talk.at(HangUp) == [114], "but the bot is waited for once more"


def test_what_nobody_answers_is_said_again_and_then_given_up() -> None:
    talk = Talk(Tell(("jia-yes",), times=2, quiet_ms=100, timeout_ms=1000))
    talk.play(speaking((2, 10)))
    assert len(talk.at(TurnBegan)) == 2
    assert len(talk.at(GaveUpWaiting)) == 3


def test_a_brisk_caller_speaks_over_the_bot() -> None:
    talk = Talk(Tell(("jia-yes",), over_ms=400))
    talk.play(speaking((2, 400)))
    assert talk.at(TurnBegan)[0] == 2 + 400 // 20 - 1


def test_a_caller_leaves_whatever_the_script_says() -> None:
    left = False
    talk = Talk(Wait(2000), Tell(("jia-yes",)), leaves=lambda: left)

    def bot(frame: int) -> bool:
        nonlocal left
        left = frame >= 20
        return False

    talk.play(bot)
    assert talk.acts[-1] == (20, HangUp())
    assert talk.at(TurnBegan) == []


def test_on_tape_nobody_answers_and_one_goes_on_after_a_pause() -> None:
    ear = Ear()
    ear.on_tape = True
    ear.speak()
    ear.listen(False, True)
    assert (ear.heard, ear.quiet_ms) == (True, 20)


def test_the_steps_have_a_json_form() -> None:
    rows = [{"tell": ["jia-yes"], "times": 2, "over_ms": 900}, {"silent_ms": 8000}]
    assert script(rows) == [Tell(("jia-yes",), times=2, over_ms=900), Silent(8000)]
    with pytest.raises(ScriptError):
        script([{"tell": ["jia-yes"], "often": 2}])
