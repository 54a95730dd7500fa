"""What speaks: OpenAI's speech, streamed, and espeak-ng inside the process. Text in, PCM out.

It must not know sentences of a talk, telephone frames, or which engine stands in for which.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from time import monotonic
from typing import Protocol

from openai import AsyncOpenAI, omit
from openai.resources.audio.speech import AsyncSpeech

from bot.conversation.texts import table
from bot.errors import VoiceError
from bot.services import espeak
from bot.services.at_most import AtMost
from bot.services.openai_client import FAILURES, Warmth, connect, reason
from bot.services.shaping import levelled
from bot.settings import OpenAiSettings

FIRST_BYTE_S = 1.5
STALL_S = 2.0
PIECE_MS = 200
MOST_BYTES = 24_000 * 2 * PIECE_MS // 1000
"""Pieces are joined up to so much, and never to more than half of what was given and cannot have been played yet."""
ESPEAK_VARIANT = "f3"
NO_SOUND = ("text/", "image/", "video/", "multipart/", "application/json", "application/xml")
OTHER_SOUND = ("mpeg", "mp3", "mp4", "wav", "wave", "ogg", "opus", "webm", "flac", "aac", "aacp")
OTHER_BEGINNINGS = (
    b"RIFF",
    b"ID3",
    b"OggS",
    b"fLaC",
    b"\xff\xfb",
    b"\xff\xf3",
    b"\xff\xf2",
    b'{"',
    b"<!",
    b"<h",
    b"<?",
)
"""Of files and pages: as the first sample of a voice, which begins quietly, they would be a bang."""


class Engine(Protocol):
    """Something that speaks."""

    @property
    def rate_hz(self) -> int:
        """The sample rate of what `stream` gives."""

    def stream(self, text: str, pace: float) -> AsyncGenerator[bytes]:
        """Speak `text` as PCM16 mono in pieces of any size, at `pace` times its own pace.

        VoiceError when it cannot, also in the middle.
        """


class OpenAiVoice:
    """OpenAI's speech, or any server that speaks its `/audio/speech`: PCM at 24 kHz, streamed."""

    rate_hz = 24_000

    def __init__(
        self, settings: OpenAiSettings, *, first_byte_s: float = FIRST_BYTE_S, stall_s: float = STALL_S
    ) -> None:
        self._client: AsyncOpenAI = connect(settings)
        self._speech = AsyncSpeech(self._client)  # `audio.speech` would import all else that has to do with sound
        self._warmth = Warmth(self._client)
        self._model = settings.tts_model
        self._voice = settings.tts_voice
        self._first_byte_s = first_byte_s
        self._stall_s = stall_s

    async def warm(self) -> None:
        """Open a connection ahead of the next sentence if there may be none. Never fails."""
        await self._warmth.warm()

    async def stream(self, text: str, pace: float = 1.0) -> AsyncGenerator[bytes]:
        """Speak `text`. VoiceError when there is no first byte in time, or the stream stalls, breaks or is empty."""
        # No timeout stands around a `yield`: the consumer's own pauses must not count.
        late = "no first byte in time"
        try:
            async with AsyncExitStack() as stack:
                stack.enter_context(self._warmth.request())
                async with AtMost(self._first_byte_s):
                    response = await stack.enter_async_context(
                        self._speech.with_streaming_response.create(
                            input=text,
                            model=self._model,
                            voice=self._voice,
                            response_format="pcm",
                            # The first models know no instructions and refuse them.
                            instructions=omit if self._model.startswith("tts-1") else _instructions(pace),
                            speed=omit if pace == 1.0 else pace,
                        )
                    )
                    _require_pcm(response.headers.get("content-type", ""))
                    pieces = response.iter_bytes()
                    piece = await anext(pieces, None)
                if piece is None:
                    raise VoiceError("empty")
                if piece.startswith(OTHER_BEGINNINGS):
                    raise VoiceError("not PCM, whatever it is called")
                late, given_bytes, began_s = "stalled", 0, monotonic()
                while piece:
                    yield piece
                    given_bytes += len(piece)
                    ahead_bytes = given_bytes - round((monotonic() - began_s) * self.rate_hz * 2)
                    async with AtMost(self._stall_s):
                        piece = await _together(pieces, min(MOST_BYTES, ahead_bytes // 2))
        except TimeoutError as error:
            raise VoiceError(late) from error
        except FAILURES as error:
            raise VoiceError(reason(error)) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


async def _together(pieces: AsyncIterator[bytes], enough_bytes: int) -> bytes:
    """The next pieces in one, since each costs as much as it is long; empty at the end."""
    together = bytearray()
    async for piece in pieces:
        together += piece
        if together and len(together) >= enough_bytes:
            break
    return bytes(together)


def _instructions(pace: float) -> str:
    """What a model that may not count in `speed` is told in words; it says nothing of a pace above its own."""
    texts = table("voice")
    return f"{texts['manner']} {texts['slower']}" if pace < 1.0 else str(texts["manner"])


def _require_pcm(content_type: str) -> None:
    """VoiceError for an answer that would be noise on the telephone: servers exist that know only MP3 or WAV."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith(NO_SOUND) or kind.endswith(OTHER_SOUND):
        raise VoiceError("not PCM")


class EspeakVoice:
    """espeak-ng inside the process: the whole sentence within milliseconds, brought to one level."""

    rate_hz = espeak.RATE_HZ

    def __init__(self, variant: str | None = ESPEAK_VARIANT) -> None:
        self._variant = variant

    async def stream(self, text: str, pace: float = 1.0) -> AsyncGenerator[bytes]:
        """Speak `text`. VoiceError when espeak-ng cannot be had."""
        pcm, _ = await self.words(text, pace)
        step = self.rate_hz * PIECE_MS // 1000 * 2
        for at in range(0, len(pcm), step):
            yield pcm[at : at + step]
            await asyncio.sleep(0)  # all of it is here at once: other calls must get their turn between the pieces

    async def words(self, text: str, pace: float = 1.0) -> tuple[bytes, list[tuple[int, int]]]:
        """Return all of `text` as PCM, and when its words begin: (offset in characters, ms)."""
        pcm, _, words = await espeak.speak(text, variant=self._variant, speed_wpm=round(espeak.SPEED_WPM * pace))
        return levelled(pcm), words
