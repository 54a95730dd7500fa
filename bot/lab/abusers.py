"""Who means no good: `python -m bot.lab.abusers CASE URL SECONDS`, a process of its own that harms a running bot.

Each case of CASES goes on for so long, and then lets everything go with TCP resets. At the end it prints one line of
JSON: how often what came of it. It must not know how the bot bears it.
"""

import asyncio
import json
import resource
import sys
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from urllib.parse import urlencode

from bot.audio.frames import FRAME_MS
from bot.lab import messages
from bot.lab.abuser_peer import Peer, Target, frame
from bot.lab.load_line import _MEDIA
from bot.lab.load_lines import WEBHOOK_PATH, answered
from bot.lab.stage import AUTH_TOKEN
from bot.lab.twilio import ACCOUNT_SID, BOT_NUMBER, new_call_sid
from bot.lab.utterances import FIXTURES
from bot.lab.wire import Wire, signature, voice_parameters

IDLE = 10_000
FLOODERS = 50
SLOW_CALLS, SLOW_PAGES, PINGERS = 20, 100, 20
FASTER = 10
APART_S = 0.2
"""Between the beginnings of two calls: each costs the bot some 10 ms."""
HUGE_BYTES = 1 << 20
PAGE_PATH = "/static/voice_client.js"
GRACE_S = 5.0


# ── many that do nothing ─────────────────────────────────────────────────────────────────────────────────────────────


async def _idle(target: Target, first: Callable[[], bytes]) -> None:
    """So many connections, each with a few bytes, and then nothing."""
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + target.seconds
    peers: list[Peer] = []
    for _ in range(IDLE):
        try:
            peers.append(await Peer.to(target))
        except OSError as error:
            target.seen[f"not opened: {error.strerror or type(error).__name__}"] += 1
            break
        if sent := first():
            peers[-1].transport.write(sent)
    target.seen["opened"] = len(peers)
    await asyncio.sleep(max(0.0, ends_s - loop.time()))
    for peer in peers:
        target.seen["closed by the bot" if peer.over.is_set() else "open at the end"] += 1
        peer.reset()


async def idle_tcp(target: Target) -> None:
    """Connections on which nothing is sent."""
    await _idle(target, lambda: b"")


async def half_open(target: Target) -> None:
    """Requests whose head never ends."""
    begun = f"POST {WEBHOOK_PATH} HTTP/1.1\r\nHost: bot\r\nX-More: ".encode()
    await _idle(target, lambda: begun)


async def no_start(target: Target) -> None:
    """Signed media sockets without `start`."""
    await _idle(target, target.handshake)


# ── floods ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _flooded(target: Target, one: Callable[[Target], Awaitable[str]]) -> None:
    async def again_and_again() -> None:
        while True:
            try:
                target.seen[await one(target)] += 1
            except OSError as error:
                target.seen[error.strerror or type(error).__name__] += 1

    with suppress(TimeoutError):
        async with asyncio.timeout(target.seconds), asyncio.TaskGroup() as tasks:
            for _ in range(FLOODERS):
                tasks.create_task(again_and_again())


async def handshakes(target: Target) -> None:
    """Handshakes that Twilio has not signed, each on a connection of its own, as fast as they are answered."""

    async def one(target: Target) -> str:
        peer = await Peer.to(target)
        try:
            peer.transport.write(target.handshake(signed=False))
            return await peer.answer()
        finally:
            peer.reset()

    await _flooded(target, one)


