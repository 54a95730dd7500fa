"""Voice activity: when the caller begins to speak, pauses, and stops.

Two webrtcvad detectors hear every frame: the strict one (mode 3) may begin a talk, the lenient one (mode 0) keeps it
going. Level, pitch and two measures of sameness guard them against noise, tones and hum:

    idle      a frame is a *hint* when the strict detector says speech, the level is LOUDER_DB over the floor and has
              moved by MOVING_DB lately; a *candidate* when the sound is also neither a tone nor steady; *voiced* when
              it also has a pitch and is no click. How many of them make a START is told in `onset.py`.
    talking   a frame is *kept* when the lenient detector says speech and the level is well over the floor and not far
              under the talk's peak; a click does not break a silence. SOFT_FRAMES not kept: the talk pauses. One kept
              after all: it resumes. STOP_FRAMES not kept: STOP; one fewer when the sound was cut off, for then no
              voice is fading in them.

A second opinion (`second_opinion.py`, where it is installed) is asked at a doubtful start; and in a talk about a frame
that would be kept, but only when LOW_FRAMES in a row have been LOW_DB under the peak and the frame has no clear pitch:
it never ends a talk whose level holds, nor a softly held 음.

A pure filter: frames of 16 kHz PCM in, events out, 4 KB of state. It knows no clock (the call clock comes beside each
frame), and nothing of turns or words.
"""

import math
from collections import deque
from enum import Enum
from typing import Protocol

import numpy as np
import webrtcvad

from bot.audio.features import WINDOW, Floats, level, pitch, spectrum, steadiness, suddenness, tone
from bot.audio.frames import FRAME_MS, PCM_FRAME_BYTES, PCM_HZ
from bot.audio.lowest import Lowest
from bot.audio.onset import LIKELY, DoubtedOnset, Look, Onset, Opinion
from bot.conversation.events import SpeechPaused, SpeechResumed, SpeechStarted, SpeechStopped
from bot.errors import LocalProtocolError

SpeechEvent = SpeechStarted | SpeechPaused | SpeechResumed | SpeechStopped

QUIETEST_DB = -70.0  # the floor is never taken to be lower
FLOOR_FRAMES = 75
FLOOR_PACE = 0.5
FLOOR_RISE_DB = 0.25  # a frame, while somebody talks: a held vowel is not the floor
PEAK_FALL_DB = 0.02  # a frame: 1 dB a second

LOUDER_DB = 3.0
MOVING_DB = 4.0
MOVING_FRAMES = 8
PUREST_TONE = 0.99
STEADIEST = 0.995
VOICED_PITCH = 0.55
SUDDENEST = 0.7
FAR_DB = 15.0

KEPT_OVER_FLOOR_DB = 2.0
KEPT_UNDER_PEAK_DB = 25.0
CLICK_AFTER_FRAMES = 2
CUT_OFF_DB = 40.0
SOFT_FRAMES = 10
STOP_FRAMES = 14
CUT_OFF_STOP_FRAMES = 13
LOW_DB = 12.0
LOW_FRAMES = 6
HELD_PITCH = 0.95

