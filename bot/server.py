"""The process that serves: its port, its signals, its end.

uvicorn is started from code, because its own way to end closes every socket at once. Here SIGTERM or SIGINT begins a
drain: live calls are handed over, the port goes on answering until the last stream is closed, so that what still comes
here is sent on to the next process, and only then the server stops. It must not know what a call does.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Callable, Generator, Mapping

import uvicorn
from uvicorn.loops.auto import auto_loop_factory

from bot.app import DRAIN_S, IlgiApp, create_app
from bot.doors.asgi import LARGEST_MESSAGE_BYTES
from bot.errors import IlgiError, SettingError, where
from bot.keepalive import PatientProtocol
from bot.settings import Settings, load
from bot.wiring import open_services

log = logging.getLogger(__name__)

BAD_SETTING, CANNOT_START, INTERRUPTED = 2, 1, 130
CLOSE_S = 1
LINGER_S = 0.5
"""Twilio asks what comes next as soon as a stream is closed, and asks nobody else when that breaks off: so long its
requests are still taken, and so long they are answered. A second later it asks the next process."""
_QUIET = ("uvicorn", "httpx2", "httpx", "openai", "alembic", "websockets", "quart", "asyncio", "aiosqlite")


def run(environ: Mapping[str, str]) -> int:
    """Serve with the settings of `environ` until a signal; returns the exit status, 2 for a bad setting."""
    configure_logging()
    try:
        return serve(load(environ))
    except SettingError as error:
        sys.stderr.write(f"ilgi: {error}\n")
        return BAD_SETTING


def serve(settings: Settings) -> int:
    """Serve until a signal; returns the exit status. SettingError for a setting that only fails in use."""
    try:
        listener = _bound(settings)
    except OSError as error:
        sys.stderr.write(f"ilgi: PORT: cannot listen on {settings.host}:{settings.port}: {error.strerror}\n")
        return CANNOT_START
    with contextlib.closing(listener), asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        try:
            runner.run(_serve(settings.listening_on(listener.getsockname()[1]), listener))
        except SettingError:
            raise
        except IlgiError as error:
            sys.stderr.write(f"ilgi: {error}\n")
            return CANNOT_START
        except KeyboardInterrupt:
            return INTERRUPTED
    return 0


def configure_logging() -> None:
    """One line a record, to stderr; other packages only with warnings, and the server's without stack traces."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn.error", "asyncio", "bot"):
        logging.getLogger(name).addFilter(in_one_line)


def in_one_line(record: logging.LogRecord) -> bool:
    """A logging filter that puts the place of an error where its stack trace and its text would be.

    The server logs what a peer did wrong as if it were an error of its own.
    """
    if isinstance(record.exc_info, tuple) and (error := record.exc_info[1]):
        record.msg, record.args = "%s: %s", (record.getMessage().partition("\n")[0], where(error))
        record.exc_info = record.exc_text = None
    return True


class Server(uvicorn.Server):
    """uvicorn, with its signals left to us; `listening` is called when requests are answered."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then the port."""
        await super().startup(sockets)
        self._listening()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture none: see `Ending`."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port first; who is connected already may still ask."""
        for server in self.servers:
            server.close()
        await asyncio.sleep(LINGER_S)
        await super().shutdown(sockets)


class Ending:
    """What the signals do: the first begins the drain; a second SIGINT ends it at once.

    A second SIGTERM does not, since Heroku may send several.
    """

    def __init__(self, app: IlgiApp, tasks: asyncio.TaskGroup, stop: Callable[[], None]) -> None:
        self._app = app
        self._tasks = tasks
        self._stop = stop
        self._drain: asyncio.Task[None] | None = None

    def signalled(self, number: signal.Signals) -> None:
        """Take a signal."""
        if self._drain is None:
            self._drain = self._tasks.create_task(self._drained())
        elif number is signal.SIGINT:
            log.warning("ending at once")
            self._drain.cancel()

    async def _drained(self) -> None:
        live = self._app.phone.running.live
        log.info("draining: %d calls are live", len(live))
        try:
            live.drain()
            self._app.web.leave()
            if not await live.streams_over(DRAIN_S):
                log.warning("streams are still open after %.0f s", DRAIN_S)
            await asyncio.sleep(LINGER_S)
        finally:
            self._stop()


async def _serve(settings: Settings, listener: socket.socket) -> None:
    async with open_services(settings) as services:
        app = create_app(settings, services)

        def listening() -> None:
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, ending.signalled, number)
            log.info("listening on %s port %d as %s", settings.host, settings.port, settings.public_url)

        def stop() -> None:
            server.should_exit = True

        server = Server(_config(app), listening)
        async with asyncio.TaskGroup() as tasks:
            ending = Ending(app, tasks, stop)
            await server.serve(sockets=[listener])


def _bound(settings: Settings) -> socket.socket:
    """The port, taken before anything else is opened."""
    listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
    except OSError:
        listener.close()
        raise
    return listener


def _config(app: IlgiApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        workers=1,
        lifespan="on",
        ws=PatientProtocol,
        ws_max_size=LARGEST_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=CLOSE_S,
    )
