"""bot/diary/entry_job.py: the entry after a call, whatever fails, whoever else is at it, however often it is run."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import update

from bot.conversation.commands import Mood, Status
from bot.conversation.dialogue import Dialogue
from bot.conversation.events import EntryWritten
from bot.conversation.snapshot import Part, encode
from bot.diary.crypto import Keys
from bot.diary.entries import TIMEOUT_S, Entry, Scribe, plain_entry
from bot.diary.entry_job import BUSY_S, MODEL_S, EntryJob
from bot.diary.outbox import LEASE_S, TRIES, Job, Later, Outbox
from bot.diary.owned import LEASE, OwnedCall
from bot.diary.records import EntryRecord
from bot.diary.schema import calls
from bot.diary.store import Store
from bot.errors import LeaseLost, ModelBusy, ModelError, ModelRests, WrongKey
from bot.jobs import handlers
from bot.worker import LONGEST_TRY_S
from tests.diary.conftest import Clock
from tests.diary.talks import NEWER_SECRET, NUMBER, change, let_in, noted, recorded

WALK, PRIZE, SECRET = "공원을 걸었어요", "상도 받았어요", "회사에서 잘렸어요"
DAY = date(2026, 11, 21)
WRITTEN = json.dumps({"title": "공원을 걸은 날", "body": "공원을 걸었다.", "mood": "평온"}, ensure_ascii=False)


class Model:
    """Writes a good entry, after `meanwhile`; fails as long as it is `away`, and does nothing while it `rests`."""

    def __init__(self, *, away: bool = False, meanwhile: Callable[[], Awaitable[object]] | None = None) -> None:
        self.away = away
        self.rests: ModelError | None = None
        self.meanwhile = meanwhile
        self.asked: list[list[str]] = []

    async def complete(self, messages: Sequence[dict[str, str]], *, json: bool, timeout_s: float) -> str:
        if self.rests:
            raise self.rests
        self.asked.append(said_to(messages))
        if self.meanwhile:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        if self.away:
            raise ModelError("no first token in time")
        return WRITTEN


class Writer(Scribe):
    """Writes the caller's own sentences, after `meanwhile`."""

    def __init__(self, meanwhile: Callable[[], Awaitable[object]] | None = None) -> None:
        super().__init__(None)
        self.meanwhile = meanwhile
        self.told: list[tuple[list[str], list[str]]] = []

    async def compose(self, said: Sequence[str], corrections: Sequence[str], day: date) -> Entry:
        self.told.append((list(said), list(corrections)))
        if self.meanwhile:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return await super().compose(said, corrections, day)


def said_to(messages: Sequence[dict[str, str]]) -> list[str]:
    return [str(said) for said in json.loads(messages[1]["content"])["said"]]


def entry_job(store: Store, model: Model | Writer | None) -> EntryJob:
    scribe = model if isinstance(model, Writer) else Scribe(model)
    return EntryJob(store.database, store.keys, scribe, store.clock)


async def done(store: Store, model: Model | Writer | None) -> str:
    """Do the one job that is due as a worker does; gives how its try ended."""
    (job,) = await store.outbox.claim(["entry"], 4)
    try:
        await entry_job(store, model)(job, store.outbox)
    except Later as later:
        await store.outbox.later(job, later.seconds)
        return "later"
    except ModelError as error:
        await store.outbox.failed(job, str(error))
        return "failed"
    return "done"


async def due(store: Store) -> list[Job]:
    return await store.outbox.claim(["entry"], 4)


async def ended(store: Store, *texts: str, call_sid: str = "CA1") -> OwnedCall:
    """A call in which these were said, and that has ended."""
    call = await let_in(store, call_sid)
    for turn, text in enumerate(texts):
        await call.add_said(turn, text, turn * 1000, turn * 1000 + 500)
    await call.ended("goodbye")
    return call


async def the_entry(store: Store) -> EntryRecord:
    (entry,) = await store.entries()
    return entry


PLAIN = plain_entry([WALK], [], DAY)


