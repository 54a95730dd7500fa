"""The Twilio stand-in: phones a running bot with recorded callers, exactly as Twilio would, and tells what it saw.

    async with TwilioLab("http://127.0.0.1:5000", auth_token="…") as lab:
        report = await lab.call("plain-day")
        assert not report.breaches

Must not know anything of the bot but its address, its public URL and its auth token. From the command line:
`python -m bot.lab.twilio --bot http://127.0.0.1:5000 --auth-token … --script plain-day`.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from websockets.asyncio.client import ClientConnection

from bot.lab.caller import Caller
from bot.lab.line import Line, Record
from bot.lab.phonecall import Habits, PhoneCall
from bot.lab.recordings import KeptRecordings
from bot.lab.report import CallReport, LogLine
from bot.lab.script import Step, load_script, script
from bot.lab.utterances import FIXTURES
from bot.lab.wire import Answer, Wire

ACCOUNT_SID = "AC" + "0123456789abcdef" * 2
BOT_NUMBER = "+827045678901"
CALLER_NUMBER = "+821012345678"

Script = str | Iterable[Step | Mapping[str, Any]]


class TwilioLab:
    """Any number of calls, one after the other or at once, to one bot.

    `habits` change what is the same for all calls (`status_path`, `fallback_path`, `action_on_hangup`, `echo_marks`,
    `verb_pace` …). `record` gets every message of every media socket: {"call_sid", "at_ms", "direction", "message"},
    ms since `start`, direction "in" (to the app) or "out". `on_event` gets every line of every call's log at once.
    """

    def __init__(
        self,
        bot_url: str,
        *,
        auth_token: str,
        public_url: str | None = None,
        account_sid: str = ACCOUNT_SID,
        called: str = BOT_NUMBER,
        record: Record | None = None,
        on_event: Callable[[LogLine], None] | None = None,
        fixtures: Path = FIXTURES,
        recordings: KeptRecordings | None = None,
        **habits: Any,
    ) -> None:
        self.reports: list[CallReport] = []
        """A report of every call made, in the order of dialling."""
        self.recordings = recordings or KeptRecordings()
        """What was recorded in any call; of a `TwilioRest`, so that it can be fetched."""
        self._bot_url = bot_url
        self._auth_token = auth_token
        self._public_url = public_url
        self._habits = replace(Habits(account_sid, called), **habits)
        self._record = record
        self._on_event = on_event
        self._fixtures = fixtures
        self._wire = self._new_wire()
        self._sockets: list[ClientConnection] = []
        self._lines: set[Line] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for ws in self._sockets:
            ws.transport.abort()
        await self._wire.close()

    @property
    def breaches(self) -> list[str]:
        """Every breach of every call."""
        return [breach for report in self.reports for breach in report.breaches]

    async def call(
        self,
        steps: Script,
        *,
        number: str = CALLER_NUMBER,
        call_sid: str | None = None,
        patience_ms: int = 30_000,
        record: Record | None = None,
        on_event: Callable[[LogLine], None] | None = None,
        leaves: Callable[[], bool] = lambda: False,
    ) -> CallReport:
        """Phone the bot and play a script (a name of `fixtures/calls`, a path, or steps); returns when all is over.

        When the script is through, the caller waits `patience_ms` for the bot to end the call, then hangs up; and at
        once when `leaves` says so.
        """
        played = load_script(steps, self._fixtures) if isinstance(steps, str) else script(steps)
        caller = Caller(played, patience_ms=patience_ms, fixtures=self._fixtures, leaves=leaves)
        report = CallReport(call_sid or new_call_sid(), number, on_event=on_event or self._on_event)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        report.clock_ms = lambda: round((loop.time() - began_s) * 1000)
        self.reports.append(report)
        wire = self._new_wire()
        try:
            call = PhoneCall(
                wire,
                self._habits,
                caller,
                report,
                record=record or self._record,
                lines=self._lines,
                recordings=self.recordings,
            )
            await call.run()
        finally:
            await wire.close()
        return report

    def go_silent(self, seconds: float) -> int:
        """Have every stream that is open now carry nothing for so long, without closing; returns how many."""
        for line in self._lines:
            line.go_silent(seconds)
        return len(self._lines)

    async def request(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        auth_token: str | None = None,
    ) -> Answer:
        """One webhook by itself, signed with `auth_token` or the lab's; a header with the value "" is left out."""
        wire = self._wire if auth_token is None else Wire(self._bot_url, auth_token, self._public_url)
        try:
            return await wire.request(path, params or {}, method=method, headers=headers)
        finally:
            if wire is not self._wire:
                await wire.close()

    async def dial(
        self, path: str = "/twilio/media", *, headers: Mapping[str, str] | None = None, auth_token: str | None = None
    ) -> ClientConnection:
        """One media socket by itself, signed, with nothing sent on it; aborted when the lab closes, at the latest."""
        wire = self._wire if auth_token is None else Wire(self._bot_url, auth_token, self._public_url)
        try:
            ws = await wire.dial(path, headers=headers)
        finally:
            if wire is not self._wire:
                await wire.close()
        self._sockets.append(ws)
        return ws

    def _new_wire(self) -> Wire:
        return Wire(self._bot_url, self._auth_token, self._public_url)


def new_call_sid() -> str:
    """A CallSid that no call had before."""
    return "CA" + uuid4().hex


def print_line(line: LogLine) -> None:
    """Print a line of a call's log as it happens."""
    print(f"{line.at_ms / 1000:8.2f}  {line.what:16} {line.detail}", flush=True)


async def _phone(arguments: argparse.Namespace) -> int:
    async with TwilioLab(
        arguments.bot,
        auth_token=arguments.auth_token,
        public_url=arguments.public_url,
        account_sid=arguments.account_sid,
        on_event=print_line,
    ) as lab:
        report = await lab.call(arguments.script, number=arguments.number)
    if arguments.wav is not None:
        report.save_wav(arguments.wav)
    latencies = [f"{turn.voice_to_voice_ms} ms" for turn in report.turns]
    print(f"greeting {report.greeting_ms} ms; voice to voice {', '.join(latencies)}; ended by the {report.ended_by}")
    print(f"{len(report.breaches)} breaches", *report.breaches, sep="\n  ")
    return 1 if report.breaches else 0


def main() -> None:
    """Phone a running bot once; the exit status is 1 when it breached the protocol."""
    parser = argparse.ArgumentParser(prog="python -m bot.lab.twilio", description=main.__doc__)
    parser.add_argument("--bot", default="http://127.0.0.1:5000", help="where the bot listens")
    parser.add_argument("--public-url", help="the bot's PUBLIC_URL, if it is another")
    parser.add_argument("--auth-token", required=True)
    parser.add_argument("--account-sid", default=ACCOUNT_SID)
    parser.add_argument("--script", default="plain-day", help="a name of fixtures/calls, or a path")
    parser.add_argument("--number", default=CALLER_NUMBER, help="who calls")
    parser.add_argument("--wav", type=Path, help="where to write the call: the caller left, the bot right")
    sys.exit(asyncio.run(_phone(parser.parse_args())))


if __name__ == "__main__":
    main()
