"""What the parts of a call cost by themselves, as a yardstick for what the bot takes on the same machine.

A process on the bot's core does what anybody would do with these parts, and nothing else: reads a frame of Media
Streams and makes 16 kHz of it, listens for a voice, takes messages of Quart's sockets, 50 a second on as many as there
are calls, and asks the model's and the voice's client for answers. What a frame costs is measured hot, one after the
other; messages and answers come as they come in a call.

It is no lower bound: the bot takes its messages past Quart (`bot/doors/asgi.py`). And it is not all: the recogniser's
socket, what is sent to the caller and the diary are not in the sum.
"""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import cycle, islice

import msgspec
import uvicorn
import webrtcvad
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam
from quart import Quart, websocket
from uvicorn.loops.auto import auto_loop_factory
from websockets.asyncio.client import connect

from bot.audio import mulaw
from bot.audio.frames import FRAME_MS, MULAW_FRAME_BYTES, MULAW_HZ, PCM_HZ
from bot.audio.resample import Resampler
from bot.lab import messages
from bot.lab.load_line import LoadSocket
from bot.lab.load_lines import Ticker
from bot.lab.openai import KEY
from bot.lab.utterances import load
from bot.port import bound

FRAMES, ROUNDS = 500, 5
WARM_S, MESSAGES_S = 2.0, 10.0
ANSWERS, AT_ONCE = 60, 20
RULES, TO_SPEAK = "따뜻하게, 한두 문장으로 대답한다. " * 50, "그랬군요, 오늘은 참 긴 하루였겠어요. " * 20


class _Media(msgspec.Struct):
    timestamp: str
    payload: bytes


class _Message(msgspec.Struct):
    event: str
    media: _Media


@dataclass(frozen=True, slots=True)
class RawParts:
    """CPU of each part: of a frame in µs, of an answer in ms."""

    decode_us: float
    mulaw_us: float
    resample_us: float
    vad_us: float
    message_us: float
    chat_ms: float
    speech_ms: float

    def call_ms(self, chats: float, speeches: float) -> float:
        """The sum for a second of a call with so many chats and pieces of speech, in ms."""
        frame_us = self.decode_us + self.mulaw_us + self.resample_us + self.vad_us + self.message_us
        return frame_us / FRAME_MS + chats * self.chat_ms + speeches * self.speech_ms


class NotMeasured(Exception):
    """The process that measures has ended without a result."""


@dataclass(frozen=True, slots=True)
class Talk:
    """What is talked: what the model is told, and how many characters the voice is given at once."""

    told: list[str]
    piece_chars: int


