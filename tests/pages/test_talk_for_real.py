"""The whole of it: a person signs in with a real browser, talks with a running bot by microphone, reads the entry."""

import asyncio
import re

import numpy as np

from bot.lab.stage import staged
from bot.lab.twilio import BOT_NUMBER
from bot.lab.twilio_rest import Number
from tests.chat_by_hand import WAIT_S
from tests.doors.website import TYPED
from tests.pages.browsing import PHONE, open_browser
from tests.pages.talking import AS_IT_IS, as_wav, spoken

TALK_S = 60


def silence(seconds):
    """Of 8 kHz."""
    return np.zeros(int(8000 * seconds), "<i2")


async def test_a_day_is_told_by_microphone_and_can_be_read(tmp_path):
    # After the greeting: over it, it would be an interruption. Said again, should the machine have stuttered over it.
    said = np.concatenate([silence(15), spoken("jia-morning"), silence(15), spoken("jia-morning"), silence(1)])
    async with (
        staged(tmp_path, offline=True) as stage,
        open_browser(microphone=as_wav(tmp_path, said)) as browser,
    ):
        stage.rest.numbers.append(Number(BOT_NUMBER))
        context = await browser.new_context(viewport=PHONE, locale="ko-KR")
        await context.add_init_script(AS_IT_IS)
        page = await context.new_page()
        page.set_default_timeout(TALK_S * 1000)
        complaints = []
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"{stage.bot.url}/sign-in")
        await page.fill("#number", TYPED)
        await page.click("text=문자로 받기")
        await page.wait_for_selector("#code")
        await page.fill("#code", re.search("[0-9]{6}", stage.rest.outgoing.messages[-1].text)[0])
        await page.wait_for_url(f"{stage.bot.url}/")
        await page.click(".doors a:has-text('이야기하기')")
        await page.click("#start")
        await page.wait_for_selector(".final[data-speaker=bot]:has-text('일기예요')")
        await page.wait_for_selector(".final[data-speaker=user]:has-text('공원을 한 바퀴 걸었어요')")
        await page.wait_for_selector(".final[data-speaker=user] ~ .final[data-speaker=bot]")
        await page.fill("#text", "저녁에는 책을 읽었어요.")
        await page.press("#text", "Enter")
        await page.wait_for_selector(".final[data-speaker=user]:has-text('책을 읽었어요')")
        await page.reload()
        await page.click("#start")
        await page.wait_for_selector("#state:has-text('다시 이어졌어요')")
        await page.wait_for_selector(".final[data-speaker=bot]")
        await page.click("#start")
        await page.wait_for_selector("[data-state=ended]")
        async with asyncio.timeout(WAIT_S):
            while "공원" not in await page.inner_text("main"):
                await page.goto(f"{stage.bot.url}/")
                await asyncio.sleep(0.5)
        assert stage.rtzr.breaches == []
        assert complaints == []
