"""A talk of an hour in a real browser, and whether anything creeps: `python -m tests.pages.long_talk --minutes 60`.

Chromium talks with a bot in a process of its own, among the stand-ins; its microphone is a file that begins anew every
nine minutes, with something said every 20 to 32 s, now and then over the bot. The recogniser closes a socket that has
lived for a third of the talk, and its tokens last for 15 minutes. Prints a row every 5 minutes, and at the end what it
comes to; `--raw` keeps all that was noted.

    asked, answered, covered   turns that the microphone gave; of them answered; the bot was heard beyond their end
    v2v p50, p95, most         ms from the end of an utterance at the microphone to the first sound of its answer
    words, lost, extra         said; said and not written; written and not said
    file, missing              ms: how late the sound comes by its file, since the first utterance; pure zeros in words
    s-wall, p-wall             ms that the sound is ahead of the clock since its first frame, at the server; in the page
    behind                     ms that the recogniser got less than the server since its socket was new, at most
    queued, unplayed           the most ms that waited in the page; that the server took to wait there
    gaps, gaps ms, late        times that the voice broke off in a sentence; for how long; sentences that came late
    heap, page, server         MB of the page after a collection; of its process; of the server
    tasks, lines, load         of the server; on the page; of the machine
"""

import argparse
import asyncio
import json
import os
import re
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np

from bot.audio.resample import Resampler
from bot.diary.crypto import Keys, make_secret
from bot.diary.store import Store
from bot.lab.browser import cookie_of
from bot.lab.openai import OpenAiLab
from bot.lab.rtzr import RtzrLab
from bot.lab.rtzr_behaviour import Close, Faults
from bot.lab.stage import AUTH_TOKEN, environ_of, start_bot
from bot.lab.twilio import ACCOUNT_SID
from bot.lab.twilio_rest import TwilioRest
from bot.lab.wav import wav_file
from tests.pages.browsing import PHONE, open_browser
from tests.pages.long_talk_figures import Notes, microphone_pcm, slope, spread
from tests.pages.talking import AS_IT_IS, FILE_HZ, HERE, spoken

NUMBER = "+821012345678"
TAKE_S = 2.0
TOKEN_S = 900.0
ANSWER_S = 12.0
"""So long a turn's answer is waited for."""
COUNTS = "--enable-blink-features=MediaStreamTrackAudioStats,AudioContextPlaybackStats"


def microphone(folder):
    """The file for the microphone."""

    def resampled(name):
        resampler = Resampler(8000, FILE_HZ)
        pcm = resampler.push(spoken(name).astype("<i2").tobytes()) + resampler.push(bytes(1600))
        return np.frombuffer(pcm, "<i2")

    path = folder / "microphone.wav"
    path.write_bytes(wav_file(microphone_pcm(FILE_HZ, resampled), FILE_HZ))
    return path


