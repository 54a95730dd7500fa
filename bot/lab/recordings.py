"""What `<Record>` of the Twilio stand-in has recorded: 8 kHz WAV files, by the Sid of the recording.

Must not know calls or HTTP; `twilio_rest.py` gives them out, `tape.py` makes them. Source: Twilio's pages on <Record>
and the Recordings resource.
"""

import asyncio
import audioop
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from uuid import uuid4

from bot.audio.frames import MULAW_HZ
from bot.lab.wav import wav_file


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recording; it can be fetched from `ready_at_s` on, by the clock of the event loop."""

    sid: str
    call_sid: str
    mulaw: bytes
    ready_at_s: float

    @property
    def duration_s(self) -> int:
        """Its length in whole seconds, as Twilio tells it; 0 only when nothing was recorded."""
        return -(-len(self.mulaw) // MULAW_HZ)

    @property
    def is_ready(self) -> bool:
        """Whether the file is there yet."""
        return asyncio.get_running_loop().time() >= self.ready_at_s

    def wav(self) -> bytes:
        """The file as Twilio gives it: one channel, 16 bits, 8 kHz."""
        return wav_file(audioop.ulaw2lin(self.mulaw, 2), MULAW_HZ)


@dataclass(slots=True)
class KeptRecordings:
    """All that was recorded and not deleted. `ready_after_s`: how long a file takes to be there."""

    url: str = "https://api.twilio.com/2010-04-01/Accounts/{account_sid}/Recordings/"
    ready_after_s: float = 0.0
    kept: dict[str, Recorded] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)

    def keep(self, call_sid: str, mulaw: bytes) -> Recorded:
        """Keep a new one."""
        ready_at_s = asyncio.get_running_loop().time() + self.ready_after_s
        recorded = Recorded("RE" + uuid4().hex, call_sid, mulaw, ready_at_s)
        self.kept[recorded.sid] = recorded
        return recorded

    def url_of(self, recorded: Recorded, account_sid: str) -> str:
        """RecordingUrl: the address without an extension."""
        return self.url.format(account_sid=account_sid) + recorded.sid

    def delete(self, sid: str) -> bool:
        """Remove one; False when there is none."""
        self.deleted += [sid] if sid in self.kept else []
        return self.kept.pop(sid, None) is not None


def recording_form(recorded: Recorded, url: str, account_sid: str, event: str) -> dict[str, str]:
    """The form of the recordingStatusCallback; `event`: completed or absent."""
    return {
        "AccountSid": account_sid,
        "CallSid": recorded.call_sid,
        "RecordingSid": recorded.sid,
        "RecordingUrl": url,
        "RecordingStatus": event,
        "RecordingDuration": str(recorded.duration_s),
        "RecordingChannels": "1",
        "RecordingStartTime": format_datetime(datetime.now(UTC)),
        "RecordingSource": "RecordVerb",
        "ErrorCode": "0",
    }
