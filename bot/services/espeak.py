"""espeak-ng, embedded: Korean speech with no account and no system package.

A ctypes binding of the library that the `espeakng-loader` package carries. It knows text and samples; it must not know
sentences of a talk, telephone frames or calls.

The library is one global state, which also keeps its phase from one call to the next: the same calls in the same order
give the same samples, the same text twice gives almost the same. So everything goes through one lock, and it blocks:
async callers go through `speak()`, which runs on the one thread kept for it.
"""

import asyncio
import ctypes
import os
import re
import tempfile
import threading
from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import espeakng_loader

from bot.errors import VoiceError

RATE_HZ = 22_050
SPEED_WPM = 150
PITCH = 50

_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_CHARACTERS = 1
_UTF8 = 1
_EVENT_LIST_END, _EVENT_WORD, _EVENT_CLAUSE_END = 0, 1, 5
_RATE, _PITCH = 1, 3
# espeak-ng keeps paths in buffers of 160 bytes and cuts longer ones without a word.
_LONGEST_PATH_BYTES = 150
# It keeps a clause in a buffer of 800 bytes, so a long text goes in by pieces.
_PIECE_CHARS = 200
_NOT_SPEECH = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000)], " ")


class _Identity(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_void_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identity),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True, slots=True)
class _Library:
    calls: ctypes.CDLL
    rate_hz: int
    kept_alive: tuple[object, ...]  # the callback and the data's short path: the library holds only their addresses


class _Capture:
    """What the library hands over while it speaks one piece of text."""

    def __init__(self) -> None:
        self.pcm = bytearray()
        self.anchors: dict[int, int] = {}

    def take(self, wav: int | None, samples: int, events: "ctypes._Pointer[_Event]") -> int:
        if wav and samples > 0:
            self.pcm += ctypes.string_at(wav, samples * 2)
        index = 0
        while events and events[index].type != _EVENT_LIST_END:
            event = events[index]
            if event.type == _EVENT_WORD:
                self.anchors[event.text_position - 1] = event.audio_position
            elif event.type == _EVENT_CLAUSE_END:
                self.anchors[event.text_position] = event.audio_position
            index += 1
        return 0


_lock = threading.Lock()
_library: _Library | None = None
_capture = _Capture()
_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="espeak")


def _on_audio(wav: int | None, samples: int, events: "ctypes._Pointer[_Event]") -> int:
    return _capture.take(wav, samples, events)


def _data_path() -> tuple[Path, tempfile.TemporaryDirectory[str] | None]:
    """The library's data, by a path short enough for it, and what keeps that path alive."""
    path = Path(espeakng_loader.get_data_path())
    if len(os.fsencode(path)) <= _LONGEST_PATH_BYTES:
        return path, None
    home = tempfile.TemporaryDirectory(prefix="espeak", ignore_cleanup_errors=True)
    short = Path(home.name) / path.name
    short.symlink_to(path, target_is_directory=True)
    return short, home


def _load() -> _Library:
    """Load and start the library once per process. VoiceError when it does not start."""
    global _library  # noqa: PLW0603
    if _library is None:
        try:
            calls = ctypes.CDLL(espeakng_loader.get_library_path())
            data, home = _data_path()
        except (OSError, RuntimeError) as error:
            raise VoiceError("espeak-ng cannot be loaded") from error
        calls.espeak_Synth.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]
        rate_hz = calls.espeak_Initialize(_SYNCHRONOUS, 0, os.fsencode(data), _DONT_EXIT)
        if rate_hz != RATE_HZ:
            raise VoiceError("espeak-ng does not start")
        callback = _Callback(_on_audio)
        calls.espeak_SetSynthCallback(callback)
        _library = _Library(calls, rate_hz, (callback, home))
    return _library


def _pieces(text: str) -> list[tuple[int, str]]:
    """Cut `text` at spaces into pieces that espeak-ng's buffers hold, each with its offset."""
    pieces = []
    start = 0
    while start < len(text):
        end = min(start + _PIECE_CHARS, len(text))
        if end < len(text):
            space = text.rfind(" ", start + 1, end)
            end = space + 1 if space > 0 else end
        if not text[start:end].isspace():
            pieces.append((start, text[start:end]))
        start = end
    return pieces


