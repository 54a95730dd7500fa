"""What the bot answers: the chat model's sentences within limits, or the built-in reply in the same turn.

It must not know when an answer is spoken, or how the model is reached.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal, Protocol

from bot.conversation.commands import Exchange
from bot.conversation.korean import SentenceSplitter, split_sentences
from bot.errors import ModelError
from bot.services.cooldown import CoolDown
from bot.services.llm import ChatModel, Message

log = logging.getLogger(__name__)

FIRST_SENTENCE_S = 4.0
SENTENCES = 2
LETTERS = 200
EXCHANGES = 40
CONTEXT_LETTERS = 6000
ENDS = (".", "?", "!", "…")


@dataclass(slots=True)
class Trace:
    """How a reply came about: who made it, and how long its first text took (ms of the wall clock)."""

    source: Literal["model", "built-in"] | None = None
    first_text_ms: int | None = None


class Builtin(Protocol):
    """What answers without a model."""

    def reply(self, history: Sequence[Exchange]) -> str:
        """Answer the last exchange, which is the caller's."""


class Replies:
    """What the bot answers, sentence by sentence. Never fails: without a model, or when it fails, it is `builtin`'s."""

    def __init__(
        self,
        model: ChatModel | None,
        builtin: Builtin,
        prompt: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._builtin = builtin
        self._prompt = prompt
        self._clock = clock
        self._cool_down = CoolDown(clock)

    async def warm(self) -> None:
        """Open a connection to the model ahead of the first turn. Never fails."""
        if self._model is not None:
            await self._model.warm()

    async def sentences(self, history: Sequence[Exchange], trace: Trace | None = None) -> AsyncGenerator[str]:
        """Answer the last exchange of `history`, which is the caller's: at most `SENTENCES` whole sentences.

        The built-in reply takes over in the same turn when the model fails before its first sentence is whole; a model
        cut later has said what it said. Close it (`contextlib.aclosing`) to stop in the middle.
        """
        trace = trace if trace is not None else Trace()
        begun = self._clock()
        given = 0
        if self._model is not None and not self._cool_down.is_resting:
            trace.source = "model"
            try:
                async with aclosing(self._from_model(self._model, history, trace, begun)) as found:
                    sentence = await _first(found)
                    while sentence is not None:
                        given += 1
                        yield sentence
                        sentence = await anext(found, None)
                self._cool_down.worked()
            except ModelError as error:
                self._cool_down.failed()
                log.warning("the model failed after %d sentences: %s", given, error)
        if given:
            return
        trace.source = "built-in"
        trace.first_text_ms = round((self._clock() - begun) * 1000)
        for sentence in split_sentences(self._builtin.reply(history)):
            yield sentence

    async def close(self) -> None:
        """Close the model's connections."""
        if self._model is not None:
            await self._model.close()

    async def _from_model(
        self, model: ChatModel, history: Sequence[Exchange], trace: Trace, begun: float
    ) -> AsyncGenerator[str]:
        """The model's sentences within the limits. ModelError; also when there is none in the text it gave."""
        splitter = SentenceSplitter()
        reply = _Limits()
        waiting = 0
        async with aclosing(model.stream(messages(self._prompt, history))) as deltas:
            async for delta in deltas:
                if trace.first_text_ms is None:
                    trace.first_text_ms = round((self._clock() - begun) * 1000)
                waiting += len(delta)
                for sentence in splitter.push(delta):
                    waiting = 0
                    if not reply.admits(sentence):
                        return
                    yield sentence
                if reply.is_full:
                    return
                if waiting > LETTERS:
                    raise ModelError("text without an end")
        for sentence in splitter.flush():
            if not reply.admits(sentence):
                return
            yield sentence
        if reply.is_empty:
            raise ModelError("nothing that can be said")


async def _first(sentences: AsyncGenerator[str]) -> str | None:
    """The first sentence; ModelError when it is not whole in time."""
    try:
        async with asyncio.timeout(FIRST_SENTENCE_S):
            return await anext(sentences, None)
    except TimeoutError:
        raise ModelError(f"no whole sentence within {FIRST_SENTENCE_S:g} s") from None


class _Limits:
    """How much of a reply is spoken: to its first question at most. A long sentence comes in pieces and counts once."""

    def __init__(self) -> None:
        self._sentences = 0
        self._letters = 0
        self._asked = False

    @property
    def is_empty(self) -> bool:
        return not self._letters

    @property
    def is_full(self) -> bool:
        return self._asked or self._sentences >= SENTENCES

    def admits(self, piece: str) -> bool:
        """Whether `piece` is still spoken; the first always is."""
        if self.is_full or (self._letters and self._letters + len(piece) > LETTERS):
            return False
        self._letters += len(piece)
        end = piece.rstrip("\"'”’)")
        self._sentences += end.endswith(ENDS)
        self._asked = end.endswith("?")
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
