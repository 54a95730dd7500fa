"""How the RTZR stand-in cuts what it hears into utterances and puts words to them.

`Ear` is the recogniser of one connection: audio in, `Heard` out. It finds speech by its level over a floor that follows
the noise, has each stretch of speech looked up in the fixtures (`matching.py`) and followed (`tracking.py`), and
closes an utterance after `epd_time` of quiet, after `max_utter_duration`, or when told to. An utterance whose words it
does not know, or that holds speech beside the words it knows, is heard without a text; a cough or a knock not at all.

Time is the audio's own: 20 ms frames since the connection began. Knows no clock and no sockets.
"""

from dataclasses import dataclass, field
from math import log10

import numpy as np

from bot.audio import mulaw
from bot.lab.matching import CHUNK, FRAME, Decimator, Library, Live
from bot.lab.tracking import Track

FRAME_MS = 20
BATCH = 2  # frames worked on at once
INTERIM_FRAMES = 15  # an interim every 300 ms of an utterance that is not closed: nobody knows yet that it is over
RUN_GAP = 10  # frames of quiet that end a run of speech
FLOOR_FRAMES = 50
LOUD_DB = 6.0
AUDIBLE_DB = -60.0
SEARCH_FIRST = 12  # frames of unexplained speech after which it is looked up,
SEARCH_SOON = 8  # … and again, at first,
SEARCH_LATER = 30  # … and from 800 ms on
SHORTEST = 7  # frames: what is shorter is no utterance
COUGH_FRAMES = 50  # what has no words, and fewer frames than this
COUGH_DB = 20.0  # … that are less than so much under its loudest, is a cough or a knock
BESIDE_FRAMES = 5  # frames of some fixture right beside the known words, that make an utterance unknown
BESIDE_DB = 20.0  # … when they are less than this under the level of the words
GOES_ON_DB = 6.0  # how far under the level of a fixture speech may be that goes on in its place,
GOES_ON_FRAMES = 5  # … for so many frames
GOES_ON_WITHIN = 40  # … of those that follow
CONFIRMED_MS = 300
SURE_AFTER = 15 * FRAME  # a fixture that ended this long ago is not the beginning of a longer one
SLACK = 2 * FRAME  # by how much a word's sound may reach beyond its place in the fixture


@dataclass(frozen=True, slots=True)
class HeardWord:
    """One word; `start_ms` since the utterance began."""

    text: str
    start_ms: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Heard:
    """An utterance so far, or for good; with no words when it is not known."""

    seq: int
    start_ms: int
    duration_ms: int
    final: bool
    words: tuple[HeardWord, ...]

    @property
    def text(self) -> str:
        """Return the words in their order."""
        return " ".join(word.text for word in self.words)


@dataclass(slots=True)
class _Utterance:
    """What is being heard. Frames are counted since the connection began."""

    begins: int
    last_loud: int
    loud: int = 0  # frames
    interims: int = 0
    unknown: bool = False
    stopped: list[int] = field(default_factory=list)  # frames at which a fixture was left before its end
    words: list[tuple[str, int, int]] = field(default_factory=list)  # text, start, end in the stream


