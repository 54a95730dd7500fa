"""What the bot answers: the chat model's words within limits, or the built-in reply in the same turn.

An answer comes in pieces that can be spoken alone: the first clause, then sentences. It must not know when an answer is
spoken, or how the model is reached.
"""

import logging
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Literal, Protocol

from bot.conversation.commands import Exchange
from bot.conversation.korean import SentenceSplitter, split_sentences
from bot.conversation.splitting import ending_mark
from bot.errors import ModelError
from bot.services.at_most import AtMost
from bot.services.llm import ChatModel, Message
from bot.services.token_usage import Bill, TokenUsage

log = logging.getLogger(__name__)

FIRST_PIECE_S = 2.2
"""Within this a first piece must be whole. A caller who was heard 370 ms after their last word is then answered before
3 s are over, by the built-in reply in a voice that needs 400 ms to begin."""

NEXT_PIECE_S = 1.5
LETTER_S = 0.1
"""A later piece may take this, and for each letter of the piece before it this: it is being heard meanwhile."""

SENTENCES = 2
LETTERS = 200
EXCHANGES = 40
CONTEXT_LETTERS = 6000
_SYLLABLE = re.compile("[가-힣]")


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
        fell_back: Callable[[], None] = lambda: None,
    ) -> None:
        """`fell_back` is called when `builtin` answers though there is a model."""
        self._fell_back = fell_back
        self.usage = TokenUsage()
        self._model = model
        self._builtin = builtin
        self._prompt = prompt

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
            chat = messages(self._prompt, history)
            if self._model is not None and (asking := self._model.breaker.request()):
                try:
                    with asking:
                        async with aclosing(_spoken(self._model.stream(chat, bill), limits, tell_first)) as pieces:
                            piece = await _in_time(pieces, FIRST_PIECE_S)
                            while piece is not None:
                                yield piece
                                piece = await _in_time(pieces, NEXT_PIECE_S + LETTER_S * len(piece))
                    return
                except ModelError as error:
                    log.warning("the model failed after %d letters: %s", limits.letters, error)
            if limits.sentences:
                return
            if self._model is not None:
                self._fell_back()
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
        on when it fails before its first sentence is; a model that rests is not asked. Close it
        (`contextlib.aclosing`) to stop in the middle: that says nothing of the model.
        """
        return self._pieces


async def _in_time(pieces: AsyncGenerator[str], limit_s: float) -> str | None:
    """The next piece, None behind the last; ModelError when it is not whole in time."""
    try:
        async with AtMost(limit_s):
            return await anext(pieces, None)
    except TimeoutError:
        raise ModelError(f"nothing more to say within {limit_s:.1f} s") from None


async def _spoken(
    stream: AsyncGenerator[str], limits: "_Limits", tell_first: Callable[[], None]
) -> AsyncGenerator[str]:
    """The model's pieces within the limits. ModelError; also when the text it gave is nothing to say in Korean."""
    splitter = SentenceSplitter(first_clause=True)
    waiting = 0
    async with aclosing(stream) as deltas:
        async for delta in deltas:
            tell_first()
            waiting += len(delta)
            for piece in splitter.push(delta):
                waiting = 0
                _require_korean(piece, limits)
                if not limits.admits(piece):
                    return
                yield piece
            if limits.is_full:
                return
            if waiting > LETTERS:
                raise ModelError("text without an end")
    for piece in splitter.flush():
        _require_korean(piece, limits)
        if not limits.admits(piece):
            return
        yield piece
    if not limits.letters:
        raise ModelError("nothing that can be said")


def _require_korean(piece: str, limits: "_Limits") -> None:
    """ModelError for a first piece without a syllable of Korean: markup, an error's text, another language."""
    if not limits.letters and not _SYLLABLE.search(piece):
        raise ModelError("no Korean")


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
