"""Voice activity: when the caller begins to speak, pauses, and stops.

Two webrtcvad detectors hear every frame: the strict one (mode 3) may begin a talk, the lenient one (mode 0) keeps it
going. Level, pitch and two measures of sameness guard them against noise, tones and hum:

    idle      a frame is a *candidate* when the strict detector says speech, the level is LOUDER_DB over the floor and
              has moved by MOVING_DB lately, and the sound is neither a tone nor steady. It is *voiced* when it has a
              pitch and is no click. Two candidates among the last three frames, the newest among them and one of them
              voiced: START.
    talking   a frame is *kept* when the lenient detector says speech and the level is well over the floor and not far
              under the talk's peak; a click does not break a silence. SOFT_FRAMES not kept: the talk pauses. One kept
              after all: it resumes. STOP_FRAMES not kept: STOP; one fewer when the sound was cut off, for then no
              voice is fading in them.

A pure filter: frames of 16 kHz PCM in, events out, 4 KB of state. It knows no clock (the call clock comes beside each
frame), and nothing of turns or words.
"""

import math
from collections import deque
from enum import Enum
from typing import Protocol

import numpy as np
import numpy.typing as npt
import webrtcvad

from bot.audio.frames import FRAME_MS, PCM_FRAME_BYTES, PCM_HZ
from bot.conversation.events import SpeechPaused, SpeechResumed, SpeechStarted, SpeechStopped
from bot.errors import LocalProtocolError

SpeechEvent = SpeechStarted | SpeechPaused | SpeechResumed | SpeechStopped

QUIETEST_DB = -70.0  # the floor is never taken to be lower
FLOOR_FRAMES = 75
FLOOR_PACE = 0.5
FLOOR_RISE_DB = 0.25  # a frame, while somebody talks: a held vowel is not the floor
PEAK_FALL_DB = 0.02  # a frame: 1 dB a second

CANDIDATE_FRAMES = 3
CANDIDATES = 2
LOUDER_DB = 3.0
MOVING_DB = 4.0
MOVING_FRAMES = 8
PUREST_TONE = 0.99
STEADIEST = 0.995
VOICED_PITCH = 0.55
SUDDENEST = 0.7

KEPT_OVER_FLOOR_DB = 2.0
KEPT_UNDER_PEAK_DB = 25.0
CLICK_AFTER_FRAMES = 2
CUT_OFF_DB = 40.0
SOFT_FRAMES = 10
STOP_FRAMES = 14
CUT_OFF_STOP_FRAMES = 13

