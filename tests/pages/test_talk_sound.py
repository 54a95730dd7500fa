"""/talk in a real browser: what its microphone delivers, and what is heard of the bot."""

import asyncio

import numpy as np
import pytest

from tests.pages.browsing import becomes
from tests.pages.talking import LEAD_S, as_wav, envelope, open_talk, sounds, spoken, tone
from tests.pages.voice_by_hand import VOICE_HZ, Audio, Interrupt

TRIES = 3
"""A machine that is short of time makes gaps in the browser's own microphone, before any page sees its sound."""


async def test_the_microphone_is_delivered_whole_at_the_rate_that_was_told(tmp_path):
    said = np.concatenate([spoken("jia-morning"), np.zeros(2400, "<i2"), spoken("jia-lunch")])
    expected = envelope(said, 8000)
    microphone = as_wav(tmp_path, said)
    for _ in range(TRIES):
        heard = await delivered(tmp_path, microphone, len(said) / 8000 + LEAD_S)
        at, fit = best_fit(heard, expected)
        if fit > 0.85:
            break
    assert fit > 0.85, "a gap or another rate would spoil this"
    # Its beginning and its end, each alone, are as far from each other as they were spoken.
    third = len(expected) // 3
    (begins, _), (ends, _) = best_fit(heard, expected[:third]), best_fit(heard, expected[-third:])
    assert abs(ends - begins - (len(expected) - third)) <= 2, "in steps of 20 ms"
    loud = heard[at : at + len(expected)]
    level_db = 20 * np.log10(np.sqrt((loud**2).mean()) / np.sqrt((expected**2).mean()))
    assert -3 < level_db < 3
    print(f"fit {fit:.3f}, level {level_db:+.1f} dB")


async def delivered(folder, microphone, seconds):
    """The envelope of so many seconds that the page sends of its microphone."""
    async with open_talk(folder, microphone=microphone, as_it_is=True) as (page, _door, _pages, talk):
        rate_hz = talk.init.config.sampleRate
        assert rate_hz == await page.evaluate("new AudioContext().sampleRate")
        await talk.until(lambda talk: len(talk.pcm) > seconds * rate_hz)
        lengths_ms = {len(message.audio) / 2 / rate_hz * 1000 for message in talk.of(Audio) if message.audio}
        assert min(lengths_ms) >= 20 and max(lengths_ms) <= 40
        return envelope(talk.pcm, rate_hz)


def best_fit(heard, expected):
    """Where what was heard is most like what was expected, and how much: (index, correlation)."""
    fits = [np.corrcoef(heard[at : at + len(expected)], expected)[0, 1] for at in range(len(heard) - len(expected))]
    return int(np.argmax(fits)), max(fits)


async def test_the_level_is_shown_while_something_is_said(tmp_path):
    async with open_talk(tmp_path, microphone=as_wav(tmp_path, spoken("jia-mother"))) as (page, *_):
        await becomes(page, "parseFloat(document.getElementById('level').style.transform.slice(7)) > 0.4")


# The loudspeaker


async def test_what_is_said_in_pieces_is_played_without_a_gap(tmp_path):
    async with open_talk(tmp_path, record=True) as (page, _door, _pages, talk):
        pieces_s = [1.0, 0.02, 0.1, 0.2, 0.013, 0.35, 0.02, 0.08, 0.4, 0.3]
        at_s = 0.0
        for number, length_s in enumerate(pieces_s):
            talk.say(f"1:{number // 4}", tone(330, length_s, begin_s=at_s))
            at_s += round(length_s * VOICE_HZ) / VOICE_HZ
            await asyncio.sleep(0.02)
        await talk.until(lambda talk: talk.heards and talk.heards[-1].sentence == "1:2")
        await page.wait_for_selector("#stop", state="hidden")
        samples, rate, _ = await sounds(page)
        loud = np.flatnonzero(np.abs(samples) > 1e-4)
        played = samples[loud[0] : loud[-1] + 1]
        assert len(played) / rate == pytest.approx(at_s, abs=0.003)
        # A tone through and through: one sample too many or too few anywhere would shift its phase.
        inner = played[64:-64]
        turns = 2 * np.pi * 330 * np.arange(len(inner)) / rate
        basis = np.stack([np.sin(turns), np.cos(turns)], axis=1)
        fit, *_ = np.linalg.lstsq(basis, inner, rcond=None)
        assert np.hypot(*fit) == pytest.approx(0.5, abs=0.01)
        assert np.abs(inner - basis @ fit).max() < 0.01