async def test_the_end_of_a_call_has_its_entry_written_once(store: Store) -> None:
    model = Model()
    await ended(store, "여보세요", WALK, "오늘은 여기까지 할게")
    await store.call_ended("CA1", "completed")
    assert await done(store, model) == "done"
    entry = await the_entry(store)
    assert (entry.title, entry.body, entry.mood) == ("공원을 걸은 날", "공원을 걸었다.", Mood.CALM)
    assert (entry.status, entry.provisional) == (Status.UNCONFIRMED, False)
    assert model.asked == [[WALK]]
    await store.call_ended("CA1", "completed")
    assert await due(store) == []


async def test_without_a_model_it_is_the_callers_own_sentences(store: Store) -> None:
    await ended(store, WALK)
    assert await done(store, None) == "done"
    entry = await the_entry(store)
    assert (entry.title, entry.body, entry.provisional) == (PLAIN.title, PLAIN.body, False)


@pytest.mark.parametrize("texts", [(), ("여보세요", "음", "네")])
async def test_a_call_with_nothing_for_a_diary_gets_no_entry_and_no_more_work(store: Store, texts: list[str]) -> None:
    await ended(store, *texts)
    assert await done(store, Model()) == "done"
    assert await store.entries() == []
    await store.close_lapsed()
    assert await due(store) == []


async def test_an_entry_that_the_caller_approved_is_left_alone(store: Store) -> None:
    call = await let_in(store, "CA1")
    await call.add_said(0, WALK, 0, 1)
    await call.save_entry("하루", "걸었다.", Mood.CALM, Status.APPROVED)
    await call.ended("goodbye")
    model = Model()
    assert await done(store, model) == "done"
    assert ((await the_entry(store)).body, model.asked) == ("걸었다.", [])


async def test_a_call_that_is_not_in_the_diary_any_more_is_done_with(store: Store) -> None:
    await ended(store, WALK)
    (job,) = await due(store)
    await store.forget_number(NUMBER)
    with pytest.raises(LeaseLost):
        await entry_job(store, Model())(job, store.outbox)
    assert await store.entries() == []


# The model fails


async def test_while_the_model_is_away_there_is_a_provisional_entry(store: Store, clock: Clock) -> None:
    model = Model(away=True)
    await ended(store, WALK)
    assert await done(store, model) == "failed"
    entry = await the_entry(store)
    assert (entry.body, entry.status, entry.provisional) == (PLAIN.body, Status.UNCONFIRMED, True)
    clock.forward(minutes=1)
    model.away = False
    assert await done(store, model) == "done"
    entry = await the_entry(store)
    assert (entry.body, entry.provisional) == ("공원을 걸었다.", False)
    await store.close_lapsed()
    assert await due(store) == []


async def test_when_the_model_stays_away_the_callers_own_sentences_are_the_entry(store: Store, clock: Clock) -> None:
    model = Model(away=True)
    await ended(store, WALK)
    for _ in range(TRIES - 1):
        assert await done(store, model) == "failed"
        clock.forward(minutes=30)
    assert await done(store, model) == "done"
    entry = await the_entry(store)
    assert (entry.body, entry.status, entry.provisional) == (PLAIN.body, Status.UNCONFIRMED, False)
    assert len(model.asked) == TRIES


@pytest.mark.parametrize("rest", [ModelRests("resting"), ModelBusy("HTTP 429")], ids=["resting", "busy"])
async def test_a_model_that_rests_uses_up_no_try_not_even_the_last(
    store: Store, clock: Clock, rest: ModelError
) -> None:
    model = Model()
    model.rests = rest
    await ended(store, WALK)
    for _ in range(2 * TRIES):
        assert await done(store, model) == "later"
        entry = await the_entry(store)
        assert (entry.body, entry.provisional) == (PLAIN.body, True)
        clock.forward(seconds=BUSY_S)
    model.rests, model.away = None, True
    for _ in range(TRIES - 1):
        assert await done(store, model) == "failed"
        clock.forward(minutes=30)
    model.rests = rest
    assert await done(store, model) == "later"
    clock.forward(seconds=BUSY_S)
    model.rests, model.away = None, False
    assert await done(store, model) == "done"
    entry = await the_entry(store)
    assert (entry.body, entry.provisional) == ("공원을 걸었다.", False)


