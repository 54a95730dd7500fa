"""Media Streams messages as Twilio sends them, and as nobody should: one small file each, and an index of meanings.

Verdicts: `event` (read as what it says, though odd), `ignored` (breaks nothing, means nothing), `error` (the peer broke
the protocol). Must not know how the app reads them: the verdicts are the documented protocol's.
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

ACCOUNT_SID = "AC" + "a1" * 16
CALL_SID = "CA" + "b2" * 16
STREAM_SID = "MZ" + "c3" * 16
OVERSIZE_BYTES = 10 * 1024 * 1024

Opening = Literal["nothing", "connected", "start"]
Verdict = Literal["event", "ignored", "error"]


@dataclass(frozen=True, slots=True)
class Case:
    """A message, what came before it on its socket, and what it is."""

    file: str
    content: bytes
    after: Opening
    verdict: Verdict
    why: str
    binary: bool = False


def _json(message: Any) -> bytes:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def connected() -> dict[str, Any]:
    """The first message of every socket."""
    return {"event": "connected", "protocol": "Call", "version": "1.0.0"}


def start(
    *,
    account_sid: str = ACCOUNT_SID,
    call_sid: str = CALL_SID,
    stream_sid: str = STREAM_SID,
    parameters: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The second message of every socket."""
    return {
        "event": "start",
        "sequenceNumber": "1",
        "start": {
            "accountSid": account_sid,
            "streamSid": stream_sid,
            "callSid": call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": dict(parameters or {}),
        },
        "streamSid": stream_sid,
    }


def media(
    mulaw: bytes, timestamp_ms: int, *, sequence: int = 2, chunk: int = 1, stream_sid: str = STREAM_SID
) -> dict[str, Any]:
    """A frame of the caller's audio."""
    return {
        "event": "media",
        "sequenceNumber": str(sequence),
        "media": {
            "track": "inbound",
            "chunk": str(chunk),
            "timestamp": str(timestamp_ms),
            "payload": b64encode(mulaw).decode(),
        },
        "streamSid": stream_sid,
    }


def dtmf(digit: str, *, sequence: int = 5, stream_sid: str = STREAM_SID) -> dict[str, Any]:
    """A key pressed."""
    return {
        "event": "dtmf",
        "streamSid": stream_sid,
        "sequenceNumber": str(sequence),
        "dtmf": {"track": "inbound_track", "digit": digit},
    }


def mark(name: str, *, sequence: int = 4, stream_sid: str = STREAM_SID) -> dict[str, Any]:
    """A mark given back."""
    return {"event": "mark", "sequenceNumber": str(sequence), "streamSid": stream_sid, "mark": {"name": name}}


def stop(
    *, account_sid: str = ACCOUNT_SID, call_sid: str = CALL_SID, sequence: int = 5, stream_sid: str = STREAM_SID
) -> dict[str, Any]:
    """The last message, when Twilio ends the stream."""
    return {
        "event": "stop",
        "sequenceNumber": str(sequence),
        "stop": {"accountSid": account_sid, "callSid": call_sid},
        "streamSid": stream_sid,
    }


def oversize() -> bytes:
    """A media message of more than 10 MB. Kept on no disk: made when it is wanted."""
    return _json(media(b"\xff" * OVERSIZE_BYTES, 175))


def cases() -> list[Case]:
    """Every message of `fixtures/messages`."""
    return _documented() + _odd() + _broken() + _out_of_order()


def _documented() -> list[Case]:
    frame = b"\xff" * 160
    return [
        Case("connected.json", _json(connected()), "nothing", "event", "the first message"),
        Case("start.json", _json(start(parameters={"token": "t0k3n"})), "connected", "event", "the second message"),
        Case("start-without-parameters.json", _json(start()), "connected", "event", "customParameters is {} when none"),
        Case("media.json", _json(media(frame, 155)), "start", "event", "a first frame: its timestamp is not 0"),
        Case("dtmf.json", _json(dtmf("1")), "start", "event", "a key"),
        Case("dtmf-pound.json", _json(dtmf("#")), "start", "event", "a key that is no digit"),
        Case("mark.json", _json(mark("reply-3:7")), "start", "event", "a mark that came back"),
        Case("stop.json", _json(stop()), "start", "event", "the last message"),
    ]


