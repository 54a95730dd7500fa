"""The caller plays a script frame by frame, and knows when the bot is done."""

import audioop
import json
from math import log10

import pytest

from bot.lab import utterances
from bot.lab.acts import (
    SILENT_FRAME,
    Act,
    DisturbanceBegan,
    DisturbanceEnded,
    GaveUpWaiting,
    PauseBegan,
    SaidFrame,
    TurnBegan,
    TurnEnded,
)
from bot.lab.caller import Caller, Ear
from bot.lab.level import is_audible
from bot.lab.script import (
    BargeIn,
    Burst,
    Drop,
    Gap,
    HangUp,
    Murmur,
    Network,
    Noise,
    Press,
    Say,
    ScriptError,
    Send,
    Step,
    Wait,
    WaitForBot,
    load_script,
    script,
    script_names,
)
from bot.lab.utterances import FIXTURES

WHOLE_DAYS = ("plain-day", "barge-in", "slow-speaker", "hang-up")


def play(caller: Caller, bot: str = "") -> list[Act]:
    """All acts, while the bot speaks in the frames marked `*`."""
    acts: list[Act] = []
    frames = iter(bot)
    speaking = next(frames, ".") == "*"
    caller.ear.listen(speaking, not speaking)
    for act in caller.acts():
        acts.append(act)
        if isinstance(act, SaidFrame):
            speaking = next(frames, ".") == "*"
            caller.ear.listen(speaking, not speaking)
    return acts


def silence_before(acts: list[Act], what: type) -> int:
    return [isinstance(act, what) for act in acts].index(True)


def test_saying_is_the_utterances_with_their_pauses() -> None:
    acts = play(Caller([Say(("jia-yes", 100, "jia-no"))], patience_ms=0))
    assert acts[0] == TurnBegan("네 아니요", ("jia-yes", 100, "jia-no"))
    assert acts[-2:] == [TurnEnded(), HangUp()]
    assert isinstance(acts[acts.index(PauseBegan()) - 1], SaidFrame)
    assert acts[acts.index(PauseBegan()) + 1 :][:5] == [SaidFrame(SILENT_FRAME)] * 5
    sound = b"".join(act.mulaw or b"" for act in acts if isinstance(act, SaidFrame))
    known = utterances.load()
    assert sound == known["jia-yes"].mulaw() + SILENT_FRAME * 5 + known["jia-no"].mulaw()


def test_waiting_ends_when_the_bot_has_spoken_and_is_quiet() -> None:
    caller = Caller([WaitForBot(quiet_ms=100), Press("1")], patience_ms=0)
    assert silence_before(play(caller, "....***....*....."), Press) == 16


def test_waiting_ends_in_vain() -> None:
    acts = play(Caller([WaitForBot(timeout_ms=200)], patience_ms=0))
    assert acts == [SaidFrame(SILENT_FRAME)] * 10 + [GaveUpWaiting(), HangUp()]


def test_a_long_speech_is_heard_to_its_end() -> None:
    caller = Caller([WaitForBot(quiet_ms=40, timeout_ms=100), Press("1")], patience_ms=0)
    assert GaveUpWaiting() not in play(caller, "..." + "*" * 100 + ".....")


def test_an_endless_speech_is_not_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.lab.caller.LONGEST_SPEECH_MS", 400)
    assert GaveUpWaiting() in play(Caller([WaitForBot()], patience_ms=0), "*" * 100)


def test_what_the_bot_was_still_saying_is_no_answer() -> None:
    ear = Ear()
    ear.speak()
    for audible, idle, heard in [
        (True, False, False),
        (False, False, False),
        (False, True, False),
        (True, False, True),
    ]:
        ear.listen(audible, idle)
        assert ear.heard is heard


def test_barging_in_waits_for_the_bot_to_speak() -> None:
    caller = Caller([BargeIn(("jia-yes",), after_ms=60)], patience_ms=0)
    assert silence_before(play(caller, "..*..*****"), TurnBegan) == 7


@pytest.mark.parametrize(
    ("step", "what"),
    [
        (Murmur(("jia-yes", 40, "jia-right"), after_ms=60), "네 맞아요"),
        (Burst("cough", ms=400, from_ms=500, snr_db=0, after_ms=60), "cough"),
    ],
)
def test_a_disturbance_is_no_turn_and_is_over_before_the_bot_is_waited_for(step: Step, what: str) -> None:
    caller = Caller([step, WaitForBot(quiet_ms=100), Press("1")], patience_ms=0)
    caller.ear.heard = True
    acts = play(caller, "..*..***" + "." * 200)
    begins, ends = acts.index(DisturbanceBegan(what)), acts.index(DisturbanceEnded())
    assert silence_before(acts, DisturbanceBegan) == 7
    assert any(isinstance(act, SaidFrame) and act.voiced for act in acts[begins:ends])
    assert not any(isinstance(act, TurnBegan | TurnEnded) for act in acts)
    assert acts[ends + 1 :] == [SaidFrame(SILENT_FRAME)] * 5 + [Press("1"), HangUp()]