async def webhooks(target: Target) -> None:
    """Webhooks that Twilio has not signed, each on a connection of its own, as fast as they are answered."""
    params = voice_parameters(ACCOUNT_SID, new_call_sid(), "+821000000000", BOT_NUMBER, "ringing")
    body = urlencode(params).encode()
    head = (
        f"POST {WEBHOOK_PATH} HTTP/1.1\r\nHost: bot\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"X-Twilio-Signature: {signature('another', target.url, params)}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()

    async def one(target: Target) -> str:
        peer = await Peer.to(target)
        try:
            peer.transport.write(head + body)
            return await peer.answer()
        finally:
            peer.reset()

    await _flooded(target, one)


# ── what is too big ──────────────────────────────────────────────────────────────────────────────────────────────────


async def _told(target: Target, what: str, peer: Peer) -> None:
    """Note how a connection ends that has sent too much."""
    try:
        async with asyncio.timeout(GRACE_S):
            await peer.over.wait()
    except TimeoutError:
        target.seen[f"{what}: left open"] += 1
    else:
        code = int.from_bytes(peer.got[2:4]) if peer.got[:1] == b"\x88" else None
        target.seen[f"{what}: closed{f' with {code}' if code else ''}"] += 1
    peer.reset()


async def huge(target: Target) -> None:
    """Messages of 1 MiB, fragments without end, empty fragments, and heads of 1 MiB, one after the other."""
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + target.seconds
    while loop.time() < ends_s:
        for what, sent in (
            ("a message of 1 MiB", (frame(1, bytes(HUGE_BYTES)),)),
            ("fragments", (frame(2, bytes(1000), final=False), *[frame(0, bytes(1000), final=False)] * 1_000)),
        ):
            peer = await _shaken(target)
            await _poured(peer, sent)
            await _told(target, what, peer)
        peer = await Peer.to(target)
        await _poured(peer, (target.handshake(extra=b"X-Huge: " + b"a" * HUGE_BYTES + b"\r\n"),))
        await _told(target, "a head of 1 MiB", peer)


async def empty_fragments(target: Target) -> None:
    """Messages of empty fragments, without an end."""
    begun = frame(2, b"", final=False)
    rest = frame(0, b"", final=False) * 10_000
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + target.seconds
    while loop.time() < ends_s:
        peer = await _shaken(target)
        peer.transport.write(begun)
        while loop.time() < ends_s and not peer.over.is_set():
            await _poured(peer, (rest,))
            target.seen["fragments"] += 10_000
        target.seen["closed by the bot"] += peer.over.is_set()
        peer.reset()


async def _shaken(target: Target, *, deaf: bool = False) -> Peer:
    """A media socket after its handshake; who is deaf reads nothing after that."""
    peer = await Peer.to(target, narrow=deaf)
    peer.transport.write(target.handshake())
    await peer.answer()
    if deaf:
        peer.transport.pause_reading()
    return peer


async def _poured(peer: Peer, sent: Sequence[bytes]) -> None:
    for each in sent:
        if peer.over.is_set():
            return
        peer.transport.write(each)
        await asyncio.sleep(0)
        await peer.writable.wait()


# ── who sends and does not read ──────────────────────────────────────────────────────────────────────────────────────


async def slow_media(target: Target) -> None:
    """Calls that talk, and never read what the bot says."""
    await _calls(target, SLOW_CALLS, faster=1, deaf=True)


async def frames(target: Target) -> None:
    """One call whose frames come ten times as fast as they are spoken."""
    await _calls(target, 1, faster=FASTER, deaf=False)


async def _calls(target: Target, calls: int, *, faster: int, deaf: bool) -> None:
    wire = Wire(target.url, AUTH_TOKEN)
    try:
        async with asyncio.TaskGroup() as tasks:
            for index in range(calls):
                tasks.create_task(_call(target, wire, index, faster=faster, deaf=deaf))
                await asyncio.sleep(APART_S)
    finally:
        await wire.close()


async def _call(target: Target, wire: Wire, index: int, *, faster: int, deaf: bool) -> None:
    async with answered(wire, f"+8220{index:08d}") as stream:
        peer = await _shaken(target, deaf=deaf)
        started = messages.start(parameters=stream.parameters, **stream.sids) | {"sequenceNumber": "1"}
        for message in (messages.connected(), started):
            peer.transport.write(frame(1, json.dumps(message).encode()))
        sound = (FIXTURES / "utterances" / "jia-morning.ulaw").read_bytes()
        stream_sid = stream.sids["stream_sid"].encode()
        loop = asyncio.get_running_loop()
        began_s, at = loop.time(), 0
        while loop.time() < began_s + target.seconds and not peer.over.is_set():
            await asyncio.sleep(max(0.0, began_s + at * FRAME_MS / 1000 / faster - loop.time()))
            begin = at * 160 % (len(sound) - 160)
            payload = b64encode(sound[begin : begin + 160])
            peer.transport.write(frame(1, _MEDIA % (at + 2, at + 1, at * FRAME_MS, payload, stream_sid)))
            at += 1
        target.seen["frames"] += at
        target.seen["closed by the bot" if peer.over.is_set() else "open at the end"] += 1
        peer.reset()


async def slow_pages(target: Target) -> None:
    """Requests for a page, one behind the other, of whose answers nothing is read."""
    ends_s = asyncio.get_running_loop().time() + target.seconds
    asked = f"GET {PAGE_PATH} HTTP/1.1\r\nHost: bot\r\n\r\n".encode() * 50

    async def ask() -> None:
        peer = await Peer.to(target, narrow=True)
        peer.transport.pause_reading()
        await _insist(target, peer, asked, ends_s, 0.2)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(SLOW_PAGES):
            tasks.create_task(ask())


async def pings(target: Target) -> None:
    """Media sockets with pings as fast as they are taken, of whose answers nothing is read."""
    ends_s = asyncio.get_running_loop().time() + target.seconds
    many = frame(9, bytes(125)) * 100

    async def ping() -> None:
        peer = await _shaken(target, deaf=True)
        target.seen["pings"] += 100 * await _insist(target, peer, many, ends_s, 0.02)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(PINGERS):
            tasks.create_task(ping())


async def _insist(target: Target, peer: Peer, what: bytes, ends_s: float, apart_s: float) -> int:
    """Send the same again and again, as far as it is taken; returns how often."""
    now_s, times = asyncio.get_running_loop().time, 0
    while now_s() < ends_s and not peer.over.is_set():
        peer.transport.write(what)
        times += 1
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await peer.writable.wait()
        await asyncio.sleep(apart_s)
    target.seen["closed by the bot" if peer.over.is_set() else "open at the end"] += 1
    peer.reset()
    return times


CASES: dict[str, Callable[[Target], Awaitable[None]]] = {
    "slow-media": slow_media,
    "slow-pages": slow_pages,
    "pings": pings,
    "frames": frames,
    "idle-tcp": idle_tcp,
    "half-open": half_open,
    "no-start": no_start,
    "huge": huge,
    "empty-fragments": empty_fragments,
    "handshakes": handshakes,
    "webhooks": webhooks,
}


def all_files() -> int:
    """Let this process have as many open files as the system allows; returns how many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def main(argv: Sequence[str]) -> int:
    """Harm a bot once."""
    case, url, seconds = argv
    target = Target(url, float(seconds))
    all_files()
    asyncio.run(CASES[case](target))  # type: ignore[arg-type]
    print(json.dumps(target.seen), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