WINDOW = PCM_HZ * 32 // 1000
STEADY_LAG = PCM_HZ * 40 // 1000
HELD_FRAMES = -(-(WINDOW + STEADY_LAG) // (PCM_FRAME_BYTES // 2))
SHORTEST_LAG = PCM_HZ // 400
LONGEST_LAG = PCM_HZ // 63
PITCH_OFFSET = 1e4  # keeps near silence from having a pitch; int16 scale squared
PEAK_BINS = 2
SUDDEN = PCM_HZ * 8 // 1000

Floats = npt.NDArray[np.float64]
_HANN: Floats = np.hanning(WINDOW)
_LAGS = np.arange(SHORTEST_LAG, LONGEST_LAG + 1)
_OVERLAP: Floats = WINDOW / (WINDOW - _LAGS)


class VoiceActivityDetector(Protocol):
    """What the talk needs of a detector: any other one stands in here."""

    def push(self, pcm_16k_20ms: bytes, at_ms: int) -> list[SpeechEvent]:
        """Hear one frame that ends at `at_ms` of the call clock, and return what it showed."""

    def missing(self, n_frames: int, at_ms: int) -> list[SpeechEvent]:
        """Hear `n_frames` of nothing, the last of which ends at `at_ms`."""


class _Stage(Enum):
    IDLE = 0
    TALKING = 1
    PAUSED = 2


class Vad:
    """The detector described on top; one for each call.

    The order of events is always STARTED (PAUSED RESUMED)* PAUSED STOPPED and again; after the last frame any prefix.
    """

    def __init__(self) -> None:
        self._strict = webrtcvad.Vad(3)
        self._lenient = webrtcvad.Vad(0)
        self._stage = _Stage.IDLE
        self._held: deque[bytes] = deque([bytes(PCM_FRAME_BYTES)] * HELD_FRAMES, HELD_FRAMES)
        self._levels_db: deque[float] = deque(maxlen=MOVING_FRAMES)
        self._smoothed_db: deque[float] = deque(maxlen=FLOOR_FRAMES)
        self._floor_db = QUIETEST_DB
        self._peak_db = QUIETEST_DB
        self._candidates: deque[tuple[bool, bool]] = deque(maxlen=CANDIDATE_FRAMES)  # (candidate, voiced)
        self._quiet_frames = 0
        self._cut_off = False
        self._kept_until_ms = 0

    def push(self, pcm_16k_20ms: bytes, at_ms: int) -> list[SpeechEvent]:
        """Hear one frame of 640 bytes that ends at `at_ms`; LocalProtocolError for any other size."""
        if len(pcm_16k_20ms) != PCM_FRAME_BYTES:
            raise LocalProtocolError(f"a frame has {PCM_FRAME_BYTES} bytes, not {len(pcm_16k_20ms)}")
        strict = self._strict.is_speech(pcm_16k_20ms, PCM_HZ)
        lenient = self._lenient.is_speech(pcm_16k_20ms, PCM_HZ)
        self._held.append(pcm_16k_20ms)
        level_db = level(pcm_16k_20ms)
        floor_db = self._follow(level_db)
        if self._stage is not _Stage.IDLE:
            return self._go_on(self._keep(lenient, level_db, level_db - floor_db), at_ms)
        self._candidates.append(self._look(strict, level_db - floor_db))
        return self._begin(at_ms) if self._may_begin() else []

    def missing(self, n_frames: int, at_ms: int) -> list[SpeechEvent]:
        """Hear frames that never came as silence; more than the floor's memory of them change nothing further."""
        heard = min(n_frames, 2 * FLOOR_FRAMES)
        begin_ms = at_ms - n_frames * FRAME_MS
        silence = bytes(PCM_FRAME_BYTES)
        events = [event for n in range(heard) for event in self.push(silence, begin_ms + (n + 1) * FRAME_MS)]
        self._peak_db = max(QUIETEST_DB, self._peak_db - PEAK_FALL_DB * (n_frames - heard))
        return events

    def _follow(self, level_db: float) -> float:
        """Take the level into floor and peak, and return the floor: the quietest of the last 1.5 s, smoothed."""
        before = self._smoothed_db[-1] if self._smoothed_db else level_db
        self._levels_db.append(level_db)
        self._smoothed_db.append(before + FLOOR_PACE * (level_db - before))
        self._peak_db = max(level_db, self._peak_db - PEAK_FALL_DB)
        floor_db = max(min(self._smoothed_db), QUIETEST_DB)
        if self._stage is not _Stage.IDLE:
            floor_db = min(floor_db, self._floor_db + FLOOR_RISE_DB)
        self._floor_db = floor_db
        return floor_db

    def _look(self, strict: bool, over_floor_db: float) -> tuple[bool, bool]:
        """Return whether the newest frame is a candidate, and whether it is a voiced one."""
        if not strict or over_floor_db < LOUDER_DB or max(self._levels_db) - min(self._levels_db) < MOVING_DB:
            return False, False
        sound = self._sound()
        now, before = spectrum(sound[-WINDOW:]), spectrum(sound[-WINDOW - STEADY_LAG : -STEADY_LAG])
        if tone(now) > PUREST_TONE or steadiness(now, before) > STEADIEST:
            return False, False
        voiced = pitch(sound[-WINDOW:]) >= VOICED_PITCH and suddenness(sound[-WINDOW:]) <= SUDDENEST
        return True, voiced

    def _may_begin(self) -> bool:
        """Decide on the onset; a second opinion (a model that hears the last 480 ms) would be asked here."""
        if not self._candidates[-1][0] or sum(candidate for candidate, _ in self._candidates) < CANDIDATES:
            return False
        return any(voiced for _, voiced in self._candidates)

    def _begin(self, at_ms: int) -> list[SpeechEvent]:
        first = next(n for n, (candidate, _) in enumerate(self._candidates) if candidate)
        frames = len(self._candidates) - first
        self._candidates.clear()
        self._stage, self._quiet_frames, self._kept_until_ms = _Stage.TALKING, 0, at_ms
        return [SpeechStarted(at_ms - frames * FRAME_MS)]

    def _keep(self, lenient: bool, level_db: float, over_floor_db: float) -> bool:
        """Return whether the newest frame keeps the talk going."""
        under_peak_db = self._peak_db - level_db
        if not lenient or over_floor_db < KEPT_OVER_FLOOR_DB or under_peak_db > KEPT_UNDER_PEAK_DB:
            if self._quiet_frames == 0:
                self._cut_off = under_peak_db >= CUT_OFF_DB
            return False
        if self._quiet_frames < CLICK_AFTER_FRAMES:
            return True
        return suddenness(self._sound()[-WINDOW:]) <= SUDDENEST

    def _go_on(self, kept: bool, at_ms: int) -> list[SpeechEvent]:
        if kept:
            resumed = self._stage is _Stage.PAUSED
            self._stage, self._quiet_frames, self._kept_until_ms = _Stage.TALKING, 0, at_ms
            return [SpeechResumed()] if resumed else []
        self._quiet_frames += 1
        if self._quiet_frames == SOFT_FRAMES:
            self._stage = _Stage.PAUSED
            return [SpeechPaused(self._kept_until_ms)]
        if self._quiet_frames == (CUT_OFF_STOP_FRAMES if self._cut_off else STOP_FRAMES):
            self._stage = _Stage.IDLE
            return [SpeechStopped(self._kept_until_ms)]
        return []

    def _sound(self) -> Floats:
        """Return the last frames as one array."""
        return np.frombuffer(b"".join(self._held), "<i2").astype(np.float64)


def level(pcm: bytes) -> float:
    """Return the level of int16 PCM in dB of full scale; -90 for silence."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float32)
    mean_square = float(samples @ samples) / max(len(samples), 1)
    return 10 * math.log10(max(mean_square, 1.0) / 32768**2)


def spectrum(window: Floats) -> Floats:
    """Return the power spectrum of 32 ms under a Hann window."""
    bins = np.fft.rfft(window * _HANN)
    return bins.real**2 + bins.imag**2


def tone(power: Floats) -> float:
    """Return the share of the two strongest peaks in a power spectrum: 1 for a pure tone or a pair of them."""
    rest = power.copy()
    for _ in range(2):
        top = int(np.argmax(rest))
        rest[max(top - PEAK_BINS, 0) : top + PEAK_BINS + 1] = 0.0
    total = float(power.sum())
    return 1 - float(rest.sum()) / total if total > 0 else 0.0


def steadiness(now: Floats, before: Floats) -> float:
    """Return the cosine of two log spectra, their means removed: 1 when the sound has not changed."""
    a, b = np.log(now + 1.0), np.log(before + 1.0)
    a -= a.mean()
    b -= b.mean()
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size > 0 else 0.0


def pitch(window: Floats) -> float:
    """Return how periodic 32 ms are, about 0 to 1: the best autocorrelation at a lag of 63 to 400 Hz."""
    centred = window - window.mean()
    bins = np.fft.rfft(centred, 2 * WINDOW)
    correlation = np.fft.irfft(bins.real**2 + bins.imag**2)
    return float(np.max(correlation[_LAGS] * _OVERLAP)) / (float(correlation[0]) + PITCH_OFFSET)


def suddenness(window: Floats) -> float:
    """Return the share of the loudest 8 ms in the energy of 32 ms: 0.25 for a steady sound, 1 for a click."""
    energy = np.cumsum(window * window)
    total = float(energy[-1])
    return float(np.max(energy[SUDDEN:] - energy[:-SUDDEN])) / total if total > 0 else 0.0
