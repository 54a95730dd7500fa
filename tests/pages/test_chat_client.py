"""chat_client.js alone, as somebody else would use it, in a real browser against the real door of the chat."""

import asyncio
import itertools

from bot.doors import chat as door_module
from tests.chat_by_hand import WAIT_S
from tests.pages.asking import open_chat
from tests.pages.browsing import becomes

ASK = """async ([content, options]) => {
  const { ChatClient } = await import("/static/chat_client.js");
  const url = location.origin.replace("http", "ws") + "/chat-ws";
  if (!window.chat) {
    window.chat = new ChatClient(url, options);
    chat.addEventListener("connection", ({ detail }) => states.push([detail, performance.now()]));
  }
  const events = [];
  window.events = events;
  window.states = [];
  try {
    for await (const event of chat.ask(content)) events.push({ ...event, at: performance.now() });
  } catch (error) {
    events.push({ type: "failed", reason: error.reason, name: error.name });
  }
  return { events, states, sessionId: chat.sessionId };
}"""


async def asked(page, content, **options):
    """What the client gives of one question."""
    return await page.evaluate(ASK, [content, options])


async def test_the_client_gathers_tokens_for_50_ms(tmp_path):
    tokens = [part for number in range(40) for part in (f" {number}", 0.01)]
    async with open_chat(tmp_path, *tokens, path="/") as (page, *_):
        told = (await asked(page, "뭐?"))["events"]
        assert [event["type"] for event in told if event["type"] != "text"] == ["start", "sources", "end"]
        texts = [event for event in told if event["type"] == "text"]
        assert "".join(event["text"] for event in texts) == " ".join(map(str, range(40)))
        assert len(texts) < 20
        gaps = [after["at"] - before["at"] for before, after in itertools.pairwise(texts)]
        assert min(gaps[:-1]) >= 45
        assert told[-1]["total_tokens"] == 40


async def test_the_client_keeps_its_session_and_asks_one_after_the_other(tmp_path):
    async with open_chat(tmp_path, "네.", path="/") as (page, model, _):
        first = await asked(page, "하나?")
        both = await page.evaluate(
            """async () => {
              const whole = async (content) => {
                const events = [];
                for await (const event of chat.ask(content)) events.push(event);
                return events;
              };
              return await Promise.all([whole("둘?"), whole("셋?")]);
            }"""
        )
        assert [[event["type"] for event in events][-1] for events in both] == ["end", "end"]
        assert {events[0]["session_id"] for events in both} == {first["sessionId"]}
        assert [str(asked[-1]).count(word) for asked, word in zip(model.asked, "하둘셋", strict=True)] == [1, 1, 1]


async def test_the_client_sends_the_same_message_again_and_its_answer_begins_anew(tmp_path):
    stop = asyncio.Event()
    async with open_chat(tmp_path, "한강 ", stop, "라면", path="/") as (page, _model, pages):
        telling = asyncio.create_task(asked(page, "뭐?", firstWaitMs=50))
        await becomes(page, "window.events?.some(({ type }) => type === 'text')")
        pages.relay.cut()
        await asyncio.sleep(0.5)
        stop.set()
        told = await telling
        kinds = [event["type"] for event in told["events"]]
        assert kinds.count("start") == 2 and kinds[-1] == "end"
        assert len({event["session_id"] for event in told["events"] if event["type"] == "start"}) == 1
        assert [state for state, _ in told["states"]] == ["connecting", "open", "lost", "connecting", "open"]


async def test_the_client_tries_five_times_again_with_waits_that_double(tmp_path):
    async with open_chat(tmp_path, "네.", path="/") as (page, _model, pages):
        await asked(page, "뭐?", firstWaitMs=100)
        pages.relay.closed = True
        pages.relay.cut()
        await asyncio.sleep(0.2)
        told = await asked(page, "뭐?")
        assert told["events"] == [{"type": "failed", "reason": "no-connection", "name": "ChatFailed"}]
        moments = [at for state, at in told["states"] if state == "connecting"]
        waits = [after - before for before, after in itertools.pairwise(moments)]
        assert len(waits) == 5
        for number, wait in enumerate(waits):
            assert 50 * 2**number - 5 <= wait <= 100 * 2**number + 400, waits
        pages.relay.closed = False
        assert (await asked(page, "뭐?"))["events"][-1]["type"] == "end"


async def test_the_client_gives_up_an_answer_that_does_not_come(tmp_path):
    never = asyncio.Event()
    async with open_chat(tmp_path, "한강 ", never, path="/") as (page, model, _):
        told = await asked(page, "뭐?", answerMs=500)
        assert told["events"][-1] == {"type": "failed", "reason": "no-answer", "name": "ChatFailed"}
        model.tokens = ("다른 답",)
        again = (await asked(page, "또?"))["events"]
        assert "".join(event.get("text", "") for event in again) == "다른 답"


async def test_the_client_begins_a_new_session_when_its_own_is_over(tmp_path):
    async with open_chat(tmp_path, "네.", path="/") as (page, _model, pages):
        first = await asked(page, "하나?")
        pages.site.clock.forward(minutes=31)
        lost = (await asked(page, "둘?"))["events"]
        assert (lost[-1]["type"], lost[-1]["error_code"]) == ("error", "WS-002-VALIDATION_ERROR")
        again = await asked(page, "둘?")
        assert again["events"][-1]["type"] == "end"
        assert again["sessionId"] != first["sessionId"]
        bad = await asked(page, " ")
        assert (bad["events"][-1]["error_code"], bad["events"][-1]["reason"]) == (
            "WS-002-VALIDATION_ERROR",
            "bad_content",
        )
        assert bad["sessionId"] == again["sessionId"], "what is wrong with a message is not wrong with the session"


