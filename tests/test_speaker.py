"""One call's speaker: which tasks live, and what becomes of them."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import cast

import pytest

from bot.conversation.commands import (
    ChangeManner,
    Exchange,
    Interject,
    Manner,
    Pause,
    Play,
    Prepare,
    Reply,
    Resume,
    Say,
    StopSpeaking,
)
from bot.playout import Playout
from bot.services.replies import Replies
from bot.services.tts import Voice
from bot.speaker import Speaker
from tests.speech_by_hand import FRAME, Hands, settle

HISTORY = (Exchange("caller", "공원을 걸었어요"),)
ANSWER = ("그러셨군요.", "누구와 걸으셨어요?")


class Stage(Hands):
    """A speaker and the tasks that it spawned."""

    def __init__(self, *texts: str) -> None:
        super().__init__(*texts)
        self.spawned: list[asyncio.Task[None]] = []
        self.is_over = False
        self.speaker = Speaker(
            cast(Replies, self.replies),
            cast(Voice, self.voice),
            cast(Playout, self.playout),
            self.events.append,
            self._spawn,
        )

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None] | None:
        if self.is_over:
            work.close()
            return None
        self.spawned.append(asyncio.create_task(work))
        return self.spawned[-1]

    def running(self) -> int:
        return sum(not task.done() for task in self.spawned)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage(*ANSWER)
    stage.replies.may_warm.set()
    yield stage
    for task in stage.spawned:
        task.cancel()
    await asyncio.gather(*stage.spawned, return_exceptions=True)


async def test_a_prepared_reply_is_held_until_it_is_played(stage: Stage) -> None:
    stage.speaker.carry_out(Prepare(1, HISTORY))
    await settle()
    assert stage.playout.told == [("prepare", 1)]
    assert stage.voice.sentences() == [ANSWER[0]]
    stage.speaker.carry_out(Play(1))
    await settle()
    assert stage.playout.told == [("prepare", 1), ("play", 1)]
    assert stage.voice.sentences() == list(ANSWER)
    assert stage.running() == 0
    assert len(stage.replies.answers) == 1


async def test_a_reply_may_be_played_in_the_same_moment_in_which_it_is_prepared(stage: Stage) -> None:
    stage.speaker.carry_out(Prepare(1, HISTORY))
    stage.speaker.carry_out(Play(1))
    await settle()
    assert stage.playout.ended == [1]
    assert stage.replies.answers[0].was_kept


async def test_a_dropped_reply_is_made_no_further_and_cannot_be_played(stage: Stage) -> None:
    stage.speaker.carry_out(Prepare(1, HISTORY))
    await settle()
    stage.speaker.carry_out(StopSpeaking(1))
    await settle()
    stage.speaker.carry_out(Play(1))
    await settle()
    assert stage.playout.told == [("prepare", 1), ("stop", 1)]
    assert stage.voice.sentences() == [ANSWER[0]]
    assert stage.replies.answers[0].is_closed and not stage.replies.answers[0].was_kept


async def test_dropping_what_is_prepared_leaves_the_live_reply_alone(stage: Stage) -> None:
    stage.voice.slow.add("안녕하세요.")
    stage.speaker.carry_out(Say(1, ("안녕하세요.", "반가워요.")))
    stage.speaker.carry_out(Prepare(2, HISTORY))
    await settle()
    stage.speaker.carry_out(StopSpeaking(2))
    stage.voice.go_on.set()
    await settle()
    assert stage.playout.ended == [1]


@pytest.mark.parametrize("next_one", ["play", "reply", "say"])
async def test_what_takes_the_place_of_a_live_reply_ends_its_making(stage: Stage, next_one: str) -> None:
    stage.voice.slow.add("안녕하세요.")
    stage.speaker.carry_out(Say(1, ("안녕하세요.", "반가워요.")))
    stage.speaker.carry_out(Prepare(2, HISTORY))
    await settle()
    match next_one:
        case "play":
            stage.speaker.carry_out(Play(2))
        case "reply":
            stage.speaker.carry_out(Reply(3, HISTORY))
        case "say":
            stage.speaker.carry_out(Say(3, ("네.",)))
    stage.voice.go_on.set()
    await settle()
    assert 1 not in stage.playout.ended
    assert stage.playout.ended == [2 if next_one == "play" else 3]


async def test_pausing_is_the_playouts_alone(stage: Stage) -> None:
    stage.voice.slow.add("안녕하세요.")
    stage.speaker.carry_out(Say(1, ("안녕하세요.",)))
    await settle()
    stage.speaker.carry_out(Pause(1))
    stage.speaker.carry_out(Resume(1))
    assert stage.playout.told == [("begin", 1), ("pause", 1), ("resume", 1)]
    stage.voice.go_on.set()
    await settle()
    assert stage.playout.ended == [1]


async def test_an_interjection_comes_from_the_cache_or_not_at_all(stage: Stage) -> None:
    stage.speaker.carry_out(Interject("음,"))
    stage.speaker.carry_out(Interject("그렇구나"))
    assert stage.playout.told == [("interject", FRAME * 2)]
    assert stage.voice.begun == []


async def test_a_manner_holds_from_the_next_thing_said(stage: Stage) -> None:
    slowly = Manner(0.8, 0.0)
    stage.speaker.carry_out(Say(1, ("안녕하세요.",)))
    stage.speaker.carry_out(ChangeManner(slowly))
    await settle()
    stage.speaker.carry_out(Say(2, ("네.",)))
    stage.speaker.carry_out(Interject("음,"))
    await settle()
    assert stage.voice.begun == [("안녕하세요.", Manner()), ("네.", slowly)]
    assert stage.playout.told[-1] == ("interject", FRAME * 3)


async def test_connections_are_warmed_one_at_a_time_and_again_after_a_drop(stage: Stage) -> None:
    stage.replies.may_warm.clear()
    for _ in range(3):
        stage.speaker.warm()
        await settle()
    assert (stage.replies.warmed, stage.voice.warmed) == (1, 3)
    stage.replies.may_warm.set()
    await settle()
    stage.speaker.carry_out(StopSpeaking(7))
    await settle()
    assert (stage.replies.warmed, stage.voice.warmed) == (2, 4)


async def test_closing_leaves_nothing_running(stage: Stage) -> None:
    stage.replies.may_warm.clear()
    stage.voice.slow |= {"안녕하세요.", *ANSWER}
    stage.speaker.carry_out(Say(1, ("안녕하세요.",)))
    stage.speaker.carry_out(Prepare(2, HISTORY))
    stage.speaker.warm()
    await settle()
    assert stage.running() == 3
    stage.speaker.close()
    await settle()
    assert (stage.running(), stage.voice.running) == (0, 0)


async def test_after_the_call_nothing_is_made(stage: Stage) -> None:
    stage.is_over = True
    stage.speaker.carry_out(Say(1, ("안녕하세요.",)))
    stage.speaker.carry_out(Prepare(2, HISTORY))
    stage.speaker.carry_out(Play(2))
    stage.speaker.carry_out(StopSpeaking(1))
    await settle()
    assert stage.spawned == [] and stage.voice.begun == []
