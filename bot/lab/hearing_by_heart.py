"""An ear of the RTZR stand-in that knows each frame of the fixtures by heart, for as many connections as a load takes.

It hears a fixture only when its sound arrives bit for bit, as `bot/audio` makes 16 kHz of what a caller's line carried,
in whole frames and behind silence. That costs a look into a table for each frame, where `hearing.Ear` compares
waveforms. A word of which a frame is missing or changed is not heard.

Time is the audio's own, as there. Knows no clock and no sockets.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bot.audio import mulaw
from bot.audio.frames import MULAW_FRAME_BYTES, MULAW_HZ, PCM_FRAME_BYTES, PCM_HZ
from bot.audio.resample import Resampler
from bot.lab import utterances
from bot.lab.hearing import Heard, HeardWord
from bot.lab.level import is_audible
from bot.lab.utterances import FIXTURES, Utterance

FRAME_MS = 20
INTERIM_FRAMES = 15


@dataclass(frozen=True, slots=True)
class _Place:
    """A frame that occurs at one place alone: whose it is, and in which word it lies."""

    name: str
    frame: int
    word: int


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known by heart; `loud` is how many frames of each word are known."""

    places: dict[bytes, _Place]
    words: dict[str, tuple[str, ...]]
    loud: dict[str, tuple[int, ...]]

    @classmethod
    @lru_cache(maxsize=2)
    def of(cls, fixtures: Path = FIXTURES) -> "Memory":
        """Learn every utterance of a folder."""
        known = utterances.load(fixtures)
        found: dict[bytes, _Place | None] = {}
        for utterance in known.values():
            for place, pcm in _frames(utterance, fixtures):
                # What sounds alike at two places tells nothing.
                found[pcm] = None if pcm in found else place
        places = {pcm: place for pcm, place in found.items() if place is not None}
        loud = {name: [0] * len(utterance.words) for name, utterance in known.items()}
        for place in places.values():
            loud[place.name][place.word] += 1
        words = {name: tuple(word.text for word in utterance.words) for name, utterance in known.items()}
        return cls(places, words, {name: tuple(counts) for name, counts in loud.items()})


def _frames(utterance: Utterance, fixtures: Path) -> Iterable[tuple[_Place, bytes]]:
    """Each audible frame of an utterance, as it is after silence at 16 kHz."""
    sound, upsampler, word = utterance.mulaw(fixtures), Resampler(MULAW_HZ, PCM_HZ), 0
    for frame in range(len(sound) // MULAW_FRAME_BYTES):
        piece = sound[frame * MULAW_FRAME_BYTES :][:MULAW_FRAME_BYTES]
        pcm = upsampler.push(mulaw.decode(piece))
        while word + 1 < len(utterance.words) and utterance.words[word].end_ms <= frame * FRAME_MS:
            word += 1
        if is_audible(piece):
            yield _Place(utterance.name, frame, word), pcm


class EarByHeart:
    """The recogniser of one connection, with the methods of `hearing.Ear`."""

    def __init__(
        self,
        memory: Memory,
        _library: object = None,
        *,
        sample_rate_hz: int = PCM_HZ,
        encoding: str = "LINEAR16",
        epd_time_s: float = 0.8,
        max_utter_s: float = 12.0,
    ) -> None:
        """Raise ValueError for audio that it can't listen to."""
        if (encoding, sample_rate_hz) != ("LINEAR16", PCM_HZ):
            raise ValueError(f"{encoding} at {sample_rate_hz} Hz is not known by heart")
        self.audio_ms = 0.0
        self._memory = memory
        self._epd = round(epd_time_s * 1000 / FRAME_MS)
        self._longest = round(max_utter_s * 1000 / FRAME_MS)
        self._waiting = bytearray()
        self._frame = 0
        self._seq = 0
        self._begins: int | None = None
        self._last_loud = 0
        self._last_whole = 0
        """The frame with which a word was complete."""
        self._interims = 0
        self._heard: dict[tuple[str, int], list[int]] = {}

    def push(self, audio: bytes) -> list[Heard]:
        """Listen to some audio, of any length."""
        self.audio_ms += len(audio) * FRAME_MS / PCM_FRAME_BYTES
        self._waiting += audio
        whole_bytes = len(self._waiting) - len(self._waiting) % PCM_FRAME_BYTES
        taken = bytes(self._waiting[:whole_bytes])
        del self._waiting[:whole_bytes]
        heard: list[Heard] = []
        for at in range(0, whole_bytes, PCM_FRAME_BYTES):
            heard += self._listen(taken[at : at + PCM_FRAME_BYTES])
        return heard

    def finalize(self) -> list[Heard]:
        """Close the utterance; its final, if there is one."""
        if self._begins is None:
            return []
        # It goes no further than its words: another that has begun is in the next final.
        final = self._so_far(self._begins, max(self._last_whole, self._begins), final=True)
        self._begins, self._heard = None, self._cut_words()
        self._seq += 1
        return [final]

    def _cut_words(self) -> dict[tuple[str, int], list[int]]:
        """The words in which the utterance was closed: what they miss may still come, and then they are in the next."""
        found: dict[tuple[str, int], list[int]] = {}
        for (name, begins), counts in self._heard.items():
            all_of_them = self._memory.loud[name]
            cut = [count if count < whole else 0 for count, whole in zip(counts, all_of_them, strict=True)]
            if any(cut):
                found[name, begins] = cut
        return found

    def _listen(self, pcm: bytes) -> list[Heard]:
        frame, self._frame = self._frame, self._frame + 1
        if place := self._memory.places.get(pcm):
            if self._begins is None:
                self._begins, self._interims = frame, 0
            self._last_loud = frame
            # The begin of the sound tells two times that the same was said apart.
            counts = self._heard.setdefault((place.name, frame - place.frame), self._empty(place.name))
            counts[place.word] += 1
            if counts[place.word] == self._memory.loud[place.name][place.word]:
                self._last_whole = frame
        if self._begins is None:
            return []
        if frame - self._last_loud >= self._epd or frame - self._begins >= self._longest:
            return self.finalize()
        if frame - self._begins < INTERIM_FRAMES * (self._interims + 1):
            return []
        self._interims += 1
        so_far = self._so_far(self._begins, self._last_loud, final=False)
        return [so_far] if so_far.words else []

    def _empty(self, name: str) -> list[int]:
        return [0] * len(self._memory.words[name])

    def _so_far(self, begins: int, last: int, *, final: bool) -> Heard:
        length_ms = (last + 1 - begins) * FRAME_MS
        texts = [
            text
            for (name, _), counts in self._heard.items()
            for text, count, all_of_it in zip(self._memory.words[name], counts, self._memory.loud[name], strict=True)
            if count and count == all_of_it
        ]
        each_ms = length_ms // max(len(texts), 1)
        words = tuple(HeardWord(text, index * each_ms, each_ms) for index, text in enumerate(texts))
        return Heard(self._seq, begins * FRAME_MS, length_ms if final else 0, final, words)
