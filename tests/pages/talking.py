"""The page of a talk with the server's end by hand, sounds for its microphone, and what it played."""

from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from bot.audio.mulaw import decode
from bot.audio.resample import Resampler
from bot.lab.wav import wav_file
from tests.pages.browsing import PHONE, open_browser, open_pages
from tests.pages.voice_by_hand import VOICE_HZ, VoiceDoor

HERE = Path(__file__).parent
UTTERANCES = HERE.parents[1] / "fixtures" / "utterances"
FILE_HZ = 48_000
LEAD_S = 1.0
AS_IT_IS = """
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
const audio = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
navigator.mediaDevices.getUserMedia = () => ask({ audio });
"""
"""The microphone's sound without the browser's work on it, which now and then takes a voice for noise."""


def spoken(name):
    """A recorded caller: samples of 8 kHz."""
    return np.frombuffer(decode((UTTERANCES / f"{name}.ulaw").read_bytes()), "<i2")


def as_wav(folder, samples):
    """A file for the microphone: silence, the samples of 8 kHz, silence."""
    resampler = Resampler(8000, FILE_HZ)
    pcm = b"".join(resampler.push(part) for part in (samples.astype("<i2").tobytes(), b"\0\0" * 800))
    silence = b"\0\0" * int(FILE_HZ * LEAD_S)
    path = folder / "microphone.wav"
    path.write_bytes(wav_file(silence + pcm + silence, FILE_HZ))
    return path


def tone(hz, seconds, *, begin_s=0.0, level=0.5):
    """A tone, as samples of the voice's rate."""
    return level * np.sin(2 * np.pi * hz * (begin_s + np.arange(round(seconds * VOICE_HZ)) / VOICE_HZ))


def envelope(samples, rate_hz, every_s=0.02):
    """The root mean square of each 20 ms."""
    size = round(rate_hz * every_s)
    blocks = samples[: len(samples) // size * size].astype(float).reshape(-1, size)
    return np.sqrt((blocks**2).mean(axis=1))


@asynccontextmanager
async def open_talk(folder, *, begin=True, record=False, size=PHONE, as_it_is=False, **browsing):
    """The page, and the server's end of its talk: (page, door, pages, talk); the talk is None unless `begin`."""
    async with open_pages(folder, lambda site: [VoiceDoor(site)]) as pages, open_browser(**browsing) as browser:
        door = pages.doors[0]
        script = ((HERE / "recorder.js").read_text() if record else "") + (AS_IT_IS if as_it_is else "")
        page = await pages.page(browser, "/talk", size=size, script=script)
        talk = None
        if begin:
            await page.click("#start")
            talk = await door.talk()
            await page.wait_for_selector("[data-state=talking]")
        if record:
            await page.evaluate("record()")
        yield page, door, pages, talk
        assert door.wrong == []
        assert page.complaints == []


async def sounds(page):
    """What was played since the recorder was added: (samples, rate, the moment of the first)."""
    taken = await page.evaluate("taken()")
    return np.array(taken["samples"]), taken["rate"], taken["first"]


async def trouble(page):
    """What the page says is wrong."""
    await page.wait_for_selector("#trouble:not([hidden])")
    return await page.inner_text("#trouble")
