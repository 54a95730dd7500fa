"""The file half of the RTZR stand-in: a recording is uploaded, and its words are asked for until they are there.

The words come from nothing but the audio, by the same ear as a stream's (`hearing.py`). It must not know the bot.
Source: RTZR's developer pages, "General STT" and "Rate limits".
"""

import asyncio
import io
import json
import secrets
import wave
from dataclasses import dataclass

from werkzeug.exceptions import HTTPException
from werkzeug.formparser import MultiPartParser
from werkzeug.http import parse_options_header

from bot.lab.hearing import Ear, Heard
from bot.lab.rtzr_behaviour import FileReport, error_body
from bot.lab.rtzr_connection import House

FILES_PATH = "/v1/transcribe"
LONGEST_S = 4 * 3600.0
CHUNK_MS = 100
OPTIONS = {
    "model_name": str,
    "language": str,
    "use_diarization": bool,
    "diarization": dict,
    "use_itn": bool,
    "use_disfluency_filter": bool,
    "use_profanity_filter": bool,
    "use_paragraph_splitter": bool,
    "paragraph_splitter": dict,
    "domain": str,
    "use_word_timestamp": bool,
    "keywords": list,
}
Answer = tuple[int, dict[str, object]]


@dataclass(slots=True)
class _Transcription:
    """What was uploaded; `utterances` None: it failed."""

    ready_at: float
    utterances: list[dict[str, object]] | None
    report: FileReport
    asked_at: float = -1e9
    expired: bool = False


class Files:
    """What was uploaded to one stand-in."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._known: dict[str, _Transcription] = {}

    def expire(self) -> None:
        """Make every result one that is kept no longer."""
        for transcription in self._known.values():
            transcription.expired = True

    async def post(self, content_type: str, body: bytes) -> Answer:
        """Take a file and its `config`."""
        faults, profile, now = self._house.faults, self._house.profile, asyncio.get_running_loop().time
        if faults.file_posts > 0:
            faults.file_posts -= 1
            return faults.file_status, error_body(faults.file_status)
        busy = sum(now() < transcription.ready_at for transcription in self._known.values())
        if faults.file_channels is not None and busy >= faults.file_channels:
            return 429, error_body(429, "A0002")
        try:
            config, file = _parts(content_type, body)
            if wrong := _wrong_options(config):
                raise ValueError(wrong)
        except ValueError as error:
            self._house.report.other_breaches.append(f"transcribe: {error}")
            return 400, error_body(400)
        try:
            heard, audio_s = await asyncio.to_thread(self._listen, file)
        except (wave.Error, EOFError, ValueError):
            return 400, error_body(400, "H0010")
        if audio_s > LONGEST_S:
            return 413, error_body(413, "H0006")
        report = FileReport(len(self._house.report.files) + 1, config, audio_s, 0, [each.text for each in heard])
        self._house.report.files.append(report)
        failed = faults.failed_files > 0
        faults.failed_files -= failed
        known = f"lab-{secrets.token_urlsafe(12)}"
        ready_at = now() + profile.file_ms / 1000 + audio_s / profile.file_speed
        self._known[known] = _Transcription(ready_at, None if failed else _utterances(heard), report)
        return 200, {"id": known}

    def get(self, name: str) -> Answer:
        """Tell how far a transcription is, or what it gave."""
        faults, profile, now = self._house.faults, self._house.profile, asyncio.get_running_loop().time()
        if faults.file_gets > 0:
            faults.file_gets -= 1
            return faults.file_status, error_body(faults.file_status)
        transcription = self._known.get(name)
        if transcription is None:
            return 404, error_body(404)
        transcription.report.polls += 1
        since_s, transcription.asked_at = now - transcription.asked_at, now
        if since_s < profile.poll_s:
            return 429, error_body(429, "A0003")
        if transcription.expired:
            return 410, error_body(410)
        if now < transcription.ready_at:
            return 200, {"id": name, "status": "transcribing"}
        if transcription.utterances is None:
            return 200, {"id": name, "status": "failed", "error": {"code": "E500", "message": "internal server error"}}
        return 200, {"id": name, "status": "completed", "results": {"utterances": transcription.utterances}}

    def _listen(self, file: bytes) -> tuple[list[Heard], float]:
        with wave.open(io.BytesIO(file)) as sound:
            if sound.getsampwidth() != 2 or sound.getnchannels() != 1:
                raise ValueError("this stand-in takes 16 bit mono only")
            rate = sound.getframerate()
            ear = Ear(self._house.library, sample_rate_hz=rate)
            heard: list[Heard] = []
            while pcm := sound.readframes(rate * CHUNK_MS // 1000):
                heard += ear.push(pcm)
            heard += ear.finalize()
        return [each for each in heard if each.final and each.words], ear.audio_ms / 1000


def _parts(content_type: str, body: bytes) -> tuple[dict[str, object], bytes]:
    kind, options = parse_options_header(content_type)
    if kind != "multipart/form-data" or "boundary" not in options:
        raise ValueError("no multipart/form-data")
    try:
        form, files = MultiPartParser().parse(io.BytesIO(body), options["boundary"].encode(), len(body))
    except HTTPException as error:
        raise ValueError("a form that is none") from error
    if "file" not in files:
        raise ValueError("no file")
    config = json.loads(form.get("config", "no config"))
    if not isinstance(config, dict):
        raise ValueError("config is no object")
    return config, files["file"].read()


def _wrong_options(config: dict[str, object]) -> str | None:
    for name, value in config.items():
        if not isinstance(value, OPTIONS.get(name, ())):
            return f"config: {name} is not known, or of another type"
    if config.get("model_name", "sommers") not in ("sommers", "whisper"):
        return "config: model_name must be sommers or whisper"
    if config.get("domain", "GENERAL") not in ("GENERAL", "CALL"):
        return "config: domain must be GENERAL or CALL"
    return None


def _utterances(heard: list[Heard]) -> list[dict[str, object]]:
    return [
        {"start_at": each.start_ms, "duration": each.duration_ms, "msg": each.text, "spk": 0, "lang": "ko"}
        for each in heard
    ]
