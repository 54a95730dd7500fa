"""The page of the chat, or another, over the real door of the chat with a model by hand."""

from contextlib import asynccontextmanager
from datetime import date
from zoneinfo import ZoneInfo

from bot.chat import Answering
from bot.chatting import Chatting
from bot.diary.chats import Chats
from bot.doors.chat import ChatDoor, Running
from tests.chat_by_hand import LibraryByHand, ModelByHand, hit
from tests.pages.browsing import DESK, open_browser, open_pages

HITS = (
    hit("CA1", date(2026, 3, 2), "한강", "지수랑 한강에 갔다. 라면을 먹었다."),
    hit("CA2", date(2026, 4, 5), "바다", "바다에 갔다. 파도가 높았다."),
)


@asynccontextmanager
async def open_chat(folder, *tokens, path="/chat", scheme="light"):
    """The page, and the model that answers: (page, model, pages)."""
    model = ModelByHand(*tokens)

    def doors(site):
        store = site.store
        chats = Chatting(
            Chats(store.database, store.keys, store.clock),
            LibraryByHand(*HITS),
            Answering(model, ""),
            clock=store.clock,
            timezone=ZoneInfo("Asia/Seoul"),
        )
        door = ChatDoor()
        door.start(Running(site.identity, chats))
        return [door]

    async with open_pages(folder, doors) as pages, open_browser() as browser:
        page = await pages.page(browser, path, size=DESK, scheme=scheme)
        yield page, model, pages
        assert page.complaints == []


async def ask(page, content):
    """Ask, by keyboard."""
    await page.fill("#question", content)
    await page.press("#question", "Enter")
