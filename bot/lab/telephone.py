"""`python -m bot call`: phone a running bot with a recorded caller, and print the talk as it happens.

The bot's address and auth token are taken from the environment, as the bot takes them (PORT, PUBLIC_URL,
TWILIO_AUTH_TOKEN, TWILIO_ACCOUNT_SID). It phones loopback addresses only. After the call it prints where the time of
each turn went, as the bot's diary keeps it, when that can be read with the same DATABASE_URL and DIARY_KEY.
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from bot.environ import is_loopback
from bot.lab.demo import show
from bot.lab.report import CallReport
from bot.lab.script import ScriptError, script_names
from bot.lab.twilio import ACCOUNT_SID, CALLER_NUMBER, TwilioLab
from bot.lab.waterfalls import kept_waterfalls


async def call(arguments: argparse.Namespace) -> CallReport:
    """Phone; returns the report."""
    lab = TwilioLab(
        arguments.bot,
        auth_token=arguments.auth_token,
        public_url=arguments.public_url,
        account_sid=arguments.account_sid,
        on_event=show,
    )
    async with lab:
        return await lab.call(arguments.script, number=arguments.number)


async def _call_and_look(arguments: argparse.Namespace) -> tuple[CallReport, list[str]]:
    report = await call(arguments)
    return report, await kept_waterfalls(os.environ, report.call_sid)


def main(argv: list[str]) -> int:
    """Run the command; exit status 1 when the bot breached the protocol or could not be phoned, 2 for bad usage."""
    arguments = _parser().parse_args(argv)
    if not is_loopback(urlsplit(arguments.bot).hostname or ""):
        print("the recorded caller phones loopback addresses only", file=sys.stderr)
        return 2
    try:
        report, waterfalls = asyncio.run(_call_and_look(arguments))
    except (ScriptError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if report.greeting_ms is None:
        same = "with the same TWILIO_AUTH_TOKEN, or both with none and ALLOW_UNSIGNED=1"
        print(f"nobody spoke: does a bot serve at {arguments.bot}, {same}?", file=sys.stderr)
    for turn in report.turns:
        answer = "no answer" if turn.voice_to_voice_ms is None else f"{turn.voice_to_voice_ms} ms"
        print(f"{answer:>10}  {turn.said_text}")
    print(f"first sound {report.greeting_ms} ms after start; ended by {report.ended_by}")
    print("\n".join(["", *waterfalls]))
    if arguments.wav:
        report.save_wav(arguments.wav)
    for breach in report.breaches:
        print(f"BREACH {breach}")
    return 1 if report.breaches or report.ended_by == "failed" else 0


def _parser() -> argparse.ArgumentParser:
    scripts = ", ".join(script_names())
    port = os.environ.get("PORT", "5000")
    parser = argparse.ArgumentParser(prog="python -m bot call", description=__doc__)
    parser.add_argument("--script", default="plain-day", help=f"a path, or one of: {scripts}")
    parser.add_argument("--bot", default=f"http://localhost:{port}", help="where the bot listens")
    parser.add_argument("--public-url", default=os.environ.get("PUBLIC_URL"), help="its PUBLIC_URL, if another")
    parser.add_argument("--auth-token", default=os.environ.get("TWILIO_AUTH_TOKEN", "").split(",")[0])
    parser.add_argument("--account-sid", default=os.environ.get("TWILIO_ACCOUNT_SID", ACCOUNT_SID))
    parser.add_argument("--number", default=CALLER_NUMBER, help="the number that phones, or anonymous")
    parser.add_argument("--wav", type=Path, help="where to put the call as a stereo WAV")
    return parser
