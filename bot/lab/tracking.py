"""Following one fixture utterance through what the RTZR stand-in hears, to tell whether it goes on as written.

Every 50 ms the last 150 ms are compared with the fixture at the one place where it lies. What is hidden by noise says
nothing; what disagrees for long, or is silent where the fixture sounds, ends the track. Only a packet that was lost
without leaving a gap (20 or 40 ms, and few of them) may move the place. Positions and lengths are samples at
`MATCH_HZ`. Knows no other fixtures and no utterance boundaries.
"""

import numpy as np

from bot.lab.matching import AUDIBLE, FAINT, FRAME, MATCH_HZ, Live, Tape, Word, correlation

WINDOW = 600  # 150 ms: the stretch that is compared in one step
STEP = 200  # 50 ms
AGREES = 0.4  # correlation of a window that is heard as written
JUMPS = 0.65  # … of one that is heard as written at another place
PATIENCE = 3  # steps in a row that may disagree
MISSED = 0.25  # share of a word's steps that may disagree
GONE = 0.04  # share of the power expected under which a step holds nothing
GONE_STEPS = 2  # in a row: more than two lost packets take away
MASKED = 3.0  # a window with so many times the power expected holds a noise over the voice
KNOWN_MS = 300  # after which the noise is known
LOST_FRAMES = 2  # packets that may be lost in a row without leaving a gap