def _length_ms(pcm: bytearray, rate_hz: int) -> int:
    return len(pcm) // 2 * 1000 // rate_hz


def _word_begins(text: str, anchors: dict[int, int], length_ms: int) -> list[tuple[int, int]]:
    """When each word between spaces begins. The library leaves words out: they are laid between their neighbours."""
    known = [(0, 0), *sorted(anchors.items()), (len(text), length_ms)]
    begins = []
    for match in re.finditer(r"\S+", text):
        at = match.start()
        after = bisect_right(known, at, key=lambda anchor: anchor[0])
        (left, left_ms), (right, right_ms) = known[after - 1], known[min(after, len(known) - 1)]
        share = (at - left) / (right - left) if right > left else 0.0
        begins.append((at, max(left_ms, round(left_ms + share * (right_ms - left_ms)))))
    return begins


def synthesize_words(
    text: str,
    *,
    voice: str = "ko",
    variant: str | None = None,
    speed_wpm: int = SPEED_WPM,
    pitch: int = PITCH,
) -> tuple[bytes, int, list[tuple[int, int]]]:
    """Speak `text` as PCM16 mono, and tell when its words begin.

    Returns the samples, their rate in Hz, and for each word between spaces its offset in `text` in characters and its
    begin in milliseconds of the sound. `variant` is one of espeak-ng's ("f2", "m3" …), `speed_wpm` is 80–450 and
    `pitch` 0–99. Any text will do; what cannot be spoken makes no sound. Blocks.
    VoiceError when there is no such voice.
    """
    global _capture  # noqa: PLW0603
    clean = text.translate(_NOT_SPEECH)
    name = f"{voice}+{variant}" if variant else voice
    with _lock:
        library = _load()
        if library.calls.espeak_SetVoiceByName(name.encode()) != 0:
            raise VoiceError(f"espeak-ng has no voice {name}")
        library.calls.espeak_SetParameter(_RATE, speed_wpm, 0)
        library.calls.espeak_SetParameter(_PITCH, pitch, 0)
        library.calls.espeak_ng_SetRandSeed(1)  # or every process would have a noise of its own
        pcm = bytearray()
        words: list[tuple[int, int]] = []
        for offset, piece in _pieces(clean):
            _capture = _Capture()
            encoded = piece.encode() + b"\0"
            if library.calls.espeak_Synth(encoded, len(encoded), 0, _CHARACTERS, 0, _UTF8, None, None) != 0:
                raise VoiceError("espeak-ng failed")
            begin_ms = _length_ms(pcm, library.rate_hz)
            begins = _word_begins(piece, _capture.anchors, _length_ms(_capture.pcm, library.rate_hz))
            words += [(offset + at, begin_ms + ms) for at, ms in begins]
            pcm += _capture.pcm
        return bytes(pcm), library.rate_hz, words


def synthesize(
    text: str,
    *,
    voice: str = "ko",
    variant: str | None = None,
    speed_wpm: int = SPEED_WPM,
    pitch: int = PITCH,
) -> tuple[bytes, int]:
    """Speak `text` as PCM16 mono: the samples and their rate in Hz. As `synthesize_words`, without the words."""
    pcm, rate_hz, _ = synthesize_words(text, voice=voice, variant=variant, speed_wpm=speed_wpm, pitch=pitch)
    return pcm, rate_hz


async def speak(
    text: str,
    *,
    voice: str = "ko",
    variant: str | None = None,
    speed_wpm: int = SPEED_WPM,
    pitch: int = PITCH,
) -> tuple[bytes, int, list[tuple[int, int]]]:
    """`synthesize_words` without blocking the event loop: on the one thread kept for it, in the order of the calls."""
    make = partial(synthesize_words, text, voice=voice, variant=variant, speed_wpm=speed_wpm, pitch=pitch)
    return await asyncio.get_running_loop().run_in_executor(_thread, make)