class Ear:
    """The recogniser of one connection."""

    def __init__(
        self,
        library: Library,
        *,
        sample_rate_hz: int = 16000,
        encoding: str = "LINEAR16",
        epd_time_s: float = 0.8,
        max_utter_s: float = 12.0,
    ) -> None:
        """Raise ValueError for audio that it can't listen to."""
        if encoding not in ("LINEAR16", "MULAW"):
            raise ValueError(f"{encoding} is not understood here")
        self._library = library
        self._mulaw = encoding == "MULAW"
        self._decimator = Decimator(sample_rate_hz)
        self._frame_samples = sample_rate_hz // 50
        self._frame_bytes = self._frame_samples * (1 if self._mulaw else 2)
        self._epd = round(epd_time_s * 50)
        self._longest = round(max_utter_s * 50)
        self._waiting = bytearray()
        self._live = Live()
        self._levels: list[float] = []  # dBFS of every frame
        self._smooth: list[float] = []
        self._seq = 0
        self._now: _Utterance | None = None
        self._tracks: list[Track] = []
        self._given = 0  # words of the tracks that earlier finals have taken
        self._explained: list[tuple[int, int]] = []
        self._run_begins = -1
        self._run_loud = 0
        self._run_last = -RUN_GAP
        self._search_due = SEARCH_FIRST
        self._never_knew = True
        self.audio_ms = 0.0

    def push(self, audio: bytes) -> list[Heard]:
        """Listen to some audio, of any length."""
        self._waiting += audio
        self.audio_ms += len(audio) * FRAME_MS / self._frame_bytes
        return self._listen(BATCH)

    def finalize(self) -> list[Heard]:
        """Close the utterance: what was heard meanwhile, and its final if there is one."""
        heard = self._listen(1)
        self._look_up_rest()
        for track in self._tracks:
            track.follow(to_the_end=True)
        self._settle()
        return heard + self._close()

    def _listen(self, at_least: int) -> list[Heard]:
        heard: list[Heard] = []
        while (count := min(len(self._waiting) // self._frame_bytes, BATCH)) >= at_least:
            size = count * self._frame_bytes
            taken = bytes(self._waiting[:size])
            del self._waiting[:size]
            samples = np.frombuffer(mulaw.decode(taken) if self._mulaw else taken, "<i2").astype(np.float32)
            self._live.append(self._decimator.push(samples))
            frames = samples.reshape(count, self._frame_samples)
            powers = np.einsum("ij,ij->i", frames, frames) / self._frame_samples - frames.mean(axis=1) ** 2
            for power in powers:
                heard += self._frame(10 * log10(max(float(power), 0.1)) - 90.3)
            heard += self._follow()
        return heard

    def _frame(self, level: float) -> list[Heard]:
        frame = len(self._levels)
        self._levels.append(level)
        self._smooth.append(level if not frame else self._smooth[-1] + 0.5 * (level - self._smooth[-1]))
        floor = max(min(self._smooth[-FLOOR_FRAMES:]), -70.0)
        if level >= max(floor + LOUD_DB, AUDIBLE_DB):
            self._loud(frame)
        elif self._run_loud and frame - self._run_last >= RUN_GAP:
            self._look_up_rest()
            self._run_loud = 0
        now = self._now
        if now is None:
            return []
        if frame - now.last_loud >= self._epd or frame - now.begins >= self._longest:
            self._follow()
            if frame - now.last_loud >= self._epd or frame - now.begins >= self._longest:
                return self._close()
        return []

    def _loud(self, frame: int) -> None:
        if self._now is None:
            self._now = _Utterance(frame, frame)
        self._now.loud += 1
        self._now.last_loud = frame
        self._run_last = frame
        if not self._run_loud:
            self._run_begins, self._search_due = frame, SEARCH_FIRST
        self._run_loud += 1

    def _follow(self) -> list[Heard]:
        now = self._now
        for track in self._tracks:
            track.follow()
        if not self._tracks and self._run_loud >= self._search_due:
            self._search_due = self._run_loud + (SEARCH_SOON if self._run_loud < 40 else SEARCH_LATER)
            self._look_up(max(self._run_begins - 1, len(self._levels) - CHUNK // FRAME), len(self._levels))
        self._settle()
        if now is None:
            return []
        if self._tracks:
            now.last_loud = max(now.last_loud, min(self._best().agreed_until // FRAME, len(self._levels) - 1))
        if len(self._levels) - now.begins < INTERIM_FRAMES * (now.interims + 1):
            return []
        now.interims += 1
        words = self._words()
        sure = now.words or (self._tracks and self._best().agreed_ms >= CONFIRMED_MS // 2)
        return [self._heard(now, words, final=False)] if words and sure and not now.unknown else []

    def _look_up_rest(self) -> None:
        """Look up a run that ended before a search was due."""
        if not self._tracks and self._run_loud >= SHORTEST and self._search_due <= SEARCH_FIRST + SEARCH_SOON:
            self._search_due += SEARCH_LATER
            begins = max(self._run_begins - 1, self._run_last + 1 - CHUNK // FRAME)
            self._look_up(begins, min(self._run_last + 3, len(self._levels)))

    def _look_up(self, begins: int, ends: int) -> None:
        """Search what was heard between two frames, and follow whatever it may be."""
        free_from = self._explained[-1][1] if self._explained else 0
        for tape, offset in self._library.search(self._live.window(begins * FRAME, ends * FRAME)):
            at = ends * FRAME + offset
            for first in range(len(tape.words) if self._never_knew else 1):
                track = Track(tape, at, self._live, first)
                if track.starts_at > ends * FRAME:
                    break
                if track.starts_at >= free_from - SLACK and not track.broken and track.agreement >= 0.5:
                    if first == 0 or self._nothing_before(track):
                        self._tracks.append(track)
                    break
        self._given = 0

    def _nothing_before(self, track: Track) -> bool:
        """Whether a track that begins in the middle of a fixture begins where the sound does."""
        return self._run_begins >= track.starts_at // FRAME - 3 and track.agreed_ms >= CONFIRMED_MS // 2

    def _best(self) -> Track:
        reach = max(track.agreed_until for track in self._tracks)
        near = [track for track in self._tracks if track.agreed_until >= reach - SLACK]
        return max(near, key=lambda track: (round(track.agreement, 1), track.complete, track.agreement))

    def _settle(self) -> None:
        """Drop what turned out to be something else, and take what is complete."""
        if not self._tracks:
            return
        best = self._best()
        self._tracks = [track for track in self._tracks if not track.broken]
        if not self._tracks:
            if best.agreed_ms < CONFIRMED_MS:
                return
            self._take(best, best.agreed_until)
            if self._now is not None:
                self._now.stopped.append(best.agreed_until // FRAME)
        elif best.complete and (
            all(track.complete for track in self._tracks) or self._live.end - best.ends_at >= SURE_AFTER
        ):
            self._take(best, best.ends_at)
            self._tracks = []

    def _take(self, track: Track, until: int) -> None:
        now = self._now
        self._explained.append((track.starts_at - SLACK, until + SLACK))
        self._never_knew = False
        self._run_loud = 0
        if now is None:
            return
        words = self._words_of(track)
        if words is None:
            now.unknown = True
        else:
            now.words += words

    def _words_of(self, track: Track) -> list[tuple[str, int, int]] | None:
        count = track.words_heard()
        if count is None:
            return None
        given = max(self._given, track.first)
        return [(track.tape.words[index].text, *track.word_at(index)) for index in range(given, count)]

    def _words(self) -> list[tuple[str, int, int]]:
        assert self._now is not None
        return self._now.words + ((self._words_of(self._best()) or []) if self._tracks else [])

    def _close(self) -> list[Heard]:
        """End the utterance; a track that is not at its end goes on."""
        now = self._now
        if now is None:
            return []
        if self._tracks and (best := self._best()).complete:
            self._take(best, best.ends_at)
            self._tracks = []
        self._now = None
        words = list(now.words)
        explained = list(self._explained)
        if self._tracks:
            best = self._best()
            rest = self._words_of(best)
            now.unknown |= rest is None
            words += rest or []
            explained.append((best.starts_at - SLACK, best.agreed_until + 2 * SLACK))
            self._given = max(self._given, best.words_heard() or 0)
        if not words and not now.unknown and (self._tracks or self._is_cough(now)):
            return []
        if now.unknown or self._beside(now, explained):
            words = []
        heard = self._heard(now, words, final=True)
        self._seq += 1
        return [heard]

    def _is_cough(self, now: _Utterance) -> bool:
        """Whether a stretch without words is too short to be speech."""
        levels = self._levels[now.begins : now.last_loud + 1]
        return sum(level > max(levels) - COUGH_DB for level in levels) < COUGH_FRAMES

    def _beside(self, now: _Utterance, explained: list[tuple[int, int]]) -> bool:
        """Whether there is speech beside the known words: a stretch said twice, or other words than were to come."""
        limit = self._level(explained) - BESIDE_DB
        for frame in now.stopped:
            after_it = self._levels[frame + 1 : frame + 1 + GOES_ON_WITHIN]
            if sum(level > limit + BESIDE_DB - GOES_ON_DB for level in after_it) >= GOES_ON_FRAMES:
                return True
        for low, high in explained:
            before, after = low // FRAME, -(-high // FRAME)
            for begins in (before - BESIDE_FRAMES, before - BESIDE_FRAMES - 1, after, after + 1):
                ends = begins + BESIDE_FRAMES
                if begins < now.begins - 1 or ends > len(self._levels) or min(self._levels[begins:ends]) < limit:
                    continue
                if self._library.holds(self._live.window(begins * FRAME, ends * FRAME)):
                    return True
        return False

    def _level(self, spans: list[tuple[int, int]]) -> float:
        """The mean level of what lies in `spans`, in dBFS."""
        powers = [
            10 ** (level / 10)
            for low, high in spans[-3:]
            for level in self._levels[max(low // FRAME, 0) : max(high // FRAME, 0) + 1]
        ]
        return 10 * log10(sum(powers) / len(powers)) if powers else 0.0

    def _heard(self, now: _Utterance, words: list[tuple[str, int, int]], *, final: bool) -> Heard:
        begins = now.begins * FRAME
        ends = words[-1][2] if words else (now.last_loud + 1) * FRAME
        parts = tuple(
            HeardWord(text, max(start - begins, 0) * FRAME_MS // FRAME, (end - start) * FRAME_MS // FRAME)
            for text, start, end in words
        )
        duration = max(ends - begins, FRAME) * FRAME_MS // FRAME
        return Heard(self._seq, now.begins * FRAME_MS, duration if final else 0, final, parts)