class Talk:
    """A talk that goes on, and what is known of it."""

    def __init__(self, bot, rtzr, page, devtools, raw):
        self.bot, self.rtzr, self.page, self.devtools, self.raw = bot, rtzr, page, devtools, raw
        self.notes = Notes()
        self.samples = []
        self._renderer = None
        self._read = 0
        self._sockets = {}

    async def look(self):
        """Take what the page and the server told since."""
        taken = await self.page.evaluate("notes.take()")
        self.notes.take(taken)
        lines, self._read = self.bot.log[self._read :], len(self.bot.log)
        taps = [json.loads(line[4:]) for line in lines if line.startswith("tap ")]
        sample = {key: taken[key] for key in taken if key != "events"} | {"taps": taps, "behind_ms": self._behind(taps)}
        sample["others"] = [line for line in lines if not line.startswith("tap ")]
        self.samples.append(sample)
        if self.raw:
            self.raw.write(json.dumps(sample | {"events": taken["events"]}, ensure_ascii=False) + "\n")
            self.raw.flush()
        return taken

    def _behind(self, taps):
        """How much less than the server the recogniser's socket has got since its beginning; None at the beginning."""
        connections = self.rtzr.report.connections
        if not taps or not connections:
            return None
        behind_ms = taps[-1]["sound_ms"] - connections[-1].audio_s * 1000
        known = self._sockets.setdefault(connections[-1].number, behind_ms)
        return behind_ms - known

    async def megabytes(self):
        """The page's heap, its process, the server."""
        await self.devtools["page"].send("HeapProfiler.collectGarbage")
        heap = (await self.devtools["page"].send("Runtime.getHeapUsage"))["usedSize"] / 1e6
        if self._renderer is None:
            found = (await self.devtools["browser"].send("SystemInfo.getProcessInfo"))["processInfo"]
            pids = [process["id"] for process in found if process["type"] == "renderer"]
            self._renderer = max(pids, key=resident_mb)
        return heap, resident_mb(self._renderer), resident_mb(self.bot.process.pid)

    async def row(self, from_s, to_s):
        """The figures of these seconds of the page's audio clock, by column."""
        turns, samples, noted = self.within(from_s, to_s)
        taps = [tap for sample in samples for tap in sample["taps"]]
        answers = [turn.answer_ms for turn in turns if turn.answer_ms is not None and not turn.is_covered]
        behind = [sample["behind_ms"] for sample in samples if sample["behind_ms"] is not None]
        underruns = [ms for _, kind, ms in noted if kind == "underrun"]
        heap, page, server = await self.megabytes()
        median, high, most = spread(answers)
        return {
            "min": f"{from_s / 60:g}-{to_s / 60:g}",
            "asked": len(turns),
            "answered": sum(turn.answer_ms is not None for turn in turns),
            "covered": sum(turn.is_covered for turn in turns),
            "v2v p50": median,
            "p95": high,
            "most": most,
            "words": sum(turn.words for turn in turns),
            "lost": sum(turn.lost for turn in turns),
            "extra": sum(turn.extra for turn in turns),
            "file": spread([turn.shift_ms for turn in turns])[0],
            "missing": round(sum(turn.holes_ms for turn in turns)),
            "s-wall": spread([tap["sound_ms"] - tap["wall_ms"] for tap in taps])[0],
            "p-wall": spread([one["sentMs"] - one["sentInMs"] for one in samples if one["sentInMs"]])[0],
            "behind": spread(behind)[2],
            "queued": round(max((sample["most"]["queuedMs"] for sample in samples), default=0)),
            "unplayed": max((tap["unplayed_ms"] for tap in taps), default=0),
            "gaps": len(underruns),
            "gaps ms": round(sum(underruns)),
            "late": sum(kind == "late sentence" for _, kind, _ in noted),
            "heap": f"{heap:.2f}",
            "page": round(page),
            "server": f"{server:.1f}",
            "tasks": taps[-1]["tasks"] if taps else 0,
            "lines": samples[-1]["lines"] if samples else 0,
            "load": f"{os.getloadavg()[1]:.1f}",
        }

    def within(self, from_s, to_s):
        """Turns, samples and what else was noted in these seconds."""
        turns = [turn for turn in self.notes.turns()[0] if from_s <= turn.off < to_s]
        samples = [sample for sample in self.samples if from_s <= sample["time"] < to_s]
        return turns, samples, [noted for noted in self.notes.others if from_s <= noted[0] < to_s]


