"""What the app sends on a media socket, read as strictly as Twilio reads it.

Must not know sockets, or what is played when. Twilio drops what it cannot read with a warning (31950, 31951) and goes
on; so does this, and keeps the breach. Source: Twilio's page "Media Streams - WebSocket messages" and errors 31950 and
31951.
"""

import binascii
import json
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bot.audio.frames import MULAW_FRAME_BYTES
from bot.lab.playback import ASIDE, ASIDE_END


@dataclass(frozen=True, slots=True)
class Sound:
    """Audio to be played."""

    mulaw: bytes


@dataclass(frozen=True, slots=True)
class Label:
    """A mark."""

    name: str


@dataclass(frozen=True, slots=True)
class Clear:
    """Drop what is not played yet."""


Outbound = Sound | Label | Clear

_FIELDS = {
    "media": frozenset({"event", "streamSid", "media"}),
    "mark": frozenset({"event", "streamSid", "mark"}),
    "clear": frozenset({"event", "streamSid"}),
}
_INNER = {"media": "payload", "mark": "name"}


class Inspector:
    """Reads the app's messages of one stream; every breach goes to `breach`."""

    def __init__(self, stream_sid: str, breach: Callable[[str], None]) -> None:
        self.streaming = False
        """Whether `start` was sent: nothing may come before."""
        self._stream_sid = stream_sid
        self._breach = breach
        self._replies: set[str] = set()
        self._dead_replies: set[str] = set()

    def read(self, message: str | bytes) -> Outbound | None:
        """What the message asks for, or None when Twilio would not act on it."""
        if not self.streaming:
            self._breach("a message before start")
            return None
        if isinstance(message, bytes):
            self._breach("31950: a binary frame")
            return None
        try:
            fields = json.loads(message)
        except ValueError:
            self._breach("31951: not JSON")
            return None
        if not isinstance(fields, dict):
            self._breach("31951: not an object")
            return None
        if not self._is_well_formed(fields):
            return None
        match fields["event"]:
            case "media":
                return self._sound(fields["media"]["payload"])
            case "mark":
                return self._label(fields["mark"]["name"])
            case _:
                self._dead_replies |= self._replies
                return Clear()

    def _is_well_formed(self, fields: dict[str, Any]) -> bool:
        event = fields.get("event")
        if not isinstance(event, str) or event not in _FIELDS:
            self._breach(f"31951: event {event!r}")
            return False
        if wrong := sorted(set(fields) ^ _FIELDS[event]):
            self._breach(f"31951: {event}: missing or extra: {', '.join(wrong)}")
            return False
        if fields["streamSid"] != self._stream_sid:
            self._breach(f"31951: {event} for another stream")
            return False
        inner = _INNER.get(event)
        if inner is None:
            return True
        contents = fields[event]
        if not isinstance(contents, dict) or set(contents) != {inner} or not isinstance(contents[inner], str):
            self._breach(f"31951: {event}.{event} holds other than {inner}")
            return False
        return True

    def _sound(self, payload: str) -> Sound | None:
        try:
            mulaw = b64decode(payload, validate=True)
        except (binascii.Error, ValueError):
            self._breach("31951: a payload that is not base64")
            return None
        if not mulaw:
            self._breach("media without audio")
        if mulaw.startswith(b"RIFF"):
            self._breach("a WAV header is played as noise")
        if len(mulaw) % MULAW_FRAME_BYTES:
            self._breach(f"audio that is not whole frames: {len(mulaw)} bytes")
        return Sound(mulaw)

    def _label(self, name: str) -> Label:
        reply, colon, _ = name.rpartition(":")
        if name.startswith(ASIDE):
            reply = name.removesuffix(ASIDE_END)
        if colon:
            if reply in self._dead_replies:
                self._breach(f"audio of a reply that was cleared: its mark is {name}")
            self._replies.add(reply)
        return Label(name)
