"""Answers a question about a diary from what was found in it: by the model, or in the diary's own words.

The model is given the excerpts as data, with numbers, and cites what it uses; the numbers are taken out of the text,
and the sources are what they stood for. It must not know sockets, sessions, or how the excerpts are found.
"""

import json
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import date

from bot.conversation.citations import Citations
from bot.conversation.texts import table
from bot.diary.chats import Exchange
from bot.diary.search import Hit
from bot.errors import ModelError
from bot.protocols.chat import Metadata, Source
from bot.services.llm import ChatModel, Message, ModelCut
from bot.services.token_usage import Bill, TokenUsage

log = logging.getLogger(__name__)

MOST_TOKENS = 1_000
FIRST_TOKEN_S, STALL_S = 10.0, 10.0
"""A reader waits longer than a caller, and a prompt with excerpts is longer than a talk."""

EXCERPT_LETTERS = 1_200
EXCHANGES = 8
CONTEXT_LETTERS = 6_000

MOST_EXTRACTS = 3
EXTRACT_SHARE = 0.6
"""Without a model, what has less than this share of the best score is left out …"""
EXTRACT_LETTERS = 200
"""… and more of one excerpt than this."""


class Answering:
    """Answers questions, with a model or without."""

    def __init__(self, model: ChatModel | None, prompt: str) -> None:
        self.usage = TokenUsage()
        self._model = model
        self._prompt = prompt

    def begin(self, question: str, talk: Sequence[Exchange], hits: Sequence[Hit], today: date) -> "Reply":
        """Answer `question`, behind `talk`, from `hits`, best first. Nothing is asked for before the tokens are.

        `today` is the day that words like 어제 are counted from.
        """
        return Reply(self._model, messages(self._prompt, question, talk, hits, today), hits, today, self.usage.open())


class Reply:
    """One answer in the making."""

    def __init__(
        self, model: ChatModel | None, chat: list[Message], hits: Sequence[Hit], today: date, bill: Bill
    ) -> None:
        self._model = model
        self._chat = chat
        self._hits = hits
        self._today = today
        self._bill = bill
        self._cited: list[int] = []

    @property
    def sources(self) -> list[Source]:
        """What the answer has cited so far, in that order; a number that stands for nothing is left out."""
        return [_source(self._hits[number - 1]) for number in self._cited if 1 <= number <= len(self._hits)]

    async def tokens(self) -> AsyncGenerator[str]:
        """Give the text as it comes, each piece at once; close it (`contextlib.aclosing`) to end the model's request.

        ModelError when the model fails in the middle; when it does before it has said anything, or there is none, the
        answer is made of the best hits. One that grows too long ends where it is. Once only.
        """
        if not self._hits:
            for piece in pieces(table("chat")["nothing"]):
                yield piece
            return
        shown = False
        if self._model is not None and (asking := self._model.breaker.request()):
            try:
                with asking:
                    async with aclosing(self._of_model(self._model)) as texts:
                        async for text in texts:
                            shown = True
                            yield text
            except ModelCut:
                if shown:
                    return  # long enough
            except ModelError as error:
                log.warning("the model failed %s: %s", "in mid-answer" if shown else "before its first token", error)
                if shown:
                    raise
        if not shown:
            best = _to_extract(self._hits)
            self._cited[:] = range(1, len(best) + 1)
            for piece in pieces(extract(best, self._today)):
                yield piece

    async def _of_model(self, model: ChatModel) -> AsyncGenerator[str]:
        """The model's text without its citations, which are noted as they come; its first letter is no blank."""
        citations, lead = Citations(self._cited), True
        stream = model.stream(
            self._chat, self._bill, most_tokens=MOST_TOKENS, first_token_s=FIRST_TOKEN_S, stall_s=STALL_S
        )
        try:
            async with aclosing(stream) as texts:
                async for text in texts:
                    piece = citations.push(text)
                    if piece := piece.lstrip() if lead else piece:
                        lead = False
                        self._bill.keep()
                        yield piece
            if piece := citations.finish().rstrip():
                yield piece
        finally:
            self._bill.close()


def messages(prompt: str, question: str, talk: Sequence[Exchange], hits: Sequence[Hit], today: date) -> list[Message]:
    """The chat that the model is sent: the talk so far, then the question with its excerpts as JSON."""
    room = CONTEXT_LETTERS
    kept: list[Exchange] = []
    for exchange in reversed(talk[-EXCHANGES:]):
        room -= len(exchange.question) + len(exchange.answer.text)
        if room < 0:
            break
        kept.insert(0, exchange)
    chat: list[Message] = [{"role": "system", "content": prompt}]
    for exchange in kept:
        chat.append({"role": "user", "content": exchange.question})
        chat.append({"role": "assistant", "content": exchange.answer.text})
    material = {
        "today": _iso(today),
        "excerpts": [
            {
                "no": f"[{number}]",
                "date": _iso(hit.document.day),
                "title": hit.document.title,
                "text": _excerpt(hit),
            }
            for number, hit in enumerate(hits, 1)
        ],
        "question": question,
    }
    chat.append({"role": "user", "content": json.dumps(material, ensure_ascii=False)})
    return chat


def extract(hits: Sequence[Hit], today: date) -> str:
    """An answer in the diary's own words."""
    lines = [table("chat")["extract_begin"]]
    for hit in hits:
        said = table("chat")["extract_one"].format(
            day=spoken_day(hit.document.day, today),
            title=hit.document.title,
            passage=_shortened(hit.passage, EXTRACT_LETTERS),
        )
        lines.append(said)
    return "\n".join(lines)


def spoken_day(day: date, today: date) -> str:
    """A day as it is said; with its year when that is not this one."""
    form = table("chat")["day" if day.year == today.year else "day_of_year"]
    return str(form.format(year=day.year, month=day.month, day=day.day))


def pieces(text: str) -> list[str]:
    """A text that is there already, in pieces like a model's: words with the blank before them."""
    parts = text.split(" ")
    return [part if number == 0 else f" {part}" for number, part in enumerate(parts)]


def _to_extract(hits: Sequence[Hit]) -> list[Hit]:
    return [hit for hit in hits[:MOST_EXTRACTS] if hit.score >= hits[0].score * EXTRACT_SHARE]


def _source(hit: Hit) -> Source:
    document = hit.document
    where = Metadata(document.day.isoformat(), document.call_sid, document.kind)
    return Source(document.title, _excerpt(hit), round(min(max(hit.score, 0.0), 1.0), 4), where)


def _iso(day: date) -> str:
    """With the day of the week, which a model does not count out by itself."""
    return f"{day.isoformat()} ({table('chat')['weekdays'][day.weekday()]})"


def _excerpt(hit: Hit) -> str:
    """All of the document if it is short, else the part that fits."""
    content = hit.document.content
    return content if len(content) <= EXCERPT_LETTERS else _shortened(hit.passage, EXCERPT_LETTERS)


def _shortened(text: str, most_letters: int) -> str:
    """The text up to a blank before `most_letters`."""
    text = " ".join(text.split())
    if len(text) <= most_letters:
        return text
    cut = text[:most_letters].rpartition(" ")[0] or text[:most_letters]
    return f"{cut} …"
