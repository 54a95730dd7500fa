"""How a reply is made: order, what is made ahead, where a prepared one stops, and what is left of a cancelled one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from bot import making as making_module
from bot.conversation.commands import Exchange, Manner, Prepare, Reply, Say
from bot.conversation.events import Event, FirstAudio, FirstToken, SentenceMade
from bot.making import Making
from bot.playout import Playout
from bot.services.replies import Replies
from bot.services.tts import Voice
from tests.speech_by_hand import Hands, settle

HISTORY = (Exchange("caller", "공원을 걸었어요"),)
ANSWER = ("공원에 가셨군요,", "날이 참 좋았지요.", "누구와 걸으셨어요?")


def making(hands: Hands, command: Reply | Say | Prepare, manner: Manner = Manner()) -> Making:  # noqa: B008
    return Making(
        command,
        manner,
        replies=cast(Replies, hands.replies),
        voice=cast(Voice, hands.voice),
        playout=cast(Playout, hands.playout),
        emit=hands.events.append,
    )


@asynccontextmanager
async def running(made: Making) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(made.run())
    await settle()
    yield task
    if not task.done():
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_reply_is_its_lead_and_then_the_answer_piece_by_piece() -> None:
    hands = Hands(*ANSWER)
    async with running(making(hands, Reply(3, HISTORY, ("네,",)))) as task:
        await task
    assert [answer.history for answer in hands.replies.answers] == [HISTORY]
    assert hands.voice.sentences() == ["네,", *ANSWER]
    assert hands.playout.made == {(3, 0): 2, (3, 1): 2, (3, 2): 2, (3, 3): 2}
    assert hands.playout.ended == [3]
    assert [event for event in hands.events if isinstance(event, SentenceMade)] == [
        SentenceMade(3, 1, ANSWER[0]),
        SentenceMade(3, 2, ANSWER[1]),
        SentenceMade(3, 3, ANSWER[2]),
    ]
    assert hands.replies.answers[0].was_kept


async def test_fixed_sentences_need_no_model_and_are_spoken_in_the_manner_of_the_call() -> None:
    hands, slowly = Hands(), Manner(0.8, 6.0)
    async with running(making(hands, Say(1, ("안녕하세요.", "일기예요.")), slowly)) as task:
        await task
    assert hands.voice.begun == [("안녕하세요.", slowly), ("일기예요.", slowly)]
    assert hands.replies.answers == []
    assert hands.events == [FirstAudio(1)]
    assert hands.playout.ended == [1]


async def test_the_first_token_and_the_first_sound_are_told_once_and_in_order() -> None:
    hands = Hands(*ANSWER)
    async with running(making(hands, Reply(3, HISTORY))) as task:
        await task
    kept: list[Event] = [event for event in hands.events if not isinstance(event, SentenceMade)]
    assert kept == [FirstToken(3), FirstAudio(3)]
    order = [FirstToken(3), SentenceMade(3, 0, ANSWER[0]), FirstAudio(3)]
    assert sorted(order, key=hands.events.index) == order


async def test_a_piece_without_sound_is_not_the_first_sound() -> None:
    hands = Hands()
    hands.voice.silent.add("…")
    hands.voice.slow.add("…")
    async with running(making(hands, Say(1, ("…", "네.")))) as task:
        await task
    assert hands.playout.made == {(1, 1): 2}
    assert hands.events == [FirstAudio(1)]


async def test_one_voice_and_no_more_is_begun_ahead_of_the_piece_that_is_being_queued() -> None:
    hands = Hands(*ANSWER)
    hands.voice.slow.add(ANSWER[0])
    async with running(making(hands, Reply(3, HISTORY))) as task:
        assert hands.voice.sentences() == list(ANSWER[:2])
        assert hands.playout.made == {(3, 0): 1}
        hands.voice.go_on.set()
        await task
    assert hands.playout.made == {(3, 0): 2, (3, 1): 2, (3, 2): 2}


async def test_what_is_ahead_waits_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making_module, "AHEAD_CHUNKS", 1)
    hands = Hands(*ANSWER)
    hands.voice.slow.add(ANSWER[0])
    async with running(making(hands, Reply(3, HISTORY))) as task:
        assert hands.voice.running == 2
        hands.voice.go_on.set()
        await task
    assert hands.voice.running == 0
    assert hands.playout.made == {(3, 0): 2, (3, 1): 2, (3, 2): 2}


async def test_what_is_prepared_is_made_to_the_end_of_its_first_sentence_and_on_when_it_is_played() -> None:
    hands = Hands(*ANSWER)
    prepared = making(hands, Prepare(3, HISTORY))
    async with running(prepared) as task:
        assert hands.voice.sentences() == list(ANSWER[:2])
        assert hands.replies.answers[0].given == 2
        assert hands.playout.made == {(3, 0): 2, (3, 1): 2}
        assert not hands.replies.answers[0].was_kept
        prepared.play()
        await task
    assert hands.voice.sentences() == list(ANSWER)
    assert hands.replies.answers[0].was_kept
    assert hands.playout.ended == [3]


@pytest.mark.parametrize("text", ["그러셨군요.", "그러셨어요?", "“그랬지요!”", "글쎄요…"])
async def test_every_end_of_a_sentence_holds_what_is_prepared(text: str) -> None:
    hands = Hands(text, "그다음에는요?")
    async with running(making(hands, Prepare(3, HISTORY))):
        assert hands.voice.sentences() == [text]


async def test_an_answer_that_is_over_before_it_is_played_waits_too() -> None:
    hands = Hands("그러셨군요")
    prepared = making(hands, Prepare(3, HISTORY))
    async with running(prepared) as task:
        assert hands.playout.made == {(3, 0): 2}
        assert not task.done() and not hands.replies.answers[0].was_kept
        prepared.play()
        await task
    assert hands.replies.answers[0].was_kept


async def test_a_dropped_reply_is_not_booked_as_kept_and_leaves_nothing_running() -> None:
    hands = Hands(*ANSWER)
    hands.voice.slow |= set(ANSWER)
    before = asyncio.all_tasks()
    async with running(making(hands, Prepare(3, HISTORY))) as task:
        assert hands.voice.running == 2
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert asyncio.all_tasks() == before
    assert hands.voice.running == 0
    assert hands.replies.answers[0].is_closed and not hands.replies.answers[0].was_kept
    assert hands.playout.ended == []


async def test_a_reply_that_is_cut_in_the_middle_is_booked_as_kept() -> None:
    hands = Hands(*ANSWER)
    hands.voice.slow |= set(ANSWER)
    prepared = making(hands, Prepare(3, HISTORY))
    async with running(prepared) as task:
        prepared.play()
        await settle()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert hands.replies.answers[0].was_kept
    assert hands.voice.running == 0


async def test_a_bug_in_the_middle_ends_the_making_and_is_told() -> None:
    hands = Hands(*ANSWER)

    def broken(event: Event) -> None:
        raise ValueError(event)

    made = making(hands, Reply(3, HISTORY))
    made._emit = broken
    with pytest.raises(ExceptionGroup) as caught:
        await made.run()
    assert caught.group_contains(ValueError)
    assert hands.replies.answers[0].is_closed
