"""The bot's voice: a sentence in, µ-law frames for the telephone out.

Two engines stand behind one small protocol: OpenAI's speech, streamed, and espeak-ng inside the process. `Voice` puts
them in order and never fails: what the first cannot say, the second does, in the same sentence. It must not know the
talk, the carrier's protocol or when a sentence is played.
"""

import asyncio
import logging
import time
from bisect import bisect_right
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AsyncExitStack, aclosing
from typing import Protocol

import httpx2
from openai import AsyncOpenAI, OpenAIError, omit

from bot.audio.frames import FRAME_MS, MULAW_FRAME_BYTES
from bot.audio.resample import TelephoneEncoder
from bot.conversation.korean import speakable
from bot.errors import VoiceError
from bot.services import espeak
from bot.services.cooldown import CoolDown
from bot.services.openai_client import connect, reason
from bot.services.shaping import Shaper, levelled
from bot.settings import OpenAiSettings

log = logging.getLogger(__name__)

FIRST_BYTE_S = 2.5
STALL_S = 2.0
RENDERED_AT_ONCE = 3
PIECE_MS = 200
ESPEAK_VARIANT = "f3"
INSTRUCTIONS = "한국어로, 하루 이야기를 들어 주는 다정한 친구처럼 따뜻하고 차분하게, 조금 천천히 또박또박 말해 주세요."


class Engine(Protocol):
    """Something that speaks."""

    @property
    def rate_hz(self) -> int:
        """The sample rate of what `stream` gives."""

    def stream(self, text: str) -> AsyncGenerator[bytes]:
        """Speak `text` as PCM16 mono in pieces of any size. VoiceError when it cannot, also in the middle."""


