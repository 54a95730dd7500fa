"""What lies on the disk: nothing that a reader of the files could read, and nothing of what was removed."""

import sqlite3
from pathlib import Path

import pytest

from bot.conversation.commands import Mood, Status
from bot.diary.crypto import KEY_ID_BYTES, Keys
from bot.diary.store import Store
from tests.diary.talks import BOTH_SECRETS, NUMBER, let_in

pytestmark = pytest.mark.sqlite

SAID = "오늘은 회사에서 팀장님께 칭찬을 들었어요"
HEARD = "칭찬을 들은 하루였네요"
TITLE = "칭찬받은 날"
BODY = "회사에서 팀장님께 칭찬을 들었다."
SECRETS = (NUMBER, NUMBER[1:], SAID, SAID[:8], HEARD, HEARD[:6], TITLE, BODY, BODY[:8])


def bytes_on_disk(folder: Path) -> bytes:
    """The database with its write-ahead log and all else that lies beside it."""
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def sealed(folder: Path) -> list[bytes]:
    """The stored bytes of every text of the diary, without the key's id that they have in common."""
    connection = sqlite3.connect(folder / "diary.db")
    rows = connection.execute("SELECT said_sealed FROM turns UNION ALL SELECT heard_sealed FROM turns").fetchall()
    rows += connection.execute("SELECT title_sealed FROM entries UNION ALL SELECT body_sealed FROM entries").fetchall()
    rows += connection.execute("SELECT stage_sealed FROM calls").fetchall()
    connection.close()
    return [blob[KEY_ID_BYTES:] for (blob,) in rows if blob is not None]


async def talk(store: Store, call_sid: str = "CA1", turns: int = 40) -> None:
    call = await let_in(store, call_sid, NUMBER)
    for turn in range(turns):
        await call.add_said(turn, SAID, 0, 1)
        await call.add_heard(turn, HEARD)
    await call.save_entry("초안", BODY, Mood.JOY, Status.DRAFT)
    await call.save_entry(TITLE, BODY, Mood.JOY, Status.DRAFT)
    for snapshot in (HEARD, SAID):
        await call.keep_stage(snapshot)


async def test_nothing_said_lies_on_the_disk_in_the_clear(store: Store, tmp_path: Path) -> None:
    await talk(store)
    while_open = bytes_on_disk(tmp_path)
    await store.close()
    for found in (while_open, bytes_on_disk(tmp_path)):
        assert b"CA1" in found, "this is the diary"
        for secret in SECRETS:
            for encoding in ("utf-8", "utf-16-le", "utf-16-be", "euc-kr"):
                assert secret.encode(encoding) not in found


async def test_no_token_lies_on_the_disk(store: Store, tmp_path: Path) -> None:
    await let_in(store, "CA1", NUMBER)
    token = await store.media_token("CA1")
    assert token.encode() not in bytes_on_disk(tmp_path)
    await store.claim_media_token("CA1", token)
    assert token.encode() not in bytes_on_disk(tmp_path)


@pytest.mark.parametrize("way", ["forget_day", "forget_so_far", "delete"])
async def test_what_was_removed_is_gone_from_the_disk_at_once(store: Store, tmp_path: Path, way: str) -> None:
    await talk(store)
    await talk(store, "CA2", turns=3)
    before = sealed(tmp_path)
    kept = len(before) - 83
    assert kept == 9 and all(blob in bytes_on_disk(tmp_path) for blob in before)
    await (store.delete("CA1") if way == "delete" else getattr(store.owned("CA1", 1), way)())
    still_kept = sealed(tmp_path)
    assert len(still_kept) == kept
    removed = [blob for blob in before if blob not in still_kept]
    assert len(removed) == 83
    while_open = bytes_on_disk(tmp_path)
    assert not any(blob in while_open for blob in removed)
    # Not a piece of it either: the middle 32 bytes of a text are found nowhere.
    assert not any(blob[40:72] in while_open for blob in removed)
    assert all(blob in while_open for blob in still_kept)


async def test_a_turn_off_the_record_is_gone_from_the_disk_at_once(store: Store, tmp_path: Path) -> None:
    await talk(store, turns=3)
    before = sealed(tmp_path)
    await store.owned("CA1", 1).forget_turn(1)
    still_kept = sealed(tmp_path)
    removed = [blob for blob in before if blob not in still_kept]
    assert len(before) == 9 and len(removed) == 5, "of three turns one, the entry and the stage"
    on_disk = bytes_on_disk(tmp_path)
    assert not any(blob[40:72] in on_disk for blob in removed)
    assert all(blob in on_disk for blob in still_kept)


async def test_a_whole_day_is_gone_from_the_disk_at_once(store: Store, tmp_path: Path) -> None:
    await talk(store)
    await talk(store, "CA2", turns=3)
    removed = sealed(tmp_path)
    await store.owned("CA2", 1).forget_so_far(whole_day=True)
    on_disk = bytes_on_disk(tmp_path)
    assert sealed(tmp_path) == [] and len(removed) == 92
    assert not any(blob[40:72] in on_disk for blob in removed)


async def test_a_reader_in_the_way_only_delays_the_removal(store: Store, tmp_path: Path, open_store) -> None:
    await talk(store)
    removed = sealed(tmp_path)
    reader = sqlite3.connect(tmp_path / "diary.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM turns").fetchone()
    await store.owned("CA1", 1).forget_day()
    assert await store.turns("CA1") == []
    reader.execute("ROLLBACK")
    reader.close()
    await store.close()
    assert not any(blob in bytes_on_disk(tmp_path) for blob in removed)


async def test_after_a_rotation_the_old_key_opens_nothing_on_the_disk(store: Store, tmp_path: Path, open_store) -> None:
    await talk(store)
    old = sealed(tmp_path)
    await (await open_store(Keys.parse(BOTH_SECRETS))).rotate()
    assert not any(blob in bytes_on_disk(tmp_path) for blob in old)
