"""The browser stand-in: talks with a running bot over /ws as the page does, and tells what it saw.

    async with BrowserLab(bot.url, cookie) as lab:
        report = await lab.talk("plain-day")
        assert not report.call.breaches

It plays the scripts of the telephone's callers, with a microphone of any rate and a playback clock of its own that it
reports. A `Drop` in a script is a network that goes away: the talk is taken up again with its session. `Send` sends a
message as it is. Must not know anything of the bot but its address and somebody's cookie.
"""

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bot.audio import mulaw
from bot.audio.forms import WIDE
from bot.audio.frames import FRAME_MS, MULAW_HZ
from bot.audio.resample import Resampler
from bot.diary.store import Store
from bot.lab.acts import SILENT_FRAME, Act, SaidFrame
from bot.lab.browser_playback import PagePlayback
from bot.lab.caller import Caller
from bot.lab.loopback import reset
from bot.lab.report import CallReport
from bot.lab.script import Drop, HangUp, Press, Send, Silent, Step, load_script, script
from bot.lab.utterances import FIXTURES
from bot.lab.witness import Witness

CHUNK_MS = 30
OVER, COMES_BACK = 1000, frozenset({1006, 1011, 1012})
END_S = 10.0
ANSWER_S = 20.0
TYPED = '{"type": "text"'
JITTERS_ONCE_IN = 10
"""Messages."""


def typed(text: str) -> Send:
    """The person types a turn."""
    return Send(json.dumps({"type": "text", "text": text}, ensure_ascii=False))


PRESS_STOP = Send('{"type": "interrupt"}')


async def cookie_of(store: Store, number: str) -> str:
    """Sign somebody in behind the bot's back; gives the Cookie header of their browser, on http."""
    token = await store.people.begin_session(number)
    return f"ilgi={token}"


@dataclass(slots=True)
class Habits:
    """How the page and its network are: now and then all that comes down is `jitter_ms` late.

    `away_s`: so long the network stays away when it goes. `reports`: the page tells what it has played.
    `comes_back`: it opens another socket when the server has closed one before the end.
    """

    rate_hz: int = 48_000
    jitter_ms: int = 0
    away_s: float = 0.5
    reports: bool = True
    language: str = "auto"
    use_whisper: bool = False
    comes_back: bool = True


@dataclass(slots=True)
class BrowserReport:
    """One talk: what a telephone's report holds, and what only a page is told."""

    call: CallReport
    transcripts: list[tuple[str, str, bool]] = field(default_factory=list)
    captions: dict[str, str] = field(default_factory=dict)
    """What each sentence says, by its name."""
    interrupted: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    sessions: list[tuple[str, bool]] = field(default_factory=list)
    """(id, whether it was resumed) of every `connected`."""
    close_codes: list[int] = field(default_factory=list)

    @property
    def call_sid(self) -> str:
        """The sid of the call that the talk is."""
        return "WB" + self.sessions[-1][0].replace("-", "")

    def said_by(self, speaker: str) -> list[str]:
        """The final transcripts of one side."""
        return [text for who, text, final in self.transcripts if who == speaker and final]


class BrowserLab:
    """A browser in which somebody is signed in; any number of talks."""

    def __init__(self, bot_url: str, cookie: str, habits: Habits | None = None, fixtures: Path = FIXTURES) -> None:
        """`bot_url` is the bot's public address, http; `url` may be changed in the middle of a talk."""
        self.url = bot_url
        self._cookie = cookie
        self._habits = habits or Habits()
        self._fixtures = fixtures

    async def connect(self, *, origin: str | None = None, cookie: str | None = None) -> ClientConnection:
        """Open a socket as a page of the bot's does; websockets' InvalidStatus when the handshake is refused."""
        headers = {"Cookie": self._cookie if cookie is None else cookie}
        url = "ws" + self.url.removeprefix("http") + "/ws"
        given: Any = self.url if origin is None else origin
        return await connect(url, origin=given, additional_headers=headers, proxy=None, compression=None)

    async def talk(
        self, steps: str | Iterable[Step | Mapping[str, Any]], *, patience_ms: int = 30_000
    ) -> BrowserReport:
        """Talk as a script says (a name of `fixtures/calls`, or steps); returns when it is over."""
        played = load_script(steps, self._fixtures) if isinstance(steps, str) else script(steps)
        report = BrowserReport(CallReport("WB" + uuid4().hex, ""))
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        report.call.clock_ms = lambda: round((loop.time() - began_s) * 1000)
        caller = Caller(played, patience_ms=patience_ms, fixtures=self._fixtures)
        acts = caller.acts()
        while True:
            tab = _Tab(await self.connect(), acts, caller, report, self._habits)
            if not await tab.run():
                return report
            caller.line_broke()
            report.call.note("network away", f"{self._habits.away_s:g} s")
            await asyncio.sleep(self._habits.away_s)


