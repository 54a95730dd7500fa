"""The command `stream`: send a file of sound to a running bot as a streaming job, and print what it hears.

It needs no settings but the address and a key. The exit status is 0 only when the job is completed with all of it.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from bot.environ import text
from bot.errors import IlgiError
from bot.protocols.jobs import LONGEST_TITLE, JobRequest
from bot.streamer.client import HTTP_S, Outcome, Refused, StreamedFile
from bot.streamer.showing import Json, People, printable
from bot.streamer.sound import Sound, SoundError

URL = "http://localhost:5000"
FAILED, BAD_USAGE, INTERRUPTED = 1, 2, 130
NO_KEY = (
    "bring one of the server's STREAM_KEYS, with --key or as STREAM_KEY in the environment; where the server has none "
    "set, only a person who is signed in on its page may stream, with ALLOW_UNSIGNED too"
)


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `stream` with the arguments behind its name; returns the exit status.

    1 after a failure, 2 for bad usage or a file that cannot be read, 130 when it was interrupted.
    """
    arguments = _parsed(argv)
    try:
        sound = Sound(arguments.file)
    except SoundError as error:
        _say(error)
        return BAD_USAGE
    with sound:
        return _run(sound, arguments, arguments.key or text(environ, "STREAM_KEY"))


def _run(sound: Sound, arguments: argparse.Namespace, key: str | None) -> int:
    out = sys.stdout
    people = People(out, sound.duration_ms, counts_sent=not arguments.fast)
    shown: People | Json = Json(out) if arguments.json else people
    request = JobRequest(
        language=arguments.language, summary=not arguments.no_summary, title=sound.name[:LONGEST_TITLE]
    )
    http = httpx2.AsyncClient(timeout=HTTP_S)
    job = StreamedFile(http, arguments.url, key, sound, shown)
    try:
        outcome = asyncio.run(_streamed(job, http, request, fast=arguments.fast))
    except KeyboardInterrupt:
        shown.wipe()
        where = f": what was sent is kept, and is read with GET {job.job_url}" if job.job_id else ""
        _say(f"stopped{where}")
        return INTERRUPTED
    except Refused as error:
        shown.wipe()
        _say(f"{error} ({error.failure.code})")
        if error.status == 401:
            _say(NO_KEY)
        return _left(job)
    except IlgiError as error:
        shown.wipe()
        _say(error)
        return _left(job)
    shown.ended(outcome)
    if not outcome.is_whole:
        _say("not all of the file is in the job")
        return _left(job)
    return 0


async def _streamed(job: StreamedFile, http: httpx2.AsyncClient, request: JobRequest, *, fast: bool) -> Outcome:
    async with http:
        return await job.run(request, fast=fast)


def _left(job: StreamedFile) -> int:
    if job.job_id:
        _say(f"what was heard is read with GET {job.job_url}")
    return FAILED


def _say(what: object) -> None:
    sys.stderr.write(f"stream: {printable(str(what))}\n")


def _parsed(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bot stream",
        description="Stream a WAV, MP3, FLAC or OGG file to a running bot, and print what it hears.",
        epilog="The key is one of the server's STREAM_KEYS. In the environment no list of processes shows it.",
    )
    parser.add_argument("file", metavar="FILE", type=Path)
    parser.add_argument("--url", type=_url, default=URL, help=f"the bot's address ({URL})")
    parser.add_argument("--key", help="the key; by default that of STREAM_KEY")
    parser.add_argument("--fast", action="store_true", help="as fast as the server takes it, not in real time")
    parser.add_argument("--language", default="auto", help="auto (Korean), or a code such as ko, ja, en")
    parser.add_argument("--no-summary", action="store_true", help="the text alone")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    return parser.parse_args(argv)


def _url(given: str) -> str:
    try:
        parts = urlsplit(given)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_url = False
    if not is_url or parts.query or parts.fragment:
        raise argparse.ArgumentTypeError("an address looks like https://bot.example.com")
    return given.rstrip("/")
