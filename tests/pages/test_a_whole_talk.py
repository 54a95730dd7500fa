"""A whole talk on the real page in a real browser, whose microphone hears a recorded person, with the bot itself.

Everything is real but the outside services: Chromium's capture, playback and clock, the socket, the bot's process.
"""

import asyncio
import audioop
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bot.diary.crypto import Keys, make_secret
from bot.diary.store import Store
from bot.lab.browser import cookie_of
from bot.lab.stage import staged
from bot.lab.wav import wav_file
from tests.pages.browsing import open_browser
from tests.pages.talking import AS_IT_IS

UTTERANCES = Path(__file__).parents[2] / "fixtures" / "utterances"
RATE_HZ = 48_000
LONGEST_S = 120
# What is said when, in seconds of quiet before it: the bot has had its say by then, on a slow machine too.
DAY = ((14, "jia-morning"), (12, "jia-finish"), (24, "jia-right"), (20, ""))
STATE = "document.querySelector('.talk').dataset.state"


@dataclass(slots=True)
class Seen:
    """What came of the talk."""

    state: str = ""
    text: str = ""
    complaints: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    waits_ms: list[int | None] = field(default_factory=list)


def microphone(folder: Path) -> Path:
    """A person who talks about a day, as a WAV file."""
    pcm = b""
    for quiet_s, name in DAY:
        pcm += bytes(quiet_s * 8000 * 2)
        pcm += audioop.ulaw2lin((UTTERANCES / f"{name}.ulaw").read_bytes(), 2) if name else b""
    path = folder / "person.wav"
    path.write_bytes(wav_file(audioop.ratecv(pcm, 2, 1, 8000, RATE_HZ, None)[0], RATE_HZ))
    return path


async def talk(folder: Path) -> Seen:
    secret, seen = make_secret(), Seen()
    async with staged(folder, settings={"DIARY_KEY": secret}) as stage:
        store = await Store.open(stage.bot.environ["DATABASE_URL"], Keys.parse(secret))
        name, _, token = (await cookie_of(store, "+821012345678")).partition("=")
        async with open_browser(microphone=microphone(folder)) as browser:
            context = await browser.new_context(locale="ko-KR")
            await context.add_init_script(AS_IT_IS)
            await context.add_cookies([{"name": name, "value": token, "url": stage.bot.url}])
            page = await context.new_page()
            page.on("console", lambda message: message.type == "error" and seen.complaints.append(message.text))
            page.on("pageerror", lambda error: seen.complaints.append(str(error)))
            page.on("websocket", lambda socket: socket.on("framesent", lambda sent: seen.sent.append(str(sent))))
            await page.goto(f"{stage.bot.url}/talk")
            await page.click("#start")
            async with asyncio.timeout(LONGEST_S):
                while seen.state not in ("ended", "failed"):
                    await asyncio.sleep(0.5)
                    seen.state = await page.evaluate(STATE)
            seen.text = await page.inner_text("main")
        seen.entries = await stage.bot.entries(at_least=1)
        for turn in await store.turns(seen.entries[0]["call_sid"]):
            seen.said += [turn.said] if turn.said else []
            seen.heard += [turn.heard] if turn.heard else []
            seen.waits_ms += [turn.waterfall.heard_ms] if turn.waterfall else []
        await store.close()
    return seen


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    yield asyncio.run(talk(tmp_path_factory.mktemp("chromium")))


def test_a_day_told_to_the_page_becomes_an_approved_entry(seen: Seen) -> None:
    assert (seen.state, seen.complaints) == ("ended", [])
    [entry] = seen.entries
    assert entry["status"] == "approved" and "공원" in entry["body"]
    assert len(seen.said) == 3 and seen.said[-1].startswith("맞아")
    assert len(seen.waits_ms) == 3


def test_the_page_shows_what_was_said_and_heard(seen: Seen) -> None:
    shown = " ".join(seen.text.split())
    for text in seen.said:
        assert text in shown
    for text in seen.heard:
        assert text.split(". ")[-1] in shown


def test_the_page_told_its_playback_to_the_very_end(seen: Seen) -> None:
    sounds = [message for message in seen.sent if message.startswith('{"type":"audio"')]
    reports = [message.partition('"heard":')[2] for message in sounds if '"heard":' in message]
    assert len(reports) > len(sounds) / 2
    assert len(set(reports)) > 100