STEADY_LAG = PCM_HZ * 40 // 1000
HELD_FRAMES = -(-(WINDOW + STEADY_LAG) // (PCM_FRAME_BYTES // 2))


class VoiceActivityDetector(Protocol):
    """What the talk needs of a detector: any other one stands in here."""

    def push(self, pcm_16k_20ms: bytes, at_ms: int) -> list[SpeechEvent]:
        """Hear one frame that ends at `at_ms` of the call clock, and return what it showed."""


class _Stage(Enum):
    IDLE = 0
    TALKING = 1
    PAUSED = 2


class Vad:
    """The detector described on top; one for each call.

    The order of events is always STARTED (PAUSED RESUMED)* PAUSED STOPPED and again; after the last frame any prefix.
    """

    def __init__(self, opinion: Opinion | None = None) -> None:
        self._strict = webrtcvad.Vad(3)
        self._lenient = webrtcvad.Vad(0)
        self._opinion = opinion
        self._onset = DoubtedOnset(opinion) if opinion else Onset()
        self._stage = _Stage.IDLE
        self._held: deque[bytes] = deque([bytes(PCM_FRAME_BYTES)] * HELD_FRAMES, HELD_FRAMES)
        self._levels_db: deque[float] = deque(maxlen=MOVING_FRAMES)
        self._smoothed_db = math.nan  # of the frame before
        self._lowest = Lowest(FLOOR_FRAMES)
        self._floor_db = QUIETEST_DB
        self._peak_db = QUIETEST_DB
        self._quiet_frames = 0
        self._low_frames = 0
        self._cut_off = False
        self._kept_until_ms = 0

    def push(self, pcm_16k_20ms: bytes, at_ms: int) -> list[SpeechEvent]:
        """Hear one frame of 640 bytes that ends at `at_ms`; LocalProtocolError for any other size."""
        if len(pcm_16k_20ms) != PCM_FRAME_BYTES:
            raise LocalProtocolError(f"a frame has {PCM_FRAME_BYTES} bytes, not {len(pcm_16k_20ms)}")
        strict = self._strict.is_speech(pcm_16k_20ms, PCM_HZ)
        lenient = self._lenient.is_speech(pcm_16k_20ms, PCM_HZ)
        self._held.append(pcm_16k_20ms)
        if self._opinion:
            self._opinion.hear(pcm_16k_20ms)
        level_db = level(pcm_16k_20ms)
        over_floor_db = level_db - self._follow(level_db)
        if self._stage is not _Stage.IDLE:
            return self._go_on(self._keep(lenient, level_db, over_floor_db), at_ms)
        frames = self._onset.begins(self._look(strict, lenient, level_db, over_floor_db))
        return self._begin(frames, at_ms) if frames else []

    def _follow(self, level_db: float) -> float:
        """Take the level into floor and peak, and return the floor: the quietest of the last 1.5 s, smoothed."""
        before = level_db if math.isnan(self._smoothed_db) else self._smoothed_db
        self._levels_db.append(level_db)
        self._smoothed_db = before + FLOOR_PACE * (level_db - before)
        self._peak_db = max(level_db, self._peak_db - PEAK_FALL_DB)
        floor_db = max(self._lowest.push(self._smoothed_db), QUIETEST_DB)
        if self._stage is not _Stage.IDLE:
            floor_db = min(floor_db, self._floor_db + FLOOR_RISE_DB)
        self._floor_db = floor_db
        return floor_db

    def _look(self, strict: bool, lenient: bool, level_db: float, over_floor_db: float) -> Look:
        """Return what the newest frame is like; its spectrum is looked at in a hint alone."""
        moving = max(self._levels_db) - min(self._levels_db) >= MOVING_DB
        hint = strict and over_floor_db >= LOUDER_DB and moving
        candidate = voiced = False
        if hint:
            sound = self._sound()
            now, before = spectrum(sound[-WINDOW:]), spectrum(sound[-WINDOW - STEADY_LAG : -STEADY_LAG])
            candidate = tone(now) <= PUREST_TONE and steadiness(now, before) <= STEADIEST
        if candidate:
            voiced = pitch(sound[-WINDOW:]) >= VOICED_PITCH and suddenness(sound[-WINDOW:]) <= SUDDENEST
        keeps = lenient and over_floor_db >= KEPT_OVER_FLOOR_DB
        far = level_db < self._peak_db - FAR_DB
        return Look(strict, hint, candidate, voiced, keeps, far, self._smoothed_db)

    def _begin(self, frames: int, at_ms: int) -> list[SpeechEvent]:
        self._onset.clear()
        self._stage, self._quiet_frames, self._low_frames, self._kept_until_ms = _Stage.TALKING, 0, 0, at_ms
        return [SpeechStarted(at_ms - frames * FRAME_MS)]

    def _keep(self, lenient: bool, level_db: float, over_floor_db: float) -> bool:
        """Return whether the newest frame keeps the talk going."""
        under_peak_db = self._peak_db - level_db
        self._low_frames = self._low_frames + 1 if under_peak_db >= LOW_DB else 0
        if not lenient or over_floor_db < KEPT_OVER_FLOOR_DB or under_peak_db > KEPT_UNDER_PEAK_DB:
            if self._quiet_frames == 0:
                self._cut_off = under_peak_db >= CUT_OFF_DB
            return False
        if self._quiet_frames >= CLICK_AFTER_FRAMES and suddenness(self._sound()[-WINDOW:]) > SUDDENEST:
            return False
        if not self._opinion or self._low_frames < LOW_FRAMES or pitch(self._sound()[-WINDOW:]) >= HELD_PITCH:
            return True
        return self._opinion.ask() >= LIKELY

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