class Track:
    """One fixture utterance being followed through a stream, from word `first` on."""

    def __init__(self, tape: Tape, at: int, live: Live, first: int = 0) -> None:
        """Lay the start of `tape` at position `at` of the stream, and follow it as far as both go."""
        self.tape = tape
        self.first = first
        self._begin = tape.words[first].start
        self._live = live
        self._checked = self._begin
        self._misses = 0
        self._agreed = self._begin
        self._lost = 0
        self._likeness = np.zeros(3)
        self._scores: list[tuple[int, float]] = []
        self._skipped: list[int] = []
        self._gone = 0
        self._power = 1.0  # of the stream, where the fixture's is 1
        self._masked = 0
        self._at, self._quarter = self._lay(at)
        self.follow()

    @property
    def starts_at(self) -> int:
        """Where in the stream it begins."""
        return self._at + self._begin

    def word_at(self, index: int) -> tuple[int, int]:
        """Where in the stream word `index` starts and is heard to its end."""
        word = self.tape.words[index]
        return self._at + word.start, self._at + word.heard

    @property
    def ends_at(self) -> int:
        """Where in the stream the utterance ends, or would."""
        return self._at + len(self.tape.wave)

    @property
    def complete(self) -> bool:
        """Whether it was followed to its end."""
        return self._checked >= len(self.tape.wave)

    @property
    def broken(self) -> bool:
        """Whether the stream is something else by now."""
        return self._misses >= PATIENCE

    @property
    def agreed_until(self) -> int:
        """The position of the stream up to which it agreed: the last thing that sounded as written."""
        return self._at + self._agreed

    @property
    def agreed_ms(self) -> int:
        """How much of what sounds in it was heard as written."""
        return sum(score >= AGREES for _, score in self._scores) * STEP * 1000 // MATCH_HZ

    @property
    def agreement(self) -> float:
        """The mean correlation so far."""
        return sum(score for _, score in self._scores) / len(self._scores) if self._scores else 1.0

    def follow(self, *, to_the_end: bool = False) -> None:
        """Compare what has come since: whole steps, or `to_the_end` of what is there."""
        while not self.broken and not self.complete:
            upto = min(self._checked + STEP, len(self.tape.wave))
            if self._at + upto > self._live.end:
                upto = self._live.end - self._at
                if not to_the_end or upto <= self._checked:
                    return
            self._step(upto)

    def words_heard(self) -> int | None:
        """Return how many words of the fixture were heard to their end; None when one of them was not as written."""
        count = self.first
        limit = (self._agreed if self.broken else self._checked) + STEP // 2
        for word in self.tape.words[self.first :]:
            if word.heard > limit:
                break
            if not self._as_written(word):
                return None
            count += 1
        return count

    def _lay(self, at: int) -> tuple[int, int]:
        """Find the exact place near `at`; a packet lost since makes the beginning lie later."""
        low, high = at - FRAME, at + LOST_FRAMES * FRAME + FRAME // 2
        there = self._live.end - high - self._begin
        size = min(len(self.tape.wave) - self._begin, 2 * WINDOW, max(there, WINDOW // 2))
        heard = self._live.window(low + self._begin, high + self._begin + size)
        squares = np.concatenate(([0.0], np.cumsum(heard.astype(np.float64) ** 2)))
        energy = np.sqrt(squares[size:] - squares[:-size] + 1.0)
        best = (-np.inf, at, 0, 0.0)
        for quarter, wave in enumerate(self.tape.shifted):
            scores = np.correlate(heard, wave[self._begin : self._begin + size], "valid") / energy
            place = int(np.argmax(scores))
            power = float(energy[place] ** 2 / np.dot(self.tape.wave[self._begin :][:size], wave[self._begin :][:size]))
            best = max(best, (float(scores[place]), low + place, quarter, power))
        self._power = best[3]
        return best[1], best[2]

    def _step(self, upto: int) -> None:
        score, significant = self._compare(upto)
        self._gone = self._gone + 1 if significant and self._is_gone(upto) else 0
        if self._gone >= GONE_STEPS:
            self._misses = PATIENCE
            self._agreed = min(self._agreed, max(upto - (GONE_STEPS + 1) * STEP, self._begin))
            return
        if not significant:
            if self.agreed_ms < KNOWN_MS:
                self._skipped.append(upto)
            self._checked = upto
            return
        if score < AGREES and self._jump(upto):
            # The steps in which the packet was lost are no evidence of anything.
            while self._misses:
                self._scores.pop()
                self._misses -= 1
            score = AGREES
        if score >= AGREES:
            self._misses = 0
            self._agreed = upto
        else:
            self._misses += 1
        self._scores.append((upto, score))
        self._checked = upto
        if self._skipped and self.agreed_ms >= KNOWN_MS:
            skipped, self._skipped = self._skipped, []
            for earlier in skipped:
                score, significant = self._compare(earlier)
                if significant:
                    self._scores.insert(0, (earlier, 0.0 if self._is_gone(earlier) else score))

    def _is_gone(self, upto: int) -> bool:
        """Whether the step before `upto` sounds in the fixture and is silent in the stream."""
        low = max(upto - STEP, self._begin)
        wave = self.tape.wave[low:upto]
        heard = self._live.window(self._at + low, self._at + upto)
        energy = float(np.dot(wave, wave))
        return (
            energy > FAINT * self.tape.power * len(wave) and float(np.dot(heard, heard)) < GONE * self._power * energy
        )

    def _compare(self, upto: int) -> tuple[float, bool]:
        """Return how alike the window before `upto` is, and whether that says anything."""
        low = max(upto - WINDOW, self._begin)
        wave = self.tape.shifted[self._quarter][low:upto]
        energy = float(np.dot(wave, wave))
        mean = self.tape.power * len(wave)
        if energy < self._significant() * mean:
            return 0.0, False
        heard = self._live.window(self._at + low, self._at + upto)
        product, power = float(np.dot(heard, wave)), float(np.dot(heard, heard))
        score = product / (energy * power) ** 0.5 if power > 1 else 0.0
        if score >= AGREES:
            self._likeness += (product, energy, power)
        elif self.agreed_ms >= KNOWN_MS and energy >= 0.1 * mean:
            both, of_wave, _ = self._likeness
            if power > MASKED * energy * (both / of_wave) ** 2 and self._masked < 2 + len(self._scores) // 4:
                self._masked += 1
                return score, False
        return score, True

    def _significant(self) -> float:
        """The share of the mean power from which the voice stands out of the noise heard so far."""
        if self.agreed_ms < KNOWN_MS:
            return FAINT
        both, wave, heard = self._likeness
        return float(max(wave * heard / both**2 - 1, AUDIBLE))

    def _jump(self, upto: int) -> bool:
        """Take up a packet that was lost and left no gap: what follows is heard earlier by one frame or two."""
        low = max(upto - WINDOW // 2, self._begin)
        wave = self.tape.shifted[self._quarter][low:upto]
        for lost in range(1, LOST_FRAMES + 1):
            if (self._lost + lost) * 25 > upto // FRAME + 50:
                return False
            at = self._at - lost * FRAME
            if correlation(self._live.window(at + low, at + upto), wave) >= JUMPS:
                self._at = at
                self._lost += lost
                return True
        return False

    def _as_written(self, word: Word) -> bool:
        # A window belongs to the word in which its newest part lies.
        inside = [score for upto, score in self._scores if word.start < upto - STEP // 2 <= word.heard]
        return sum(score < AGREES for score in inside) <= MISSED * len(inside)
