"""What the bot answers: the chat model's words within limits, or the built-in reply in the same turn.

An answer comes in pieces that can be spoken alone: the first clause, then sentences. It must not know when an answer is
spoken, or how the model is reached.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Literal, Protocol

from bot.conversation.commands import Exchange
from bot.conversation.korean import SentenceSplitter, split_sentences
from bot.conversation.splitting import ending_mark
from bot.errors import ModelError
from bot.services.cooldown import CoolDown
from bot.services.llm import ChatModel, Message
from bot.services.token_usage import Bill, TokenUsage

log = logging.getLogger(__name__)

FIRST_PIECE_S = 4.0
SENTENCES = 2
LETTERS = 200
EXCHANGES = 40
CONTEXT_LETTERS = 6000


class Builtin(Protocol):
    """What answers without a model."""

    def reply(self, history: Sequence[Exchange]) -> str:
        """Answer the last exchange, which is the caller's."""


class Replies:
    """What the bot answers. Never fails: without a model, or when it fails, it is `builtin`'s."""

    def __init__(
        self,
        model: ChatModel | None,
        builtin: Builtin,
        prompt: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.usage = TokenUsage()
        self._model = model
        self._builtin = builtin
        self._prompt = prompt
        self._cool_down = CoolDown(clock)

    def begin(self, history: Sequence[Exchange], on_first_token: Callable[[], None] | None = None) -> "Answer":
        """Answer the last exchange of `history`, which is the caller's.

        Nothing is asked for before the answer's pieces are. `on_first_token` is called once, when there is any text.
        """
        bill = self.usage.open()
        return Answer(self._pieces(history, bill, _once(on_first_token)), bill)

    async def warm(self) -> None:
        """Open a connection to the model ahead of the next turn if there may be none. Never fails."""
        if self._model is not None:
            await self._model.warm()

    async def close(self) -> None:
        """Close the model's connections."""
        if self._model is not None:
            await self._model.close()

    async def _pieces(
        self, history: Sequence[Exchange], bill: Bill, tell_first: Callable[[], None]
    ) -> AsyncGenerator[str]:
        """The model's pieces; the built-in reply instead, or the end of it behind a first sentence that was cut."""
        limits = _Limits()
        try:
            if self._model is not None and not self._cool_down.is_resting:
                chat = messages(self._prompt, history)
                try:
                    async with aclosing(_spoken(self._model.stream(chat, bill), limits, tell_first)) as pieces:
                        piece = await _first(pieces)
                        while piece is not None:
                            yield piece
                            piece = await anext(pieces, None)
                    self._cool_down.worked()
                    return
                except ModelError as error:
                    self._cool_down.failed()
                    log.warning("the model failed after %d letters: %s", limits.letters, error)
            if limits.sentences:
                return
            tell_first()
            sentences = split_sentences(self._builtin.reply(history))
            for sentence in sentences[-1:] if limits.letters else sentences:
                yield sentence
        finally:
            bill.close()


class Answer:
    """One answer in the making; its tokens count as spent for nothing unless it is `kept`."""

    def __init__(self, pieces: AsyncGenerator[str], bill: Bill) -> None:
        self._pieces = pieces
        self._bill = bill

    def kept(self) -> None:
        """It is heard: say so before, while or after its pieces are made."""
        self._bill.keep()

    def pieces(self) -> AsyncGenerator[str]:
        """Give the first clause, then the rest of its sentence and what follows: at most `SENTENCES`. Once only.

        The built-in reply takes over in the same turn when the model fails before its first piece is whole, and goes
        on when it fails before its first sentence is. Close it (`contextlib.aclosing`) to stop in the middle.
        """
        return self._pieces


async def _first(pieces: AsyncGenerator[str]) -> str | None:
    """The first piece; ModelError when it is not whole in time."""
    try:
        async with asyncio.timeout(FIRST_PIECE_S):
            return await anext(pieces, None)
    except TimeoutError:
        raise ModelError(f"nothing to say within {FIRST_PIECE_S:g} s") from None


async def _spoken(
    stream: AsyncGenerator[str], limits: "_Limits", tell_first: Callable[[], None]
) -> AsyncGenerator[str]:
    """The model's pieces within the limits. ModelError; also when there is none in the text it gave."""
    splitter = SentenceSplitter(first_clause=True)
    waiting = 0
    async with aclosing(stream) as deltas:
        async for delta in deltas:
            tell_first()
            waiting += len(delta)
            for piece in splitter.push(delta):
                waiting = 0
                if not limits.admits(piece):
                    return
                yield piece
            if limits.is_full:
                return
            if waiting > LETTERS:
                raise ModelError("text without an end")
    for piece in splitter.flush():
        if not limits.admits(piece):
            return
        yield piece
    if not limits.letters:
        raise ModelError("nothing that can be said")


def _once(act: Callable[[], None] | None) -> Callable[[], None]:
    """Do it the first time only."""
    left = [act] if act else []

    def once() -> None:
        if left:
            left.pop()()

    return once


class _Limits:
    """How much of a reply is spoken: to its first question at most. A sentence counts once, in how many pieces ever."""

    def __init__(self) -> None:
        self.sentences = 0
        self.letters = 0
        self._asked = False

    @property
    def is_full(self) -> bool:
        """Whether nothing more is spoken."""
        return self._asked or self.sentences >= SENTENCES

    def admits(self, piece: str) -> bool:
        """Whether `piece` is still spoken; the first always is."""
        if self.is_full or (self.letters and self.letters + len(piece) > LETTERS):
            return False
        self.letters += len(piece)
        mark = ending_mark(piece)
        self.sentences += bool(mark)
        self._asked = mark in ("?", "？")
        return True


def messages(prompt: str, history: Sequence[Exchange]) -> list[Message]:
    """Turn the talk into a chat: `prompt`, then turns that alternate and begin with the caller's, as servers demand.

    Only the last `EXCHANGES` are kept, and no more of them than about `CONTEXT_LETTERS`; the last one always.
    """
    kept: list[Exchange] = []
    room = CONTEXT_LETTERS
    for exchange in reversed(history[-EXCHANGES:]):
        room -= len(exchange.text)
        if kept and room < 0:
            break
        kept.insert(0, exchange)
    chat: list[Message] = []
    for exchange in kept:
        text = exchange.text[-CONTEXT_LETTERS:]
        role: Literal["user", "assistant"] = "user" if exchange.who == "caller" else "assistant"
        if chat and chat[-1]["role"] == role:
            chat[-1]["content"] += " " + text
        elif chat or role == "user":
            chat.append({"role": role, "content": text})
    return [{"role": "system", "content": prompt}, *chat]
