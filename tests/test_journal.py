"""bot/journal.py: events are read back as they were written, also those of an older release."""

from pathlib import Path
from typing import get_args

import pytest

from bot import journal
from bot.conversation.events import (
    AudioSent,
    Before,
    CallerGone,
    CallStarted,
    Draining,
    Due,
    EntryWritten,
    Event,
    Final,
    FirstAudio,
    FirstToken,
    Interim,
    KeyPressed,
    MarkEchoed,
    ReplyEnded,
    SentenceMade,
    SentenceSent,
    SentenceStarted,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    StopPressed,
    SttLoss,
    SttLost,
    SttPace,
    SttReady,
    Tick,
    Timer,
    TurnBefore,
    TurnTyped,
)
from bot.conversation.habit import PauseHabit
from bot.conversation.snapshot import Snapshot
from bot.errors import StoreError
from bot.journal import Journal, decode_event, encode_event

EVENTS: list[Event] = [
    CallStarted(True),
    CallStarted(
        False,
        PauseHabit(450, 820, 7),
        Before((TurnBefore(-1, None, "안녕하세요."), TurnBefore(3, "먹었어요", "네.")), 4, Snapshot(turn=3)),
    ),
    Tick(),
    Due(Timer.PROBATION),
    SpeechStarted(20),
    SpeechPaused(400),
    SpeechResumed(),
    SpeechStopped(400),
    Interim((1, 0), "걸었"),
    Final((1, 0), "걸었어요"),
    SttReady(),
    SttLost(SttLoss.FULL),
    SttPace(260),
    KeyPressed("#"),
    TurnTyped("맞아요"),
    StopPressed(),
    SentenceMade(1, 0, "그러셨군요,"),
    FirstToken(1),
    FirstAudio(1),
    SentenceStarted(1, 0),
    SentenceStarted(1, 1, 180),
    AudioSent(1, 0, 400, 200),
    AudioSent(1, 0, 600, 200, 1240),
    SentenceSent(1, 0, 1240),
    ReplyEnded(1),
    MarkEchoed(1, 0),
    EntryWritten(1, "산책", "공원을 걸었다.", "기쁨"),
    CallerGone(),
    Draining(),
]


@pytest.mark.parametrize("event", EVENTS, ids=repr)
def test_an_event_is_read_back_as_it_was(event: Event) -> None:
    assert decode_event(encode_event(event)) == event


def test_every_event_there_is_was_tried() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(Event))


@pytest.mark.parametrize(
    ("text", "event"),
    [
        (
            '{"name":"CallStarted","fields":{"first_time":false,"said_before":["걸었어요"],"turns_before":1}}',
            CallStarted(False),
        ),
        ('{"name":"SentenceStarted","fields":{"reply":1,"index":0}}', SentenceStarted(1, 0)),
    ],
)
def test_an_event_of_an_older_release_gets_the_defaults(text: str, event: Event) -> None:
    assert decode_event(text) == event


@pytest.mark.parametrize("name", ["Hiccup", "PauseHabit", "StrEnum", "Event"])
def test_what_is_no_event_is_named(name: str) -> None:
    with pytest.raises(StoreError, match=f"an event '{name}' that this release does not know"):
        decode_event(f'{{"name":"{name}","fields":{{}}}}')


def test_an_event_with_other_fields_is_named_without_what_it_holds() -> None:
    with pytest.raises(StoreError, match="an event 'Final' as this release does not know it") as error:
        decode_event('{"name":"Final","fields":{"utterance":"one","text":"비밀"}}')
    assert "비밀" not in str(error.value)


def test_the_journals_of_one_call_can_be_removed(tmp_path: Path) -> None:
    keys = journal.Keys.parse("first-secret-of-the-tests-0123456789")
    for call_sid, stream_sid in (("CA1", "MZ1"), ("CA1", "MZ2"), ("CA12", "MZ3")):
        Journal.begin(tmp_path, call_sid, stream_sid, keys).close()
    assert journal.forget(tmp_path, "CA1") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["CA12-MZ3.journal"]
