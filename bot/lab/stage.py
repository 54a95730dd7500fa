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
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.lab.openai import OpenAiLab
from bot.lab.rtzr import RtzrLab
from bot.lab.twilio import ACCOUNT_SID, BOT_NUMBER, TwilioLab

AUTH_TOKEN = "stage-auth-token"
START_S = 60.0
STOP_S = 40.0
_LISTENING = re.compile(r"listening on .* port \d+ as (\S+)")


class BotDied(Exception):
    """The bot ended, or never began to listen."""


@dataclass(slots=True)
class Bot:
    """A running `python -m bot serve`; `log` is what it wrote to stderr so far."""

    process: asyncio.subprocess.Process
    environ: dict[str, str]
    url: str = ""
    log: list[str] = field(default_factory=list)

    async def listens(self) -> None:
        """Wait until it does; BotDied when it ends first."""
        assert self.process.stderr
        async for line in self.process.stderr:
            self.log.append(line.decode().rstrip())
            if found := _LISTENING.search(self.log[-1]):
                self.url = found[1]
                return
        raise BotDied("\n".join(self.log))

    async def follow(self, on_line: Callable[[str], None] | None) -> None:
        """Read its log until it ends."""
        assert self.process.stderr
        async for line in self.process.stderr:
            self.log.append(line.decode().rstrip())
            if on_line:
                on_line(self.log[-1])

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it with a signal; returns its exit status. It is killed when it does not end within `STOP_S`."""
        if self.process.returncode is None:
            self.process.send_signal(how)
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

    async def entries(self) -> list[dict[str, Any]]:
        """What `python -m bot entries --json` prints."""
        found: list[dict[str, Any]] = json.loads(await self.run("entries", "--json"))
        return found


@dataclass(frozen=True, slots=True)
class Stage:
    """What is on the stage; `openai` is None when the bot answers and speaks with what it has built in."""

    bot: Bot
    twilio: TwilioLab
    rtzr: RtzrLab
    openai: OpenAiLab | None


@asynccontextmanager
async def staged(
    folder: Path,
    *,
    offline: bool = False,
    settings: Mapping[str, str] | None = None,
    rtzr: RtzrLab | None = None,
    openai: OpenAiLab | None = None,
    on_line: Callable[[str], None] | None = None,
    **habits: Any,
) -> AsyncIterator[Stage]:
    """Set everything up, the diary in `folder`; the bot is ended by SIGTERM and the stand-ins are closed at the end."""
    async with AsyncExitStack() as stack:
        recogniser = await stack.enter_async_context(rtzr or RtzrLab())
        models = None if offline else await stack.enter_async_context(openai or OpenAiLab())
        environ = _environ(folder, recogniser, models) | dict(settings or {})
        bot = await _started(environ)
        following = asyncio.create_task(bot.follow(on_line))
        try:
            async with TwilioLab(bot.url, auth_token=AUTH_TOKEN, **habits) as twilio:
                yield Stage(bot, twilio, recogniser, models)
            await bot.stop()
        finally:
            await bot.stop(signal.SIGKILL)
            await following


def _environ(folder: Path, rtzr: RtzrLab, openai: OpenAiLab | None) -> dict[str, str]:
    """The settings of the bot, and of this process only what Python needs."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ}
    environ = kept | {
        "PORT": "0",
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWILIO_PHONE_NUMBER": BOT_NUMBER,
        "RTZR_CLIENT_ID": rtzr.client_id,
        "RTZR_CLIENT_SECRET": rtzr.client_secret,
        "RTZR_API_URL": rtzr.url,
        "DATABASE_URL": f"sqlite:///{folder / 'ilgi.db'}",
    }
    if openai:
        environ |= {"OPENAI_API_KEY": openai.key, "OPENAI_BASE_URL": openai.url, "OPENAI_MODEL": "lab", "TTS": "openai"}
    return environ


async def _started(environ: dict[str, str]) -> Bot:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "serve", env=environ, stderr=asyncio.subprocess.PIPE, limit=1 << 20
    )
    bot = Bot(process, environ)
    try:
        async with asyncio.timeout(START_S):
            await bot.listens()
    except TimeoutError:
        process.kill()
        raise BotDied("\n".join(["it did not begin to listen", *bot.log])) from None
    return bot
