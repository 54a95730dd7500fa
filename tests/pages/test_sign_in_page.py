"""Signing in with a real browser: its own Origin, cookies and policies, with scripts and without, by keyboard alone."""

import asyncio
import socket
from contextlib import asynccontextmanager
from functools import partial

import pytest
import uvicorn
from axe_playwright_python.async_playwright import Axe

from bot.conversation.commands import Mood, Status
from tests.diary.talks import let_in
from tests.doors.website import NUMBER, TYPED, open_site
from tests.pages import browsing

PHONE = {"viewport": {"width": 375, "height": 720}, "locale": "ko-KR"}
QUIET = ("status of 403", "status of 422")  # what the browser says of an answer that is one of our refusals


@asynccontextmanager
async def open_browser(folder):
    """A browser, and a site that it reaches on a port of the loopback: (new context, address, site)."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    address = f"http://localhost:{listener.getsockname()[1]}"
    async with open_site(folder, PUBLIC_URL=address) as site:
        config = uvicorn.Config(site.app, log_config=None, lifespan="off", ws="websockets-sansio", proxy_headers=False)
        server = uvicorn.Server(config)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[listener]))
            try:
                async with browsing.open_browser() as browser:
                    yield browser, address, site
            finally:
                server.should_exit = True


async def wrong_in(page):
    """What somebody who cannot see the page stumbles over."""
    found = (await Axe().run(page)).response["violations"]
    return [(violation["id"], [node["target"] for node in violation["nodes"]]) for violation in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_person_signs_in_and_out_by_keyboard_and_every_page_is_accessible(tmp_path, scheme):
    async with open_browser(tmp_path) as (browser, address, site):
        call = await let_in(site.store, "CA1", NUMBER)
        await call.save_entry("바다", "바다에 갔다.", Mood.JOY, Status.APPROVED)
        context = await browser.new_context(**PHONE, color_scheme=scheme)
        page = await context.new_page()
        complaints = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(address)
        assert await wrong_in(page) == []
        await page.keyboard.type("12")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("[role=alert]")
        assert await wrong_in(page) == []
        await page.fill("#number", TYPED)
        await page.keyboard.press("Enter")
        await page.wait_for_selector("#code")
        assert await wrong_in(page) == []
        await page.keyboard.type(f"{(int(site.carrier.code) + 1) % 10**6:06}")
        await page.wait_for_selector("[role=alert]")
        assert await wrong_in(page) == []
        await page.keyboard.type(site.carrier.code)  # sent as soon as it is whole
        await page.wait_for_url(f"{address}/")
        assert "바다에 갔다." in await page.inner_text("main")
        assert await wrong_in(page) == []
        wide = await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        assert not wide, "nothing is to be shoved aside on a phone"
        await page.click("text=로그아웃")
        await page.wait_for_url(f"{address}/sign-in")
        await page.goto(address)
        assert page.url == f"{address}/sign-in"
        assert [text for text in complaints if not any(quiet in text for quiet in QUIET)] == []


async def test_signing_in_needs_no_script(tmp_path):
    async with open_browser(tmp_path) as (browser, address, site):
        page = await (await browser.new_context(java_script_enabled=False)).new_page()
        await page.goto(f"{address}/sign-in")
        await page.fill("#number", TYPED)
        await page.click("text=전화로 듣기")
        await page.wait_for_selector("#code")
        assert len(site.carrier.calls) == 1
        await page.click("text=문자로 다시 받기")
        await page.wait_for_url(f"{address}/sign-in/code?by=sms")
        await page.reload()
        assert len(site.carrier.messages) == 1, "a reload sends nothing"
        await page.fill("#code", site.carrier.code)
        await page.click("main button:has-text('로그인')")
        await page.wait_for_url(f"{address}/")


@pytest.mark.parametrize("elsewhere", ["http://localhost:5999", "http://127.0.0.1:5999"])
async def test_a_page_of_another_origin_can_neither_sign_a_person_out_nor_in(tmp_path, elsewhere):
    """Ports are of the same site, so that its cookies are sent; the other address is of another site."""
    async with open_browser(tmp_path) as (browser, address, site):
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(f"{address}/sign-in")
        await page.fill("#number", TYPED)
        await page.click("text=문자로 받기")
        await page.fill("#code", site.carrier.code)
        await page.wait_for_url(f"{address}/")
        kept = await context.cookies(address)
        for path in ("/sign-out", "/sign-in", "/sign-in/code"):
            form = (
                f"<form method=post action={address}{path}><input name=number value=01099999999><button>가기</button>"
            )
            await context.route(f"{elsewhere}/", partial(_answer, html=form))
            await page.goto(f"{elsewhere}/")
            async with page.expect_response(f"{address}{path}") as answer:
                await page.click("button")
            assert (await answer.value).status == 403
            await context.unroute(f"{elsewhere}/")
        assert await context.cookies(address) == kept
        assert len(site.carrier.messages) == 1
        await page.goto(address)
        assert page.url == f"{address}/", "still signed in"


async def _answer(route, html):
    await route.fulfill(content_type="text/html; charset=utf-8", body=html)
