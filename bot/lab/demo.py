"""The demo: a recorded caller tells of a plain day, and the whole talk can be read as it happens.

`python -m bot.lab.demo [--offline] [--script NAME]`. Exit status 1 when a protocol was breached, a turn got no answer,
or no approved entry came of it.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from bot.diary.crypto import Keys, make_secret
from bot.diary.store import Store
from bot.lab.report import CallReport, LogLine
from bot.lab.script import ScriptError
from bot.lab.stage import BotDied, Stage, staged
from bot.lab.twilio import new_call_sid
from bot.lab.waterfalls import waterfalls_of

WAV = Path("var") / "demo.wav"


def show(line: LogLine) -> None:
    """Print a line of the talk."""
    print(f"{line.at_ms / 1000:7.2f} s  {line.what:<10} {line.detail}", flush=True)


class Overheard:
    """What the bot says, as the diary holds it once it was heard."""

    def __init__(self, diary: Store, call_sid: str) -> None:
        self._diary = diary
        self._call_sid = call_sid
        self._printed: dict[int, str] = {}

    async def show(self) -> None:
        """Print what is new."""
        for turn in await self._diary.turns(self._call_sid):
            heard = turn.heard or ""
            if new := heard.removeprefix(self._printed.get(turn.turn, "")).strip():
                print(f"{'':10} {'bot':<10} {new}", flush=True)
                self._printed[turn.turn] = heard

    async def follow(self) -> None:
        """Print it as it comes; ends by cancellation."""
        while True:
            await self.show()
            await asyncio.sleep(0.2)


async def demo(*, offline: bool, script: str) -> int:
    """Set the stage, phone, and print what came of it; returns the exit status."""
    models = "its built-in replies and voice" if offline else "a stand-in for OpenAI"
    print(f"The bot in a process of its own, with {models}; stand-ins for Twilio and RTZR.\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        secret, call_sid = make_secret(), new_call_sid()
        async with staged(Path(folder), offline=offline, settings={"DIARY_KEY": secret}) as stage:
            diary = await Store.open(stage.bot.environ["DATABASE_URL"], Keys.parse(secret))
            overheard = Overheard(diary, call_sid)
            following = asyncio.create_task(overheard.follow())
            report = await stage.twilio.call(script, call_sid=call_sid, on_event=show)
            following.cancel()
            await overheard.show()
            waterfalls = await waterfalls_of(diary, call_sid)
            await diary.close()
            entries = await stage.bot.entries(at_least=1)
            faults = _print_outcome(stage, report, entries, waterfalls)
    report.save_wav(WAV)
    print(f"\nThe call as a stereo WAV, caller left, bot right: {WAV}")
    for fault in faults:
        print(f"FAULT  {fault}")
    return 1 if faults else 0


def _print_outcome(stage: Stage, report: CallReport, entries: list[dict[str, str]], waterfalls: list[str]) -> list[str]:
    """Print turns, waterfalls and entries; returns what must not be."""
    faults = [*report.breaches, *(f"recogniser: {breach}" for breach in stage.rtzr.breaches)]
    if stage.openai:
        faults += [f"models: {breach}" for breach in stage.openai.report.breaches]
    print(f"\nFirst sound of the greeting {report.greeting_ms} ms after start.")
    print("From the caller's last voiced frame to the first audible frame of the answer:")
    for turn in report.turns:
        answer = "no answer" if turn.voice_to_voice_ms is None else f"{turn.voice_to_voice_ms:5d} ms"
        print(f"  {answer}  {turn.said_text}")
        if turn.voice_to_voice_ms is None:
            faults.append(f"no answer to {turn.said_text!r}")
    print("\n".join(["\nWhere the time went, as the bot saw it:", *waterfalls]))
    print("\nThe diary:")
    for entry in entries:
        print(f"  {entry['date']}  {entry['title']}  ({entry['mood']}, {entry['status']})\n  {entry['body']}")
    expected = "approved" if report.ended_by == "app" else "unconfirmed"
    if [entry["status"] for entry in entries] != [expected]:
        faults.append(f"the day was not kept as one entry, {expected}")
    return faults


def main() -> int:
    """Run the demo from the command line."""
    parser = argparse.ArgumentParser(prog="python -m bot.lab.demo", description=__doc__)
    parser.add_argument("--offline", action="store_true", help="without a model: built-in replies and voice")
    parser.add_argument("--script", default="plain-day", help="a name of fixtures/calls, or a path")
    arguments = parser.parse_args()
    try:
        return asyncio.run(demo(offline=arguments.offline, script=arguments.script))
    except ScriptError as error:
        print(error, file=sys.stderr)
    except BotDied as died:
        print(f"the bot did not start:\n{died}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
