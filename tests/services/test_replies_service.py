"""What the bot answers, with a model that works, fails, babbles, or is not there."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.conversation.commands import Exchange
from bot.errors import ModelError
from bot.lab.openai import OpenAiLab, Profile
from bot.lab.openai_behaviour import Faults
from bot.services.llm import ChatModel, Message
from bot.services.replies import CONTEXT_LETTERS, EXCHANGES, LETTERS, Replies, Trace, messages
from bot.settings import OpenAiSettings

PROMPT = "다정하게 대답해 주세요."
HISTORY = (Exchange("bot", "안녕하세요."), Exchange("caller", "점심에는 민수랑 김치찌개를 먹었어요"))
BUILTIN = ["김치찌개를 드셨군요.", "맛있으셨어요?"]


class Builtin:
    def reply(self, history: Sequence[Exchange]) -> str:
        assert history == HISTORY
        return " ".join(BUILTIN)


class Scripted:
    """A model that streams these deltas and then ends, or fails."""

    def __init__(self, *deltas: str, fails: bool = False) -> None:
        self.deltas, self.fails = deltas, fails
        self.asked: list[Sequence[Message]] = []
        self.closed = 0

    async def stream(self, chat: Sequence[Message]) -> AsyncGenerator[str]:
        self.asked.append(chat)
        try:
            for delta in self.deltas:
                await asyncio.sleep(0)
                yield delta
            if self.fails:
                raise ModelError("scripted")
        finally:
            self.closed += 1


async def answered(model: Scripted | ChatModel | None, trace: Trace | None = None) -> list[str]:
    replies = Replies(cast("ChatModel | None", model), Builtin(), PROMPT)
    return [sentence async for sentence in replies.sentences(HISTORY, trace)]


async def test_without_a_model_it_is_the_built_in_reply() -> None:
    trace = Trace()
    assert await answered(None, trace) == BUILTIN
    assert trace.source == "built-in"


async def test_the_model_s_sentences_come_one_by_one() -> None:
    model, trace = Scripted("민수 씨와 ", "드셨군요", ". 맛", "있으셨", "겠어요!"), Trace()
    assert await answered(model, trace) == ["민수 씨와 드셨군요.", "맛있으셨겠어요!"]
    assert trace.source == "model"
    assert trace.first_text_ms is not None
    assert model.closed == 1
    assert model.asked == [[{"role": "system", "content": PROMPT}, {"role": "user", "content": HISTORY[1].text}]]


@pytest.mark.parametrize("deltas", [(), ("민수 씨와 ",), ("민수 씨와 드", "셨군")])
async def test_a_failure_before_the_first_sentence_is_whole_gives_the_built_in_reply(deltas: tuple[str, ...]) -> None:
    trace = Trace()
    assert await answered(Scripted(*deltas, fails=True), trace) == BUILTIN
    assert trace.source == "built-in"


async def test_a_cut_after_a_sentence_just_ends_there() -> None:
    trace = Trace()
    assert await answered(Scripted("드셨군요. 맛있으셨", "겠어", fails=True), trace) == ["드셨군요."]
    assert trace.source == "model"


@pytest.mark.parametrize("deltas", [(), ("   ",), ("😀",), ("```", "\n")])
async def test_a_model_that_says_nothing_gives_the_built_in_reply(deltas: tuple[str, ...]) -> None:
    assert await answered(Scripted(*deltas)) == BUILTIN


async def test_a_model_asks_one_question_at_most() -> None:
    model = Scripted("어디에 가셨어요? ", "누구랑 가셨어요? ", "즐거우셨어요?")
    assert await answered(model) == ["어디에 가셨어요?"]


async def test_a_babbling_model_is_stopped_after_two_sentences() -> None:
    model = Scripted(*["정말 좋은 하루네요. "] * 50)
    assert await answered(model) == ["정말 좋은 하루네요."] * 2
    assert model.closed == 1


async def test_a_model_without_full_stops_is_stopped() -> None:
    model = Scripted(*["그리고 저는 정말로 좋았다고 생각하는데 "] * 100)
    given = await answered(model)
    assert 0 < sum(map(len, given)) <= LETTERS
    assert model.closed == 1


async def test_an_endless_word_gives_the_built_in_reply_or_little() -> None:
    given = await answered(Scripted(*["아" * 20] * 100))
    assert sum(map(len, given)) <= LETTERS


async def test_a_failing_model_rests_and_is_tried_again() -> None:
    now, model = 0.0, Scripted(fails=True)
    replies = Replies(cast(ChatModel, model), Builtin(), PROMPT, clock=lambda: now)

    async def turn() -> list[str]:
        return [sentence async for sentence in replies.sentences(HISTORY)]

    for _ in range(4):
        assert await turn() == BUILTIN
    assert len(model.asked) == 2
    now, model.fails, model.deltas = 31.0, False, ("네, 그러셨군요.",)
    assert await turn() == await turn() == ["네, 그러셨군요."]


async def test_stopping_in_the_middle_closes_the_model_s_stream_and_is_no_failure() -> None:
    model = Scripted("하나예요. ", "둘이에요. ", "셋")
    replies = Replies(cast(ChatModel, model), Builtin(), PROMPT)
    for turn in range(1, 5):
        async with aclosing(replies.sentences(HISTORY)) as sentences:
            assert await anext(sentences) == "하나예요."
        assert (len(model.asked), model.closed) == (turn, turn)


@pytest.mark.parametrize(
    "faults", [Faults(chat_status=429), Faults(never_first_token=True), Faults(cut_after_tokens=2)]
)
async def test_over_the_wire_a_failing_model_is_replaced_within_the_turn(faults: Faults) -> None:
    async with OpenAiLab(profile=Profile(first_token_ms=0, token_ms=1), faults=faults) as lab:
        settings = OpenAiSettings(api_key=lab.key, base_url=lab.url, model="lab")
        model = ChatModel(settings, first_token_s=0.3)
        assert await answered(model) == BUILTIN
        lab.faults.chat_status, lab.faults.never_first_token, lab.faults.cut_after_tokens = None, False, None
        trace = Trace()
        given = await answered(model, trace)
        assert given[0].startswith("점심에는 민수랑 김치찌개를")
        assert trace.source == "model"
        await model.close()


exchanges = st.builds(Exchange, st.sampled_from(["caller", "bot"]), st.text("가나다 ", min_size=1, max_size=400))


@given(st.lists(exchanges, max_size=80), st.integers(1, 2 * CONTEXT_LETTERS))
def test_a_chat_alternates_begins_and_ends_with_the_caller_and_is_bounded(
    before: list[Exchange], last_letters: int
) -> None:
    last = "하" * last_letters
    chat = messages(PROMPT, [*before, Exchange("caller", last)])
    assert chat[0] == {"role": "system", "content": PROMPT}
    roles = [message["role"] for message in chat[1:]]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
    assert chat[-1]["content"].endswith(last[-CONTEXT_LETTERS:])
    assert len(chat) <= EXCHANGES + 1
    assert sum(len(message["content"]) for message in chat[1:]) <= CONTEXT_LETTERS + EXCHANGES
