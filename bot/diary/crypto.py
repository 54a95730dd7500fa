"""The diary's keys: what is written with them, and what is looked up or proven with them.

One secret of DIARY_KEY gives, through HKDF-SHA256 (RFC 5869), one key for each use: text, numbers, media tokens, and
the proofs of the web. What is encrypted carries the id of its key, so that a missing key and a damaged row are told
apart. This module must not know tables, addresses or settings other than DIARY_KEY.
"""

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bot.errors import SettingError, StoreError, WrongKey

KEY_ID_BYTES = 8
MIN_SECRET_CHARS = 32
MIN_DIFFERENT_CHARS = 10


@dataclass(frozen=True, slots=True, repr=False)
class _Key:
    """One secret, spread out into its uses."""

    id: bytes
    text: Fernet
    number: bytes
    token: bytes
    web: bytes


def _spread(secret: str) -> _Key:
    def derive(use: str, length_bytes: int = 32) -> bytes:
        info = f"ilgi diary {use}".encode()
        return HKDF(algorithm=SHA256(), length=length_bytes, salt=None, info=info).derive(secret.encode())

    text = Fernet(base64.urlsafe_b64encode(derive("text")))
    return _Key(derive("id", KEY_ID_BYTES), text, derive("number"), derive("token"), derive("web"))


class Keys:
    """The keys of DIARY_KEY, newest first: all of them read, the newest writes."""

    __slots__ = ("_keys",)

    def __init__(self, diary_secrets: Sequence[str]) -> None:
        """Take secrets of at least 32 characters; SettingError when one is short, too simple, or there is none."""
        if not diary_secrets:
            raise SettingError("DIARY_KEY", "holds no key")
        for secret in diary_secrets:
            if len(secret) < MIN_SECRET_CHARS or len(set(secret)) < MIN_DIFFERENT_CHARS:
                why = f"each key is at least {MIN_SECRET_CHARS} random characters (commas between, newest first)"
                raise SettingError("DIARY_KEY", why)
        self._keys = tuple(_spread(secret) for secret in diary_secrets)

    @classmethod
    def parse(cls, diary_key: str) -> Self:
        """Read the form of the setting: secrets with commas between, newest first; SettingError for a malformed one."""
        return cls([part.strip() for part in diary_key.split(",")])

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """Read the key file, made first (mode 0600) when there is none; safe when two processes start at once."""
        try:
            if not path.exists():
                _create_key_file(path)
            text = path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise SettingError("DIARY_KEY", f"is not set, and the key file {path} cannot be used: {reason}") from error
        if not text:
            raise SettingError("DIARY_KEY", f"is not set, and the key file {path} is empty")
        return cls.parse(text)

    @property
    def newest_id(self) -> bytes:
        """The id of the key that encrypts."""
        return self._keys[0].id

    @property
    def oldest_id(self) -> bytes:
        """The id of the key that a new diary hashes numbers with."""
        return self._keys[-1].id

    @property
    def ids(self) -> tuple[bytes, ...]:
        """The ids of all keys, newest first: 8 bytes each, which tell nothing about the secret."""
        return tuple(key.id for key in self._keys)

    def encrypt(self, text: str) -> bytes:
        """Encrypt with the newest key: 8 bytes of key id, then a Fernet token. A lone surrogate becomes `?`."""
        key = self._keys[0]
        return key.id + key.text.encrypt(text.encode("utf-8", "replace"))

    def decrypt(self, blob: bytes) -> str:
        """Decrypt with the key that `blob` names: WrongKey when it is not here, StoreError when the blob is damaged."""
        for key in self._keys:
            if blob[:KEY_ID_BYTES] == key.id:
                try:
                    return key.text.decrypt(blob[KEY_ID_BYTES:]).decode()
                except (InvalidToken, UnicodeDecodeError) as error:
                    raise StoreError("a stored text is damaged") from error
        raise WrongKey("no key of DIARY_KEY opens a stored text: it was written with another key")

    def number_hash(self, e164: str, key_id: bytes | None = None) -> bytes:
        """Hash a number for look-up (HMAC-SHA256, 32 bytes) with key `key_id`, or with the last one."""
        key = self._keys[-1]
        if key_id is not None:
            key = next((key for key in self._keys if key.id == key_id), key)
            if key.id != key_id:
                raise WrongKey("the key that numbers are looked up with is not in DIARY_KEY")
        return hmac.digest(key.number, e164.encode(), "sha256")

    def media_token(self, call_sid: str, stream: int) -> str:
        """The token of one media stream: 43 characters, the same each time, not to be guessed without the key."""
        return _media_token(self._keys[0], call_sid, stream)

    def is_media_token(self, call_sid: str, stream: int, token: str) -> bool:
        """Tell in constant time whether `token` is that stream's, by any of the keys (one may have come since)."""
        given = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        matches = [
            hmac.compare_digest(given, hashlib.sha256(_media_token(key, call_sid, stream).encode()).digest())
            for key in self._keys
        ]
        return any(matches)

    def web_proof(self, use: str, *parts: str) -> bytes:
        """HMAC-SHA256, 32 bytes, of what is kept or handed out on the web; no two uses have a proof in common.

        Of `parts` only the last may hold what anybody chose: there are NULs between them.
        """
        return _web_proof(self._keys[0], use, parts)

    def is_web_proof(self, proof: bytes, use: str, *parts: str) -> bool:
        """Tell in constant time whether `proof` is that, by any of the keys."""
        matches = [hmac.compare_digest(proof, _web_proof(key, use, parts)) for key in self._keys]
        return any(matches)


def make_secret() -> str:
    """Make one new secret for DIARY_KEY: 256 bits, 43 characters."""
    return secrets.token_urlsafe(32)


def _media_token(key: _Key, call_sid: str, stream: int) -> str:
    proof = hmac.digest(key.token, f"{stream}:{call_sid}".encode("utf-8", "replace"), "sha256")
    return base64.urlsafe_b64encode(proof).rstrip(b"=").decode()


def _web_proof(key: _Key, use: str, parts: Sequence[str]) -> bytes:
    return hmac.digest(key.web, "\0".join((use, *parts)).encode("utf-8", "replace"), "sha256")


def _create_key_file(path: Path) -> None:
    """Write a whole key file, then give it its name: no reader finds half of it, and the first one stays."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(make_secret() + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
    finally:
        draft.unlink()
