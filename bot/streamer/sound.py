"""A file of sound as the PCM of a job, piece by piece, so that its length costs no memory.

Decoding and resampling are libsndfile's and libsoxr's, which are loaded when a file is opened: serving needs neither.
It must not know where the sound goes.
"""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bot.audio.frames import PCM_HZ
from bot.errors import IlgiError

PIECE_MS = 500
RUN_IN_MS = 1000
"""So long before the moment it seeks, since an MP3 needs what was before to be heard right."""
_RAW = ".raw"


class SoundError(IlgiError):
    """The file cannot be read, or holds no sound."""


class Sound:
    """An open file of sound; to be closed, or used as a context. SoundError, which says why, if it cannot be one."""

    def __init__(self, path: Path) -> None:
        import soundfile  # noqa: PLC0415

        self.name = path.name
        self._unreadable = soundfile.LibsndfileError
        try:
            path.open("rb").close()
        except OSError as error:
            raise SoundError(f"{path}: {error.strerror}") from error
        if not path.is_file() or path.suffix.lower() == _RAW:
            raise SoundError(f"{path}: {_advice(path)}")
        try:
            self._file = soundfile.SoundFile(path)
        except soundfile.LibsndfileError as error:
            raise SoundError(f"{path}: {_advice(path)}") from error
        # Where it can seek, it does so after every read, which breaks the bit reservoir of an MP3 each time.
        self._file.seekable = lambda: False
        self._rate_hz: int = self._file.samplerate
        if not self._file.frames:
            self.close()
            raise SoundError(f"{path}: there is no sound in it")
        self.duration_ms: int = self._file.frames * 1000 // self._rate_hz

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def pieces(self, from_ms: int = 0) -> Iterator[bytes]:
        """The sound from there on: 16 kHz, 16 bit little-endian, mono, each piece of about `PIECE_MS`.

        Channels become their mean. SoundError where the file is broken.
        """
        import soxr  # noqa: PLC0415

        resampler = soxr.ResampleStream(self._rate_hz, PCM_HZ, 1) if self._rate_hz != PCM_HZ else None
        frames = max(1, self._rate_hz * PIECE_MS // 1000)
        skip = self._at(from_ms)
        while True:
            mono = self._read(frames)
            last = not len(mono)
            skip, mono = max(0, skip - len(mono)), mono[skip:]
            if resampler:
                mono = resampler.resample_chunk(mono, last=last)
            if len(mono):
                yield _to_pcm(mono)
            if last:
                return

    def _at(self, from_ms: int) -> int:
        """Go to a moment, or to a little before: as many frames are to be skipped as are returned."""
        wanted: int = min(from_ms * self._rate_hz // 1000, self._file.frames)
        begin = max(0, wanted - self._rate_hz * RUN_IN_MS // 1000)
        try:
            if self._file.tell() != begin:
                self._file.seek(begin)
        except self._unreadable as error:
            raise self._broken(error) from error
        return wanted - begin

    def _read(self, frames: int) -> npt.NDArray[np.float32]:
        try:
            read: npt.NDArray[np.float32] = self._file.read(frames, dtype="float32", always_2d=True)
        except self._unreadable as error:
            raise self._broken(error) from error
        mono: npt.NDArray[np.float32] = read.mean(axis=1, dtype=np.float32)
        return mono

    def _broken(self, error: Any) -> SoundError:
        return SoundError(f"{self.name}: the file is broken: {error.error_string}")


def _to_pcm(mono: npt.NDArray[np.float32]) -> bytes:
    """What is no number is silence, and what is too loud is clipped."""
    scaled = np.rint(np.nan_to_num(mono, nan=0.0) * 32768)
    return np.clip(scaled, -32768, 32767).astype("<i2").tobytes()


def _advice(path: Path) -> str:
    return (
        "this is no WAV, MP3, FLAC or OGG file (M4A, AAC and WMA cannot be read); "
        f"convert it, for example with: ffmpeg -i {path.name} {path.stem or 'sound'}.flac"
    )
