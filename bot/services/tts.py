"""The bot's voice: a sentence in, frames for a line out: µ-law for a telephone, PCM for a browser.

`Voice` puts the engines in order and never fails: what the first cannot say, espeak-ng does, in the same sentence. It
must not know the talk, the carrier's protocol or when a sentence is played.
"""

import asyncio
import logging
import time
from bisect import bisect_right
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing

from bot.audio.forms import TELEPHONE, Form
from bot.audio.resample import Encoder
from bot.conversation.commands import Manner
from bot.conversation.korean import speakable
from bot.errors import VoiceError
from bot.services.at_most import AtMost
from bot.services.breaker import Breaker
from bot.services.engines import Engine, EspeakVoice, OpenAiVoice
from bot.services.shaping import Louder, Shaper, louder

log = logging.getLogger(__name__)

RENDERED_AT_ONCE = 3
PACED_LINES = 100
"""So many fixed lines are kept at other paces than the voice's own: about 2 MB for telephones, and 12 for browsers."""
OWN = Manner()
FIRST_SOUND_S = 2.0
"""Within this the engine must be heard, silence at the beginning left out."""
GAP_S = 0.3
"""An engine that is slower than what it gives is played makes one gap of at most this; then espeak-ng goes on."""
SLOW = "too slow to be played without a gap"
SILENCE_S = 2.0
"""So long it may be silent inside a sentence."""


class Voice:
    """What the calls speak with: fixed lines from memory, everything else as it is made.

    With an `engine`, espeak-ng is what it falls back to; without one, espeak-ng is the voice. A `Manner` makes it
    slower or louder: a fixed line is made anew the first time it is to be slower. `clock` counts seconds. `fell_back`
    is called for each sentence that the engine did not say to its end.
    """

    def __init__(
        self,
        engine: Engine | None = None,
        *,
        fallback: EspeakVoice | None = None,
        clock: Callable[[], float] = time.monotonic,
        form: Form = TELEPHONE,
        fell_back: Callable[[], None] = lambda: None,
    ) -> None:
        self.form = form
        self._fell_back = fell_back
        self._engine = engine
        self._fallback = fallback or EspeakVoice()
        self._breaker = Breaker("voice", clock=clock)
        self._rendered: dict[str, bytes] = {}
        self._provisional: set[str] = set()
        self._paced: dict[tuple[str, float], bytes] = {}
        self._ms_per_letter: dict[float, float] = {}
        self._kept_once_said: frozenset[str] = frozenset()
        self._short: tuple[str, ...] = ()

    def also(self, form: Form, *, lines: Iterable[str], short: Iterable[str]) -> "Voice":
        """The same voice for another kind of line.

        Nothing is rendered for it before somebody is on such a line: then the `short` lines are at once, by `warm`, and
        each other fixed one of `lines` is kept when it is said for the first time.
        """
        other = Voice(self._engine, fallback=self._fallback, form=form, fell_back=self._fell_back)
        other._breaker, other._ms_per_letter = self._breaker, self._ms_per_letter
        other._kept_once_said, other._short = frozenset(lines), tuple(short)
        return other

    async def prepare(self, lines: Iterable[str]) -> None:
        """Render fixed lines into memory. Never fails.

        A line that the engine could not say is kept in espeak-ng's voice, and tried again by the next `prepare`.
        """
        slots = asyncio.Semaphore(RENDERED_AT_ONCE)

        async def render(line: str) -> None:
            async with slots:
                said_by_engine, frames = True, b""
                async with aclosing(self._speak(speakable(line), OWN.pace)) as parts:
                    async for from_engine, part in parts:
                        said_by_engine = said_by_engine and from_engine
                        if not said_by_engine and line in self._provisional:
                            return
                        frames += part
                if frames:
                    self._rendered[line] = frames
                (self._provisional.discard if said_by_engine else self._provisional.add)(line)

        async with asyncio.TaskGroup() as group:
            for line in dict.fromkeys(lines):
                if line not in self._rendered or line in self._provisional:
                    group.create_task(render(line))

    async def frames(self, sentence: str, manner: Manner = OWN) -> AsyncGenerator[bytes]:
        """Speak `sentence`: whole frames of the form, any number at a time, as they are made. Never fails.

        Close it (`contextlib.aclosing`) to stop in the middle: that ends the request behind it.
        """
        kept = self._rendered.get(sentence)
        is_fixed = kept is not None or sentence in self._kept_once_said
        if manner.pace != OWN.pace:
            kept = self._paced.get((sentence, manner.pace))
        if kept:
            yield louder(kept, manner.gain_db, self.form)
            return
        made, by_engine, loud = bytearray(), True, Louder(manner.gain_db, self.form)
        async with aclosing(self._speak(speakable(sentence), manner.pace)) as parts:
            async for from_engine, part in parts:
                if ready := loud.push(part):
                    yield ready
                if is_fixed:
                    made += part
                    by_engine = by_engine and from_engine
        if made and by_engine and manner.pace == OWN.pace:
            self._rendered[sentence] = bytes(made)
        elif made and by_engine:
            self._keep_paced(sentence, manner.pace, bytes(made))
        if last := loud.finish():
            yield last

    def cached(self, text: str, manner: Manner = OWN) -> bytes | None:
        """Return the whole frames of a fixed line at once, None when it is not in memory.

        A line that was never said at this pace comes at the voice's own.
        """
        kept = self._paced.get((text, manner.pace)) or self._rendered.get(text)
        return louder(kept, manner.gain_db, self.form) if kept else None

    async def warm(self) -> None:
        """Open a connection ahead of the next sentence if there may be none. Never fails."""
        if isinstance(self._engine, OpenAiVoice):
            await self._engine.warm()
        if any(line not in self._rendered or line in self._provisional for line in self._short):
            await self.prepare(self._short)

    async def close(self) -> None:
        """Close the engine's connections."""
        if isinstance(self._engine, OpenAiVoice):
            await self._engine.close()

    def _keep_paced(self, line: str, pace: float, frames: bytes) -> None:
        self._paced[line, pace] = frames
        if len(self._paced) > PACED_LINES:
            del self._paced[next(iter(self._paced))]

    async def _speak(self, sentence: str, pace: float) -> AsyncGenerator[tuple[bool, bytes]]:
        """Speak with the engine, or from the word it failed at with espeak-ng: (by the engine?, frames)."""
        given_ms = 0
        if not sentence:
            return
        if self._engine is not None and (asking := self._breaker.request()):
            try:
                with asking:
                    sound = _encoded(self._engine, sentence, pace, self.form, gap_s=GAP_S)
                    async with aclosing(_in_time(sound, self.form.bytes_per_s, FIRST_SOUND_S, SILENCE_S)) as parts:
                        async for part in parts:
                            given_ms += self.form.length_ms(len(part))
                            yield True, part
                    if not given_ms and _letters(sentence):
                        raise VoiceError("no sound")
                self._measure(sentence, pace, given_ms)
                return
            except VoiceError as error:
                log.warning("the voice failed: %s", error)
        if self._engine is not None:
            self._fell_back()
        try:
            rest = await self._rest(sentence, pace, given_ms) if given_ms else sentence
            async with aclosing(_encoded(self._fallback, rest, pace, self.form)) as parts:
                async for part in parts:
                    yield self._engine is None, part
        except VoiceError as error:
            log.error("no voice at all: %s", error)

    async def _rest(self, sentence: str, pace: float, given_ms: int) -> str:
        """What is still to be said when `given_ms` of `sentence` were, from the word that was cut on."""
        pcm, words = await self._fallback.words(sentence, pace)
        total_ms = len(pcm) // 2 * 1000 // self._fallback.rate_hz
        slower = 1.0
        if (ms_per_letter := self._ms_per_letter.get(pace)) is not None and total_ms:
            slower = ms_per_letter * _letters(sentence) / total_ms
        reached_ms = given_ms / max(slower, 0.1)
        if not words or reached_ms >= total_ms:
            return ""
        at = bisect_right(words, reached_ms, key=lambda word: word[1]) - 1
        return sentence[words[max(0, at)][0] :]

    def _measure(self, sentence: str, pace: float, lasted_ms: int) -> None:
        """Learn how fast the engine speaks, to know later which word it had reached."""
        if letters := _letters(sentence):
            known = self._ms_per_letter.get(pace, lasted_ms / letters)
            self._ms_per_letter[pace] = known + (lasted_ms / letters - known) / 4