def _odd() -> list[Case]:
    numbers = media(b"\xff" * 160, 155)
    numbers |= {"sequenceNumber": 2, "media": numbers["media"] | {"chunk": 1, "timestamp": 155}}
    extra = media(b"\xff" * 160, 155) | {"region": "jp1", "more": {"nested": [1, None, True]}}
    extra["media"] |= {"codec": "pcmu"}
    no_numbers = media(b"\xff" * 160, 155)
    del no_numbers["sequenceNumber"], no_numbers["media"]["chunk"], no_numbers["media"]["track"]
    outbound = media(b"\xff" * 160, 155)
    outbound["media"]["track"] = "outbound"
    digit = dtmf("1")
    digit["dtmf"]["digit"] = 1
    unknown = {"event": "error", "streamSid": STREAM_SID, "error": {"code": 31951}}
    late_connected_fields = connected() | {"sequenceNumber": "0", "region": "jp1"}
    return [
        Case("numbers-as-numbers.json", _json(numbers), "start", "event", "numbers where Twilio writes strings"),
        Case("digit-as-number.json", _json(digit), "start", "event", "a key as a number"),
        Case("unknown-fields.json", _json(extra), "start", "event", "fields that no page names"),
        Case("connected-with-more.json", _json(late_connected_fields), "nothing", "event", "fields that no page names"),
        Case("missing-numbers.json", _json(no_numbers), "start", "event", "no sequenceNumber, chunk or track"),
        Case("short-frame.json", _json(media(b"\xff" * 80, 155)), "start", "event", "half a frame of audio"),
        Case("long-frame.json", _json(media(b"\xff" * 1600, 155)), "start", "event", "ten frames in one message"),
        Case("spaces.json", json.dumps(media(b"\xff" * 160, 155), indent=2).encode(), "start", "event", "white space"),
        Case("start-without-connected.json", _json(start()), "nothing", "event", "start as the first message"),
        Case("unknown-event.json", _json(unknown), "start", "ignored", "an event that no page names"),
        Case("unknown-event-first.json", _json({"event": "hello"}), "nothing", "ignored", "the same, before all else"),
        Case("unknown-event-odd-fields.json", _json({"event": "x", "media": 3}), "start", "ignored", "the same, odd"),
        Case("empty-payload.json", _json(media(b"", 155)), "start", "ignored", "a frame without audio"),
        Case("outbound-track.json", _json(outbound), "start", "ignored", "audio that is not the caller's"),
        Case("dtmf-letter.json", _json(dtmf("A")), "start", "ignored", "a tone that no telephone has a key for"),
    ]


