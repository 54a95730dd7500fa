"""Several processes of one bot behind one address, as a platform runs them: started, ended, killed, replaced.

They share a database, the keys of the diary, and the stand-ins; `Router` is what is called. Must not know what goes
wrong in a call: see `chaos_cases.py`.
"""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count

from bot.lab.router import Router
from bot.lab.stage import Bot, start_bot

WARPED = "bot.lab.warped"
PROCESSES = 2
RESTART_S = 1.0
"""How long a platform needs to notice that a process is gone."""


class Fleet:
    """The processes, by name: a, b, c …; a name is never used again."""

    def __init__(self, tasks: asyncio.TaskGroup, router: Router, environ: Mapping[str, str], module: str) -> None:
        self.bots: dict[str, Bot] = {}
        self.logs: list[str] = []
        self._tasks = tasks
        self._router = router
        self._environ = {**environ, "PUBLIC_URL": router.url}
        self._module = module
        self._names = count()

    @property
    def running(self) -> list[str]:
        """The names of those that are there, in the order of their start."""
        return sorted((name for name, bot in self.bots.items() if bot.is_running), key=lambda name: (len(name), name))

    async def start(self) -> str:
        """Start one more and put it behind the router; returns its name. BotDied when it does not listen."""
        name = _name(next(self._names))
        bot = await start_bot(self._environ, self._module)
        self.bots[name] = bot
        self._tasks.create_task(self._follow(name, bot))
        self._router.backends[name] = bot.port
        return name

    async def _follow(self, name: str, bot: Bot) -> None:
        """Keep what it logs; when it has ended, the router forgets it."""
        await bot.follow(lambda line: self.logs.append(f"{name} {line}"))
        await bot.process.wait()
        self.logs.append(f"{name} ended with {bot.process.returncode}")
        self._router.backends.pop(name, None)
        self._router.preferred.discard(name)

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self.logs.append(f"{name} gets SIGKILL")
        self.bots[name].send(signal.SIGKILL)

    def terminate(self, name: str) -> None:
        """SIGTERM, as a platform asks a process to go."""
        self.logs.append(f"{name} gets SIGTERM")
        self.bots[name].send(signal.SIGTERM)

    async def restart(self, name: str) -> str:
        """Wait until a process is gone, and start another a little later, as a platform does."""
        await self.bots[name].process.wait()
        await asyncio.sleep(RESTART_S)
        return await self.start()

    async def replace(self, name: str) -> str:
        """A deploy: start the new one, send what comes to it, ask the old one to go, and wait until it has."""
        new = await self.start()
        self._router.preferred.add(new)
        self.terminate(name)
        await self.bots[name].process.wait()
        return new

    def busiest(self, luck: random.Random) -> str:
        """The process with most media streams; any, when there are none."""
        carried = self._router.by_backend("/twilio/media")
        names = self.running
        luck.shuffle(names)
        return max(names, key=lambda name: carried[name])

    def warp(self, line: str) -> None:
        """Give all of them an order (`bot.lab.warped`)."""
        for name in self.running:
            self.bots[name].warp(line)

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End all of them."""
        await asyncio.gather(*(self.bots[name].stop(how) for name in self.running))


@asynccontextmanager
async def fleet(environ: Mapping[str, str], router: Router, *, module: str = WARPED) -> AsyncIterator[Fleet]:
    """Two processes behind `router`; ended by SIGTERM, and in any case. A group with BotDied: one did not start."""
    async with asyncio.TaskGroup() as tasks:
        crew = Fleet(tasks, router, environ, module)
        try:
            # Where one fails, the group cancels the other: none is left over.
            await asyncio.wait([tasks.create_task(crew.start()) for _ in range(PROCESSES)])
            yield crew
            await crew.stop()
        finally:
            await crew.stop(signal.SIGKILL)


def _name(index: int) -> str:
    return chr(ord("a") + index % 26) + (str(index // 26) if index >= 26 else "")
