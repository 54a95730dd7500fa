"""What the bot answers, with a model that works, fails, babbles, or is not there."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from functools import partial
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.conversation.commands import Exchange
from bot.errors import ModelError
from bot.lab.openai import OpenAiLab, Profile
from bot.lab.openai_behaviour import Faults
from bot.services.breaker import FAILURES, REST_S, Breaker
from bot.services.llm import ChatModel, Message
from bot.services.replies import CONTEXT_LETTERS, EXCHANGES, FIRST_PIECE_S, LETTERS, Replies, messages
from bot.services.token_usage import Bill
from bot.settings import OpenAiSettings
from tests import virtual_time

PROMPT = "다정하게 대답해 주세요."
HISTORY = (Exchange("bot", "안녕하세요."), Exchange("caller", "점심에는 민수랑 김치찌개를 먹었어요"))
BUILTIN = ["김치찌개를 드셨군요.", "맛있으셨어요?"]


GARBAGE = (
    "",
    "<html><body>502 Bad Gateway</body></html>",
    "data: {not json\n\n",
    'data: null\n\ndata: 7\n\ndata: [1]\n\ndata: "x"\n\n',
    'data: {"choices": 5}\n\ndata: {"choices": [{"delta": "x", "finish_reason": 3}]}\n\ndata: [DONE]\n\n',
    'data: {"error": {"message": "overloaded"}}\n\n',
    "data: " + "[" * 200_000 + "\n\n",
    "\x00\ufffd" * 1000,
)


class Builtin:
    def reply(self, history: Sequence[Exchange]) -> str:
        assert history == HISTORY
        return " ".join(BUILTIN)


class Scripted:
    """A model that streams these deltas and then ends, or fails."""

    def __init__(self, *deltas: str, fails: bool = False) -> None:
        self.deltas, self.fails = deltas, fails
        self.now_s = 0.0
        self.breaker = Breaker("model", clock=lambda: self.now_s)
        self.asked: list[Sequence[Message]] = []
        self.closed = 0

    async def stream(self, chat: Sequence[Message], bill: Bill) -> AsyncGenerator[str]:
        self.asked.append(chat)
        bill.sent(100)
        try:
            for delta in self.deltas:
                await asyncio.sleep(0)
                bill.delta()
                yield delta
            bill.counted(60, len(self.deltas))
            if self.fails:
                raise ModelError("scripted")
        finally:
            self.closed += 1


async def answered(model: Scripted | ChatModel | None, on_first_token: Callable[[], None] | None = None) -> list[str]:
    replies = Replies(cast("ChatModel | None", model), Builtin(), PROMPT)
    return [piece async for piece in replies.begin(HISTORY, on_first_token).pieces()]


async def test_without_a_model_it_is_the_built_in_reply() -> None:
    assert await answered(None) == BUILTIN


@pytest.mark.parametrize(
    ("model", "times"),
    [
        (None, 0),
        (Scripted("민수 씨와 드셨군요."), 0),
        (Scripted(fails=True), 1),
        (Scripted("민수 씨와 드셨군요, ", "참", fails=True), 1),
        (Scripted("민수 씨와 드셨군요. ", "참", fails=True), 0),
    ],
    ids=["no model", "a model that works", "one that fails", "in its first sentence", "after its first sentence"],
)
async def test_it_is_told_when_the_built_in_reply_stands_in_for_the_model(model: Scripted | None, times: int) -> None:
    told: list[str] = []
    fell_back = partial(told.append, "fell back")
    replies = Replies(cast("ChatModel | None", model), Builtin(), PROMPT, fell_back=fell_back)
    _ = [piece async for piece in replies.begin(HISTORY).pieces()]
    assert len(told) == times


async def test_the_model_s_sentences_come_one_by_one() -> None:
    model = Scripted("민수 씨와 ", "드셨군요", ". 맛", "있으셨", "겠어요!")
    assert await answered(model) == ["민수 씨와 드셨군요.", "맛있으셨겠어요!"]
    assert model.closed == 1
    assert model.asked == [[{"role": "system", "content": PROMPT}, {"role": "user", "content": HISTORY[1].text}]]


async def test_the_first_clause_comes_while_the_rest_is_being_written() -> None:
    model = Scripted("민수 씨와 ", "드셨군요,", " 참 맛있는 ", "점심이었네요. ", "무엇이 가장 맛있었어요?")
    replies = Replies(cast(ChatModel, model), Builtin(), PROMPT)
    answer = replies.begin(HISTORY)
    async with aclosing(answer.pieces()) as pieces:
        assert await anext(pieces) == "민수 씨와 드셨군요,"
        assert [piece async for piece in pieces] == ["참 맛있는 점심이었네요.", "무엇이 가장 맛있었어요?"]


async def test_a_sentence_in_pieces_counts_once() -> None:
    model = Scripted(*["민수 씨와 드셨군요, 참 맛있는 점심이었네요. "] * 3)
    assert len(await answered(model)) == 3


@pytest.mark.parametrize("model", [None, Scripted("드", "셨군요. ", "네."), Scripted(fails=True)])
async def test_the_first_token_is_told_once_and_before_the_first_piece(model: Scripted | None) -> None:
    told: list[str] = []
    answer = Replies(cast("ChatModel | None", model), Builtin(), PROMPT).begin(HISTORY, lambda: told.append("token"))
    assert told == []
    async for piece in answer.pieces():
        told.append(piece)
    assert told[0] == "token"
    assert told.count("token") == 1
    assert len(told) == 3


async def test_nothing_is_asked_for_before_the_pieces_are() -> None:
    model = Scripted("네.")
    replies = Replies(cast(ChatModel, model), Builtin(), PROMPT)
    await replies.begin(HISTORY).pieces().aclose()
    assert model.asked == []
    assert replies.usage.dropped.requests == 0


@pytest.mark.parametrize("kept_at", ["the beginning", "the middle", "the end"])
async def test_the_tokens_of_a_reply_that_is_heard_are_kept(kept_at: str) -> None:
    replies = Replies(cast(ChatModel, Scripted("하나예요. ", "둘이에요.")), Builtin(), PROMPT)
    answer = replies.begin(HISTORY)
    if kept_at == "the beginning":
        answer.kept()
    async for _ in answer.pieces():
        if kept_at == "the middle":
            answer.kept()
    answer.kept()
    assert (replies.usage.kept.requests, replies.usage.kept.total) == (1, 62)
    assert replies.usage.dropped.total == 0


async def test_the_tokens_of_a_reply_that_nobody_hears_are_dropped() -> None:
    replies = Replies(cast(ChatModel, Scripted("하나예요. ", "둘", "이에요.")), Builtin(), PROMPT)
    async with aclosing(replies.begin(HISTORY).pieces()) as pieces:
        await anext(pieces)
        assert replies.usage.dropped.requests == 0, "it is not over"
    assert (replies.usage.dropped.requests, replies.usage.dropped.completion) == (1, 1)
    assert replies.usage.dropped.prompt == replies.usage.estimate(100) > 0
    assert replies.usage.kept.total == 0


@pytest.mark.parametrize("deltas", [(), ("민수 씨와 ",), ("민수 씨와 드", "셨군")])
async def test_a_failure_before_the_first_piece_is_whole_gives_the_built_in_reply(deltas: tuple[str, ...]) -> None:
    assert await answered(Scripted(*deltas, fails=True)) == BUILTIN


async def test_a_cut_behind_the_first_clause_ends_as_the_built_in_reply_does() -> None:
    model = Scripted("민수 씨와 드셨군요, ", "참 맛있", fails=True)
    assert await answered(model) == ["민수 씨와 드셨군요,", BUILTIN[-1]]


async def test_a_cut_after_a_sentence_just_ends_there() -> None:
    assert await answered(Scripted("드셨군요. 맛있으셨", "겠어", fails=True)) == ["드셨군요."]


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


async def turn(replies: Replies) -> list[str]:
    return [piece async for piece in replies.begin(HISTORY).pieces()]


async def test_a_failing_model_rests_and_is_tried_again() -> None:
    model = Scripted(fails=True)
    replies = Replies(cast(ChatModel, model), Builtin(), PROMPT)
    for _ in range(4):
        assert await turn(replies) == BUILTIN
    assert len(model.asked) == FAILURES
    model.now_s, model.fails, model.deltas = REST_S, False, ("네, 그러셨군요.",)
    assert await turn(replies) == await turn(replies) == ["네, 그러셨군요."]


async def test_while_one_reply_tries_the_model_again_the_others_are_built_in() -> None:
    model = Scripted(fails=True)
    replies = Replies(cast(ChatModel, model), Builtin(), PROMPT)
    for _ in range(FAILURES):
        await turn(replies)
    model.now_s, model.fails, model.deltas = REST_S, False, ("네, 그러셨군요. ", "즐거우셨어요?")
    async with aclosing(replies.begin(HISTORY).pieces()) as trial:
        assert await anext(trial) == "네, 그러셨군요."
        assert await turn(replies) == BUILTIN
        assert [piece async for piece in trial] == ["즐거우셨어요?"]
    assert await turn(replies) == ["네, 그러셨군요.", "즐거우셨어요?"]


async def test_a_prepared_reply_that_is_dropped_leaves_the_trial_to_the_next() -> None:
    model = Scripted(fails=True)
    replies = Replies(cast(ChatModel, model), Builtin(), PROMPT)
    for _ in range(FAILURES):
        await turn(replies)
    model.now_s, model.fails, model.deltas = REST_S, False, ("네, 그러셨군요. ", "즐거우셨어요?")
    for _ in range(3):
        async with aclosing(replies.begin(HISTORY).pieces()) as dropped:
            assert await anext(dropped) == "네, 그러셨군요."
    assert await turn(replies) == ["네, 그러셨군요.", "즐거우셨어요?"]


async def test_prepared_replies_that_are_dropped_do_not_make_a_failing_model_look_well() -> None:
    model = Scripted("네, 그러셨군요. ", "즐거", fails=True)
    replies = Replies(cast(ChatModel, model), Builtin(), PROMPT)
    for _ in range(FAILURES):
        async with aclosing(replies.begin(HISTORY).pieces()) as dropped:
            await anext(dropped)
        await turn(replies)
    assert await turn(replies) == BUILTIN


@pytest.mark.parametrize("deltas", [("<html><body>502 Bad Gateway",), ('{"error": "overloaded"}',), ("I am sorry. ",)])
async def test_what_is_no_korean_is_not_said(deltas: tuple[str, ...]) -> None:
    assert await answered(Scripted(*deltas)) == BUILTIN


def in_virtual_time(test: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    """A test whose waiting takes no time."""

    def run() -> None:
        virtual_time.run(test())

    return run


class Slow(Scripted):
    """A model that takes a while before each delta."""

    def __init__(self, *deltas: str, each_s: float) -> None:
        super().__init__(*deltas)
        self.each_s = each_s

    async def stream(self, chat: Sequence[Message], bill: Bill) -> AsyncGenerator[str]:
        async with aclosing(super().stream(chat, bill)) as deltas:
            async for delta in deltas:
                await asyncio.sleep(self.each_s)
                yield delta


@in_virtual_time
async def test_a_model_that_trickles_is_not_waited_for() -> None:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    assert await answered(Slow(*["민수 씨와 "] * 20, each_s=0.9)) == BUILTIN
    assert loop.time() - began_s == pytest.approx(FIRST_PIECE_S)


@in_virtual_time
async def test_a_model_that_goes_on_too_slowly_is_cut_before_the_caller_waits_long() -> None:
    loop = asyncio.get_running_loop()
    model = Slow("민수 씨와 드셨군요, ", *["참 "] * 50, each_s=0.5)
    began_s = loop.time()
    assert await answered(model) == ["민수 씨와 드셨군요,", BUILTIN[-1]]
    assert loop.time() - began_s < 0.5 + 3.0
    assert model.closed == 1


@in_virtual_time
async def test_the_time_in_which_a_piece_is_heard_does_not_count() -> None:
    model = Slow("민수 씨와 드셨군요, ", "참 맛있는 점심이었네요. ", each_s=0.5)
    replies = Replies(cast(ChatModel, model), Builtin(), PROMPT)
    given = []
    async for piece in replies.begin(HISTORY).pieces():
        given.append(piece)
        await asyncio.sleep(60)
    assert given == ["민수 씨와 드셨군요,", "참 맛있는 점심이었네요."]


async def test_stopping_in_the_middle_closes_the_model_s_stream_and_is_no_failure() -> None:
    model = Scripted("하나예요. ", "둘이에요. ", "셋")
    replies = Replies(cast(ChatModel, model), Builtin(), PROMPT)
    for turn in range(1, 5):
        async with aclosing(replies.begin(HISTORY).pieces()) as pieces:
            assert await anext(pieces) == "하나예요."
        assert (len(model.asked), model.closed) == (turn, turn)


@pytest.mark.parametrize(
    "faults",
    [
        *(Faults(chat_status=status) for status in (401, 429, 500, 503)),
        Faults(never_first_token=True),
        Faults(cut_after_tokens=1),
        Faults(stall_after_tokens=1),
        Faults(empty_chat=True),
        *(Faults(garbage_chat=text) for text in GARBAGE),
    ],
)
async def test_over_the_wire_a_failing_model_is_replaced_within_the_turn(faults: Faults) -> None:
    async with OpenAiLab(profile=Profile(first_token_ms=0, token_ms=1), faults=faults) as lab:
        settings = OpenAiSettings(api_key=lab.key, base_url=lab.url, model="lab")
        model = ChatModel(settings, first_token_s=0.3)
        assert await answered(model) == BUILTIN
        lab.faults = Faults()
        given = await answered(model)
        assert "김치찌개를" in " ".join(given)
        assert given != BUILTIN
        await model.close()


DECLINED = 'data: {"choices": [{"delta": {}, "finish_reason": "content_filter"}]}\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize("faults", [Faults(chat_status=400), Faults(garbage_chat=DECLINED)], ids=["400", "filtered"])
async def test_over_the_wire_what_is_refused_to_one_caller_does_not_make_the_model_rest_for_all(faults: Faults) -> None:
    async with OpenAiLab(profile=Profile(first_token_ms=0, token_ms=1), faults=faults) as lab:
        model = ChatModel(OpenAiSettings(api_key=lab.key, base_url=lab.url, model="lab"))
        for _ in range(FAILURES + 1):
            assert await answered(model) == BUILTIN
        lab.faults = Faults()
        assert await answered(model) != BUILTIN
        await model.close()


async def test_over_the_wire_the_tokens_are_the_server_s_own_count() -> None:
    async with OpenAiLab(profile=Profile(first_token_ms=0, token_ms=0)) as lab:
        model = ChatModel(OpenAiSettings(api_key=lab.key, base_url=lab.url, model="lab"))
        replies = Replies(model, Builtin(), PROMPT)
        heard = replies.begin(HISTORY)
        heard.kept()
        assert [piece async for piece in heard.pieces()]
        async with aclosing(replies.begin(HISTORY).pieces()) as pieces:
            await anext(pieces)
        kept, dropped = lab.report.replies
        assert (replies.usage.kept.prompt, replies.usage.kept.completion) == (
            kept.prompt_tokens,
            kept.completion_tokens,
        )
        assert replies.usage.dropped.prompt == dropped.prompt_tokens
        assert 0 < replies.usage.dropped.completion < kept.completion_tokens
        await replies.close()


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