async def measured(sockets: int, openai_url: str, core: int, talk: Talk, seconds: float = MESSAGES_S) -> RawParts:
    """Measure them on `core`, from this one; messages for so many `seconds`. NotMeasured."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot.lab.raw_parts", openai_url, str(seconds), json.dumps(asdict(talk))),
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=partial(os.sched_setaffinity, 0, {core}),
    )
    assert process.stdout
    try:
        if port := await process.stdout.readline():
            async with _talking(f"ws://127.0.0.1:{int(port)}/", sockets):
                told = await process.stdout.read()
            if await process.wait() == 0:
                return RawParts(**json.loads(told))
        raise NotMeasured(f"the parts were not measured: exit status {await process.wait()}")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def _talking(url: str, sockets: int) -> AsyncIterator[None]:
    ticker = Ticker()
    for _ in range(sockets):
        ws = await connect(url, compression=None, ping_interval=None)
        ticker.add(_Talker(LoadSocket.over(ws, lambda message: None)))
    ticking = asyncio.create_task(ticker.run())
    try:
        yield
    finally:
        ticking.cancel()


class _Talker:
    """Sends a frame of sound at each tick."""

    def __init__(self, socket: LoadSocket) -> None:
        self._socket = socket
        self._media = _media(bytes(range(MULAW_FRAME_BYTES)))

    @property
    def is_over(self) -> bool:
        return self._socket.close_code is not None

    def tick(self) -> None:
        self._socket.send(self._media)


def _media(frame: bytes) -> bytes:
    return json.dumps(messages.media(frame, timestamp_ms=0)).encode()


def _each_us(part: Callable[[bytes], object], frames: list[bytes]) -> float:
    """What one of them costs, in the quickest of some rounds."""
    rounds: list[float] = []
    for _ in range(ROUNDS):
        began_s = time.process_time()
        for frame in frames:
            part(frame)
        rounds.append(time.process_time() - began_s)
    return min(rounds) / len(frames) * 1e6


def _frames() -> Iterator[bytes]:
    for utterance in load().values():
        sound = utterance.mulaw()
        for at in range(0, len(sound) - MULAW_FRAME_BYTES, MULAW_FRAME_BYTES):
            yield sound[at : at + MULAW_FRAME_BYTES]


def _of_a_frame() -> dict[str, float]:
    frames = list(islice(_frames(), FRAMES))
    narrow = [mulaw.decode(frame) for frame in frames]
    resampler = Resampler(MULAW_HZ, PCM_HZ)
    wide = [resampler.push(pcm) for pcm in narrow]
    strict, lenient = webrtcvad.Vad(3), webrtcvad.Vad(0)
    return {
        "decode_us": _each_us(msgspec.json.Decoder(_Message).decode, [_media(frame) for frame in frames]),
        "mulaw_us": _each_us(mulaw.decode, frames),
        "resample_us": _each_us(resampler.push, narrow),
        "vad_us": _each_us(lambda pcm: (strict.is_speech(pcm, PCM_HZ), lenient.is_speech(pcm, PCM_HZ)), wide),
    }


class _Listener:
    """A Quart application that takes messages, and counts them."""

    def __init__(self) -> None:
        self.app = Quart(__name__)
        self.app.websocket("/")(self._listen)
        self._messages = 0
        self._first = asyncio.Event()

    async def _listen(self) -> None:
        await websocket.accept()
        while True:
            await websocket.receive()
            self._first.set()
            self._messages += 1

    async def message_us(self, seconds: float) -> float:
        """What a message costs, once they come."""
        await self._first.wait()
        await asyncio.sleep(WARM_S)
        before, began_s = self._messages, time.process_time()
        await asyncio.sleep(seconds)
        return (time.process_time() - began_s) / (self._messages - before) * 1e6


async def _answers_ms(ask: Callable[[], Awaitable[None]]) -> float:
    """What an answer costs, some of them being made at once."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with places:
            await ask()

    async def all_of(many: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(many):
                tasks.create_task(one())

    await all_of(AT_ONCE)  # the first import what they need, and open the connections
    began_s = time.process_time()
    await all_of(ANSWERS)
    return (time.process_time() - began_s) / ANSWERS * 1000


async def _measure(openai_url: str, seconds: float, talk: Talk) -> RawParts:
    listener, port = _Listener(), bound("127.0.0.1", 0)
    port.listen()
    config = uvicorn.Config(listener.app, ws="websockets-sansio", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[port]))
    print(port.getsockname()[1], flush=True)
    message_us = await listener.message_us(seconds)
    server.force_exit = server.should_exit = True
    await serving
    told, piece = cycle(talk.told), TO_SPEAK[: talk.piece_chars]
    async with AsyncOpenAI(api_key=KEY, base_url=openai_url, max_retries=0) as client:

        async def chat() -> None:
            messages: list[ChatCompletionMessageParam] = [
                {"role": "system", "content": RULES},
                {"role": "user", "content": next(told)},
            ]
            async for _ in await client.chat.completions.create(model="lab", messages=messages, stream=True):
                pass

        async def speak() -> None:
            speaking = client.audio.speech.with_streaming_response
            async with speaking.create(model="lab", voice="lab", input=piece, response_format="pcm") as response:
                async for _ in response.iter_bytes():
                    pass

        return RawParts(
            **_of_a_frame(), message_us=message_us, chat_ms=await _answers_ms(chat), speech_ms=await _answers_ms(speak)
        )


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        url, how_long, what = sys.argv[1:]
        print(json.dumps(asdict(runner.run(_measure(url, float(how_long), Talk(**json.loads(what)))))))
