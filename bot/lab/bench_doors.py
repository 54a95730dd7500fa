"""`python -m bot bench doors`: how soon the bot answers in a browser, beside the telephone, in one run.

The same recorded people phone the bot and talk with it in a browser at the same time, each script through both doors.
Voice-to-voice is from the last voiced frame of the person to the first audible frame at their ear: the telephone's, or
the page's playback clock. Exit status 1 when the browser's median is more than `MOST_MS` away from the telephone's, a
protocol was breached, or a turn got no answer.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path
from statistics import median

from bot.diary.crypto import Keys, make_secret
from bot.diary.store import Store
from bot.lab.browser import BrowserLab, Habits, cookie_of
from bot.lab.report import CallReport
from bot.lab.stage import staged

SCRIPTS = ("plain-day", "barge-in", "correction")
RATES_HZ = (48_000, 44_100, 16_000)
MOST_MS = 60
APART_S = 0.4


async def measure(scripts: tuple[str, ...]) -> tuple[list[CallReport], list[CallReport], list[str]]:
    """The reports of the telephone's calls and of the browsers' talks, and every breach of the stand-ins' protocols."""
    secret = make_secret()
    phones: list[CallReport] = []
    browsers: list[CallReport] = []
    with tempfile.TemporaryDirectory() as folder:
        async with staged(Path(folder), settings={"DIARY_KEY": secret}) as stage:
            store = await Store.open(stage.bot.environ["DATABASE_URL"], Keys.parse(secret))

            async def phone(index: int, script: str) -> None:
                await asyncio.sleep(APART_S * index)
                phones.append(await stage.twilio.call(script, number=f"+82101000{index:04d}"))

            async def talk(index: int, script: str) -> None:
                cookie = await cookie_of(store, f"+82102000{index:04d}")
                await asyncio.sleep(APART_S * (index + 0.5))
                habits = Habits(rate_hz=RATES_HZ[index % len(RATES_HZ)])
                report = await BrowserLab(stage.bot.url, cookie, habits).talk(script)
                report.call.breaches += report.errors
                browsers.append(report.call)

            async with asyncio.TaskGroup() as calls:
                for index, script in enumerate(scripts):
                    calls.create_task(phone(index, script))
                    calls.create_task(talk(index, script))
            await store.close()
            breaches = [*stage.rtzr.breaches, *(stage.openai.report.breaches if stage.openai else [])]
    return phones, browsers, breaches


def _figures(name: str, reports: list[CallReport]) -> tuple[list[str], float]:
    """A line of figures, and the median."""
    answered = sorted(ms for report in reports for turn in report.turns if (ms := turn.voice_to_voice_ms) is not None)
    silenced = [turn.silenced_ms for report in reports for turn in report.turns if turn.silenced_ms is not None]
    if not answered:
        return [f"{name:<10} no turn was answered"], 0.0
    p90 = answered[min(len(answered) - 1, len(answered) * 9 // 10)]
    greeting = median(report.greeting_ms or 0 for report in reports)
    quiet = f"{median(silenced):>8.0f}" if silenced else f"{'-':>8}"
    middle = median(answered)
    return [f"{name:<10}{len(answered):>6}{middle:>8.0f}{p90:>8}{answered[-1]:>8}{quiet}{greeting:>10.0f}"], middle


def main(argv: list[str]) -> int:
    """Run the bench; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bot bench doors", description=__doc__)
    parser.add_argument("--script", action="append", help="of fixtures/calls; may be given again")
    scripts = tuple(parser.parse_args(argv).script or SCRIPTS)
    phones, browsers, faults = asyncio.run(measure(scripts))
    print(f"{'door':<10}{'turns':>6}{'p50':>8}{'p90':>8}{'worst':>8}{'quiet':>8}{'greeting':>10}   ms, voice to voice")
    by_phone, phone_ms = _figures("telephone", phones)
    in_browser, browser_ms = _figures("browser", browsers)
    for line in (*by_phone, *in_browser):
        print(line)
    late_ms = max(report.late_ms for report in (*phones, *browsers))
    print(f"the browser's median is {browser_ms - phone_ms:+.0f} ms; the stand-ins were late by {late_ms} ms at most")
    for report in (*phones, *browsers):
        faults += report.breaches
        faults += [f"{report.call_sid}: a turn got no answer"] if report.unanswered_waits else []
    if not phone_ms or not browser_ms or abs(browser_ms - phone_ms) > MOST_MS:
        faults.append(f"the medians are not within {MOST_MS} ms")
    for fault in faults:
        print(f"FAULT  {fault}")
    return 1 if faults else 0