async def test_a_draft_of_the_talk_stays_until_nothing_better_comes(store: Store, clock: Clock) -> None:
    call = await let_in(store, "CA1")
    await call.add_said(0, WALK, 0, 1)
    await call.save_entry("산책", "공원을 천천히 걸었다.", Mood.CALM, Status.DRAFT)
    await call.add_said(1, PRIZE, 2, 3)
    await call.ended("goodbye")
    model = Model(away=True)
    assert await done(store, model) == "failed"
    entry = await the_entry(store)
    assert (entry.body, entry.status, entry.provisional) == ("공원을 천천히 걸었다.", Status.UNCONFIRMED, True)
    for _ in range(TRIES - 1):
        clock.forward(minutes=30)
        ended_so = await done(store, model)
    assert ended_so == "done"
    entry = await the_entry(store)
    assert (entry.body, entry.provisional) == (plain_entry([WALK, PRIZE], [], DAY).body, False)


async def test_an_entry_for_which_nothing_better_can_come_is_whole(store: Store) -> None:
    call = await let_in(store, "CA1")
    await call.add_said(0, "네", 0, 1)
    await call.save_entry("하루", "하루였다.", Mood.CALM, Status.UNCONFIRMED)
    await call.reopen_entry()
    await call.ended("goodbye")
    assert await done(store, Model()) == "done"
    assert not (await the_entry(store)).provisional
    await store.close_lapsed()
    assert await due(store) == []