def _letters(text: str) -> int:
    return sum(character.isalnum() for character in text)


async def _encoded(
    engine: Engine, text: str, pace: float, form: Form, *, gap_s: float | None = None
) -> AsyncGenerator[bytes]:
    """Speak `text` as frames of the form; what came before a failure is still given. VoiceError as the engine.

    With `gap_s` also when the engine is so much slower than what it gives is played.
    """
    shaper, encoder = Shaper(engine.rate_hz), Encoder(engine.rate_hz, form)
    failed: VoiceError | None = None
    sound = engine.stream(text, pace)
    if gap_s is not None:
        sound = _in_time(sound, engine.rate_hz * 2, None, gap_s)
    try:
        async with aclosing(sound) as pieces:
            async for piece in pieces:
                if frames := encoder.push(shaper.push(piece)):
                    yield frames
    except VoiceError as error:
        failed = error
    if end := shaper.finish():
        yield encoder.push(end) + encoder.flush()
    if failed:
        raise failed


async def _in_time(
    sound: AsyncGenerator[bytes], bytes_per_s: int, first_s: float | None, gap_s: float
) -> AsyncGenerator[bytes]:
    """Give `sound`; VoiceError when nothing comes for `first_s`, or for `gap_s` longer than what came before lasts.

    Only the time that is waited here counts, not what the consumer takes for itself.
    """
    limit, has_begun = AtMost(first_s), False
    async with aclosing(sound):
        while True:
            try:
                async with limit:
                    piece = await anext(sound, None)
            except TimeoutError:
                raise VoiceError(SLOW if has_begun else "no sound in time") from None
            if piece is None:
                return
            left_s = limit.left_s if has_begun else gap_s
            limit, has_begun = AtMost((left_s or 0.0) + len(piece) / bytes_per_s), True
            yield piece
