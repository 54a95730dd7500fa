"""The process that serves: its port, its signals, its end.

uvicorn is started from code, because its own way to end closes every socket at once. Here SIGTERM or SIGINT begins a
drain: live calls are handed over, the port goes on answering until the last stream is closed, so that what still comes
here is sent on to the next process, and only then the server stops. It must not know what a call does.
"""

import asyncio
import contextlib
import logging
import resource
import signal
import socket
from collections.abc import Callable, Generator, Mapping

import uvicorn
from uvicorn.loops.auto import auto_loop_factory

from bot import garbage
from bot.app import DRAIN_S, IlgiApp, create_app
from bot.console import configure_logging, status_of
from bot.doors.asgi import LARGEST_MESSAGE_BYTES
from bot.hung import end_when_hung
from bot.keepalive import PatientProtocol, PromptProtocol, give_up_unread
from bot.port import SharedPort, bound
from bot.settings import Settings, load
from bot.wiring import open_services

log = logging.getLogger(__name__)

FULL = 1_000_000
"""More connections than any process has."""
CLOSE_S = 1
LINGER_S = 0.5
"""Twilio asks what comes next as soon as a stream is closed, and asks nobody else when that breaks off: so long its
requests are still taken, and so long they are answered. A second later it asks the next process."""


def run(environ: Mapping[str, str], port: SharedPort | None = None) -> int:
    """Serve with the settings of `environ` until a signal; returns the exit status, 2 for a bad setting.

    With a `port` that is shared the process is one of many.
    """
    configure_logging(of_many=port is not None)
    all_files()
    return status_of(lambda: serve(load(environ), port))


def serve(settings: Settings, port: SharedPort | None = None) -> int:
    """Serve until a signal; returns the exit status. IlgiError when that cannot be."""
    listener = port.listener if port else bound(settings.host, settings.port)
    give_up_unread(listener)
    with contextlib.closing(listener), asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(_serve(settings.listening_on(listener.getsockname()[1]), listener, port))
    return 0


def all_files() -> None:
    """Let this process have as many sockets open as the system allows; the usual limit is one for programs."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Server(uvicorn.Server):
    """uvicorn, with its signals left to us; `listening` is called when requests are answered."""

    def __init__(
        self,
        config: uvicorn.Config,
        tasks: asyncio.TaskGroup,
        listening: Callable[[], None],
        port: SharedPort | None,
        is_full: Callable[[], bool],
    ) -> None:
        """Take connections in one of `tasks` where the port is shared."""
        super().__init__(config)
        self._is_full = is_full
        self._tasks = tasks
        self._listening = listening
        self._port = port

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then the port."""
        await super().startup([] if self._port else sockets)
        if self._port:
            self._tasks.create_task(self._port.take(self._protocol, self._load))
        self._listening()

    def _load(self) -> int:
        """How many connections there are. Who refuses callers keeps few of them, and would have the next one, too."""
        return len(self.server_state.connections) + (FULL if self._is_full() else 0)

    def _protocol(self) -> asyncio.Protocol:
        """What uvicorn makes for a connection of a port of its own."""
        config, state = self.config, self.server_state
        protocol: asyncio.Protocol = config.http_protocol_class(  # type: ignore[call-arg]
            config=config, server_state=state, app_state=self.lifespan.state
        )
        return protocol

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture none: see `Ending`."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port first; who is connected already may still ask."""
        if self._port:
            self._port.close()
        for server in self.servers:
            server.close()
        await asyncio.sleep(LINGER_S)
        await super().shutdown(sockets)


class Ending:
    """What the signals do: the first begins the drain; a second SIGINT ends it at once.

    A second SIGTERM does not, since Heroku may send several.
    """

    def __init__(
        self, app: IlgiApp, tasks: asyncio.TaskGroup, port: SharedPort | None, stop: Callable[[], None]
    ) -> None:
        self._app = app
        self._port = port
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
            if self._port:
                self._port.leave()
            live.drain()
            self._app.web.leave()
            if not await live.streams_over(DRAIN_S):
                log.warning("streams are still open after %.0f s", DRAIN_S)
            await asyncio.sleep(LINGER_S)
        finally:
            self._stop()


async def _serve(settings: Settings, listener: socket.socket, port: SharedPort | None) -> None:
    async with open_services(settings) as services:
        app = create_app(settings, services)

        def listening() -> None:
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, ending.signalled, number)
            if port:
                port.open(lambda: ending.signalled(signal.SIGTERM))
            garbage.keep_what_there_is()
            log.info("listening on %s port %d as %s", settings.host, settings.port, settings.public_url)
            if not (settings.twilio.auth_tokens or settings.twilio.allow_unsigned):
                log.warning("every call is refused: TWILIO_AUTH_TOKEN is not set")

        def stop() -> None:
            server.should_exit = True

        async with asyncio.TaskGroup() as tasks:
            server = Server(_config(app), tasks, listening, port, lambda: app.phone.running.live.is_full)
            ending = Ending(app, tasks, port, stop)
            turning = tasks.create_task(end_when_hung())
            await server.serve(sockets=[listener])
            turning.cancel()


def _config(app: IlgiApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        workers=1,
        lifespan="on",
        http=PromptProtocol,
        ws=PatientProtocol,
        ws_max_size=LARGEST_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=CLOSE_S,
    )