async def test_a_model_that_hangs_has_failed_before_the_try_ends(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 2 * TIMEOUT_S < MODEL_S < LONGEST_TRY_S
    monkeypatch.setattr("bot.diary.entry_job.MODEL_S", 0.05)
    await ended(store, WALK)
    assert await done(store, Model(meanwhile=lambda: asyncio.sleep(3600))) == "failed"
    assert (await the_entry(store)).provisional


async def test_no_transaction_is_open_while_the_model_writes(store: Store) -> None:
    async def somebody_else_writes() -> None:
        async with asyncio.timeout(5):
            await store.call_arrived("CA2", None)
            await call.add_heard(0, "좋았겠어요.")

    call = await ended(store, WALK)
    assert await done(store, Model(meanwhile=somebody_else_writes)) == "done"


# What the talk took of a turn

WITH, INSTEAD, ALSO = "민수랑 공원에 갔어요", "민수 말고 민호랑 갔어요", "그리고 저녁에 혼자 산책했어요"
ANSWER = "일기장에 잘 넣어 두시면 되겠네요"


async def talked(call: OwnedCall, *texts: str) -> None:
    """A talk in which these were said, and the entry was read back after each for which one was written."""
    dialogue = Dialogue()
    for turn, text in enumerate(texts):
        dialogue.turn(text, interrupted=False)
        await call.add_said(turn, text, turn * 1000, turn * 1000 + 500)
        if dialogue.written(EntryWritten(dialogue.draft, "하루", "민수랑 공원에 갔다.", Mood.CALM)):
            await call.save_entry("하루", "민수랑 공원에 갔다.", Mood.CALM, Status.DRAFT)
            dialogue.spoken()
        await call.keep_stage(encode(replace(dialogue.noted(), turn=turn)))


@pytest.mark.parametrize("status", [None, Status.DRAFT, Status.UNCONFIRMED, Status.APPROVED])
async def test_what_was_said_at_the_read_back_still_corrects_the_entry_after_the_call(
    status: Status | None, store: Store, clock: Clock
) -> None:
    call = await let_in(store, "CA1")
    await talked(call, WITH, "오늘은 여기까지 할게", INSTEAD, ALSO)
    if status:
        await call.save_entry("하루", "민호랑 공원에 갔다.", Mood.CALM, status)
    await call.add_said(4, PRIZE, 5000, 6000)
    # The process of the call is killed here.
    await store.call_ended("CA1", "completed")
    clock.forward(minutes=2)
    writer = Writer()
    assert await done(store, writer) == "done"
    assert writer.told == [([WITH, PRIZE], [INSTEAD, ALSO])]
    entry = await the_entry(store)
    assert (entry.status, entry.provisional) == (Status.UNCONFIRMED, False)


async def test_the_callers_own_sentences_have_the_corrections_of_the_talk(store: Store) -> None:
    call = await let_in(store, "CA1")
    await talked(call, WITH, "오늘은 여기까지 할게", INSTEAD)
    await call.reopen_entry()
    await call.ended("the caller hung up")
    assert await done(store, None) == "done"
    assert (await the_entry(store)).body == "민호랑 공원에 갔다."


async def test_an_answer_of_which_the_talk_took_nothing_is_not_in_the_entry(store: Store) -> None:
    call = await let_in(store, "CA1")
    for turn, text in enumerate((WALK, ANSWER, PRIZE)):
        await call.add_said(turn, text, turn, turn + 1)
    await noted(call, 2, Part(WALK), Part(PRIZE))
    await call.ended("the caller hung up")
    writer = Writer()
    assert await done(store, writer) == "done"
    assert writer.told == [([WALK, PRIZE], [])]


async def test_an_answer_alone_makes_no_entry(store: Store) -> None:
    call = await let_in(store, "CA1")
    await call.add_said(0, ANSWER, 0, 1)
    await noted(call, 0, changes=2)
    await call.ended("goodbye")
    assert await done(store, Model()) == "done"
    assert await store.entries() == []


async def test_turns_that_the_talk_did_not_get_to_are_told(store: Store) -> None:
    call = await let_in(store, "CA1")
    for turn, text in enumerate((WITH, INSTEAD, WALK)):
        await call.add_said(turn, text, turn, turn + 1)
    await noted(call, 1, Part(WITH), Part(INSTEAD, corrects=True))
    await call.ended("the recogniser was lost")
    await recorded(store, "CA1", PRIZE)
    writer = Writer()
    assert await done(store, writer) == "done"
    assert writer.told == [([WITH, WALK, PRIZE], [INSTEAD])]


async def test_what_was_recorded_after_all_was_forgotten_is_told(store: Store) -> None:
    call = await let_in(store, "CA1")
    for turn, text in enumerate((WALK, SECRET)):
        await call.add_said(turn, text, turn, turn + 1)
    await call.forget_so_far()
    await noted(call, 1, changes=3)
    await recorded(store, "CA1", PRIZE)
    await call.ended("the recogniser was lost")
    writer = Writer()
    assert await done(store, writer) == "done"
    assert writer.told == [([PRIZE], [])]


async def test_words_that_were_added_to_a_turn_are_told_with_it(store: Store) -> None:
    call = await let_in(store, "CA1")
    await call.add_said(0, WITH, 0, 1)
    await call.add_said(1, INSTEAD, 2, 3)
    await noted(call, 1, Part(WITH), Part(INSTEAD, corrects=True))
    await call.add_said(1, f"{INSTEAD} 상도 받았어요", 2, 5)
    await call.ended("goodbye")
    writer = Writer()
    assert await done(store, writer) == "done"
    assert writer.told == [([WITH], [f"{INSTEAD} 상도 받았어요"])]


async def test_a_part_of_a_turn_that_was_forgotten_does_not_come_back(store: Store) -> None:
    call = await let_in(store, "CA1")
    for turn, text in enumerate((WITH, SECRET, INSTEAD)):
        await call.add_said(turn, text, turn, turn + 1)
    await call.forget_turn(1)
    await noted(call, 2, Part(WITH), Part(SECRET), Part(INSTEAD, corrects=True))
    await call.ended("goodbye")
    writer = Writer()
    assert await done(store, writer) == "done"
    assert writer.told == [([WITH], [INSTEAD])]


@pytest.mark.parametrize("stage", ["", "{", "[]", '{"turn": "two"}', '{"turn": 2}'])
async def test_without_a_stage_that_can_be_read_words_alone_decide(stage: str, store: Store) -> None:
    call = await let_in(store, "CA1")
    for turn, text in enumerate((WALK, "네", "고칠게 공원이 아니라 바다야")):
        await call.add_said(turn, text, turn, turn + 1)
    await call.keep_stage(stage)
    await call.ended("goodbye")
    writer = Writer()
    assert await done(store, writer) == "done"
    assert writer.told == [([WALK], ["공원이 아니라 바다야"])]


async def test_a_stage_that_no_key_opens_is_named_by_its_call(store: Store) -> None:
    await ended(store, WALK)
    await change(store, update(calls).values(stage_sealed=Keys.parse(NEWER_SECRET).encrypt("{}")))
    with pytest.raises(WrongKey, match="call CA1"):
        await done(store, Model())
    assert await store.entries() == []


async def test_an_entry_that_was_written_before_the_talk_had_judged_a_turn_is_written_anew(
    store: Store, clock: Clock
) -> None:
    call = await let_in(store, "CA1")
    await call.add_said(0, WITH, 0, 1)
    await call.add_said(1, ALSO, 2, 3)
    await store.call_ended("CA1", "completed")
    clock.forward(minutes=2)
    writer = Writer(lambda: noted(call, 1, Part(WITH), Part(ALSO, corrects=True)))
    assert await done(store, writer) == "later"
    clock.forward(seconds=2)
    assert await done(store, writer) == "done"
    assert writer.told == [([WITH, ALSO], []), ([WITH], [ALSO])]


# Others are at it


async def test_a_process_that_may_still_commit_words_is_waited_for(store: Store, clock: Clock) -> None:
    call = await let_in(store, "CA1")
    await call.add_said(0, WALK, 0, 1)
    await store.call_ended("CA1", "completed")
    model = Model()
    assert await done(store, model) == "later"
    clock.forward(seconds=6)
    await call.add_said(1, PRIZE, 2, 3)
    await call.ended("goodbye")
    assert await done(store, model) == "done"
    assert model.asked == [[WALK, PRIZE]]


async def test_a_process_that_is_gone_is_waited_for_no_longer_than_its_lease(store: Store, clock: Clock) -> None:
    call = await let_in(store, "CA1")
    await call.add_said(0, WALK, 0, 1)
    await store.call_ended("CA1", "completed")
    clock.forward(seconds=LEASE.total_seconds())
    assert await done(store, Model()) == "done"


async def test_words_that_come_while_the_model_writes_are_in_the_entry(store: Store, clock: Clock) -> None:
    call = await ended(store, WALK)
    model = Model(meanwhile=lambda: call.add_said(1, PRIZE, 2, 3))
    assert await done(store, model) == "later"
    clock.forward(seconds=2)
    assert await done(store, model) == "done"
    assert model.asked == [[WALK], [WALK, PRIZE]]
    assert not (await the_entry(store)).provisional


async def test_words_that_come_after_the_entry_have_it_written_anew(store: Store) -> None:
    call = await ended(store, WALK)
    model = Model()
    await done(store, model)
    await call.add_said(1, PRIZE, 2, 3)
    assert (await the_entry(store)).provisional
    assert await done(store, model) == "done"
    assert model.asked[-1] == [WALK, PRIZE]
    assert not (await the_entry(store)).provisional


async def test_what_was_recorded_after_the_talk_has_the_entry_written_anew(store: Store) -> None:
    await ended(store, WALK)
    model = Model()
    await done(store, model)
    await recorded(store, "CA1", PRIZE)
    assert await done(store, model) == "done"
    assert model.asked[-1] == [WALK, PRIZE]


async def test_words_after_an_approval_that_nobody_heard_of_any_more_are_in_an_unconfirmed_entry(
    store: Store, clock: Clock
) -> None:
    call = await let_in(store, "CA1")
    await call.add_said(0, WALK, 0, 1)
    await call.save_entry("하루", "걸었다.", Mood.CALM, Status.APPROVED)
    await store.call_ended("CA1", "completed")
    await call.add_said(1, PRIZE, 2, 3)
    # The process of the call is killed here.
    clock.forward(minutes=2)
    model = Model()
    assert await done(store, model) == "done"
    entry = await the_entry(store)
    assert (entry.status, entry.provisional, model.asked) == (Status.UNCONFIRMED, False, [[WALK, PRIZE]])


async def test_an_entry_that_was_approved_while_the_model_wrote_stays(store: Store) -> None:
    call = await ended(store, WALK)
    model = Model(meanwhile=lambda: call.save_entry("하루", "걸었다.", Mood.CALM, Status.APPROVED))
    assert await done(store, model) == "done"
    assert (await the_entry(store)).body == "걸었다."


async def test_a_process_whose_job_was_taken_over_writes_no_entry(store: Store, clock: Clock) -> None:
    await ended(store, WALK)

    async def taken_over() -> None:
        clock.forward(seconds=LEASE_S)
        assert len(await due(store)) == 1

    with pytest.raises(LeaseLost):
        await done(store, Model(meanwhile=taken_over))
    assert await store.entries() == []


async def test_an_overtaken_process_whose_model_fails_writes_no_provisional_entry(store: Store, clock: Clock) -> None:
    await ended(store, WALK)

    async def taken_over() -> None:
        clock.forward(seconds=LEASE_S)
        assert len(await due(store)) == 1

    with pytest.raises(LeaseLost):
        await done(store, Model(away=True, meanwhile=taken_over))
    assert await store.entries() == []


# Forgetting

FORGETTING: dict[str, Callable[[OwnedCall], Awaitable[object]]] = {
    "the turn": lambda call: call.forget_turn(1),
    "so far": lambda call: call.forget_so_far(),
    "the whole day so far": lambda call: call.forget_so_far(whole_day=True),
    "the day for good": lambda call: call.forget_day(),
    "the whole day for good": lambda call: call.forget_day(whole_day=True),
}


@pytest.mark.parametrize("away", [False, True], ids=["the model writes", "the model is away"])
@pytest.mark.parametrize("what", FORGETTING)
async def test_what_is_forgotten_while_the_model_writes_does_not_come_back(
    what: str, away: bool, store: Store, clock: Clock
) -> None:
    call = await ended(store, WALK, SECRET)
    model = Model(away=away, meanwhile=lambda: FORGETTING[what](call))
    while await done(store, model) != "done":
        clock.forward(minutes=30)
    bodies = [entry.body for entry in await store.entries() if entry.body]
    assert len(bodies) == (what == "the turn")
    assert not any("잘렸" in body for body in bodies)


@pytest.mark.parametrize("what", FORGETTING)
async def test_a_call_that_was_killed_after_forgetting_gets_no_forgotten_word_back(
    what: str, store: Store, clock: Clock
) -> None:
    call = await let_in(store, "CA1")
    for turn, text in enumerate((WALK, SECRET)):
        await call.add_said(turn, text, turn, turn + 1)
    await FORGETTING[what](call)
    clock.forward(minutes=11)
    assert await store.close_lapsed() == (what == "the turn")
    model = Model()
    for job in await due(store):
        await entry_job(store, model)(job, store.outbox)
    assert model.asked == ([[WALK]] if what == "the turn" else [])


# The handlers of a release


def test_a_kind_is_known_when_there_is_what_does_it(store: Store) -> None:
    async def tidy(job: Job, outbox: Outbox) -> None: ...

    bare: Any = SimpleNamespace(
        store=store, scribe=Scribe(None), web_model=None, carrier=None, transcriber=object(), retention=None
    )
    assert set(handlers(bare)) == {"entry", "summary"}
    whole: Any = SimpleNamespace(**{**vars(bare), "carrier": object(), "retention": tidy})
    assert set(handlers(whole)) == {"entry", "summary", "recording", "erase", "search", "retention"}