def _broken() -> list[Case]:
    def broken_media(**changed: Any) -> bytes:
        message = media(b"\xff" * 160, 155)
        message["media"] = {k: v for k, v in (message["media"] | changed).items() if v is not None}
        return _json(message)

    no_media = {"event": "media", "sequenceNumber": "2", "streamSid": STREAM_SID}
    no_name = {"event": "mark", "sequenceNumber": "4", "streamSid": STREAM_SID, "mark": {}}
    return [
        Case("not-json.txt", b"hello?", "start", "error", "not JSON"),
        Case("empty.txt", b"", "start", "error", "nothing at all"),
        Case("cut-off.json", _json(media(b"\xff" * 160, 155))[:120], "start", "error", "JSON cut off in the middle"),
        Case("array.json", b'["media"]', "start", "error", "JSON, but no object"),
        Case("null.json", b"null", "start", "error", "JSON, but no object"),
        Case("no-event.json", b'{"streamSid":"MZ"}', "start", "error", "no event"),
        Case("event-not-text.json", b'{"event":7}', "start", "error", "an event that is no text"),
        Case("deep.json", b'{"event":"media","media":' + b"[" * 5000, "start", "error", "5000 brackets deep"),
        Case(
            "binary.bin", _json(media(b"\xff" * 160, 155)), "start", "error", "a good message, in a binary frame", True
        ),
        Case("raw-audio.bin", b"\xff" * 160, "start", "error", "audio itself, in a binary frame", True),
        Case("bad-base64.json", broken_media(payload="//8=*not base64*"), "start", "error", "a payload not base64"),
        Case("unpadded-base64.json", broken_media(payload="//8"), "start", "error", "base64 without its padding"),
        Case("payload-not-text.json", broken_media(payload=[255, 255]), "start", "error", "a payload that is no text"),
        Case("missing-payload.json", broken_media(payload=None), "start", "error", "no payload"),
        Case("missing-timestamp.json", broken_media(timestamp=None), "start", "error", "no timestamp"),
        Case("negative-timestamp.json", broken_media(timestamp="-20"), "start", "error", "a time before the stream"),
        Case("huge-timestamp.json", broken_media(timestamp="9" * 40), "start", "error", "a time beyond all calls"),
        Case("timestamp-not-number.json", broken_media(timestamp="soon"), "start", "error", "a time that is no number"),
        Case("missing-media.json", _json(no_media), "start", "error", "media without its contents"),
        Case("mark-without-name.json", _json(no_name), "start", "error", "a mark without a name"),
    ]


def _out_of_order() -> list[Case]:
    other = "MZ" + "d4" * 16
    wide = start()
    wide["start"]["mediaFormat"] = {"encoding": "audio/x-l16", "sampleRate": 16000, "channels": 1}
    torn = start() | {"streamSid": other}
    nameless = start()
    del nameless["streamSid"], nameless["start"]["streamSid"]
    callless = start()
    del callless["start"]["callSid"]
    return [
        Case("media-first.json", _json(media(b"\xff" * 160, 155)), "nothing", "error", "media before connected"),
        Case("media-before-start.json", _json(media(b"\xff" * 160, 155)), "connected", "error", "media before start"),
        Case("mark-before-start.json", _json(mark("x")), "connected", "error", "a mark before start"),
        Case("stop-before-start.json", _json(stop()), "connected", "error", "stop before start"),
        Case("second-connected.json", _json(connected()), "connected", "error", "connected twice"),
        Case("second-start.json", _json(start(stream_sid=other)), "start", "error", "start twice"),
        Case("wrong-stream-sid.json", _json(media(b"\xff" * 160, 155, stream_sid=other)), "start", "error", "not ours"),
        Case("start-two-stream-sids.json", _json(torn), "connected", "error", "start names two streams"),
        Case("start-no-stream-sid.json", _json(nameless), "connected", "error", "start names no stream"),
        Case("start-no-call-sid.json", _json(callless), "connected", "error", "start names no call"),
        Case("start-other-format.json", _json(wide), "connected", "error", "audio that is not µ-law at 8 kHz"),
    ]


def write(folder: Path) -> list[Case]:
    """Write all cases and `index.json` into `folder`, and remove what is no case."""
    folder.mkdir(parents=True, exist_ok=True)
    made = cases()
    for case in made:
        (folder / case.file).write_bytes(case.content)
    rows = [{"file": c.file, "after": c.after, "binary": c.binary, "verdict": c.verdict, "why": c.why} for c in made]
    generated = {"generator": "bot.lab.messages.oversize", "after": "start", "binary": False, "verdict": "error"}
    rows.append(generated | {"why": "a message of more than 10 MB"})
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / "index.json").write_text(f"[\n{lines}\n]\n", "utf-8")
    for stale in {p.name for p in folder.iterdir()} - {c.file for c in made} - {"index.json"}:
        (folder / stale).unlink()
    return made