def resident_mb(pid):
    """How much memory a process has."""
    return int(re.search(r"VmRSS:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1000


async def open_page(browser, cookie, url, *, as_it_is):
    """The page of somebody who is signed in, with what takes notes."""
    context = await browser.new_context(viewport=PHONE, locale="ko-KR", bypass_csp=True)
    worklet = json.dumps((HERE / "long_talk_worklet.js").read_text())
    await context.add_init_script(f"window.probeSource = {worklet};\n{(HERE / 'long_talk.js').read_text()}")
    if as_it_is:
        await context.add_init_script(AS_IT_IS)
    await context.add_cookies([{"name": "ilgi", "value": cookie.removeprefix("ilgi="), "url": url}])
    page = await context.new_page()
    page.on("console", lambda message: message.type == "error" and print("page:", message.text))
    page.on("pageerror", lambda error: print("page:", error))
    await page.goto(f"{url}/talk")
    return page


async def talk(given, raw, folder):
    """Talk for so long, and print."""
    secret, minutes = make_secret(), given.minutes
    closes = [Close(after_ms=minutes * 20_000), Close(after_ms=minutes * 20_000)]
    async with AsyncExitStack() as stack:
        rtzr = await stack.enter_async_context(RtzrLab(faults=Faults(token_lifetime_s=TOKEN_S, closes=closes)))
        openai = await stack.enter_async_context(OpenAiLab())
        rest = await stack.enter_async_context(TwilioRest(ACCOUNT_SID, AUTH_TOKEN))
        environ = environ_of(rtzr.url, openai.url, rest.url) | {
            "DATABASE_URL": f"sqlite:///{folder / 'ilgi.db'}",
            "DIARY_KEY": secret,
            "MAX_CALL_MINUTES": str(round(minutes) + 15),
        }
        bot = await start_bot(environ, "tests.pages.tapped_bot")
        following = asyncio.create_task(bot.follow(None))
        try:
            store = await Store.open(environ["DATABASE_URL"], Keys.parse(secret))
            cookie = await cookie_of(store, NUMBER)
            await store.close()
            arguments = [f"--use-file-for-fake-audio-capture={microphone(folder)}", COUNTS]
            browser = await stack.enter_async_context(open_browser(arguments=arguments))
            page = await open_page(browser, cookie, bot.url, as_it_is=given.as_it_is)
            devtools = {
                "page": await page.context.new_cdp_session(page),
                "browser": await browser.new_browser_cdp_session(),
            }
            await page.click("#start")
            await page.wait_for_selector("[data-state=talking]")
            going = Talk(bot, rtzr, page, devtools, raw)
            if await listen(going, minutes, given.every_min):
                await page.click("#start")
                await page.wait_for_selector("[data-state=ended]")
            await conclude(going, openai, minutes)
        finally:
            await bot.stop()
            await following


async def listen(going, minutes, every_min):
    """Print a row every so often; returns whether the talk still goes on at the end."""
    printed_s = 0.0
    while True:
        await asyncio.sleep(TAKE_S)
        taken = await going.look()
        now_s = taken["time"]
        if taken["state"] != "talking":
            print(f"{now_s / 60:5.1f} the page is {taken['state']}", flush=True)
            if taken["state"] not in ("lost", "connecting"):
                return False
        while printed_s + every_min * 60 + ANSWER_S <= now_s:
            row = await going.row(printed_s, printed_s + every_min * 60)
            if not printed_s:
                print(*(f"{name:>8}" for name in row))
            print(*(f"{value!s:>8}" for value in row.values()), flush=True)
            printed_s += every_min * 60
        if now_s >= minutes * 60 + ANSWER_S:
            return True


async def conclude(going, openai, minutes):
    """Print what it comes to."""
    await asyncio.sleep(5)
    turns, strays = going.notes.turns()
    last_s = going.samples[-1]["time"]
    part_s = min(600, minutes * 20)
    middle_s = minutes * 30
    for what, from_s, to_s in (
        ("first", 0, part_s),
        ("middle", middle_s - part_s / 2, middle_s + part_s / 2),
        ("last", minutes * 60 - part_s, minutes * 60),
    ):
        answers = [t.answer_ms for t in going.within(from_s, to_s)[0] if t.answer_ms is not None and not t.is_covered]
        print(f"{what} {part_s / 60:.0f} minutes: v2v {spread(answers)} of {len(answers)}")
    creep, error = slope(turns)
    print(f"v2v grows by {creep:.0f} ± {error:.0f} ms an hour (each utterance compared with itself)")
    lost = [f"{t.off / 60:.1f} {t.said.name}: {' '.join(t.heard)}" for t in turns if t.lost or t.extra]
    silent = [f"{t.off / 60:.1f} {t.said.name}" for t in turns if t.answer_ms is None]
    covered = [f"{t.off / 60:.1f} {t.said.name}" for t in turns if t.is_covered]
    print(
        f"{len(turns)} turns, {sum(t.words for t in turns)} words; not given by the microphone:"
        f" {going.notes.missed(last_s - 5)}; strange sounds: {strays}"
    )
    print("words differ:", lost, "\nunanswered:", silent, "\ncovered:", covered)
    kinds = {}
    for _, kind, _ in going.notes.others:
        kinds[kind] = kinds.get(kind, 0) + 1
    print("noted in the page:", kinds)
    print(
        "recogniser: sockets",
        going.rtzr.report.sockets,
        "tokens",
        going.rtzr.report.authentications,
        "breaches",
        going.rtzr.breaches,
        "model:",
        len(openai.report.chats),
        "chats, breaches",
        openai.report.breaches,
    )
    print("track:", going.samples[-1]["stats"], "\nplayed:", going.samples[-1]["played"])
    entries = await going.bot.entries(at_least=1)
    print("entries:", [(entry["status"], len(entry["body"])) for entry in entries])
    print("\n".join(line for sample in going.samples for line in sample["others"]))


def main():
    """Talk."""
    parser = argparse.ArgumentParser(prog="python -m tests.pages.long_talk", description=__doc__.partition(":")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--every-min", type=float, default=5)
    parser.add_argument("--raw", type=Path, help="a file for all that was noted, as JSON lines")
    parser.add_argument("--as-it-is", action="store_true", help="without the browser's work on the microphone's sound")
    given = parser.parse_args()
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        raw = given.raw.open("w") if given.raw else None
        asyncio.run(talk(given, raw, Path(folder)))
    print(f"took {(time.monotonic() - began_s) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