class _Tab:
    """One socket of a talk."""

    def __init__(
        self,
        ws: ClientConnection,
        acts: Generator[Act, None, None],
        caller: Caller,
        report: BrowserReport,
        habits: Habits,
    ) -> None:
        self._ws = ws
        self._acts = acts
        self._report = report
        self._call = report.call
        self._habits = habits
        self._playback = PagePlayback()
        self._ear = caller.ear
        self._witness = Witness(report.call, caller.ear)
        self._microphone = Resampler(MULAW_HZ, habits.rate_hz)
        self._chunk_bytes = habits.rate_hz * CHUNK_MS // 1000 * 2
        self._captured = b""
        self._luck = Random(len(report.sessions))
        self._over = False

    async def run(self) -> bool:
        """Talk on this socket; returns whether the talk goes on with another."""
        config = {
            "language": self._habits.language,
            "useWhisper": self._habits.use_whisper,
            "sampleRate": self._habits.rate_hz,
        }
        session = {"sessionId": self._report.sessions[-1][0]} if self._report.sessions else {}
        await self._send({"type": "init", "config": config, **session})
        async with asyncio.timeout(ANSWER_S):
            first = json.loads(await self._ws.recv())
        if first["type"] != "connected":
            self._report.errors.append(first.get("code", first["type"]))
            await self._ws.close()
            return False
        self._report.sessions.append((first["sessionId"], first["resumed"]))
        self._call.call_sid = self._report.call_sid
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._read())
            try:
                goes_on = await self._play()
            except ConnectionClosed:
                goes_on = None
            if goes_on is None:
                await reading
                code = self._ws.close_code or 1006
                self._report.close_codes.append(code)
                self._call.ended_by = "app"
                goes_on = code in COMES_BACK and self._habits.comes_back
        return goes_on

    async def _play(self) -> bool | None:
        """None: the server ends it; else whether the talk goes on."""
        loop = asyncio.get_running_loop()
        began_s, frame = loop.time(), 0
        while not self._over:
            due_s = began_s + frame * FRAME_MS / 1000
            await asyncio.sleep(max(due_s - loop.time(), 0))
            self._call.late_ms = max(self._call.late_ms, round((loop.time() - due_s) * 1000))
            tick = self._playback.tick()
            self._witness.hear(tick, idle=self._playback.is_idle)
            said = await self._next_frame()
            if not isinstance(said, SaidFrame):
                return said
            self._captured += self._microphone.push(mulaw.decode(said.mulaw or SILENT_FRAME))
            if not said.held:
                await self._send_captured()
            self._witness.say(said, tick)
            frame += 1
        return None

    async def _next_frame(self) -> SaidFrame | bool | None:
        for act in self._acts:
            self._witness.act(act)
            match act:
                case SaidFrame():
                    return act
                case Send(message):
                    if isinstance(message, str) and message.startswith(TYPED):
                        self._ear.speak()
                    await self._ws.send(message)
                case Drop(how):
                    self._call.note("socket dropped", how)
                    self._over = True
                    await self._leave(how)
                    return True
                case HangUp(how):
                    self._call.ended_by = "caller"
                    if how != "stop":
                        self._over = True
                        await self._leave(how)
                        return False
                    return await self._hang_up()
                case Press() | Silent():
                    self._call.breach(f"no page can do this: {act}")
        return await self._hang_up()

    async def _hang_up(self) -> bool:
        await self._send({"type": "end"})
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await self._ws.wait_closed()
        self._report.close_codes.append(self._ws.close_code or 1006)
        return False

    async def _leave(self, how: str) -> None:
        if how == "reset":
            reset(self._ws.transport)
        else:
            await self._ws.close(4000)

    async def _send_captured(self) -> None:
        while len(self._captured) >= self._chunk_bytes:
            chunk, self._captured = self._captured[: self._chunk_bytes], self._captured[self._chunk_bytes :]
            message: dict[str, Any] = {"type": "audio", "audio": b64encode(chunk).decode()}
            if self._habits.reports and (heard := self._playback.heard):
                message["heard"] = {"sentence": heard[0], "ms": heard[1]}
            await self._send(message)

    async def _send(self, message: dict[str, Any]) -> None:
        await self._ws.send(json.dumps(message, ensure_ascii=False))

    async def _read(self) -> None:
        try:
            async for text in self._ws:
                if self._habits.jitter_ms and not self._luck.randrange(JITTERS_ONCE_IN):
                    await asyncio.sleep(self._habits.jitter_ms / 1000)
                if not self._over:
                    self._take(json.loads(text))
        except ConnectionClosed:
            pass
        finally:
            self._over = True

    def _take(self, message: dict[str, Any]) -> None:
        match message:
            case {"type": "audio", "audio": str(audio), "sentence": str(sentence), **rest} if set(rest) <= {"text"}:
                pcm = b64decode(audio, validate=True)
                if not pcm or len(pcm) % WIDE.frame_bytes:
                    self._call.breach(f"audio of {len(pcm)} bytes")
                if "text" in rest and sentence in self._report.captions:
                    self._call.breach("the text of a sentence came twice")
                self._report.captions.setdefault(sentence, rest.get("text", ""))
                self._playback.queue(sentence, pcm)
                self._call.most_ahead_ms = max(self._call.most_ahead_ms, self._playback.queued_ms)
            case {"type": "transcript", "speaker": str(who), "text": str(text), "final": bool(final), **rest} if (
                not rest
            ):
                self._report.transcripts.append((who, text, final))
                if final:
                    self._call.note(who, text)
            case {"type": "interrupted", "heard": str(heard), **rest} if not rest:
                self._report.interrupted.append(heard)
                self._witness.cleared(self._playback.drop(), ())
            case {"type": "error", "code": str(code), "message": str(), "retry": bool(), **rest} if not rest:
                self._report.errors.append(code)
                self._call.note("error", code)
            case _:
                self._call.breach(f"no message of the wire: {message.get('type')}")
