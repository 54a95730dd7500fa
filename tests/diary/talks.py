"""Diaries for the tests of the diary, and calls in them: let in as by the media socket, talked in, ended."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import Executable

from bot.conversation.commands import Mood, Status
from bot.conversation.snapshot import Part, Snapshot, encode
from bot.conversation.told import told_in
from bot.diary.after_call import AfterCall, call_after, save_entry_after
from bot.diary.crypto import Keys
from bot.diary.owned import OwnedCall, add_recorded
from bot.diary.store import Store

NUMBER, ANOTHER = "+821012345678", "+821099999999"
SECRET, NEWER_SECRET = "first-secret-of-the-tests-0123456789", "second-secret-of-the-tests-987654321"
BOTH_SECRETS = f"{NEWER_SECRET},{SECRET}"
"""DIARY_KEY while it is being rotated."""


@asynccontextmanager
async def opened(url: str, keys: Keys | None = None, **more: object) -> AsyncIterator[Store]:
    """A diary that is open for the block; with the keys of SECRET if no others are given."""
    store = await Store.open(url, keys or Keys.parse(SECRET), **more)  # type: ignore[arg-type]
    try:
        yield store
    finally:
        await store.close()


async def let_in(store: Store, call_sid: str, number: str | None = NUMBER) -> OwnedCall:
    """The next media stream of a call, which owns it now."""
    await store.call_arrived(call_sid, number)
    stream = await store.claim_media_token(call_sid, await store.media_token(call_sid))
    assert stream
    return store.owned(call_sid, stream)


async def told(
    store: Store, call_sid: str, *texts: str, number: str | None = NUMBER, status: Status = Status.DRAFT
) -> OwnedCall:
    """A call in which these were said and answered, and an entry of it all."""
    call = await let_in(store, call_sid, number)
    for turn, text in enumerate(texts):
        await call.add_said(turn, text, turn * 1000, turn * 1000 + 500)
        await call.add_heard(turn, f"{text}, 그랬군요.")
    await call.save_entry("하루", " ".join(texts), Mood.CALM, status)
    return call


async def noted(call: OwnedCall, turn: int, *parts: Part, **more: object) -> None:
    """Keep where the talk is: it knows the turns up to `turn`, and `parts` is what they told."""
    taken_up = {"turn": turn, "parts": parts, "changes": len(parts), **more}
    await call.keep_stage(encode(Snapshot(**taken_up)))  # type: ignore[arg-type]


async def entered(store: Store, call_sid: str, status: Status = Status.APPROVED, number: str | None = NUMBER) -> None:
    """A call that has an entry of this status, and nothing else."""
    call = await let_in(store, call_sid, number)
    assert await call.save_entry("하루", "하루였다.", Mood.CALM, status)


async def recorded(store: Store, call_sid: str, text: str) -> None:
    """Add what was recorded of a call, as its job does."""
    async with store.database.write() as connection:
        await add_recorded(store.database, store.keys, connection, call_sid, text, store.clock())


async def change(store: Store, statement: Executable) -> None:
    """Change the tables behind the diary's back."""
    async with store.database.write() as connection:
        await connection.execute(statement)


async def after(store: Store, call_sid: str = "CA1") -> AfterCall | None:
    """A call as its job finds it."""
    async with store.database.write() as connection:
        return await call_after(connection, store.keys, call_sid)


async def save_after(
    store: Store, call_sid: str, of: list[str], *, body: str = "하루였다.", provisional: bool = False
) -> bool:
    """Keep an entry as its job does, written from the turns `of`."""
    told_of = told_in(of)
    async with store.database.write() as connection:
        return await save_entry_after(
            store.database, store.keys, connection, call_sid, "하루", body, Mood.CALM,
            provisional=provisional, of=(told_of.said, told_of.corrections), now=store.clock(),
        )  # fmt: skip


async def work(store: Store) -> list[str]:
    """What is to be done now, by the keys of the jobs; it is taken, done, and not asked for again."""
    keys = []
    for job in await store.outbox.claim(["entry", "recording"], 99):
        async with store.outbox.finish(job):
            keys.append(job.key)
    return keys
