"""A server with the door of the chat alone, and two people: `me` and `other`."""

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import httpx2
from quart import Quart
from websockets.asyncio.client import connect

from bot.chat import Answering
from bot.chatting import Chatting
from bot.diary.chats import Chats
from bot.diary.store import Store
from bot.doors.asgi import bounded_bodies, straight_sockets
from bot.doors.chat import ChatDoor, Running
from bot.doors.signature import LARGEST_BODY_BYTES
from tests.chat_by_hand import (
    WAIT_S,
    IdentityByHand,
    LibraryByHand,
    ModelByHand,
    Somebody,
    a_person,
    hit,
    serving,
)
from tests.diary.talks import ANOTHER

ME, OTHER = {"X-Test-Person": "me"}, {"X-Test-Person": "other"}


@dataclass
class Site:
    """A server with the door alone."""

    address: str
    door: ChatDoor
    identity: IdentityByHand
    model: ModelByHand
    store: Store
    chats: Chatting

    def socket(self, headers=ME, query=""):
        return connect(
            f"ws://{self.address}/chat-ws{query}", additional_headers=headers, compression=None, ping_interval=None
        )

    def post(self, body, headers=ME, query=""):
        content = body if isinstance(body, str | bytes) else json.dumps(body)
        return httpx2.AsyncClient(timeout=WAIT_S).stream(
            "POST",
            f"http://{self.address}/chat/stream{query}",
            content=content,
            headers={"Content-Type": "application/json", **headers},
        )

    def answers(self, *tokens):
        """What the model says from now on."""
        self.model.tokens = tokens


@asynccontextmanager
async def site_of(store, library=None, people=None):
    model = ModelByHand("네", ", 그랬어요[1]", ".")
    identity = IdentityByHand(
        {
            "me": Somebody(await a_person(store)),
            "other": Somebody(await a_person(store, ANOTHER, "CA8")),
        }
        if people is None
        else people
    )
    chats = Chatting(
        Chats(store.database, store.keys, store.clock),
        library or LibraryByHand(hit()),
        Answering(model, ""),
        clock=store.clock,
        timezone=ZoneInfo("Asia/Seoul"),
    )
    door = ChatDoor()
    app = Quart("chat", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY_BYTES
    app.config["RESPONSE_TIMEOUT"] = 0.2
    app.register_blueprint(door.blueprint())
    app.asgi_app = bounded_bodies(straight_sockets(app.asgi_app), LARGEST_BODY_BYTES)
    door.start(Running(identity, chats))
    async with serving(app) as address:
        yield Site(address, door, identity, model, store, chats)
