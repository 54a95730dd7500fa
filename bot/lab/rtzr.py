"""The RTZR stand-in: a real server on the loopback that gives tokens and recognises what it is sent.

    async with RtzrLab() as lab:
        ...                       # RTZR_API_URL = lab.url
        assert not lab.report.breaches

HTTP and WebSocket share one port, as at the service. Its text comes from nothing but the audio (`hearing.py`); its
latencies, and what it does wrong, can be set while it runs (`rtzr_behaviour.py`). It must not know the bot.
"""

import argparse
import asyncio
import json
import secrets
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs

from websockets.exceptions import WebSocketException
from websockets.http11 import Request

from bot.lab.hearing_by_heart import EarByHeart, Memory
from bot.lab.loopback import Loopback
from bot.lab.matching import FIXTURES, Library
from bot.lab.rtzr_behaviour import Faults, Profile, Report, error_body, wrong_parameters
from bot.lab.rtzr_connection import Connection, House
from bot.lab.rtzr_files import FILES_PATH, Files

CLIENT_ID = "lab-id"
CLIENT_SECRET = "lab-secret"
AUTHENTICATE_PATH = "/v1/authenticate"


class RtzrLab(Loopback):
    """The stand-in on an ephemeral port, or on `port`; its `url` is what RTZR_API_URL is set to."""

    def __init__(
        self,
        *,
        port: int = 0,
        client_id: str = CLIENT_ID,
        client_secret: str = CLIENT_SECRET,
        profile: Profile | None = None,
        faults: Faults | None = None,
        fixtures: Path = FIXTURES,
        by_heart: bool = False,
    ) -> None:
        """`by_heart`: what is heard must be the fixtures' own frames, which is cheap enough for hundreds of calls."""
        super().__init__(port)
        self.client_id = client_id
        self.client_secret = client_secret
        self._house = House(Library.load(fixtures), profile or Profile(), faults or Faults())
        if by_heart:
            self._house.ear = partial(EarByHeart, Memory.of(fixtures))
        self.files = Files(self._house)
        self.tokens: dict[str, float] = {}  # token -> when it expires, epoch seconds

    @property
    def profile(self) -> Profile:
        """The latencies; they can be changed at any time."""
        return self._house.profile

    @property
    def faults(self) -> Faults:
        """What goes wrong; it can be changed at any time."""
        return self._house.faults

    @property
    def report(self) -> Report:
        """What was seen so far."""
        return self._house.report

    @property
    def breaches(self) -> list[str]:
        """Every breach of the protocol by a client."""
        return self.report.breaches

    def expire_tokens(self) -> None:
        """Make every token that was given so far a bad one."""
        self.tokens = dict.fromkeys(self.tokens, 0.0)

    def authenticate(self, form: dict[str, list[str]], content_type: str) -> tuple[int, dict[str, object]]:
        """Answer a request for a token: status and body."""
        self.report.authentications += 1
        if self.faults.authentications > 0:
            self.faults.authentications -= 1
            return self.faults.authentication_status, error_body(self.faults.authentication_status)
        if not content_type.startswith("application/x-www-form-urlencoded") or set(form) < {
            "client_id",
            "client_secret",
        }:
            self.report.other_breaches.append("authenticate: no form with client_id and client_secret")
            return 400, error_body(400)
        if form["client_id"] != [self.client_id] or form["client_secret"] != [self.client_secret]:
            self.report.other_breaches.append("authenticate: an unknown account")
            return 401, error_body(401)
        token = f"lab-{secrets.token_hex(8)}"
        expire_at = time.time() + self.faults.token_lifetime_s
        self.tokens[token] = expire_at
        if self.faults.stale_tokens > 0:
            self.faults.stale_tokens -= 1
            self.tokens[token] = 0.0
        return 200, {"access_token": token, "expire_at": int(expire_at)}

    def knows(self, authorization: str, what: str) -> bool:
        """Whether there is a token that is good now."""
        scheme, _, token = authorization.partition(" ")
        expires = self.tokens.get(token) if scheme.lower() == "bearer" else None
        if expires is None:
            self.report.other_breaches.append(f"{what}: no token, or one that was never given")
        return expires is not None and expires >= time.time()

    def _refusal(self, request: Request, parameters: dict[str, str]) -> int | None:
        """Return the status with which a handshake is refused, if it is."""
        if self.faults.handshakes > 0:
            self.faults.handshakes -= 1
            return self.faults.handshake_status
        if not self.knows(request.headers.get("Authorization", ""), "handshake"):
            return 401
        if wrong := wrong_parameters(parameters):
            self.report.other_breaches += [f"handshake: {each}" for each in wrong]
            return 400
        if self.faults.channels is not None and self.report.channels_open >= self.faults.channels:
            return 429
        return None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if self.faults.unanswered:
                await asyncio.Event().wait()
            if head.startswith((b"POST ", b"GET " + FILES_PATH.encode() + b"/")):
                await _answer(self, head, reader, writer)
            else:
                await Connection(self._house, self._refusal, reader, writer).run(head)
        except (OSError, EOFError, asyncio.LimitOverrunError, WebSocketException):
            pass  # the client went away, or never spoke HTTP
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        finally:
            writer.close()


async def _answer(lab: RtzrLab, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request that is no handshake."""
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    body = await reader.readexactly(int(headers.get("content-length") or 0))
    method, path = lines[0].split(" ")[:2]
    content_type = headers.get("content-type", "")
    if path == AUTHENTICATE_PATH:
        status, answer = lab.authenticate(parse_qs(body.decode("utf-8", "replace")), content_type)
    elif (method, path) != ("POST", FILES_PATH) and not path.startswith(FILES_PATH + "/"):
        status, answer = 404, error_body(404)
    elif not lab.knows(headers.get("authorization", ""), "transcribe"):
        status, answer = 401, error_body(401)
    elif method == "POST":
        status, answer = await lab.files.post(content_type, body)
    else:
        status, answer = lab.files.get(path.removeprefix(FILES_PATH + "/"))
    payload = json.dumps(answer).encode()
    writer.write(
        f"HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(payload)}\r\nConnection: close\r\n\r\n".encode()
        + payload
    )
    await writer.drain()


async def _serve(port: int, client_id: str, client_secret: str, channels: int | None) -> None:
    async with RtzrLab(
        port=port, client_id=client_id, client_secret=client_secret, faults=Faults(channels=channels)
    ) as lab:
        print(f"RTZR_API_URL={lab.url} RTZR_CLIENT_ID={client_id} RTZR_CLIENT_SECRET={client_secret}", flush=True)
        told = 0
        while True:
            await asyncio.sleep(1)
            done = [connection for connection in lab.report.connections if not connection.open]
            for connection in done[told:]:
                print(connection, flush=True)
            told = len(done)


def main() -> None:
    """Run the stand-in until it is interrupted."""
    parser = argparse.ArgumentParser(prog="python -m bot.lab.rtzr", description=__doc__)
    parser.add_argument("--port", type=int, default=8801)
    parser.add_argument("--client-id", default=CLIENT_ID)
    parser.add_argument("--client-secret", default=CLIENT_SECRET)
    parser.add_argument("--channels", type=int, default=None, help="connections open at once; one more gets 429")
    arguments = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(arguments.port, arguments.client_id, arguments.client_secret, arguments.channels))


if __name__ == "__main__":
    main()