class OpenAiVoice:
    """OpenAI's speech, or any server that speaks its `/audio/speech`: PCM at 24 kHz, streamed."""

    rate_hz = 24_000

    def __init__(
        self, settings: OpenAiSettings, *, first_byte_s: float = FIRST_BYTE_S, stall_s: float = STALL_S
    ) -> None:
        self._client: AsyncOpenAI = connect(settings)
        self._model = settings.tts_model
        self._voice = settings.tts_voice
        self._first_byte_s = first_byte_s
        self._stall_s = stall_s

    async def stream(self, text: str) -> AsyncGenerator[bytes]:
        """Speak `text`. VoiceError when there is no first byte in time, or the stream stalls, breaks or is empty."""
        # No timeout stands around a `yield`: the consumer's own pauses must not count.
        late = "no first byte in time"
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(self._first_byte_s):
                    response = await stack.enter_async_context(
                        self._client.audio.speech.with_streaming_response.create(
                            input=text,
                            model=self._model,
                            voice=self._voice,
                            response_format="pcm",
                            # The first models know no instructions and refuse them.
                            instructions=omit if self._model.startswith("tts-1") else INSTRUCTIONS,
                        )
                    )
                    _require_pcm(response.headers.get("content-type", ""))
                    pieces = response.iter_bytes()
                    piece = await anext(pieces, None)
                if piece is None:
                    raise VoiceError("empty")
                late = "stalled"
                while piece is not None:
                    yield piece
                    async with asyncio.timeout(self._stall_s):
                        piece = await anext(pieces, None)
        except TimeoutError as error:
            raise VoiceError(late) from error
        except (OpenAIError, httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise VoiceError(reason(error)) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def _require_pcm(content_type: str) -> None:
    """VoiceError for an answer that would be noise on the telephone: servers exist that know only MP3 or WAV."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith(("text/", "application/json")) or kind.endswith(("mpeg", "mp3", "wav", "ogg", "flac", "aac")):
        raise VoiceError("not PCM")


class EspeakVoice:
    """espeak-ng inside the process: the whole sentence within milliseconds, brought to one level."""

    rate_hz = espeak.RATE_HZ

    def __init__(self, variant: str | None = ESPEAK_VARIANT) -> None:
        self._variant = variant

    async def stream(self, text: str) -> AsyncGenerator[bytes]:
        """Speak `text`. VoiceError when espeak-ng cannot be had."""
        pcm, _ = await self.words(text)
        step = self.rate_hz * PIECE_MS // 1000 * 2
        for at in range(0, len(pcm), step):
            yield pcm[at : at + step]
            await asyncio.sleep(0)  # all of it is here at once: other calls must get their turn between the pieces

    async def words(self, text: str) -> tuple[bytes, list[tuple[int, int]]]:
        """Return all of `text` as PCM, and when its words begin: (offset in characters, ms)."""
        pcm, _, words = await espeak.speak(text, variant=self._variant)
        return levelled(pcm), words


class Voice:
    """What the calls speak with: fixed lines from memory, everything else as it is made.

    With an `engine`, espeak-ng is what it falls back to; without one, espeak-ng is the voice. `clock` counts seconds.
    """

    def __init__(
        self,
        engine: Engine | None = None,
        *,
        fallback: EspeakVoice | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._fallback = fallback or EspeakVoice()
        self._cool_down = CoolDown(clock)
        self._rendered: dict[str, bytes] = {}
        self._provisional: set[str] = set()
        self._ms_per_letter: float | None = None

    async def prepare(self, lines: Iterable[str]) -> None:
        """Render fixed lines into memory. Never fails.

        A line that the engine could not say is kept in espeak-ng's voice, and tried again by the next `prepare`.
        """
        slots = asyncio.Semaphore(RENDERED_AT_ONCE)

        async def render(line: str) -> None:
            async with slots:
                said_by_engine, frames = True, b""
                async with aclosing(self._speak(speakable(line))) as parts:
                    async for from_engine, part in parts:
                        said_by_engine = said_by_engine and from_engine
                        frames += part
                if frames:
                    self._rendered[line] = frames
                (self._provisional.discard if said_by_engine else self._provisional.add)(line)

        async with asyncio.TaskGroup() as group:
            for line in dict.fromkeys(lines):
                if line not in self._rendered or line in self._provisional:
                    group.create_task(render(line))

    async def frames(self, sentence: str) -> AsyncGenerator[bytes]:
        """Speak `sentence`: whole µ-law frames of 160 bytes, any number at a time, as they are made. Never fails.

        Close it (`contextlib.aclosing`) to stop in the middle: that ends the request behind it.
        """
        if kept := self._rendered.get(sentence):
            yield kept
            return
        async with aclosing(self._speak(speakable(sentence))) as parts:
            async for _, part in parts:
                yield part

    async def close(self) -> None:
        """Close the engine's connections."""
        if isinstance(self._engine, OpenAiVoice):
            await self._engine.close()

    async def _speak(self, sentence: str) -> AsyncGenerator[tuple[bool, bytes]]:
        """Speak with the engine, or from the word it failed at with espeak-ng: (by the engine?, frames)."""
        given_ms = 0
        if not sentence:
            return
        if self._engine is not None and not self._cool_down.is_resting:
            try:
                async with aclosing(_encoded(self._engine, sentence)) as parts:
                    async for part in parts:
                        given_ms += len(part) // MULAW_FRAME_BYTES * FRAME_MS
                        yield True, part
                if not given_ms and _letters(sentence):
                    raise VoiceError("no sound")
                self._cool_down.worked()
                self._measure(sentence, given_ms)
                return
            except VoiceError as error:
                self._cool_down.failed()
                log.warning("the voice failed: %s", error)
        try:
            rest = await self._rest(sentence, given_ms) if given_ms else sentence
            async with aclosing(_encoded(self._fallback, rest)) as parts:
                async for part in parts:
                    yield self._engine is None, part
        except VoiceError as error:
            log.error("no voice at all: %s", error)

    async def _rest(self, sentence: str, given_ms: int) -> str:
        """What is still to be said when `given_ms` of `sentence` were, from the word that was cut on."""
        pcm, words = await self._fallback.words(sentence)
        total_ms = len(pcm) // 2 * 1000 // self._fallback.rate_hz
        pace = 1.0
        if self._ms_per_letter is not None and total_ms:
            pace = self._ms_per_letter * _letters(sentence) / total_ms
        reached_ms = given_ms / max(pace, 0.1)
        if not words or reached_ms >= total_ms:
            return ""
        at = bisect_right(words, reached_ms, key=lambda word: word[1]) - 1
        return sentence[words[max(0, at)][0] :]

    def _measure(self, sentence: str, lasted_ms: int) -> None:
        """Learn how fast the engine speaks, to know later which word it had reached."""
        if letters := _letters(sentence):
            known = self._ms_per_letter or lasted_ms / letters
            self._ms_per_letter = known + (lasted_ms / letters - known) / 4


def _letters(text: str) -> int:
    return sum(character.isalnum() for character in text)


async def _encoded(engine: Engine, text: str) -> AsyncGenerator[bytes]:
    """Speak `text` as telephone frames; what came before a failure is still given. VoiceError as the engine."""
    shaper, encoder = Shaper(engine.rate_hz), TelephoneEncoder(engine.rate_hz)
    failed: VoiceError | None = None
    try:
        async with aclosing(engine.stream(text)) as pieces:
            async for piece in pieces:
                if frames := encoder.push(shaper.push(piece)):
                    yield frames
    except VoiceError as error:
        failed = error
    if end := shaper.finish():
        yield encoder.push(end) + encoder.flush()
    if failed:
        raise failed
