"""A phone door with a store and calls that only take notes, and requests signed as Twilio signs them."""

import asyncio
import base64
import hashlib
import hmac
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode

import pytest
from quart import Quart

from bot.doors.asgi import bounded_bodies, straight_sockets
from bot.doors.health import HealthDoor
from bot.doors.live import LiveCalls
from bot.doors.patience import Patience
from bot.doors.phone import PhoneDoor, Running
from bot.doors.signature import LARGEST_BODY_BYTES
from bot.doors.twiml import Documents
from bot.errors import StoreError
from bot.settings import load

ACCOUNT_SID = "AC" + "a1" * 16
CALL_SID = "CA" + "b2" * 16
TOKEN = "auth-token-of-the-account"
ENVIRON = {
    "RTZR_CLIENT_ID": "id",
    "RTZR_CLIENT_SECRET": "secret",
    "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
    "TWILIO_AUTH_TOKEN": TOKEN,
    "PUBLIC_URL": "https://diary.example.com",
}


class NotingStore:
    """A store in memory; `fails` makes every method fail."""

    def __init__(self):
        self.fails = False
        self.has_room = True
        self.places = []
        self.arrived = []
        self.ended = {}
        self.tokens = {}
        self.next_steps = {}
        self.recordings = []

    def _may_fail(self):
        if self.fails:
            raise StoreError("no database")

    async def call_arrived(self, call_sid, number):
        self._may_fail()
        self.arrived.append((call_sid, number))

    async def take_place(self, call_sid, *, is_full):
        self._may_fail()
        self.places.append(call_sid)
        return self.has_room and not is_full

    async def record_instead(self, call_sid):
        self._may_fail()
        self.next_steps[call_sid] = "record"

    async def media_token(self, call_sid):
        self._may_fail()
        return self.tokens.setdefault(call_sid, f'token "of" <{call_sid}> & $so')

    async def call_ended(self, call_sid, why):
        self._may_fail()
        self.ended.setdefault(call_sid, why)

    async def is_ended(self, call_sid):
        self._may_fail()
        return call_sid in self.ended

    async def next_step(self, call_sid):
        self._may_fail()
        return self.next_steps.get(call_sid)

    async def recording_made(self, call_sid, recording_sid):
        self._may_fail()
        self.ended.setdefault(call_sid, "recorded")
        if (call_sid, recording_sid) not in self.recordings:
            self.recordings.append((call_sid, recording_sid))

    async def is_up(self):
        return not self.fails


class NotingCall:
    """A call that notes its messages, answers each with an echo, and ends when it is told that its socket is over."""

    def __init__(self, send, close):
        self.call_sid = None
        self.messages = []
        self.drained = self.saved = False
        self.over = asyncio.Event()
        self.may_save = asyncio.Event()
        self.may_save.set()
        self.close = close
        self._send = send
        self._echoes = asyncio.Queue()

    def receive(self, message):
        self.messages.append(message)
        if isinstance(message, str) and message.startswith("CA"):
            self.call_sid = message
        self._echoes.put_nowait(message)

    def gone(self):
        self.over.set()

    def drain(self):
        self.drained = True
        self._echoes.put_nowait("drained")

    async def run(self):
        echoing = asyncio.ensure_future(self._echo())
        await self.over.wait()
        echoing.cancel()
        await self.may_save.wait()
        self.saved = True

    async def _echo(self):
        while True:
            message = await self._echoes.get()
            if message == "break":
                raise RuntimeError("a bug")
            await self._send(f"echo {message}")
            if message == "drained":
                await self.close(1000)


@dataclass
class Door:
    """The door under test with what it noted."""

    app: Quart
    settings: object
    store: NotingStore
    live: LiveCalls
    patience: Patience
    calls: list = field(default_factory=list)
    work: int = 0

    def work_came(self):
        """Count how often durable work was announced."""
        self.work += 1

    async def post(self, path, fields=None, *, token=TOKEN, headers=None, **changes):
        """A webhook of Twilio, signed."""
        form = {"CallSid": CALL_SID, "AccountSid": ACCOUNT_SID, "CallStatus": "ringing", "FromCity": "", **changes}
        form = form if fields is None else fields
        body = urlencode(form)
        signature = sign(self.settings.public_url + path, form, token)
        sent = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8", "X-Twilio-Signature": signature}
        return await self.app.test_client().post(path, data=body, headers={**sent, **(headers or {})})


def sign(url, form=None, token=TOKEN):
    """X-Twilio-Signature of a request."""
    text = url + "".join(name + form[name] for name in sorted(form or {}))
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), hashlib.sha1)).decode()


@pytest.fixture(name="sign")
def _sign():
    return sign


@pytest.fixture
def open_door():
    """`async with open_door(**environ) as door`: a door that is open."""
    return _open_door


@asynccontextmanager
async def _open_door(**environ):
    settings = load({**ENVIRON, **environ})
    app = Quart("door", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY_BYTES
    phone = PhoneDoor(settings, Documents())
    app.register_blueprint(phone.blueprint())
    app.get("/health")(HealthDoor(phone).health)
    app.asgi_app = bounded_bodies(straight_sockets(app.asgi_app), LARGEST_BODY_BYTES)
    async with asyncio.TaskGroup() as tasks:
        door = Door(
            app, settings, NotingStore(), LiveCalls(tasks, lambda call: call.run()), Patience(tasks, lambda note: note)
        )

        def new_call(send, close):
            door.calls.append(NotingCall(send, close))
            return door.calls[-1]

        phone.start(Running(door.store, door.live, new_call, door.work_came, door.patience))
        yield door
        door.patience.cancel()
        for call in door.calls:
            call.gone()
