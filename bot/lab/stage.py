"""A stage for whole calls: the stand-ins, a bot in a process of its own, and a telephone to call it with.

The bot is started as anyone would start it, `python -m bot serve` with settings in its environment; nothing of it is
imported, so it can be killed and started again.
"""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bot.lab.openai import KEY as OPENAI_KEY
from bot.lab.openai import OpenAiLab
from bot.lab.rtzr import CLIENT_ID as RTZR_ID
from bot.lab.rtzr import CLIENT_SECRET as RTZR_SECRET
from bot.lab.rtzr import RtzrLab
from bot.lab.twilio import ACCOUNT_SID, BOT_NUMBER, TwilioLab
from bot.lab.twilio_rest import TwilioRest

AUTH_TOKEN = "stage-auth-token"
START_S = 60.0
STOP_S = 40.0
WRITTEN_S = 60.0
_LISTENING = re.compile(r"listening on .* port (\d+) as (\S+)")


class BotDied(Exception):
    """The bot ended, or never began to listen."""


@dataclass(slots=True)
class Bot:
    """A running `python -m bot serve`; `log` is what it wrote to stderr so far, `url` what it believes to be called.

    `port` is 0 until it listens.
    """

    process: asyncio.subprocess.Process
    environ: dict[str, str]
    url: str = ""
    port: int = 0
    log: list[str] = field(default_factory=list)

    async def listens(self, processes: int = 1) -> None:
        """Wait until so many do; BotDied when it ends first."""
        assert self.process.stderr
        async for line in self.process.stderr:
            self.log.append(line.decode().rstrip())
            if found := _LISTENING.search(self.log[-1]):
                self.port, self.url = int(found[1]), found[2]
                processes -= 1
                if not processes:
                    return
        raise BotDied("\n".join(self.log))

    async def follow(self, on_line: Callable[[str], None] | None) -> None:
        """Read its log until it ends."""
        assert self.process.stderr
        async for line in self.process.stderr:
            self.log.append(line.decode().rstrip())
            if on_line:
                on_line(self.log[-1])
        assert self.process.stdin
        self.process.stdin.close()
        with suppress(ConnectionError):
            await self.process.stdin.wait_closed()

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self.process.returncode is None

    def send(self, how: signal.Signals) -> None:
        """Send it a signal, if it is there."""
        if self.is_running:
            self.process.send_signal(how)

    def warp(self, line: str) -> None:
        """Give a `bot.lab.warped` its next order."""
        assert self.process.stdin
        self.process.stdin.write(line.encode() + b"\n")

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it with a signal; returns its exit status. It is killed when it does not end within `STOP_S`."""
        self.send(how)
        try:
            async with asyncio.timeout(STOP_S):
                return await self.process.wait()
        except TimeoutError:
            self.process.kill()
            return await self.process.wait()

    async def run(self, *arguments: str) -> str:
        """Run another command of the bot's with the same settings; returns what it printed."""
        command = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot", *arguments, env=self.environ, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await command.communicate()
        return out.decode()

    async def entries(self, *, at_least: int = 0) -> list[dict[str, Any]]:
        """What `python -m bot entries --json` prints, once there are `at_least` so many, or after `WRITTEN_S`."""
        until_s = asyncio.get_running_loop().time() + WRITTEN_S
        while True:
            found: list[dict[str, Any]] = json.loads(await self.run("entries", "--json"))
            if len(found) >= at_least or asyncio.get_running_loop().time() >= until_s:
                return found
            await asyncio.sleep(0.5)


@dataclass(frozen=True, slots=True)
class Stage:
    """What is on the stage; `openai` is None when the bot answers and speaks with what it has built in."""

    bot: Bot
    twilio: TwilioLab
    rtzr: RtzrLab
    openai: OpenAiLab | None
    rest: TwilioRest


@asynccontextmanager
async def staged(
    folder: Path,
    *,
    offline: bool = False,
    settings: Mapping[str, str] | None = None,
    rtzr: RtzrLab | None = None,
    openai: OpenAiLab | None = None,
    on_line: Callable[[str], None] | None = None,
    cores: Collection[int] = (),
    module: str = "bot",
    **habits: Any,
) -> AsyncIterator[Stage]:
    """Set everything up, the diary in `folder`; the bot is ended by SIGTERM and the stand-ins are closed at the end.

    With `cores` the bot has those alone; `module` is what is started as the bot.
    """
    async with AsyncExitStack() as stack:
        recogniser = await stack.enter_async_context(rtzr or RtzrLab())
        models = None if offline else await stack.enter_async_context(openai or OpenAiLab())
        rest = await stack.enter_async_context(TwilioRest(ACCOUNT_SID, AUTH_TOKEN))
        outside = environ_of(recogniser.url, models.url if models else None, rest.url)
        environ = outside | {"DATABASE_URL": f"sqlite:///{folder / 'ilgi.db'}"} | dict(settings or {})
        bot = await start_bot(environ, module, cores=cores)
        following = asyncio.create_task(bot.follow(on_line))
        try:
            async with TwilioLab(bot.url, auth_token=AUTH_TOKEN, recordings=rest.recordings, **habits) as twilio:
                yield Stage(bot, twilio, recogniser, models, rest)
            await bot.stop()
        finally:
            await bot.stop(signal.SIGKILL)
            await following


def environ_of(rtzr_url: str, openai_url: str | None, twilio_url: str) -> dict[str, str]:
    """The settings of a bot among stand-ins, but for its database, and of this process only what Python needs."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ}
    environ = kept | {
        "PORT": "0",
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWILIO_PHONE_NUMBER": BOT_NUMBER,
        "TWILIO_API_URL": twilio_url,
        "RTZR_CLIENT_ID": RTZR_ID,
        "RTZR_CLIENT_SECRET": RTZR_SECRET,
        "RTZR_API_URL": rtzr_url,
    }
    if openai_url:
        environ |= {"OPENAI_API_KEY": OPENAI_KEY, "OPENAI_BASE_URL": openai_url, "OPENAI_MODEL": "lab", "TTS": "openai"}
    return environ


async def start_bot(environ: dict[str, str], module: str = "bot", *, cores: Collection[int] = ()) -> Bot:
    """Start `python -m MODULE serve`, on `cores` or on any, and wait until it listens; BotDied when it does not."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        "serve",
        env=environ,
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=1 << 20,
        preexec_fn=partial(os.sched_setaffinity, 0, cores) if cores else None,
    )
    bot = Bot(process, environ)
    try:
        async with asyncio.timeout(START_S):
            await bot.listens(int(environ.get("WEB_CONCURRENCY", 1)))
    except TimeoutError:
        raise BotDied("\n".join(["it did not begin to listen", *bot.log])) from None
    finally:
        if not bot.port:
            if bot.is_running:
                process.kill()
            await process.communicate()
    return bot
