"""The pages of somebody who is signed in, and what every page is answered with.

`page` fills in a template of `bot/pages`, `secured` adds the headers that keep a page to itself; other doors use both.
It must not know how one signs in, nor what the pages' scripts talk about.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from quart import Blueprint, Response, render_template, request

from bot.conversation.commands import Status
from bot.conversation.texts import table
from bot.diary.people import People, Person
from bot.diary.records import EntryRecord
from bot.doors.door import Door
from bot.doors.identity import Identity, origin_of
from bot.errors import StoreError
from bot.settings import Settings

FOLDER = Path(__file__).resolve().parents[1] / "pages"
ENTRIES_A_PAGE = 30
LAST_PAGE = 10_000
STORE_RETRY_S = 10


@dataclass(frozen=True, slots=True)
class PagesRunning:
    """What the pages are served with while the process serves."""

    identity: Identity
    people: People


class Frame:
    """What all pages have in common: where links lead, and their headers."""

    def __init__(self, settings: Settings) -> None:
        self._public_url = settings.public_url
        self._root = urlsplit(settings.public_url).path
        origin = origin_of(settings.public_url)
        policy = {
            "default-src": "'self'",
            "connect-src": f"'self' ws{origin.removeprefix('http')}",  # not every browser counts sockets to 'self'
            "base-uri": "'none'",
            "form-action": "'self'",
            "frame-ancestors": "'none'",
            "object-src": "'none'",
        }
        self._headers = {
            "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
            "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
            "X-Content-Type-Options": "nosniff",
            # With `no-referrer` browsers would send `Origin: null` with our own forms.
            "Referrer-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
        }

    async def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page: `bot/pages/{template}.html`, which is given `root`, what every address of ours begins with."""
        text = await render_template(f"{template}.html", root=self._root, here=template, **values)
        return Response(text, status=status, content_type="text/html; charset=utf-8")

    async def refused(self, status: int, why: str) -> Response:
        """A page that says why nothing was done: `why` is `form` or `store` of texts/web.toml."""
        said = table("web")["error"]
        address = self.url("/") if request.method == "GET" else self.url("/sign-in")
        return await self.page("refused", status, title=said[f"{why}_title"], error=said[why], address=address)

    async def store_failed(self, _error: StoreError) -> Response:
        """For `Blueprint.errorhandler`: the diary cannot be read or written."""
        response = await self.refused(503, "store")
        response.headers["Retry-After"] = str(STORE_RETRY_S)
        return response

    def to(self, path: str) -> Response:
        """A redirect to a page of ours, to be fetched with GET."""
        return Response(status=303, headers={"Location": self.url(path)})

    def url(self, path: str) -> str:
        """An address of ours; `path` begins with a slash."""
        return self._public_url + path

    async def secured(self, response: Response) -> Response:
        """For `Blueprint.after_request`: nothing is framed, sniffed, kept, or fetched from anywhere else."""
        for name, value in self._headers.items():
            response.headers.setdefault(name, value)
        is_static = (request.endpoint or "").endswith(".static")
        response.headers["Cache-Control"] = "no-cache" if is_static else "no-store"
        return response


class PagesDoor(Door[PagesRunning]):
    """GET /, /talk, /chat and /static."""

    def __init__(self, settings: Settings) -> None:
        self._frame = Frame(settings)

    def blueprint(self) -> Blueprint:
        """The routes, for the application; with them every template of `bot/pages` is found."""
        routes = Blueprint(
            "pages",
            __name__,
            template_folder=str(FOLDER),
            static_folder=str(FOLDER / "static"),
            static_url_path="/static",
        )
        routes.get("/")(self.index)
        routes.get("/talk", endpoint="talk")(self.talk)
        routes.get("/chat", endpoint="chat")(self.chat)
        routes.after_request(self._frame.secured)
        routes.errorhandler(StoreError)(self._frame.store_failed)
        return routes

    async def index(self) -> Response:
        """The person's own entries, newest first."""
        person = await self.running.identity.person()
        if person is None:
            return self._frame.to("/sign-in")
        number = min(max(1, request.args.get("page", default=1, type=int)), LAST_PAGE)
        skip = (number - 1) * ENTRIES_A_PAGE
        found = await self.running.people.entries(person, skip=skip, most=ENTRIES_A_PAGE + 1)
        shown = [_shown(entry) for entry in found[:ENTRIES_A_PAGE]]
        more = len(found) > ENTRIES_A_PAGE
        earlier, later = number + 1 if more else None, number - 1 if number > 1 else None
        return await self._page("index", person, entries=shown, earlier=earlier, later=later)

    async def talk(self) -> Response:
        """The page that talks with the person."""
        return await self._for_the_signed_in("talk")

    async def chat(self) -> Response:
        """The page that answers about the diary."""
        return await self._for_the_signed_in("chat")

    async def _for_the_signed_in(self, template: str) -> Response:
        person = await self.running.identity.person()
        return self._frame.to("/sign-in") if person is None else await self._page(template, person)

    async def _page(self, template: str, person: Person, **values: Any) -> Response:
        token = self.running.identity.session_form_token()
        return await self._frame.page(template, person=person, form_token=token, **values)


def day_in_words(day: date) -> str:
    """A day as it is written in Korea, with the day of the week."""
    words = table("web")
    weekday = words["weekdays"][day.weekday()]
    return str(words["day"].format(year=day.year, month=day.month, day=day.day, weekday=weekday))


def _shown(entry: EntryRecord) -> dict[str, Any]:
    return {
        "date": entry.day.isoformat(),
        "day": day_in_words(entry.day),
        "title": entry.title,
        "lines": [line for line in (entry.body or "").splitlines() if line.strip()],
        "mood": entry.mood,
        "unconfirmed": entry.status is not Status.APPROVED,
    }
