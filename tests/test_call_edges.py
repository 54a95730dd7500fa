"""Calls that are forgotten, cut off, ended and resumed at the worst moment: what is kept of them, and when they end."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from bot.close_codes import NORMAL
from bot.conversation.commands import Status
from bot.conversation.lines import LINES
from bot.conversation.snapshot import decode
from bot.diary.owned import OwnedCall
from bot.errors import StoreError
from bot.journal import BLOCK_RECORDS
from tests.calls_in_memory import CALL, HandStt, Phone, Stage, ringing, work

GREETING = len(LINES.greeting_first)
REPLY = 2
"""How many sentences, and so marks, a reply has."""


async def told(phone: Phone) -> int:
    """The caller tells of a walk and is answered; gives the number of marks so far."""
    await phone.heard(GREETING)
    await phone.utter("jia-morning", "공원을 걸었어요")
    await phone.heard(GREETING + REPLY)
    return GREETING + REPLY


async def finished(phone: Phone) -> int:
    """After `told`, the caller lets the day be written."""
    marks = await told(phone) + len(LINES.writing)
    await phone.utter("jia-finish", "오늘은 여기까지 할게요")
    await phone.heard(marks)
    return marks


async def asked_to_approve(phone: Phone) -> int:
    """After `finished`, the entry is read back; the marks of what follows are held back."""
    marks = await finished(phone) + len(LINES.read_back_intro) + 2 + len(LINES.ask_approval)
    await phone.quiet(100)
    await phone.heard(marks)
    phone.hold_marks = True
    return marks


async def test_a_call_that_is_resumed_after_forgetting_overwrites_nothing(stage: Stage) -> None:
    store = stage.store
    await store.call_arrived(CALL, None)
    before = store.owned(CALL, await store.claim_media_token(CALL, await store.media_token(CALL)))
    for turn in range(3):
        await before.add_said(turn, "부산에 갔어요", 0, 1)
    await before.forget_so_far()
    await before.add_heard(2, "네, 지웠어요.")
    await before.add_said(3, "공원을 걸었어요", 0, 1)
    await before.add_said(4, "친구를 만났어요", 0, 1)
    await before.add_heard(4, "그러셨군요.")
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        marks = len(LINES.resumed)
        await phone.heard(marks)
        for text in ("김치찌개를 먹었어요", "영화를 봤어요"):
            await phone.utter("jia-lunch", text)
            marks += REPLY
            await phone.heard(marks)
        phone.call.gone()
        await running
    assert await store.said(CALL) == ["공원을 걸었어요", "친구를 만났어요", "김치찌개를 먹었어요", "영화를 봤어요"]


async def test_what_the_next_stream_forgets_no_job_writes_again(stage: Stage) -> None:
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        first = asyncio.create_task(phone.call.run())
        await told(phone)
        phone.call.gone()
        await first
        again = await ringing(stage)
        second = asyncio.create_task(again.call.run())
        await again.heard(len(LINES.resumed))
        await again.utter("jia-lunch", "지워 줘")
        await again.heard(len(LINES.resumed) + len(LINES.forgotten))
        while await stage.store.said(CALL):
            await asyncio.sleep(0.01)
        again.hang_up()
        await second
    await work(stage)
    assert await stage.store.entries() == []
    assert stage.scribe.asked == []


async def test_a_draft_that_is_being_written_does_not_hold_a_call_that_is_over(stage: Stage) -> None:
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        stage.scribe.may_write.clear()
        await finished(phone)
        phone.hang_up()
        while not phone.closed:
            await asyncio.sleep(0.01)
        assert await stage.store.is_ended(CALL)
        stage.scribe.may_write.set()
        await running
    await work(stage)
    [entry] = await stage.store.entries()
    assert entry.status is Status.UNCONFIRMED


async def test_a_line_that_breaks_in_the_goodbye_of_a_forgotten_day_ends_the_call(stage: Stage) -> None:
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        marks = await asked_to_approve(phone)
        await phone.utter("jia-right", "지워 줘")
        await phone.heard(marks + len(LINES.goodbye_discarded))
        phone.call.gone()
        await running
    assert await stage.store.is_ended(CALL)
    assert [entry.status for entry in await stage.store.entries()] == [Status.DISCARDED]


async def test_words_over_the_goodbye_of_an_approved_day_are_in_its_entry(stage: Stage) -> None:
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        marks = await asked_to_approve(phone)
        await phone.utter("jia-right", "맞아요")
        await phone.heard(marks + len(LINES.goodbye_kept))
        await phone.utter("jia-right", "김치찌개를 먹었어요")
        phone.hang_up()
        await running
    await work(stage)
    assert stage.scribe.asked[-1] == ("공원을 걸었어요", "김치찌개를 먹었어요")
    [entry] = await stage.store.entries()
    assert entry.status is Status.UNCONFIRMED


async def test_a_caller_who_hangs_up_just_before_the_bot_does_not_change_how_the_call_ended(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    whys: list[str] = []

    async def ended(_call: OwnedCall, why: str) -> None:
        whys.append(why)

    async def drained(stt: HandStt) -> None:
        await stt.ended.wait()
        phone.hang_up()

    monkeypatch.setattr(OwnedCall, "ended", ended)
    monkeypatch.setattr(HandStt, "run", drained)
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        await asked_to_approve(phone)
        phone.hold_marks = False
        await phone.utter("jia-right", "맞아요")
        await running
    assert whys == ["approved"]


async def test_a_caller_who_hangs_up_before_anything_is_said_has_ended_the_call(stage: Stage) -> None:
    phone = await ringing(stage)
    phone.hang_up()
    async with asyncio.timeout(20):
        await phone.call.run()
    assert phone.sent == []
    assert await stage.store.is_ended(CALL)


async def test_that_a_call_is_over_is_told_until_the_database_is_there(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = OwnedCall.ended, 1

    async def ended(*arguments: Any) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise StoreError("the database is away")
        await real(*arguments)

    monkeypatch.setattr(OwnedCall, "ended", ended)
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        await phone.heard(1)
        phone.hang_up()
        await running
    assert failures == 0
    assert await stage.store.is_ended(CALL)


async def test_a_stream_that_is_closed_is_not_watched_while_its_call_still_saves(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, ended = asyncio.Event(), OwnedCall.ended

    async def slow(call: OwnedCall, why: str) -> None:
        await may_end.wait()
        await ended(call, why)

    monkeypatch.setattr(OwnedCall, "ended", slow)
    monkeypatch.setattr("bot.call.SAVE_S", 0.01)
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        await phone.heard(GREETING)
        phone.hang_up()
        while not phone.closed:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert not any("Call._watch" in repr(task.get_coro()) for task in asyncio.all_tasks())
        may_end.set()
        await running
    assert await stage.store.is_ended(CALL)


async def test_messages_after_the_end_of_a_call_break_nothing(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        await phone.heard(1)
        phone.call.gone()
        await running
    await phone.quiet(2 * BLOCK_RECORDS * 20)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_journal_that_cannot_be_opened_costs_only_the_journal(stage: Stage) -> None:
    (stage.folder / "journals").write_text("a file where the folder should be")
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        await told(phone)
        phone.hang_up()
        await running
    assert await stage.store.said(CALL) == ["공원을 걸었어요"]
    assert await stage.store.is_ended(CALL)


async def test_a_bug_of_ours_on_the_way_out_does_not_reach_whoever_ends_the_process(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    def broken_journal(call_sid: str, stream_sid: str) -> Any:
        def keep(at_ms: int, wire: str, direction: str, message: str) -> None:
            if "Draining" in message:
                raise ValueError(message)

        return SimpleNamespace(keep=keep, close=lambda: None)

    stage.services = replace(stage.services, journal=broken_journal)
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        await told(phone)
        phone.call.drain()
        await running
    assert "ValueError" in caplog.text
    assert phone.closed[-1] == NORMAL
    assert await stage.store.said(CALL) == ["공원을 걸었어요"]


async def test_what_waits_behind_a_commit_that_breaks_is_not_lost_with_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(call: OwnedCall, *_: object) -> None:
        raise ValueError("공원을 걸었어요")

    phone = await ringing(stage)
    monkeypatch.setattr(OwnedCall, "keep_waterfall", broken)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        await phone.heard(GREETING)
        await phone.utter("jia-morning", "공원을 걸었어요")
        await running
    turns = await stage.store.turns(CALL)
    assert [(turn.said, bool(turn.heard)) for turn in turns if turn.said] == [("공원을 걸었어요", True)]
    assert (kept := await stage.store.stage(CALL)) and (noted := decode(kept)) and noted.turn == 0
    assert "ValueError" in caplog.text and "공원" not in caplog.text


async def test_what_is_to_be_forgotten_is_gone_from_the_journal_too(stage: Stage) -> None:
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        marks = len(LINES.greeting_first)
        await phone.heard(marks)
        await phone.utter("jia-morning", "공원을 걸었어요")
        await phone.heard(marks + 2)
        assert len(list((stage.folder / "journals").iterdir())) == 1
        await phone.utter("jia-delete", "지워 줘")
        await phone.heard(marks + 2 + len(LINES.forgotten))
        assert list((stage.folder / "journals").iterdir()) == []
        phone.call.gone()
        await running
    assert list((stage.folder / "journals").iterdir()) == []


async def test_a_turn_that_is_taken_off_the_record_is_gone_from_the_store_and_the_journal(stage: Stage) -> None:
    phone = await ringing(stage)
    async with asyncio.timeout(20):
        running = asyncio.create_task(phone.call.run())
        marks = await told(phone)
        await phone.utter("jia-lunch", "이건 적지 마")
        await phone.heard(marks + len(LINES.off_record))
        phone.call.gone()
        await running
    assert "공원을 걸었어요" not in await stage.store.said(CALL)
    assert list((stage.folder / "journals").iterdir()) == []
