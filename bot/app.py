"""The application: routes, what lives as long as the process, and its end.

`create_app` makes a Quart application for any ASGI server; `bot.server` runs it. What a process has (store, recogniser,
models, voice) is built by `bot.wiring`. It must not know protocols, or what is said in a call.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable
from contextlib import AsyncExitStack
from functools import partial
from typing import cast

from quart import Quart, Response

from bot import loop_lag
from bot.doors.asgi import AsgiApp, bounded_bodies, in_turn, straight_sockets
from bot.doors.ceiling import WAKE_MS, Ceiling
from bot.doors.health import HealthDoor
from bot.doors.live import LiveCall, LiveCalls
from bot.doors.metrics import MetricsDoor
from bot.doors.partings import Partings
from bot.doors.patience import Patience
from bot.doors.phone import PhoneDoor, Running
from bot.doors.signature import LARGEST_BODY_BYTES
from bot.doors.twiml import Documents
from bot.errors import where
from bot.garbage import Leavings
from bot.jobs import handlers
from bot.process import Services
from bot.settings import Settings
from bot.web import Web, chores
from bot.wiring import call_factory, keep_warm, open_services
from bot.worker import Worker

log = logging.getLogger(__name__)

DRAIN_S = 12.0
"""After a signal: until the last stream was handed over …"""
LAST_SAVING_S = 10.0
"""… and what was said is committed, while the durable work gives back what it holds."""


class IlgiApp(Quart):
    """The application, with its doors at hand."""

    phone: PhoneDoor
    web: Web


def create_app(settings: Settings, services: Services | None = None) -> IlgiApp:
    """Make the application; without `services` it builds its own when it starts, and closes them when it ends."""
    app = IlgiApp("bot", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY_BYTES
    app.config["BODY_TIMEOUT"] = 10
    documents = Documents()
    app.phone, app.web = PhoneDoor(settings, documents), Web(settings, documents)
    for routes in (app.phone.blueprint(), *app.web.blueprints()):
        app.register_blueprint(routes)
    app.get("/health")(HealthDoor(app.phone).health)
    measured = MetricsDoor(settings)
    app.get("/metrics")(measured.metrics)
    app.after_request(private)
    beneath = in_turn(bounded_bodies(straight_sockets(cast(AsgiApp, app.asgi_app)), LARGEST_BODY_BYTES))
    app.asgi_app = beneath  # type: ignore[method-assign, assignment]

    @app.while_serving
    async def serving() -> AsyncGenerator[None, None]:
        async with AsyncExitStack() as stack:
            own = services
            if own is None:
                own = await stack.enter_async_context(open_services(settings))
            async with asyncio.TaskGroup() as tasks:
                worker = Worker(
                    own.store.outbox,
                    handlers(own),
                    chores=(own.store.set_clock, own.store.close_lapsed, *chores(own.store)),
                    measured=own.metrics.job,
                )

                async def to_the_end(call: LiveCall) -> None:
                    await guarded("a call", call.run())
                    worker.wake()
                    leavings.ended(len(live))

                leavings, ceiling = Leavings(), Ceiling()

                def woke(late_ms: float) -> None:
                    ceiling.woke(late_ms)
                    own.metrics.woke(late_ms)

                live, patience = LiveCalls(tasks, to_the_end, ceiling), Patience(tasks, partial(guarded, "a note"))
                watching = tasks.create_task(guarded("the event loop's watch", loop_lag.watch(WAKE_MS, woke)))
                warming = tasks.create_task(guarded("keeping warm", keep_warm(own)))
                if own.retention:
                    await own.retention.schedule()
                working = tasks.create_task(guarded("durable work", worker.run()))
                measured.start(own.metrics)
                app.phone.start(Running(own.store, live, call_factory(own, live), worker.wake, patience))
                partings = Partings(tasks, partial(guarded, "a parting"))
                app.web.start(own, live, worker.wake, partings)
                yield
                warming.cancel()
                watching.cancel()
                partings.cancel()
                # Side by side: with the database away each takes all of its time.
                await asyncio.gather(end(live, patience), worker.stop())
                await working

    return app


async def private(response: Response) -> Response:
    """Let no answer be taken for another type, or be kept where its door has not said so."""
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Cache-Control", "no-store")
    return response


async def guarded(what: str, work: Awaitable[None]) -> None:
    """Await `work`; an error that nobody foresaw is logged, without its text, and ends nothing else."""
    try:
        await work
    except Exception as error:
        log.error("%s broke: %s", what, where(error))


async def end(live: LiveCalls, patience: Patience) -> None:
    """Give what is still live, and what could not be noted yet, time to be saved; then cancel it."""
    live.drain()
    saved, _ = await asyncio.gather(live.finished(LAST_SAVING_S), patience.finished(LAST_SAVING_S))
    if not saved:
        log.warning("%d calls were cut off", len(live))
        live.cancel()
    patience.cancel()