async def loaded(page):
    """Have the browser fetch the client while it can."""
    await page.evaluate("import('/static/chat_client.js').then(() => true)")


async def held(relay, number):
    """Wait until so many connections are held."""
    async with asyncio.timeout(WAIT_S):
        while relay.held != number:
            await asyncio.sleep(0.01)


async def test_a_client_that_is_closed_while_it_connects_leaves_no_socket_and_tries_no_more(tmp_path):
    async with open_chat(tmp_path, "네.", path="/") as (page, _model, pages):
        await loaded(page)
        pages.relay.silent = True
        asking = asyncio.create_task(asked(page, "뭐?", firstWaitMs=1))
        await held(pages.relay, 1)
        await page.evaluate("chat.close()")
        told = await asking
        assert told["events"] == [{"type": "failed", "reason": "closed", "name": "ChatFailed"}]
        assert [state for state, _ in told["states"]] == ["connecting", "closed"]
        await held(pages.relay, 0)
        await asyncio.sleep(0.3)
        assert pages.relay.came == 1


async def test_a_client_that_is_closed_between_two_tries_tries_no_more(tmp_path):
    async with open_chat(tmp_path, "네.", path="/") as (page, _model, pages):
        await loaded(page)
        pages.relay.closed = True
        asking = asyncio.create_task(asked(page, "뭐?", firstWaitMs=3_600_000))
        await becomes(page, "window.states?.length === 1")
        await page.evaluate("new Promise((resolve) => setTimeout(resolve, 300)).then(() => chat.close())")
        async with asyncio.timeout(WAIT_S):
            assert (await asking)["events"][-1]["reason"] == "closed"
        pages.relay.closed = False


async def test_a_client_that_is_closed_in_any_step_of_asking_says_so(tmp_path):
    async with open_chat(tmp_path, "네.", path="/") as (page, *_):
        told = await page.evaluate(
            """async () => {
              const { ChatClient } = await import("/static/chat_client.js");
              const told = [];
              for (let steps = 0; steps < 10; steps++) {
                const one = new ChatClient(location.origin.replace("http", "ws") + "/chat-ws");
                await one.connect();
                const asking = one.ask("뭐?").next().catch((error) => error.reason ?? error.message);
                for (let step = 0; step < steps; step++) await null;
                one.close();
                told.push(await asking);
              }
              return told;
            }"""
        )
        assert told == ["closed"] * 10


async def test_a_connection_that_does_not_open_in_time_is_given_up(tmp_path):
    async with open_chat(tmp_path, "네.", path="/") as (page, _model, pages):
        await loaded(page)
        pages.relay.silent = True
        async with asyncio.timeout(WAIT_S):
            told = await asked(page, "뭐?", openMs=100, tries=1, firstWaitMs=1)
        assert told["events"] == [{"type": "failed", "reason": "no-connection", "name": "ChatFailed"}]
        await held(pages.relay, 0)
        assert pages.relay.came == 2
        pages.relay.silent = False
        assert (await asked(page, "뭐?"))["events"][-1]["type"] == "end"


async def test_who_connects_twice_at_once_has_one_socket(tmp_path):
    async with open_chat(tmp_path, "네.", path="/") as (page, *_):
        await asked(page, "뭐?")
        states = await page.evaluate(
            """async () => {
              const { ChatClient } = await import("/static/chat_client.js");
              const one = new ChatClient(location.origin.replace("http", "ws") + "/chat-ws");
              const states = [];
              one.addEventListener("connection", ({ detail }) => states.push(detail));
              await Promise.all([one.connect(), one.connect()]);
              one.close();
              return states;
            }"""
        )
        assert states == ["connecting", "open", "closed"]


async def test_who_stops_an_answer_ends_it_at_the_server_too(tmp_path):
    async with open_chat(tmp_path, "한강 ", asyncio.Event(), path="/") as (page, model, _):
        reason = await page.evaluate(
            """async () => {
              const { ChatClient } = await import("/static/chat_client.js");
              window.chat = new ChatClient(location.origin.replace("http", "ws") + "/chat-ws");
              const stopping = new AbortController();
              try {
                for await (const { type } of chat.ask("뭐?", { signal: stopping.signal })) {
                  if (type === "text") setTimeout(() => stopping.abort(), 50);
                }
              } catch (error) {
                return error.reason;
              }
            }"""
        )
        assert reason == "stopped"
        async with asyncio.timeout(WAIT_S):
            while not model.left:
                await asyncio.sleep(0.01)
        model.tokens = ("다른 답",)
        again = (await asked(page, "또?"))["events"]
        assert "".join(event.get("text", "") for event in again) == "다른 답"


async def test_too_many_questions_are_refused_and_the_connection_lives(tmp_path, monkeypatch):
    monkeypatch.setattr(door_module, "MOST_A_MINUTE", 1)
    async with open_chat(tmp_path, "네.", path="/") as (page, *_):
        await asked(page, "하나?")
        refused = await asked(page, "둘?")
        assert refused["events"][-1]["error_code"] == "GEN-004-TOO_OFTEN"
        assert "lost" not in [state for state, _ in refused["states"]]
