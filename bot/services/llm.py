"""Any OpenAI-compatible chat model: words as they come, or a whole answer.

It must not know what the words are for. Failures are `ModelError`s whose text holds nothing of what was sent or said.
"""

import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Literal, TypedDict, cast

from openai import AsyncOpenAI, AsyncStream, BadRequestError, RateLimitError, omit
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam

from bot.errors import ModelBusy, ModelError, ModelRests
from bot.services.at_most import AtMost
from bot.services.breaker import Breaker, Declined
from bot.services.openai_client import FAILURES, Warmth, connect, reason
from bot.services.token_usage import Bill
from bot.settings import OpenAiSettings

log = logging.getLogger(__name__)

FIRST_TOKEN_S = 2.0
STALL_S = 2.0
REPLY_TOKENS = 300
WHOLE_TOKENS = 2000
TEMPERATURE = 0.7
WHOLE_TEMPERATURE = 0.2
THOUGHTS_BEGIN, THOUGHTS_END = "<think>", "</think>"


class Message(TypedDict):
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


class ModelDeclined(ModelError, Declined):
    """The model's server refused this request, or its content filter what was being answered."""


class ModelHasEnough(ModelBusy, Declined):
    """The model's server would take this request later, or when fewer are under way."""


class ModelCut(ModelError, Declined):
    """The answer was longer than it was allowed to be."""