def test_a_burst_is_so_much_of_a_noise_at_its_level() -> None:
    acts = play(Caller([Burst("white", ms=200, snr_db=0, after_ms=0)], patience_ms=0))
    frames = [act.mulaw for act in acts if isinstance(act, SaidFrame)]
    assert len(frames) == 10
    rms = audioop.rms(audioop.ulaw2lin(b"".join(frame or b"" for frame in frames), 2), 2)
    assert 20 * log10(rms / 32768) == pytest.approx(utterances.LEVEL_DBFS, abs=1.5)


def test_nobody_is_disturbed_when_the_bot_is_silent() -> None:
    acts = play(Caller([Murmur(("jia-yes",), timeout_ms=100)], patience_ms=0))
    assert acts == [SaidFrame(SILENT_FRAME)] * 5 + [GaveUpWaiting(), HangUp()]


def test_noise_is_under_speech_and_silence_at_its_level() -> None:
    quiet = play(Caller([Noise("white", 10), Wait(200), Noise(None), Wait(20)], patience_ms=0))
    noisy = [act for act in quiet if isinstance(act, SaidFrame)]
    assert all(act.mulaw is not None and is_audible(act.mulaw) and not act.voiced for act in noisy[:10])
    assert noisy[10].mulaw == SILENT_FRAME


def test_a_gap_is_frames_that_never_arrive() -> None:
    assert play(Caller([Gap(60)], patience_ms=0)) == [SaidFrame(None)] * 3 + [HangUp()]


def test_held_frames_arrive_with_the_next_that_is_not() -> None:
    acts = play(Caller([Network(hold_ms=60), Wait(120), Network(loss=1.0), Wait(20)], patience_ms=0))
    frames = [act for act in acts if isinstance(act, SaidFrame)]
    assert [frame.held for frame in frames] == [True, True, False, True, True, False, False]
    assert [frame.mulaw for frame in frames] == [SILENT_FRAME] * 6 + [None]


def test_patience_has_an_end() -> None:
    assert len(play(Caller([], patience_ms=1000))) == 51


def test_the_next_key_is_taken_only_when_it_is_next() -> None:
    caller = Caller([Press("1"), Wait(20), Press("2")], patience_ms=0)
    assert (caller.next_key(), caller.next_key()) == ("1", None)
    assert play(caller) == [SaidFrame(SILENT_FRAME), Press("2"), HangUp()]


@pytest.mark.parametrize(
    ("row", "step"),
    [
        ({"say": ["jia-um", 900, "jia-lunch"]}, Say(("jia-um", 900, "jia-lunch"))),
        ({"wait_for_bot": {}}, WaitForBot()),
        ({"wait_for_bot": {"quiet_ms": 1, "timeout_ms": 2}}, WaitForBot(1, 2)),
        ({"wait_ms": 500}, Wait(500)),
        ({"press": "#"}, Press("#")),
        ({"barge_in": ["jia-wait"], "after_ms": 5}, BargeIn(("jia-wait",), 5)),
        ({"murmur": ["jia-yes"]}, Murmur(("jia-yes",))),
        ({"murmur": ["jia-yes"], "after_ms": 5, "timeout_ms": 9}, Murmur(("jia-yes",), 5, 9)),
        ({"burst": "cough", "ms": 300, "from_ms": 40, "snr_db": 0}, Burst("cough", 300, 40, 0)),
        ({"noise": "street", "snr_db": 5}, Noise("street", 5)),
        ({"noise": None}, Noise(None)),
        ({"network": {"loss": 0.01}}, Network(0.01)),
        ({"gap_ms": 10_000}, Gap(10_000)),
        ({"send": "x"}, Send("x")),
        ({"drop": "close"}, Drop("close")),
        ({"hang_up": "reset"}, HangUp("reset")),
        (Send(b"\x00"), Send(b"\x00")),
    ],
)
def test_steps(row: object, step: Step) -> None:
    assert script([row]) == [step]  # type: ignore[list-item]


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"say": "jia-um"},
        {"say": [], "loud": 1},
        {"press": "x"},
        {"hang_up": "slowly"},
        {"wait_ms": "1"},
        {"dance": 1},
        {"murmur": "jia-yes"},
        {"burst": "cough", "loud": 1},
    ],
)
def test_what_is_no_step_is_named(row: dict[str, object]) -> None:
    with pytest.raises(ScriptError):
        script([row])


def test_an_unknown_utterance_is_named() -> None:
    with pytest.raises(ScriptError, match="jia-nothing"):
        Caller([Say(("jia-nothing",))])


@pytest.mark.parametrize("name", ["nothing", "no/such.json"])
def test_an_unknown_script_is_named(name: str) -> None:
    with pytest.raises(ScriptError):
        load_script(name)


@pytest.mark.parametrize("name", script_names())
def test_every_script_can_be_played(name: str) -> None:
    assert Caller(load_script(name)).steps


def test_the_whole_days_are_there() -> None:
    names = set(script_names())
    assert names >= set(WHOLE_DAYS)
    turns = sum(isinstance(step, Say) for step in load_script("plain-day"))
    assert turns >= 7
    assert json.loads((FIXTURES / "calls" / "hang-up.json").read_text())[-1] == {"hang_up": "stop"}
