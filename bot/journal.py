"""A call's wire messages, kept for replay.

A journal is a file of blocks, one a line, each a batch of records encrypted with DIARY_KEY; a recorded fixture holds
the same records as plain JSON lines, gzipped. Records stand in the order in which the call took them in, which is all
that a replay needs: the call clock is in the media messages. Tokens and signatures are never written.
"""

import gzip
import logging
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal, get_args

import msgspec

from bot.conversation.events import Event
from bot.diary.crypto import Keys
from bot.errors import StoreError

log = logging.getLogger(__name__)

BLOCK_RECORDS = 100
SECRET_PARAMETERS = re.compile(r'"token"\s*:\s*"[^"]*"')

Wire = Literal["twilio", "rtzr", "event"]
Direction = Literal["in", "out"]


class Record(msgspec.Struct, frozen=True):
    """One message: `at_ms` is the call clock, `message` the text as it stood on the wire, or an event as JSON."""

    at_ms: int
    wire: Wire
    direction: Direction
    message: str


class _Told(msgspec.Struct, frozen=True):
    name: str
    fields: dict[str, object]


_encoder = msgspec.json.Encoder()
_records = msgspec.json.Decoder(Record)
_told = msgspec.json.Decoder(_Told)
_kinds: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}


def encode_event(event: Event) -> str:
    """Write an event that came from a service or from the playout."""
    return _encoder.encode(_Told(type(event).__name__, msgspec.to_builtins(event))).decode()


def decode_event(text: str) -> Event:
    """Read an event of `encode_event`, also of an older release that knew less of it.

    StoreError when this release knows no such event, or not with such fields.
    """
    told = _told.decode(text)
    if (kind := _kinds.get(told.name)) is None:
        raise StoreError(f"the journal tells of an event {told.name!r} that this release does not know")
    try:
        event: Event = msgspec.convert(told.fields, kind)
    except msgspec.ValidationError as error:
        raise StoreError(f"the journal tells of an event {told.name!r} as this release does not know it") from error
    return event


class Journal:
    """Writes one call's journal."""

    def __init__(self, path: Path, keys: Keys) -> None:
        self._file: IO[bytes] = open(path, "ab", buffering=0, opener=_private)  # noqa: SIM115 (closed by `close`)
        self._keys = keys
        self._batch: list[Record] = []

    @classmethod
    def begin(cls, folder: Path, call_sid: str, stream_sid: str, keys: Keys) -> "Journal":
        """Open the journal of a media stream; the folder is made when it is missing. OSError when it cannot be."""
        folder.mkdir(parents=True, exist_ok=True)
        name = "-".join(re.sub(r"[^0-9A-Za-z]", "", sid) for sid in (call_sid, stream_sid))
        return cls(folder / f"{name}.journal", keys)

    def keep(self, at_ms: int, wire: Wire, direction: Direction, message: str) -> None:
        """Add a message; our one-time token is taken out of it."""
        if wire == "twilio" and '"start"' in message:
            message = SECRET_PARAMETERS.sub('"token":""', message)
        self._batch.append(Record(at_ms, wire, direction, message))
        if len(self._batch) >= BLOCK_RECORDS:
            self._write()

    def _write(self) -> None:
        block, records = self._keys.encrypt(_encoder.encode(self._batch).decode()), len(self._batch)
        self._batch.clear()
        try:
            self._file.write(b64encode(block) + b"\n")
        except OSError as error:
            log.error("%s: %d records are lost: %s", self._file.name, records, error.strerror)

    def forget(self) -> None:
        """Remove this journal and every other of the same call."""
        self._batch.clear()
        self.close()
        path = Path(str(self._file.name))
        forget(path.parent, path.name.partition("-")[0])

    def close(self) -> None:
        """Write what is left and close the file."""
        if self._batch:
            self._write()
        with suppress(OSError):
            self._file.close()


def forget(folder: Path, call_sid: str) -> int:
    """Remove the journals of a call; returns how many there were."""
    paths = list(folder.glob(f"{re.sub('[^0-9A-Za-z]', '', call_sid)}-*.journal"))
    for path in paths:
        path.unlink(missing_ok=True)
    return len(paths)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def read(path: Path, keys: Keys | None) -> Iterator[Record]:
    """Read a journal, or a recorded fixture (`.jsonl.gz`); StoreError when it is damaged, WrongKey without its key."""
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as lines:
                for line in lines:
                    yield _records.decode(line)
            return
        if keys is None:
            raise StoreError("a journal is encrypted: set DIARY_KEY to the keys that it was written with")
        with path.open("rb") as lines:
            for line in lines:
                yield from msgspec.json.decode(keys.decrypt(b64decode(line)), type=list[Record])
    except (OSError, EOFError, ValueError, msgspec.MsgspecError) as error:
        raise StoreError(f"{path.name} cannot be read as a journal: {error}") from error
