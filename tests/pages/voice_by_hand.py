"""The server's end of a talk by hand: it keeps to the wire strictly, notes what comes, and says what it is told."""

import asyncio
import json
import time
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID, uuid4

import msgspec
import numpy as np
from quart import Blueprint, abort, send_file, websocket

from bot.doors.asgi import StraightSocket
from bot.protocols import browser_messages
from tests.chat_by_hand import WAIT_S

VOICE_HZ = 24_000


class Strict(msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="type"):
    """A message with the fields that it may have, and no others."""


class Config(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Of the init."""

    language: Literal["auto"]
    useWhisper: bool
    sampleRate: Annotated[int, msgspec.Meta(ge=8000, le=48000)]


class Heard(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How far the playback clock is."""

    sentence: Annotated[str, msgspec.Meta(pattern=r"^(aside:)?[0-9]+(:[0-9]+)?\Z")]
    ms: Annotated[int, msgspec.Meta(ge=0)]


class Init(Strict, tag="init"):
    """The first."""

    config: Config
    sessionId: UUID | msgspec.UnsetType = msgspec.UNSET


class Audio(Strict, tag="audio"):
    """What the microphone heard."""

    audio: bytes
    heard: Heard | msgspec.UnsetType = msgspec.UNSET


class Text(Strict, tag="text"):
    """What was typed."""

    text: Annotated[str, msgspec.Meta(min_length=1)]


class Interrupt(Strict, tag="interrupt"):
    """The voice is to stop."""

    heard: Heard | msgspec.UnsetType = msgspec.UNSET


class End(Strict, tag="end"):
    """The talk is to end."""


_decoder = msgspec.json.Decoder(Init | Audio | Text | Interrupt | End)


@dataclass
class Talk:
    """One socket; `came` is every message after the init, with the moment it came at."""

    init: Init
    session_id: str
    resumed: bool
    came: list = field(default_factory=list)
    sent_ms: dict = field(default_factory=dict)
    outbox: asyncio.Queue = field(default_factory=asyncio.Queue)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def send(self, **message):
        """Send a message."""
        self.outbox.put_nowait(json.dumps(message, ensure_ascii=False))

    def close(self, code):
        """Close the socket, after what was sent."""
        self.outbox.put_nowait(code)

    def say(self, sentence, samples, *, text=None):
        """Send some of a sentence: samples of -1 to 1."""
        pcm = (np.asarray(samples) * 32767).round().astype("<i2")
        self.sent_ms[sentence] = self.sent_ms.get(sentence, 0) + len(pcm) * 1000 / VOICE_HZ
        words = {} if text is None else {"text": text}
        self.send(type="audio", audio=b64encode(pcm.tobytes()).decode(), sentence=sentence, **words)

    def of(self, kind):
        """The messages of a kind that came."""
        return [message for _, message in self.came if isinstance(message, kind)]

    @property
    def pcm(self):
        """What the microphone heard, up to now."""
        return np.frombuffer(b"".join(message.audio for message in self.of(Audio)), "<i2")

    @property
    def heards(self):
        """The reports of the playback clock, in their order."""
        return [m.heard for _, m in self.came if isinstance(m, Audio | Interrupt) and m.heard is not msgspec.UNSET]

    async def until(self, is_so):
        """Wait until something about the talk is so."""
        await until(lambda: is_so(self))


class VoiceDoor:
    """WS /ws; `talks` are the sockets that said who they are, `wrong` is every breach of the wire.

    `refuses`: instead of `connected` these messages are sent, and the socket is closed with the code at their end, or
    left open for None.
    `status`: the handshake is answered so. `forgets`: no talk can be resumed.
    """

    def __init__(self, site):
        self.site = site
        self.talks = []
        self.wrong = []
        self.refuses = None
        self.status = None
        self.forgets = False

    def blueprint(self):
        """The route."""
        routes = Blueprint("voice", __name__)
        routes.websocket("/ws")(self.socket)
        routes.get("/recorder_worklet.js")(self.recorder)
        return routes

    async def recorder(self):
        """What a test adds to the page to record it."""
        return await send_file(Path(__file__).with_name("recorder_worklet.js"))

    async def talk(self, number=0):
        """The socket with this number, once it is there."""
        await until(lambda: len(self.talks) > number)
        return self.talks[number]

    async def socket(self):
        """One socket."""
        if not self.site.identity.is_ours():
            abort(403)
        if self.status or await self.site.identity.person() is None:
            abort(self.status or 401)
        wire = StraightSocket.of(websocket.scope)
        wire.hold()
        await websocket.accept()
        init = self._read(await wire.pull())
        if not isinstance(init, Init):
            self.wrong.append("the first message is not an init")
            await wire.close(1008)
            return
        if self.refuses is not None:
            *messages, code = self.refuses
            for message in messages:
                await wire.send(json.dumps(message, ensure_ascii=False))
            if code is None:
                await wire.pull()  # until it leaves
            else:
                await wire.close(code)
            return
        asked = None if init.sessionId is msgspec.UNSET else str(init.sessionId)
        resumed = asked is not None and any(talk.session_id == asked for talk in self.talks)
        if asked and (self.forgets or not resumed):
            gone = {"type": "error", "code": "NO_SESSION", "message": "그 이야기는 끝났어요.", "retry": True}
            await wire.send(json.dumps(gone, ensure_ascii=False))
            if (again := await wire.pull()) is None:
                return
            init, resumed = self._read(again), False
            if not isinstance(init, Init) or init.sessionId is not msgspec.UNSET:
                self.wrong.append("after NO_SESSION another init is to come, without it")
                await wire.close(1008)
                return
        talk = Talk(init, asked if resumed else str(uuid4()), resumed)
        talk.send(type="connected", sessionId=talk.session_id, resumed=resumed, sampleRate=VOICE_HZ)
        self.talks.append(talk)
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._receive(wire, talk))
                await self._send(wire, talk)
                reading.cancel()
        finally:
            talk.over.set()

    async def _send(self, wire, talk):
        while not isinstance(message := await talk.outbox.get(), int):
            await wire.send(message)
        await wire.close(message)

    async def _receive(self, wire, talk):
        while (text := await wire.pull()) is not None:
            message = self._read(text)
            if isinstance(message, Init) or talk.of(End):
                self.wrong.append(f"{type(message).__name__} at the wrong place")
            heard = getattr(message, "heard", msgspec.UNSET)
            if heard is not msgspec.UNSET and not heard.ms <= talk.sent_ms.get(heard.sentence, 1e9) + 1:
                self.wrong.append(f"more was heard than there is: {heard}")
            if isinstance(message, Audio) and len(message.audio) % 2:
                self.wrong.append("no whole samples")
            talk.came.append((time.monotonic(), message))
            if isinstance(message, End):
                talk.close(1000)

    def _read(self, text):
        try:
            browser_messages.parse(text)  # what the bot itself would say
            return _decoder.decode(text)
        except (browser_messages.BadMessage, msgspec.MsgspecError) as error:
            self.wrong.append(str(error))
            return None


async def until(is_so):
    """Wait until something is so."""
    async with asyncio.timeout(WAIT_S):
        while not is_so():
            await asyncio.sleep(0.02)
