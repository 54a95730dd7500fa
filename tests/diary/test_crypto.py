import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.diary.crypto import KEY_ID_BYTES, Keys, make_secret
from bot.errors import SettingError, StoreError, WrongKey

OLD = "an-old-secret-0123456789-abcdefghij"
NEW = "a-new-secret-9876543210-zyxwvutsrq"
NUMBER = "+821012345678"


@settings(max_examples=50)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_encrypted_comes_back_and_does_not_show(text: str) -> None:
    keys = Keys.parse(OLD)
    blob = keys.encrypt(text)
    assert keys.decrypt(blob) == text
    assert len(text) < 4 or text.encode() not in blob
    assert keys.encrypt(text) != blob


def test_half_a_character_does_not_stop_the_diary() -> None:
    keys = Keys.parse(OLD)
    assert keys.decrypt(keys.encrypt("가\ud800나")) == "가?나"


def test_the_newest_key_writes_and_every_key_reads() -> None:
    old, both, new = Keys.parse(OLD), Keys.parse(f"{NEW}, {OLD}"), Keys.parse(NEW)
    assert both.decrypt(old.encrypt("어제")) == "어제"
    assert new.decrypt(both.encrypt("오늘")) == "오늘"
    assert both.ids == (new.newest_id, old.newest_id)


def test_a_missing_key_and_a_damaged_text_are_told_apart() -> None:
    keys = Keys.parse(OLD)
    blob = keys.encrypt("일기")
    with pytest.raises(WrongKey):
        Keys.parse(NEW).decrypt(blob)
    damaged = blob[:-5] + bytes([blob[-5] ^ 1]) + blob[-4:]
    for bad in (damaged, blob[: KEY_ID_BYTES + 10], blob[:KEY_ID_BYTES]):
        with pytest.raises(StoreError, match="damaged") as caught:
            keys.decrypt(bad)
        assert not isinstance(caught.value, WrongKey)


def test_numbers_are_hashed_with_the_last_key_unless_another_is_named() -> None:
    old, both, new = Keys.parse(OLD), Keys.parse(f"{NEW},{OLD}"), Keys.parse(NEW)
    assert both.number_hash(NUMBER) == old.number_hash(NUMBER) != new.number_hash(NUMBER)
    assert both.number_hash(NUMBER, new.newest_id) == new.number_hash(NUMBER)
    assert both.number_hash(NUMBER) != both.number_hash("+821012345679")
    with pytest.raises(WrongKey):
        old.number_hash(NUMBER, new.newest_id)


def test_a_media_token_is_of_one_call_and_one_stream() -> None:
    keys = Keys.parse(OLD)
    token = keys.media_token("CA1", 1)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    assert keys.is_media_token("CA1", 1, token)
    for wrong in (("CA1", 2, token), ("CA2", 1, token), ("CA1", 1, token[:-1]), ("CA1", 1, "é")):
        assert not keys.is_media_token(*wrong)
    assert Keys.parse(f"{NEW},{OLD}").is_media_token("CA1", 1, token), "a token outlives a key that comes in front"
    assert not Keys.parse(NEW).is_media_token("CA1", 1, token)


@pytest.mark.parametrize("text", ["", ",", "short", f"{OLD},", f"{OLD},,{NEW}", "a" * 64, "   "])
def test_a_malformed_setting_is_named_and_not_shown(text: str) -> None:
    with pytest.raises(SettingError, match=r"^DIARY_KEY: ") as caught:
        Keys.parse(text)
    assert OLD not in str(caught.value)


def test_keys_do_not_show_themselves() -> None:
    assert OLD not in repr(Keys.parse(OLD)) and OLD not in repr(vars(Keys).keys())


def test_secrets_that_hosts_generate_are_accepted() -> None:
    for secret in (make_secret(), "0123456789abcdef" * 4, "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k="):
        assert Keys.parse(secret).decrypt(Keys.parse(secret).encrypt("일기")) == "일기"


def test_the_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "diary.db.key"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Keys.load_or_create(path).newest_id, range(16)))
    assert len(set(made)) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert Keys.load_or_create(path).newest_id == made[0]


def test_a_key_file_that_cannot_be_used_is_a_setting_error(tmp_path: Path) -> None:
    empty, broken = tmp_path / "empty.key", tmp_path / "broken.key"
    empty.touch()
    broken.write_bytes(b"\xff\xfe")
    for path in (empty, broken, tmp_path, tmp_path / "no" / "folder.key"):
        with pytest.raises(SettingError, match="DIARY_KEY"):
            Keys.load_or_create(path)


def test_a_proof_is_of_its_use_and_parts_alone_and_by_any_of_the_keys() -> None:
    old, both = Keys.parse(OLD), Keys.parse(f"{NEW},{OLD}")
    proof = old.web_proof("code", "a", "b")
    assert len(proof) == 32
    assert both.is_web_proof(proof, "code", "a", "b")
    assert not Keys.parse(NEW).is_web_proof(proof, "code", "a", "b")
    for other in (("form", "a", "b"), ("code", "ab"), ("code", "a", ""), ("code", "b", "a")):
        assert not both.is_web_proof(proof, *other)
    assert not both.is_web_proof(b"", "code", "a", "b")
    assert both.web_proof("code", "a") != old.web_proof("code", "a"), "the newest proves"