class ChatModel:
    """One chat model. Nothing is tried twice, except once without the options that a server does not know.

    Whoever streams asks `breaker` for leave, since only they know what of an answer is enough; `complete` does so
    itself. `name` is its in the log; `clock`, the breaker's, counts seconds.
    """

    def __init__(
        self,
        settings: OpenAiSettings,
        *,
        name: str = "model",
        first_token_s: float = FIRST_TOKEN_S,
        stall_s: float = STALL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.breaker = Breaker(name, clock=clock)
        self._client: AsyncOpenAI = connect(settings)
        self._completions = self._client.chat.completions  # imported now, not in the first caller's turn
        self._warmth = Warmth(self._client)
        self._model = settings.model
        self._first_token_s = first_token_s
        self._stall_s = stall_s
        self._knows_options = True

    async def warm(self) -> None:
        """Open a connection ahead of the next turn if there may be none. Never fails."""
        await self._warmth.warm()

    async def stream(
        self,
        messages: Sequence[Mapping[str, object]],
        bill: Bill,
        *,
        most_tokens: int = REPLY_TOKENS,
        first_token_s: float | None = None,
        stall_s: float | None = None,
    ) -> AsyncGenerator[str]:
        """Give the answer's text as it comes; close it (`contextlib.aclosing`) to end the request behind it.

        What it costs goes on `bill`. A time that is None is the model's own. ModelError: no text within
        `first_token_s`, none for `stall_s`, any failure, or a cut: at `most_tokens`, or with no reason given.
        """
        limit, late = AtMost(first_token_s or self._first_token_s), "no first token in time"
        thoughts, finish = _Thoughts(), None
        try:
            async with AsyncExitStack() as stack:
                stack.enter_context(self._warmth.request())
                async with limit:
                    chunks = await stack.enter_async_context(await self._begin(messages, bill, most_tokens))
                while True:
                    # No timeout stands around the `yield`: the consumer's own pauses must not count.
                    async with limit:
                        chunk = await anext(chunks, None)
                    if chunk is None:
                        break
                    _note_usage(chunk, bill)
                    choice = _first(chunk)
                    finish = _text_of(choice, "finish_reason") or finish
                    if content := _text_of(getattr(choice, "delta", None), "content"):
                        bill.delta()
                    if text := thoughts.without(content):
                        yield text
                        limit, late = AtMost(stall_s or self._stall_s), "stalled"
        except TimeoutError as error:
            raise ModelError(late) from error
        except BadRequestError as error:
            raise ModelDeclined(reason(error)) from error
        except FAILURES as error:
            raise ModelError(reason(error)) from error
        if finish == "content_filter":
            raise ModelDeclined(f"cut ({finish})")
        if finish == "length":
            raise ModelCut("cut (length)")
        if finish is None:
            raise ModelError("cut (None)")

    async def complete(self, messages: Sequence[Mapping[str, object]], *, json: bool = False, timeout_s: float) -> str:
        """Return the whole answer; with `json` the server is asked for a JSON object, if it knows how.

        ModelError; ModelRests at once while the model does; ModelBusy. That it is busy says nothing of the model, as
        entries may be many at once; nor does an answer that is not there in time: a long one is longer in the making
        than any that is spoken.
        """
        if (asking := self.breaker.request()) is None:
            raise ModelRests("resting")
        try:
            with asking, self._warmth.request():
                async with AtMost(timeout_s):
                    answer = await self._whole_with_options_or_without(messages, json=json)
        except TimeoutError as error:
            raise ModelError("no answer in time") from error
        choice = _first(answer)
        text = _Thoughts().without(_text_of(getattr(choice, "message", None), "content"))
        if not text.strip() or _text_of(choice, "finish_reason") in ("length", "content_filter"):
            raise ModelError("empty or cut")
        return text

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _begin(
        self, messages: Sequence[Mapping[str, object]], bill: Bill, most_tokens: int
    ) -> AsyncStream[ChatCompletionChunk]:
        """Send the request; once more without options when the server refuses it, and from then on without."""
        bill.sent(sum(len(str(message["content"])) for message in messages))
        try:
            if self._knows_options:
                try:
                    return await self._chunks(messages, most_tokens)
                except BadRequestError:
                    log.info("the model's server refused a request: trying without options")
            chunks = await self._chunks(messages, None)
        except FAILURES:
            bill.sent(0)
            raise
        self._knows_options = False
        return chunks

    async def _chunks(
        self, messages: Sequence[Mapping[str, object]], most_tokens: int | None
    ) -> AsyncStream[ChatCompletionChunk]:
        """Without `most_tokens` all other options are left out, too."""
        options = most_tokens is not None
        return await self._completions.create(
            model=self._model,
            messages=_params(messages),
            stream=True,
            stream_options={"include_usage": True} if options else omit,
            max_tokens=omit if most_tokens is None else most_tokens,
            temperature=TEMPERATURE if options else omit,
        )

    async def _whole_with_options_or_without(
        self, messages: Sequence[Mapping[str, object]], *, json: bool
    ) -> ChatCompletion:
        try:
            try:
                return await self._whole(messages, json=json, options=True)
            except BadRequestError:
                return await self._whole(messages, json=False, options=False)
        except BadRequestError as error:
            raise ModelDeclined(reason(error)) from error
        except RateLimitError as error:
            raise ModelHasEnough(reason(error)) from error
        except FAILURES as error:
            raise ModelError(reason(error)) from error

    async def _whole(self, messages: Sequence[Mapping[str, object]], *, json: bool, options: bool) -> ChatCompletion:
        return await self._completions.create(
            model=self._model,
            messages=_params(messages),
            response_format={"type": "json_object"} if json else omit,
            max_tokens=WHOLE_TOKENS if options else omit,
            temperature=WHOLE_TEMPERATURE if options else omit,
        )


class _Thoughts:
    """Takes away what a reasoning model writes before its answer when its server does not."""

    def __init__(self) -> None:
        self._held = ""
        self._is_over = False

    def without(self, text: str) -> str:
        """Return the part of the next piece of text that is answer."""
        if self._is_over:
            return text
        self._held = (self._held + text).lstrip()
        if self._held.startswith(THOUGHTS_BEGIN):
            _, end, answer = self._held.partition(THOUGHTS_END)
            self._is_over = bool(end)
            return answer.lstrip()
        if THOUGHTS_BEGIN.startswith(self._held):
            return ""
        self._is_over = True
        return self._held


def _params(messages: Sequence[Mapping[str, object]]) -> list[ChatCompletionMessageParam]:
    return [cast(ChatCompletionMessageParam, message) for message in messages]


def _note_usage(chunk: object, bill: Bill) -> None:
    """Put what the server counted on the bill: it comes at the end, if at all, in a chunk without a choice."""
    usage = getattr(chunk, "usage", None)
    prompt, completion = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
    if isinstance(prompt, int) and isinstance(completion, int):
        bill.counted(prompt, completion)


def _first(answer: object) -> object:
    """The first choice, whatever the server sent: the client does not check what it gets."""
    choices = getattr(answer, "choices", None)
    return choices[0] if isinstance(choices, list) and choices else None


def _text_of(part: object, name: str) -> str:
    text = getattr(part, name, None)
    # JSON may hold half of a surrogate pair, which nothing behind this could write down.
    return text.encode("utf-8", "replace").decode() if isinstance(text, str) else ""
