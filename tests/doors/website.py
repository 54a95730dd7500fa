"""The pages and the sign-in door over a real diary in SQLite, a carrier that takes notes, and a browser of sorts."""

import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import unescape

from quart import Quart

from bot.diary.crypto import Keys
from bot.diary.people import People
from bot.diary.store import Store
from bot.doors.identity import Identity, origin_of
from bot.doors.pages import PagesDoor, PagesRunning
from bot.doors.sign_in import SignInDoor, SignInRunning
from bot.doors.twiml import Documents
from bot.settings import load

PUBLIC_URL = "https://diary.example.com"
NUMBER, TYPED, ANOTHER = "+821012345678", "010-1234-5678", "+821099999999"
ENVIRON = {
    "RTZR_CLIENT_ID": "id",
    "RTZR_CLIENT_SECRET": "secret",
    "TWILIO_ACCOUNT_SID": "AC" + "a1" * 16,
    "TWILIO_AUTH_TOKEN": "token",
    "TWILIO_PHONE_NUMBER": "+827045678901",
    "PUBLIC_URL": PUBLIC_URL,
}


class Clock:
    """A clock that the test turns."""

    def __init__(self):
        self.now = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

    def __call__(self):
        return self.now

    def forward(self, **by):
        """Turn it."""
        self.now += timedelta(**by)


class NotingCarrier:
    """Notes what is sent; raises `fails`, if that is set."""

    def __init__(self):
        self.messages, self.calls, self.fails = [], [], None

    async def send_message(self, to, body):
        self._may_fail()
        self.messages.append((to, body))

    async def call(self, to, twiml, *, ring_s):
        self._may_fail()
        self.calls.append((to, twiml, ring_s))

    def _may_fail(self):
        if self.fails is not None:
            raise self.fails

    @property
    def code(self):
        """The code that was sent last."""
        return re.search("[0-9]{6}", self.messages[-1][1])[0]


class Browser:
    """Keeps cookies, sends the forms of the page that it shows, with its origin, and is led to the field of a code."""

    def __init__(self, app, base, *, headers=None):
        self.client = app.test_client()
        self.base = base
        self.origin = origin_of(base)
        self.headers = headers or {}
        self.html = ""
        self.response = None

    async def get(self, path):
        """Show a page."""
        return await self._show(await self.client.get(path, headers=self.headers))

    async def post(self, path, *, origin="", **fields):
        """Send the form of the page with its hidden fields; the origin is the browser's, another one, or None."""
        sent = dict(self.headers)
        origin = self.origin if origin == "" else origin
        if origin is not None:
            sent["Origin"] = origin
        form = {"form_token": self.form_token, **fields}
        return await self._show(await self.client.post(path, form=form, headers=sent))

    async def sign_in(self, carrier, number=TYPED):
        """Sign in, by a message."""
        await self.get("/sign-in")
        await self.post("/sign-in", number=number, by="sms")
        return await self.post("/sign-in/code", code=carrier.code)

    @property
    def form_token(self):
        """The token of the forms on the page."""
        found = re.search('name="form_token" value="([^"]*)"', self.html)
        return found[1] if found else ""

    @property
    def text(self):
        """What the page says."""
        main = self.html.partition("<main")[2]
        return " ".join(unescape(re.sub("<[^>]*>", " ", main)).split())

    @property
    def status(self):
        """The status of the last answer."""
        return self.response.status_code

    @property
    def cookies(self):
        """What is kept, by name."""
        return {cookie.name: cookie for cookie in self.client.cookie_jar}

    async def _show(self, response):
        if response.headers.get("Location", "").partition("?")[0] == f"{self.base}/sign-in/code":
            response = await self.client.get(response.headers["Location"].removeprefix(self.base), headers=self.headers)
        self.response = response
        self.html = (await response.get_data()).decode()
        return response


@dataclass
class Site:
    """The site under test."""

    app: Quart
    store: Store
    people: People
    identity: Identity
    carrier: NotingCarrier
    clock: Clock
    public_url: str

    def browser(self, **more):
        """A browser that knows nothing yet."""
        return Browser(self.app, self.public_url, **more)


@asynccontextmanager
async def open_site(folder, *, carrier=True, **environ):
    """A site that is open for the block; `carrier` False: there is no telephone account, True: one that takes notes."""
    settings = load({**ENVIRON, **environ})
    clock = Clock()
    keys = Keys.parse("first-secret-of-the-tests-0123456789")
    store = await Store.open(f"sqlite:///{folder}/diary.db", keys, clock=clock)
    try:
        people = People(store.database, store.keys, store.clock)
        app = Quart("site", static_folder=None)
        app.config["MAX_CONTENT_LENGTH"] = 64 * 1024
        pages, sign_in = PagesDoor(settings), SignInDoor(settings, Documents())
        app.register_blueprint(pages.blueprint())
        app.register_blueprint(sign_in.blueprint())
        identity = Identity(settings, people)
        sends = NotingCarrier() if carrier is True else carrier or None
        pages.start(PagesRunning(identity, people))
        sign_in.start(SignInRunning(identity, people, sends))
        yield Site(app, store, people, identity, sends, clock, settings.public_url)
    finally:
        await store.close()
