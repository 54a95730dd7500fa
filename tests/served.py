"""A bot that serves, as a real process, and a caller of it."""

import asyncio
import base64
import json
import os
import re
import sys
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

ROOT = Path(__file__).resolve().parents[1]
CALL_SID, STREAM_SID, ACCOUNT_SID = "CA" + "b2" * 16, "MZ" + "c3" * 16, "AC" + "a1" * 16
SERVE = [sys.executable, "-c", "import os, sys; from bot.server import run; sys.exit(run(os.environ))"]
WAIT_S = 30


def environment(folder, **changes):
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "PORT": "0",
        "RTZR_CLIENT_ID": "id",
        "RTZR_CLIENT_SECRET": "secret",
        "RTZR_API_URL": "http://127.0.0.1:9",
        "DATABASE_URL": f"sqlite:///{folder}/diary.db",
        "ALLOW_UNSIGNED": "1",
        **changes,
    }


@dataclass
class Serving:
    """A process that serves on `port`; `lines` is its log."""

    process: asyncio.subprocess.Process
    port: int
    lines: list

    async def get(self, path, fields=None):
        def ask():
            body = urllib.parse.urlencode(fields).encode() if fields else None
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", body, timeout=WAIT_S) as answer:
                return answer.read().decode()

        return await asyncio.to_thread(ask)

    async def draining(self):
        async with asyncio.timeout(WAIT_S):
            while not json.loads(await self.get("/health"))["draining"]:
                await asyncio.sleep(0.01)

    async def ended(self):
        async with asyncio.timeout(WAIT_S):
            return await self.process.wait()


@asynccontextmanager
async def serving(folder, *, command=SERVE, **changes):
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=environment(folder, **changes), stderr=asyncio.subprocess.PIPE
    )
    lines = []
    listening = asyncio.get_running_loop().create_future()

    async def read():
        async for line in process.stderr:
            lines.append(line.decode().rstrip())
            if (found := re.search(r"listening on 127\.0\.0\.1 port (\d+) as http://localhost:\d+$", lines[-1])) and (
                not listening.done()
            ):
                listening.set_result(int(found[1]))

    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read())
        try:
            async with asyncio.timeout(WAIT_S):
                yield Serving(process, await listening, lines)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            await reading


@asynccontextmanager
async def talking(bot, call_sid=CALL_SID):
    """A call whose caller is silent; gives the client's end of its media socket."""
    ringing = {"CallSid": call_sid, "AccountSid": ACCOUNT_SID, "CallStatus": "ringing", "From": "+821012345678"}
    stream = ET.fromstring(await bot.get("/twilio/voice", ringing)).find("Connect/Stream")
    async with streaming(stream, call_sid) as caller:
        yield caller


@asynccontextmanager
async def streaming(stream, call_sid=CALL_SID, sock=None):
    """The media socket that a document asks for; on a connection that is there already with `sock`."""
    token = stream.find("Parameter").get("value")
    start = {
        "accountSid": ACCOUNT_SID,
        "streamSid": STREAM_SID,
        "callSid": call_sid,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": token},
    }
    silence = base64.b64encode(b"\xff" * 160).decode()

    async def pump(caller):
        await caller.send(json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}))
        sent = {"event": "start", "sequenceNumber": "1", "start": start, "streamSid": STREAM_SID}
        await caller.send(json.dumps(sent))
        number = 1
        with suppress(ConnectionClosed):
            while True:
                media = {"track": "inbound", "chunk": str(number), "timestamp": str(number * 20), "payload": silence}
                frame = {"event": "media", "sequenceNumber": str(number + 1), "media": media, "streamSid": STREAM_SID}
                await caller.send(json.dumps(frame))
                number += 1
                await asyncio.sleep(0.02)

    async with connect(stream.get("url"), compression=None, sock=sock) as caller, asyncio.TaskGroup() as tasks:
        pumping = tasks.create_task(pump(caller))
        yield caller
        pumping.cancel()


async def heard_to_its_end(caller):
    """Play the caller's side of the marks until the bot closes; how much audio came, in bytes."""
    audio_bytes = 0
    with suppress(ConnectionClosed):
        async for text in caller:
            message = json.loads(text)
            if message["event"] == "media":
                audio_bytes += len(base64.b64decode(message["media"]["payload"]))
            elif message["event"] == "mark":
                await caller.send(json.dumps({**message, "sequenceNumber": "1"}))
    return audio_bytes


def account(lab):
    """The settings of the recogniser."""
    return {"RTZR_API_URL": lab.url, "RTZR_CLIENT_ID": lab.client_id, "RTZR_CLIENT_SECRET": lab.client_secret}
