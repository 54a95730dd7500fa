"""Talks on devices whose clocks are wrong: `python -m tests.pages.skewed_talk --minutes 20`.

Two people, one with a device that is so many per mille too fast, one as much too slow, each in a process of its own:
the event loop's clock is the device's, so that the microphone and the loudspeaker go by it, as on one sound card. Both
talk with one bot among the stand-ins. Prints for each, in five parts of the talk: how far the sound that the server got
is ahead of the server's clock, the most that the server believed to wait at the page, and the answers' delays.
"""

import argparse
import asyncio
import json
import multiprocessing
import tempfile
from pathlib import Path

from bot.diary.crypto import Keys, make_secret
from bot.diary.store import Store
from bot.lab.browser import BrowserLab, Habits, cookie_of
from bot.lab.openai import OpenAiLab
from bot.lab.rtzr import RtzrLab
from bot.lab.script import HangUp, Say, Wait, WaitForBot
from bot.lab.stage import environ_of, start_bot
from tests.pages.long_talk_figures import PLAIN, spread

TURN_S = 16.0
PARTS = 5


def steps(minutes):
    """Wait for the bot, say something, a little later the next; 16 s a turn, the answer with it."""
    names = [PLAIN[number % len(PLAIN)] for number in range(round(minutes * 60 / TURN_S))]
    return [step for name in names for step in (WaitForBot(), Wait(1_500), Say((name,)))] + [WaitForBot(), HangUp()]


class Device(asyncio.SelectorEventLoop):
    """A loop whose clock is the device's."""

    rate = 1.0

    def time(self):
        """In its own seconds."""
        return super().time() * self.rate


def person(per_mille, url, cookie, minutes, told):
    """Talk, in a process of its own."""
    Device.rate = 1 + per_mille / 1000

    async def talk():
        return await BrowserLab(url, cookie, Habits(rate_hz=48_000)).talk(steps(minutes))

    with asyncio.Runner(loop_factory=Device) as runner:
        report = runner.run(talk())
    turns = [(turn.said_end_ms, turn.voice_to_voice_ms, turn.talked_over) for turn in report.call.turns]
    told.put((per_mille, turns, report.call.most_ahead_ms, report.call.breaches, report.errors, report.close_codes))


def told_by(log, line):
    """What the bot told of one line, about once a second."""
    taps = [json.loads(text[4:]) for text in log if text.startswith("tap ")]
    return [tap for tap in taps if tap["line"] == line]


def table(per_mille, turns, taps, minutes):
    """Print one person's figures."""
    print(f"{per_mille:+g} per mille: part | sound-wall ms | most unplayed ms | v2v p50 p95 most | answered")
    for part in range(PARTS):
        low, high = part * minutes * 60_000 / PARTS, (part + 1) * minutes * 60_000 / PARTS
        mine = [tap for tap in taps if low <= tap["wall_ms"] < high]
        said = [turn for turn in turns if low <= turn[0] < high]
        ahead = [tap["sound_ms"] - tap["wall_ms"] for tap in mine]
        print(
            f"{part + 1:21d} | {ahead[0] if ahead else '-':>6} to {ahead[-1] if ahead else '-'}"
            f" | {max((tap['unplayed_ms'] for tap in mine), default=0)}"
            f" | {spread([ms for _, ms, _ in said if ms is not None])}"
            f" | {sum(ms is not None for _, ms, _ in said)} of {len(said)}",
            flush=True,
        )


async def run(minutes, per_mille, folder):
    """Have both talk, and print."""
    secret = make_secret()
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    async with RtzrLab() as rtzr, OpenAiLab() as openai:
        environ = environ_of(rtzr.url, openai.url, "http://127.0.0.1:9") | {
            "DATABASE_URL": f"sqlite:///{folder / 'ilgi.db'}",
            "DIARY_KEY": secret,
            "MAX_CALL_MINUTES": str(round(2 * minutes) + 15),
        }
        bot = await start_bot(environ, "tests.pages.tapped_bot")
        following = asyncio.create_task(bot.follow(None))
        try:
            store = await Store.open(environ["DATABASE_URL"], Keys.parse(secret))
            people = []
            for number, skew in enumerate((per_mille, -per_mille)):
                cookie = await cookie_of(store, f"+8210300000{number:02d}")
                people.append(context.Process(target=person, args=(skew, bot.url, cookie, minutes, told)))
                people[-1].start()
                while not told_by(bot.log, number):
                    await asyncio.sleep(0.2)
            await store.close()
            for _ in people:
                skew, turns, most_ahead_ms, breaches, errors, codes = await asyncio.to_thread(told.get)
                line = 0 if skew > 0 else 1
                table(skew, turns, told_by(bot.log, line), minutes)
                print(
                    f"most queued at the page {most_ahead_ms} ms; breaches {breaches}, errors {errors}, closed {codes}"
                )
            for each in people:
                await asyncio.to_thread(each.join)
        finally:
            await bot.stop()
            await following
        print("recogniser: sockets", rtzr.report.sockets, "breaches", rtzr.breaches)
        print("\n".join(line for line in bot.log if not line.startswith("tap ")))


def main():
    """Talk."""
    parser = argparse.ArgumentParser(prog="python -m tests.pages.skewed_talk", description=__doc__.partition(":")[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--per-mille", type=float, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(given.minutes, given.per_mille, Path(folder)))


if __name__ == "__main__":
    main()
