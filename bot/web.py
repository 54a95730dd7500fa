"""What a process offers on the web beside the telephone: its doors, joined with what stands behind them.

It must not know routes, or what is written and said behind a door.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from quart import Blueprint

from bot.chat import Answering
from bot.chatting import Chatting
from bot.conversation.texts import prompt
from bot.diary.store import Store
from bot.doors import browser, chat, jobs
from bot.doors.identity import Identity
from bot.doors.live import LiveCalls
from bot.doors.pages import PagesDoor, PagesRunning
from bot.doors.partings import Partings
from bot.doors.sign_in import SignInDoor, SignInRunning
from bot.doors.twiml import Documents
from bot.process import Services
from bot.settings import Settings
from bot.streaming import StreamedJob
from bot.wiring import browser_call_factory


class Web:
    """The doors of a process; `start` must be called before the first request."""

    def __init__(self, settings: Settings, documents: Documents) -> None:
        self._settings = settings
        self._pages = PagesDoor(settings)
        self._sign_in = SignInDoor(settings, documents)
        self._chat = chat.ChatDoor()
        self._jobs = jobs.JobsDoor(settings)
        self._browser = browser.BrowserDoor()

    def blueprints(self) -> list[Blueprint]:
        """The routes, for the application."""
        return [door.blueprint() for door in (self._pages, self._sign_in, self._chat, self._jobs, self._browser)]

    def start(self, services: Services, live: LiveCalls, work_came: Callable[[], None], partings: Partings) -> None:
        """Begin to serve; `work_came` is called when something was written that durable work follows from."""
        settings, store = self._settings, services.store
        identity = Identity(settings, store.people)
        self._pages.start(PagesRunning(identity, store.people))
        self._sign_in.start(SignInRunning(identity, store.people, services.carrier))
        chats = Chatting(
            store.chats,
            store.library,
            Answering(services.web_model, prompt("chat")),
            clock=store.clock,
            timezone=settings.timezone,
        )
        self._chat.start(chat.Running(identity, chats))
        new_job = partial(StreamedJob, jobs=store.stream_jobs, recogniser=services.recogniser, work_came=work_came)
        self._jobs.start(jobs.Running(store.stream_jobs, identity, live, new_job))
        new_call = browser_call_factory(services, live)
        self._browser.start(browser.Running(identity, store, live, new_call, partings, work_came))

    def leave(self) -> None:
        """The process is going away: what is being answered is answered, and nothing new is begun."""
        self._chat.leave()
        self._browser.leave()


def chores(store: Store) -> Sequence[Callable[[], Awaitable[object]]]:
    """What is to be done again and again for the doors."""

    async def forget_idle() -> None:
        store.library.forget_idle()

    return store.stream_jobs.close_lapsed, store.people.remove_expired, store.chats.remove_expired, forget_idle
