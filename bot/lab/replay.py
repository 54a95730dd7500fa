"""`python -m bot replay FILE`: a recorded call goes through the core again, at full speed, and the talk is printed.

What came in on the media stream is parsed, resampled, heard by the VAD and turned into turns exactly as in a call; what
the services answered is taken from the journal, at its place in the order. So the same journal gives the same talk.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bot.conversation.commands import (
    Command,
    HangUp,
    KeepEntry,
    KeepHeard,
    KeepSaid,
    KeepWaterfall,
    Pause,
    Play,
    Prepare,
    Reply,
    Resume,
    Say,
    StopSpeaking,
)
from bot.conversation.events import EntryWritten
from bot.conversation.talk import Talk
from bot.conversation.turns import Turns
from bot.conversation.waterfall import Waterfall
from bot.diary.crypto import Keys
from bot.diary.database import sqlite_file
from bot.diary.store import keys_of
from bot.errors import IlgiError, RemoteProtocolError
from bot.journal import Record, decode_event, read
from bot.protocols.twilio import MediaStream, Stopped
from bot.settings import StoreSettings, load_store


@dataclass(slots=True)
class Replayed:
    """What came of a replay. `said`, `heard` and `waterfalls` are by turns (-1: the greeting).

    Of `replies`, which were to be heard, `stopped_replies` were broken off. They paused for a voice `pauses` times, and
    went on after `resumed` of these. Of the `prepared` ones, begun before the turn was over, `dropped` came to nothing.
    """

    said: dict[int, str] = field(default_factory=dict)
    heard: dict[int, str] = field(default_factory=dict)
    waterfalls: dict[int, Waterfall] = field(default_factory=dict)
    entry: EntryWritten | None = None
    statuses: list[str] = field(default_factory=list)
    stopped_replies: int = 0
    replies: int = 0
    pauses: int = 0
    resumed: int = 0
    prepared: int = 0
    dropped: int = 0
    bad_messages: int = 0
    frames: int = 0
    length_ms: int = 0
    ended: str | None = None
    _unheard: set[int] = field(default_factory=set)

    def take(self, command: Command) -> str | None:
        """Note a command; returns the line of the talk that it makes, if any."""
        match command:
            case KeepSaid(turn, text):
                self.said[turn] = text
                return f"caller  {text}"
            case KeepHeard(turn, text):
                new = text.removeprefix(self.heard.get(turn, ""))
                self.heard[turn] = text
                return f"bot     {new.strip()}"
            case KeepWaterfall(turn, waterfall):
                self.waterfalls[turn] = waterfall
                return f"        (answered {waterfall.heard_ms} ms after the caller's last voiced frame)"
            case Reply() | Say():
                self.replies += 1
            case Prepare(reply):
                self.prepared += 1
                self._unheard.add(reply)
            case Play(reply):
                self.replies += 1
                self._unheard.discard(reply)
            case Pause():
                self.pauses += 1
                return "        (a voice: the bot pauses)"
            case Resume():
                self.resumed += 1
                return "        (and goes on)"
            case StopSpeaking(reply) if reply in self._unheard:
                self.dropped += 1
            case StopSpeaking():
                self.stopped_replies += 1
                return "        (the caller breaks in)"
            case KeepEntry(status):
                self.statuses.append(status)
                if self.entry:
                    return f"entry   {self.entry.title}: {self.entry.body} ({self.entry.mood}, {status})"
            case HangUp(why):
                self.ended = why
                return f"        ({why})"
        return None


def replay(records: Iterable[Record], outcome: Replayed) -> Iterator[str]:
    """Run the records through the core; gives the talk line by line as it happens, and fills `outcome`."""
    talk, stream = Talk(Turns()), MediaStream()
    for record in records:
        commands: list[Command] = []
        if record.wire == "event":
            event = decode_event(record.message)
            if isinstance(event, EntryWritten):
                outcome.entry = event
            commands = talk.tell(event)
        elif record.wire == "twilio" and record.direction == "in":
            try:
                inbound = stream.receive(record.message)
            except RemoteProtocolError:
                outcome.bad_messages += 1
                continue
            commands = talk.hang_up() if isinstance(inbound, Stopped) else talk.hear(inbound)
        for command in commands:
            if line := outcome.take(command):
                yield f"{talk.now_ms / 1000:7.2f} s  {line}"
    for command in talk.hang_up():
        if line := outcome.take(command):
            yield f"{talk.now_ms / 1000:7.2f} s  {line}"
    outcome.frames, outcome.length_ms = talk.frames, talk.now_ms


def _keys(settings: StoreSettings) -> Keys | None:
    """The keys that are there: a replay makes none."""
    file = sqlite_file(settings.database_url)
    if settings.diary_keys is None and (file is None or not file.with_name(file.name + ".key").is_file()):
        return None
    return keys_of(settings.database_url, settings.diary_keys)


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """Run the command; exit status 1 when the file cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m bot replay", description=__doc__)
    parser.add_argument("file", type=Path, help="a journal of JOURNAL_DIR, or a recording of fixtures/calls")
    path: Path = parser.parse_args(argv).file
    outcome = Replayed()
    if not path.is_file():
        print(f"{path} is not there, or is not a file", file=sys.stderr)
        return 1
    try:
        keys = None if path.suffix == ".gz" else _keys(load_store(environ))
        for line in replay(read(path, keys), outcome):
            print(line)
    except IlgiError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{outcome.length_ms / 1000:.1f} s of call, {outcome.frames} frames, {len(outcome.said)} turns")
    return 0
