"""Calls from their handshake to the moment when all of them is kept."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from bot import admission, watchdog
from bot import call as call_module
from bot.close_codes import NORMAL, POLICY
from bot.conversation.commands import Exchange, Status
from bot.conversation.events import Before, CallStarted, Interim, SttLoss, SttLost, SttReady, TurnBefore
from bot.conversation.habit import PauseHabit
from bot.conversation.lines import LINES
from bot.conversation.snapshot import Snapshot, decode, encode
from bot.diary.owned import OwnedCall
from bot.errors import StoreError
from bot.journal import decode_event, read
from bot.lab.replay import Replayed, replay
from bot.lab.scraped import Scraped
from tests.calls_in_memory import CALL, FIXTURES, KEYS, Phone, Stage, ringing, work


async def test_a_whole_call(stage: Stage) -> None:
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        marks = len(LINES.greeting_first)
        await phone.heard(marks)
        for name, text in (("jia-morning", "공원을 걸었어요"), ("jia-lunch", "김치찌개를 먹었어요")):
            await phone.utter(name, text)
            marks += 2
            await phone.heard(marks)
        await phone.utter("jia-finish", "오늘은 여기까지 할게요")
        await phone.heard(marks + len(LINES.writing))
        await phone.quiet(100)
        marks += len(LINES.writing) + len(LINES.read_back_intro) + 2 + len(LINES.ask_approval)
        await phone.heard(marks)
        await phone.utter("jia-right", "맞아요")
        await running
    assert phone.closed[0] == NORMAL
    assert stage.scribe.asked == [("공원을 걸었어요", "김치찌개를 먹었어요")]
    assert [exchange.text for exchange in stage.replies.kept()[1].history][-3:] == [
        "공원을 걸었어요",
        "그러셨군요. 그다음에는요?",
        "김치찌개를 먹었어요",
    ]
    [entry] = await stage.store.entries()
    assert (entry.title, entry.body, entry.status) == ("하루", "좋은 하루였다.", Status.APPROVED)
    turns = await stage.store.turns(CALL)
    assert [turn.said for turn in turns if turn.turn >= 0][:2] == ["공원을 걸었어요", "김치찌개를 먹었어요"]
    assert turns[0].heard == " ".join(LINES.greeting_first)
    assert await stage.store.is_ended(CALL)
    assert len(stage.stts) == 1 and stage.stts[0].ended.is_set()

    [journal] = (stage.folder / "journals").iterdir()
    outcome = Replayed()
    talk = list(replay(read(journal, KEYS), outcome))
    assert list(outcome.said.values()) == [turn.said for turn in turns if turn.said]
    assert outcome.statuses == ["draft", "approved"]
    assert outcome.ended == "approved"
    assert any("김치찌개를 먹었어요" in line for line in talk)
    assert "공원" not in journal.read_text() and "token" not in journal.read_text()


async def test_what_passes_in_a_call_is_measured(stage: Stage) -> None:
    def told(name: str, **labels: str) -> float:
        return Scraped.parse(stage.services.metrics.exposition().decode()).total(f"ilgi_{name}", **labels)

    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        await phone.heard(len(LINES.greeting_first))
        assert told("calls_live", door="telephone") == 1
        stage.stts[0].emit(SttReady())
        stage.stts[0].emit(SttReady())
        await phone.utter("jia-morning", "공원을 걸었어요")
        await phone.heard(len(LINES.greeting_first) + 2)
        await phone.utter("jia-finish", "오늘은 여기까지 할게요")
        await phone.heard(len(LINES.greeting_first) + 2 + len(LINES.writing))
        phone.hang_up()
        await running
    assert (told("calls_live"), told("calls_ended_total", door="telephone", how="caller gone")) == (0, 1)
    assert (told("calls_begun_total", how="new"), told("turns_total")) == (1, 2)
    assert told("turn_stage_seconds_count", stage="over") == told("turn_stage_seconds_count", stage="heard") == 2
    [answer] = [turn.waterfall for turn in await stage.store.turns(CALL) if turn.waterfall and turn.waterfall.token_ms]
    assert told("turn_stage_seconds_count", stage="token") == 1
    assert told("turn_stage_seconds_sum", stage="token") == pytest.approx(max(0, answer.token_ms or 0) / 1000)
    assert (told("entry_seconds_count"), told("recogniser_reconnects_total"), told("fallbacks_total")) == (1, 1, 0)
    assert told("call_breakdowns_total") == 0


async def test_a_stream_that_is_not_let_in_is_measured_as_no_call(stage: Stage) -> None:
    phone = await ringing(stage)
    stranger = Phone(stage.services, stage.texts)
    stranger.start("not the token")
    await stranger.call.run()
    assert "_calls_ended_total{" not in stage.services.metrics.exposition().decode()
    phone.call.gone()


async def test_hanging_up_in_the_middle_leaves_an_entry(stage: Stage) -> None:
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        await phone.heard(len(LINES.greeting_first))
        await phone.utter("jia-morning", "공원을 걸었어요")
        phone.hang_up()
        await running
    await work(stage)
    [entry] = await stage.store.entries()
    assert (entry.body, entry.status) == ("좋은 하루였다.", Status.UNCONFIRMED)
    assert await stage.store.is_ended(CALL)


async def test_a_socket_that_breaks_keeps_the_call_alive_and_the_next_stream_goes_on(stage: Stage) -> None:
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        await phone.heard(len(LINES.greeting_first))
        await phone.utter("jia-morning", "공원을 걸었어요")
        await phone.heard(len(LINES.greeting_first) + 2)
        phone.call.gone()
        await running
        assert not await stage.store.is_ended(CALL)
        again = await ringing(stage)
        running = asyncio.create_task(again.call.run())
        await again.heard(len(LINES.resumed))
        await again.utter("jia-lunch", "김치찌개를 먹었어요")
        again.call.gone()
        await running
    assert [turn.said for turn in await stage.store.turns(CALL) if turn.said] == [
        "공원을 걸었어요",
        "김치찌개를 먹었어요",
    ]


async def in_the_middle_of_the_answer(phone: Phone, stage: Stage) -> int:
    """The caller tells of a walk and hears one sentence and the beginning of the next; gives the marks so far."""
    stage.voice.slow.add("그다음에는요?")
    await phone.heard(len(LINES.greeting_first))
    phone.hold_marks = True
    await phone.utter("jia-morning", "공원을 걸었어요")
    await phone.heard(len(LINES.greeting_first) + 1)
    return len(LINES.greeting_first) + 1


async def test_real_words_stop_the_bot(stage: Stage) -> None:
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        await in_the_middle_of_the_answer(phone, stage)
        phone.texts.append("김치찌개를 먹었어요")
        speech = (FIXTURES / "utterances" / "jia-lunch.ulaw").read_bytes()
        await phone.play(speech[:8000])
        assert "clear" not in [message["event"] for message in phone.sent]
        stage.stts[0].emit(Interim((1, stage.stts[0].utterances + 1), "김치찌개를"))
        await phone.sent_one("clear")
        await asyncio.sleep(0)
        assert stage.voice.running == 0
        await phone.play(speech[8000:])
        await phone.quiet(300)
        phone.call.gone()
        await running
    assert [message["event"] for message in phone.sent].count("clear") == 1
    assert " ".join(await stage.store.said(CALL)) == "공원을 걸었어요 김치찌개를 먹었어요"


async def test_a_backchannel_only_pauses_the_bot(stage: Stage) -> None:
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        marks = await in_the_middle_of_the_answer(phone, stage)
        sent = len(phone.sent)
        phone.texts.append("네")
        await phone.play((FIXTURES / "utterances" / "jia-right.ulaw").read_bytes())
        stage.voice.go_on.set()
        await asyncio.sleep(0.05)
        assert len(phone.sent) == sent
        await phone.quiet(300)
        await phone.heard(marks + 1)
        phone.call.gone()
        await running
    assert "clear" not in [message["event"] for message in phone.sent]
    assert len(stage.replies.kept()) == 1


async def test_a_call_leaves_nothing_running_behind(stage: Stage) -> None:
    phone = await ringing(stage)
    before = asyncio.all_tasks()
    stage.voice.slow |= {"그러셨군요.", "그다음에는요?"}
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        await phone.heard(len(LINES.greeting_first))
        await phone.utter("jia-morning", "공원을 걸었어요")
        assert stage.voice.running
        phone.hang_up()
        await running
    assert asyncio.all_tasks() == before
    assert stage.voice.running == 0
    assert all(answer.is_closed for answer in stage.replies.answers)


async def test_connections_are_opened_ahead_and_hold_no_call_that_is_over(stage: Stage) -> None:
    stage.replies.may_warm.clear()
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        await phone.heard(1)
        assert (stage.replies.warmed, stage.voice.warmed) == (1, 1)
        await phone.heard(len(LINES.greeting_first))
        await phone.utter("jia-morning", "공원을 걸었어요")
        assert stage.replies.warmed == 1 and stage.voice.warmed > 1
        phone.hang_up()
        await running


async def test_what_is_known_of_the_caller_and_of_the_call_is_told_to_the_talk(stage: Stage) -> None:
    habit = PauseHabit(500, 900, 4)
    await stage.store.call_arrived(CALL, "+821012345678")
    before = stage.store.owned(CALL, await stage.store.claim_media_token(CALL, await stage.store.media_token(CALL)))
    await before.keep_habit(habit)
    await before.add_said(0, "공원을 걸었어요", 0, 1)
    await before.add_heard(1, "그다음에는요?")
    await before.add_said(3, "영화를 봤어요", 0, 1)
    await before.keep_stage(encode(Snapshot(turn=3, silences=1)))
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        await phone.heard(1)
        phone.call.gone()
        await running
    [journal] = (stage.folder / "journals").iterdir()
    started = [decode_event(record.message) for record in read(journal, KEYS) if "CallStarted" in record.message]
    turns = (
        TurnBefore(0, "공원을 걸었어요", None),
        TurnBefore(1, None, "그다음에는요?"),
        TurnBefore(3, "영화를 봤어요", None),
    )
    assert started == [CallStarted(True, habit, Before(turns, 4, Snapshot(turn=3, silences=1)))]


async def test_each_turn_keeps_when_what_happened_and_the_log_what_it_cost(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        await phone.heard(len(LINES.greeting_first))
        await phone.utter("jia-morning", "공원을 걸었어요")
        await phone.heard(len(LINES.greeting_first) + 2)
        await phone.quiet(600)
        phone.hang_up()
        await running
    [turn] = [turn for turn in await stage.store.turns(CALL) if turn.said]
    assert turn.waterfall is not None and turn.waterfall.stop_ms is not None
    assert caplog.text.count("tokens: 120 kept") == 1


@pytest.mark.parametrize("token", ["", "wrong"])
async def test_a_stream_without_its_token_is_closed_before_anything_is_opened(stage: Stage, token: str) -> None:
    await stage.store.call_arrived(CALL, None)
    await stage.store.media_token(CALL)
    phone = Phone(stage.services, stage.texts)
    phone.start(token)
    await phone.call.run()
    assert phone.closed == [POLICY]
    assert phone.sent == []
    assert stage.stts == []


async def test_a_token_works_once_and_for_its_call_alone(stage: Stage) -> None:
    await stage.store.call_arrived(CALL, None)
    await stage.store.call_arrived("CA" + "9" * 32, None)
    token = await stage.store.media_token(CALL)
    other = Phone(stage.services, stage.texts)
    other.start(token, "CA" + "9" * 32)
    await other.call.run()
    assert other.closed == [POLICY]
    first = Phone(stage.services, stage.texts)
    first.start(token)
    running = asyncio.create_task(first.call.run())
    await first.heard(1)
    second = Phone(stage.services, stage.texts)
    second.start(token)
    await second.call.run()
    assert second.closed == [POLICY]
    first.call.gone()
    await running


async def test_no_start_closes_the_socket(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "START_S", 0.05)
    phone = Phone(stage.services, stage.texts)
    await phone.call.run()
    assert phone.closed == [POLICY]


async def test_a_stream_that_falls_silent_is_ended(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "QUIET_S", 0.1)
    phone = await ringing(stage)
    phone.hold_marks = True
    async with asyncio.timeout(5):
        await phone.call.run()
    assert phone.closed[-1] == NORMAL
    assert not await stage.store.is_ended(CALL)


async def test_garbage_costs_a_message_and_then_the_call(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        await phone.heard(1)
        for garbage in ("not json", b"\x00\x01", '{"event":"media","media":{"payload":"%%%"}}', '{"event":"later"}'):
            phone.say(garbage)
        await phone.heard(len(LINES.greeting_first))
        await phone.utter("jia-morning", "공원을 걸었어요")
        await phone.heard(len(LINES.greeting_first) + 2)
        for _ in range(call_module.BAD_MESSAGES):
            phone.say("not json")
        await running
    assert await stage.store.said(CALL) == ["공원을 걸었어요"]
    assert "공원" not in caplog.text


async def test_where_no_recogniser_can_be_had_the_rest_is_recorded(stage: Stage) -> None:
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        await phone.heard(1)
        stage.stts[0].emit(SttLost(SttLoss.FULL))
        await running
    assert set(phone.closed) == {NORMAL}
    assert not await stage.store.is_ended(CALL)
    assert await stage.store.next_step(CALL) == "record"
    assert LINES.stt_full[0] in ((await stage.store.turns(CALL))[0].heard or "")


async def test_a_caller_who_hangs_up_on_a_lost_recogniser_has_ended_the_call(stage: Stage) -> None:
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        await phone.heard(1)
        stage.stts[0].emit(SttLost(SttLoss.FULL))
        phone.hang_up()
        await running
    assert await stage.store.is_ended(CALL)


async def test_a_drained_call_is_handed_over_with_all_that_was_said(stage: Stage) -> None:
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        await phone.heard(len(LINES.greeting_first))
        await phone.utter("jia-morning", "공원을 걸었어요")
        await phone.heard(len(LINES.greeting_first) + 2)
        phone.call.drain()
        await phone.quiet(200)
        await running
    assert set(phone.closed) == {NORMAL}
    assert not await stage.store.is_ended(CALL)
    stage_kept = decode(await stage.store.stage(CALL) or "")
    assert stage_kept is not None and stage_kept.handed_over and stage_kept.answered
    await work(stage)
    assert await stage.store.entries() == []
    again = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(again.call.run())
        await again.heard(len(LINES.resumed_listening))
        await again.utter("jia-lunch", "김치찌개를 먹었어요")
        await again.heard(len(LINES.resumed_listening) + 2)
        again.hang_up()
        await running
    assert await stage.store.said(CALL) == ["공원을 걸었어요", "김치찌개를 먹었어요"]
    await work(stage)
    assert stage.scribe.asked == [("공원을 걸었어요", "김치찌개를 먹었어요")]
    [entry] = await stage.store.entries()
    assert entry.status is Status.UNCONFIRMED


async def test_a_caller_who_speaks_through_a_drain_loses_no_word(stage: Stage) -> None:
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        await phone.heard(len(LINES.greeting_first))
        stage.texts.append("공원을 걸었어요")
        await phone.quiet(300)
        sound = (FIXTURES / "utterances" / "jia-morning.ulaw").read_bytes()
        half = len(sound) // 320 * 160
        await phone.play(sound[:half])
        phone.call.drain()
        await phone.play(sound[half:])
        await phone.quiet(300)
        await asyncio.sleep(0.01)
        await phone.quiet(2_000)
        await running
    assert await stage.store.said(CALL) == ["공원을 걸었어요"]
    kept = decode(await stage.store.stage(CALL) or "")
    assert kept is not None and kept.handed_over


async def test_a_drain_that_the_call_clock_does_not_end_is_ended_by_the_wall(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_module, "HANDOVER_S", 0.2)
    phone = await ringing(stage)
    phone.hold_marks = True
    async with asyncio.timeout(10):
        running = asyncio.create_task(phone.call.run())
        await phone.heard(1)
        phone.call.drain()
        await running
    assert not await stage.store.is_ended(CALL)


async def test_a_stream_that_was_overtaken_keeps_its_words_and_says_nothing_more(stage: Stage) -> None:
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        await phone.heard(len(LINES.greeting_first))
        assert await stage.store.claim_media_token(CALL, await stage.store.media_token(CALL)) == 2
        await phone.utter("jia-morning", "공원을 걸었어요")
        await running
    assert await stage.store.said(CALL) == ["공원을 걸었어요"]
    assert not await stage.store.is_ended(CALL)


async def test_a_database_that_is_away_for_a_moment_loses_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = OwnedCall.add_said, 2

    async def add_said(*arguments: Any) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise StoreError("the database is away")
        await real(*arguments)

    monkeypatch.setattr(OwnedCall, "add_said", add_said)
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        await phone.heard(len(LINES.greeting_first))
        await phone.utter("jia-morning", "공원을 걸었어요")
        await phone.heard(len(LINES.greeting_first) + 2)
        phone.call.gone()
        await running
    assert failures == 0
    assert await stage.store.said(CALL) == ["공원을 걸었어요"]


async def test_a_bug_of_ours_ends_one_call_and_tells_no_word_of_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(history: Sequence[Exchange], **_: Any) -> None:
        raise ValueError(history)

    monkeypatch.setattr(stage.replies, "begin", broken)
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        await phone.heard(len(LINES.greeting_first))
        await phone.utter("jia-morning", "공원을 걸었어요")
        await running
    assert "ValueError" in caplog.text
    assert "공원" not in caplog.text
    assert await stage.store.said(CALL) == ["공원을 걸었어요"]