async def test_the_reports_of_what_was_heard_never_go_back_and_are_right_within_40_ms(tmp_path):
    async with open_talk(tmp_path, record=True) as (page, _door, _pages, talk):
        await asyncio.sleep(0.3)
        lengths_ms = {"1:0": 900, "1:1": 500, "1:2": 700}
        for sentence, length_ms in lengths_ms.items():
            talk.say(sentence, tone(300, length_ms / 1000, level=0.3))
        await talk.until(lambda talk: talk.heards and (talk.heards[-1].sentence, talk.heards[-1].ms) == ("1:2", 700))
        before = dict(zip(lengths_ms, np.cumsum([0, *lengths_ms.values()])[:-1], strict=True))
        reports = [before[heard.sentence] + heard.ms for heard in talk.heards]
        assert reports == sorted(reports)
        assert len({report for report in reports}) > 20
        samples, rate, first = await sounds(page)
        began = first + np.flatnonzero(np.abs(samples) > 1e-4)[0] / rate
        off = []
        for sent in await page.evaluate("sentAt"):
            total = before[sent["sentence"]] + sent["ms"]
            really = (sent["at"] - sent["latency"] - began) * 1000
            if 60 < really < 2000:
                off.append(total - really)
        assert len(off) > 20
        print(f"heard is off by {np.median(off):.0f} ms (median), {max(map(abs, off)):.0f} ms at most")
        assert abs(np.median(off)) <= 40
        # A message that leaves late, on a machine that is busy, tells what was heard when its sound was captured.
        rate_hz = talk.init.config.sampleRate
        captured = np.cumsum([len(message.audio) / 2 / rate_hz * 1000 for message in talk.of(Audio)])
        pairs = [
            (at, before[message.heard.sentence] + message.heard.ms)
            for at, message in zip(captured, talk.of(Audio), strict=True)
            if message.heard
        ]
        drift = np.array([heard - at for at, heard in pairs if 60 < heard < 2000])
        assert np.abs(drift - np.median(drift)).max() <= 40


@pytest.mark.parametrize("by", ["server", "escape", "button"])
async def test_an_interruption_drops_the_sound(tmp_path, by):
    async with open_talk(tmp_path, record=True) as (page, _door, _pages, talk):
        for text in ("앞의 답이에요.", "첫 문장이에요.", "둘째 문장이에요."):
            talk.send(type="transcript", speaker="bot", text=text, final=True)
        talk.say("1:0", tone(300, 1.0))
        talk.say("1:1", tone(300, 9.0))
        await talk.until(lambda talk: talk.heards and talk.heards[-1].sentence == "1:1")
        if by == "server":
            talk.send(type="interrupted", heard="첫 문장이에요. 둘째")
            await page.wait_for_selector("s")
            assert await page.inner_text("s") == " 문장이에요."
        else:
            await (page.keyboard.press("Escape") if by == "escape" else page.click("#stop"))
            await talk.until(lambda talk: talk.of(Interrupt))
            assert talk.of(Interrupt)[0].heard.sentence == "1:1"
            talk.say("1:2", tone(300, 3.0))  # had left before the server knew
        await page.wait_for_selector("#stop", state="hidden")
        last = talk.heards[-1]
        await asyncio.sleep(0.5)
        assert last.sentence == "1:1" and last.ms < 8000
        assert talk.heards[-1].sentence == "1:1"
        samples, rate, _ = await sounds(page)
        loud = np.flatnonzero(np.abs(samples) > 1e-3)
        assert 1.0 < (loud[-1] - loud[0]) / rate < 9.0
        assert np.abs(np.diff(samples[loud[-1] - 100 : loud[-1] + 100])).max() < 0.05, "it fades, and does not click"
        # The next reply is heard again.
        if by != "server":
            talk.send(type="interrupted", heard="")
        talk.say("2:0", tone(300, 0.3))
        await talk.until(lambda talk: (talk.heards[-1].sentence, talk.heards[-1].ms) == ("2:0", 300))
