"""A real Chromium, and the pages of a signed-in person on a server that it reaches by a breakable road."""

import asyncio
import os
import shutil
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import uvicorn
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import async_playwright

from bot.doors.asgi import straight_sockets
from tests.chat_by_hand import WAIT_S, QuietServer
from tests.doors.website import NUMBER, Site, open_site
from tests.pages.relay import Relay, open_relay

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 800}
OF_A_BROKEN_ROAD = ("net::ERR", "WebSocket connection to ")
QUIET = ("--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync")
FAKE_SOUND = ("--use-fake-device-for-media-stream",)

if not CHROMIUM:
    if os.environ.get("CI"):
        raise RuntimeError("the pages are tested with Chromium, and there is none")
    pytest.skip("there is no Chromium", allow_module_level=True)


@asynccontextmanager
async def open_browser(*, microphone=None, allowed=True, arguments=()):
    """Chromium; `microphone` is a WAV file that is heard once, `allowed` False: the person refuses the microphone."""
    sound = [*FAKE_SOUND, *(["--use-fake-ui-for-media-stream"] if allowed else ["--deny-permission-prompts"])]
    if microphone is not None:
        sound.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", *QUIET, *sound, *arguments]
        )
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Pages:
    """The pages on a server."""

    address: str
    site: Site
    relay: Relay
    doors: list

    async def sign_in(self, context, number=NUMBER):
        """Give a context of the browser the cookie of a new session."""
        people = self.site.people
        token = await people.begin_session(number)
        await context.add_cookies([{"name": "ilgi", "value": token, "url": self.address}])

    async def page(self, browser, path, *, size=DESK, scheme="light", script=""):
        """A page for somebody who is signed in; `complaints` of it collects what the browser complains about.

        Once the road was broken, what the browser itself says of connections that fail is none: which words it finds
        depends on how far a handshake was.
        """
        context = await browser.new_context(viewport=size, color_scheme=scheme, locale="ko-KR")
        context.set_default_timeout(WAIT_S * 1000)
        if script:
            await context.add_init_script(script)
        await self.sign_in(context)
        page = await context.new_page()
        page.complaints = []

        def hear(message):
            of_the_road = self.relay.broken and any(words in message.text for words in OF_A_BROKEN_ROAD)
            if message.type == "error" and not of_the_road:
                page.complaints.append(message.text)

        page.on("console", hear)
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        await page.goto(self.address + path)
        return page


@asynccontextmanager
async def open_pages(folder, make_doors=lambda _site: []):
    """The pages, with the doors that `make_doors` makes for the site; each has a `blueprint`."""
    listener = socket.create_server(("127.0.0.1", 0))
    async with open_relay() as relay:
        relay.port = listener.getsockname()[1]
        address = f"http://localhost:{relay.own_port}"
        async with open_site(folder, PUBLIC_URL=address) as site:
            doors = list(make_doors(site))
            for door in doors:
                site.app.register_blueprint(door.blueprint())
            site.app.asgi_app = straight_sockets(site.app.asgi_app)
            config = uvicorn.Config(
                site.app, ws="websockets-sansio", log_config=None, lifespan="off", timeout_graceful_shutdown=1
            )
            server = QuietServer(config)
            running = asyncio.create_task(server.serve([listener]))
            try:
                yield Pages(address, site, relay, doors)
            finally:
                relay.closed = True
                relay.cut()
                server.should_exit = True
                await running


async def grave(page):
    """What axe finds of serious or critical faults."""
    found = (await Axe().run(page)).response["violations"]
    return [
        (violation["id"], [node["target"] for node in violation["nodes"]])
        for violation in found
        if violation["impact"] in ("serious", "critical")
    ]


async def becomes(page, expression):
    """Wait until an expression is true in the page, whose policy lets playwright's own way not in."""
    async with asyncio.timeout(WAIT_S):
        while not await page.evaluate(expression):
            await asyncio.sleep(0.02)


async def is_too_wide(page):
    """Whether the page can be shoved aside."""
    return await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
