"""Talks in a browser, from their handshake to the moment when everything is kept: the same call, on another line."""

import asyncio
from base64 import b64decode
from typing import Any

import pytest

from bot import line, watchdog
from bot.audio import mulaw
from bot.call import BAD_MESSAGES
from bot.close_codes import BROKEN, GOING_AWAY, NORMAL, POLICY
from bot.conversation.commands import Status
from bot.conversation.events import SttLoss, SttLost
from bot.conversation.lines import LINES
from bot.conversation.talk_lines import BROWSER
from bot.line import OVERTAKEN
from tests.calls_in_memory import FIXTURES, Stage, work
from tests.pages_in_memory import FRAME, LongHandVoice, Page

GREETING = list(BROWSER.worded(LINES.greeting_first))


async def test_a_whole_talk(stage: Stage) -> None:
    page = Page(stage)
    async with asyncio.timeout(30):
        running = await page.begin()
        await page.listens()
        for name, text in (("jia-morning", "공원을 걸었어요"), ("jia-lunch", "김치찌개를 먹었어요")):
            await page.utter(name, text)
            await page.listens()
        await page.utter("jia-finish", "오늘은 여기까지 할게요")
        while stage.scribe.asked == [] or "이대로" not in page.transcript("bot")[-1]:
            await page.quiet(30)
            await asyncio.sleep(0.005)
        await page.listens()
        await page.utter("jia-right", "맞아요")
        while not running.done():
            await page.quiet(30)
            await asyncio.sleep(0.005)
    assert page.closed[0] == NORMAL
    [entry] = await stage.store.entries()
    assert (entry.call_sid, entry.caller, entry.status) == (page.call_sid, "+821012345678", Status.APPROVED)
    turns = await stage.store.turns(page.call_sid)
    said = ["공원을 걸었어요", "김치찌개를 먹었어요", "오늘은 여기까지 할게요", "맞아요"]
    assert [turn.said for turn in turns if turn.said] == page.transcript("user") == said
    assert turns[0].heard == " ".join(GREETING)
    assert page.transcript("bot")[:5] == [*GREETING, "그러셨군요.", "그다음에는요?"]
    assert " ".join(page.transcript("bot")) == " ".join(turn.heard for turn in turns if turn.heard)
    captions = [message["text"] for message in page.of("audio") if "text" in message]
    assert captions == page.transcript("bot")
    assert {len(message["audio"]) % 1280 for message in page.of("audio")} == {0}
    assert page.codes() == []
    assert not (stage.folder / "journals").exists()


async def test_who_has_no_microphone_can_type_the_whole_talk(stage: Stage) -> None:
    page = Page(stage)
    async with asyncio.timeout(20):
        running = await page.begin()
        await page.until("audio", 3)
        page.say({"type": "text", "text": "공원을 걸었어요"})
        while page.transcript("bot")[-2:] != ["그러셨군요.", "그다음에는요?"]:
            await asyncio.sleep(0.02)
        page.say({"type": "end"})
        await running
    assert page.transcript("user") == ["공원을 걸었어요"]
    assert page.closed[0] == NORMAL
    await work(stage)
    [entry] = await stage.store.entries()
    assert entry.status is Status.UNCONFIRMED


async def test_stop_ends_the_voice_and_tells_what_was_heard(stage: Stage) -> None:
    page = Page(stage)
    page.voice.slow.add("그다음에는요?")
    async with asyncio.timeout(20):
        running = await page.begin()
        await page.listens()
        page.say({"type": "text", "text": "공원을 걸었어요"})
        sentences = len(GREETING) + 2
        while len([message for message in page.sent if "text" in message and message["type"] == "audio"]) < sentences:
            await page.quiet(30)
            await asyncio.sleep(0.01)
        page.say({"type": "interrupt", "heard": {"sentence": page.played[0], "ms": 100}})
        (stopped,) = await page.until("interrupted")
        assert stopped["heard"] == "그러셨군요."
        page.voice.go_on.set()
        before = len(page.of("audio"))
        await page.quiet(300)
        await asyncio.sleep(0.05)
        assert len(page.of("audio")) == before
        page.say({"type": "end"})
        await running
    assert (await stage.store.turns(page.call_sid))[1].heard == "그러셨군요."


async def test_what_was_heard_is_what_the_page_has_played_and_not_what_was_sent(stage: Stage) -> None:
    page = Page(stage)
    async with asyncio.timeout(20):
        running = await page.begin()
        await page.listens()
        page.plays, greeting = False, len(page.of("audio"))
        page.say({"type": "text", "text": "공원을 걸었어요"})
        sound = await page.until("audio", greeting + 10)
        assert {message["sentence"] for message in sound[greeting:]} == {"2:0", "2:1"}
        await asyncio.sleep(0.5)
        page.played = "2:0", 100
        await page.quiet(30)
        page.say({"type": "interrupt"})
        (stopped,) = await page.until("interrupted")
        page.say({"type": "end"})
        await running
    assert stopped["heard"] == ""
    assert page.transcript("bot")[-1] == "그러셨군요."
    assert [turn.heard for turn in await stage.store.turns(page.call_sid)] == [" ".join(GREETING), None]


LONG = "아침에 공원을 천천히 걸으셨군요."
"""840 ms: 아침에 is over after 158 ms, 공원을 after 315, 천천히 after 473."""


async def page_that_hears(stage: Stage, *sentences: str) -> tuple[Page, asyncio.Task[None]]:
    """A page that has heard the greeting, and then is answered with these; it plays only what a test says."""
    stage.replies.texts = sentences
    page = Page(stage, voice=LongHandVoice())
    running = await page.begin()
    await page.listens()
    page.plays = False
    page.say({"type": "text", "text": "공원을 걸었어요"})
    return page, running


async def sent(page: Page, sentence: str, ms: int) -> None:
    """Wait until so much of a sentence was sent."""
    async with asyncio.timeout(10):
        while sum(len(b64decode(m["audio"])) // 48 for m in page.of("audio") if m["sentence"] == sentence) < ms:
            await asyncio.sleep(0.005)


async def kept(stage: Stage, page: Page) -> list[str | None]:
    """What the talk's own diary has of the bot's sentences."""
    return [turn.heard for turn in await stage.store.turns(page.call_sid) if turn.turn >= 0]


@pytest.mark.parametrize(
    ("played", "heard"),
    [(("2:0", 340), "아침에"), (("2:0", 700), "아침에 공원을 천천히"), (("2:1", 440), f"{LONG} 좋으셨겠어요")],
    ids=["second word", "fourth word", "second sentence"],
)
async def test_who_stops_the_bot_in_mid_sentence_has_heard_the_words_that_the_page_had_played(
    stage: Stage, played: tuple[str, int], heard: str
) -> None:
    async with asyncio.timeout(30):
        page, running = await page_that_hears(stage, LONG, "좋으셨겠어요 정말로요.")
        await sent(page, "2:0", 240)
        while page.played != played:
            name, ms = page.played if page.played and page.played[0].startswith("2:") else ("2:0", 0)
            page.played = ("2:1", 40) if (name, ms) == ("2:0", 840) else (name, ms + 20)
            await sent(page, *page.played)
            await page.quiet(20)
        page.say({"type": "interrupt", "heard": {"sentence": played[0], "ms": played[1]}})
        (stopped,) = await page.until("interrupted")
        page.say({"type": "end"})
        await running
    assert stopped["heard"] == heard
    assert await kept(stage, page) == [heard]


async def test_who_speaks_in_mid_sentence_has_heard_the_words_that_the_page_had_played(stage: Stage) -> None:
    async with asyncio.timeout(30):
        page, running = await page_that_hears(stage, LONG)
        await sent(page, "2:0", 440)
        page.played = "2:0", 340
        await page.quiet(30)
        stage.replies.texts = ("그러셨군요.",)
        stage.texts.append("잠깐 저녁에는 비가 많이 왔어요")
        await page.hear(mulaw.decode((FIXTURES / "utterances" / "jia-rain.ulaw").read_bytes()))
        await page.quiet(300)
        await asyncio.sleep(0.05)
        await page.quiet(300)
        (stopped,) = await page.until("interrupted")
        page.say({"type": "end"})
        await running
    assert stopped["heard"] == "아침에"
    assert (await kept(stage, page))[0] == "아침에"


async def test_what_the_ear_has_told_stands_however_long_it_is_ago(stage: Stage) -> None:
    async with asyncio.timeout(30):
        page, running = await page_that_hears(stage, LONG)
        page.played = "2:0", 400
        await sent(page, "2:0", 840)
        await asyncio.sleep(0.1)
        await page.quiet(8_000)
        page.say({"type": "interrupt", "heard": {"sentence": "2:0", "ms": 400}})
        (stopped,) = await page.until("interrupted")
        page.say({"type": "end"})
        await running
    assert stopped["heard"] == "아침에"
    assert await kept(stage, page) == ["아침에"]


async def test_a_page_whose_player_stands_still_is_listened_to_again(stage: Stage) -> None:
    async with asyncio.timeout(30):
        page, running = await page_that_hears(stage, LONG)
        page.played = "2:0", 340
        await sent(page, "2:0", 840)
        await asyncio.sleep(0.1)
        await page.quiet(10_500)
        (stopped,) = await page.until("interrupted")
        assert page.call._talk.turns.state == "listening"
        page.say({"type": "end"})
        await running
    assert stopped["heard"] == "아침에"


async def test_what_was_begun_is_shown_before_the_page_is_told_how_much_of_it_was_heard(stage: Stage) -> None:
    async with asyncio.timeout(30):
        page, running = await page_that_hears(stage, LONG)
        await sent(page, "2:0", 440)
        page.say({"type": "interrupt", "heard": {"sentence": "2:0", "ms": 400}})
        await page.until("interrupted")
        page.say({"type": "end"})
        await running
    kinds = [(message["type"], message.get("text")) for message in page.sent if message["type"] != "audio"]
    assert kinds.index(("transcript", LONG)) < kinds.index(("interrupted", None))


async def test_garbage_is_answered_and_then_ends_the_stream(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    page = Page(stage)
    async with asyncio.timeout(20):
        running = await page.begin()
        await page.until("audio")
        garbage: list[Any] = ["{", {"type": "init", "config": {}}, {"type": "비밀"}, {"type": "text", "text": ""}]
        for message in garbage:
            page.say(message)
        await page.until("error", len(garbage))
        assert page.codes() == ["INVALID_JSON", "WRONG_ORDER", "UNKNOWN_TYPE", "INVALID_MESSAGE"]
        page.say({"type": "text", "text": "공원을 걸었어요"})
        while page.transcript("user") != ["공원을 걸었어요"]:
            await asyncio.sleep(0.01)
        for _ in range(BAD_MESSAGES):
            page.say(b"\0")
        await running
    assert page.codes()[-1] == "TOO_MANY_FAULTS" and len(page.codes()) == BAD_MESSAGES + 1
    assert page.closed[0] == POLICY
    assert "비밀" not in caplog.text
    assert page.call.is_left_open


async def test_a_lost_recogniser_is_told_and_ends_the_talk(stage: Stage) -> None:
    page = Page(stage)
    async with asyncio.timeout(20):
        running = await page.begin()
        await page.listens()
        stage.stts[0].emit(SttLost(SttLoss.FULL))
        while not running.done():
            await page.quiet(30)
            await asyncio.sleep(0.005)
    assert page.codes() == ["RECOGNISER_UNAVAILABLE"] and page.of("error")[0]["retry"]
    assert page.closed[0] == NORMAL
    assert page.transcript("bot")[-1] == "잠시 뒤에 다시 찾아와 주세요."
    assert await stage.store.is_ended(page.call_sid)
    assert await stage.store.next_step(page.call_sid) is None


async def test_a_socket_that_breaks_leaves_the_talk_open_for_the_next_one(stage: Stage) -> None:
    page = Page(stage)
    async with asyncio.timeout(20):
        running = await page.begin()
        await page.listens()
        await page.utter("jia-morning", "공원을 걸었어요")
        await page.listens()
        page.call.gone()
        await running
        assert page.call.is_left_open and page.call.stream == 1
        assert not await stage.store.is_ended(page.call_sid)
        assert await stage.store.browser_talks.may_resume(page.session_id, 1)
        again = Page(stage, page.session_id, first_reply=10_000)
        running = await again.begin()
        await again.listens()
        assert again.call.stream == 2
        assert again.transcript("bot") == list(LINES.resumed)
        assert again.of("audio")[0]["sentence"] == "10001:0"
        again.say({"type": "end"})
        await running
    assert not again.call.is_left_open
    await work(stage)
    [entry] = await stage.store.entries()
    assert entry.status is Status.UNCONFIRMED


async def test_a_process_that_goes_away_sends_the_page_to_the_next_one(stage: Stage) -> None:
    page = Page(stage)
    async with asyncio.timeout(20):
        running = await page.begin()
        await page.listens()
        page.call.drain()
        await running
    assert page.closed[0] == GOING_AWAY
    assert page.call.is_left_open
    assert await stage.store.browser_talks.may_resume(page.session_id, 1)


async def test_a_page_that_falls_silent_is_given_up_but_its_talk_is_not(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "QUIET_S", 0.1)
    page = Page(stage)
    async with asyncio.timeout(20):
        running = await page.begin()
        await page.quiet(60)
        await running
    assert page.closed[0] == BROKEN
    assert page.call.is_left_open


async def test_a_page_that_has_no_sound_for_now_is_waited_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "QUIET_S", 0.5)
    page = Page(stage)
    async with asyncio.timeout(20):
        running = await page.begin()
        await page.listens()
        at_ms = page.stream.at_ms
        for _ in range(30):
            page.say({"type": "audio", "audio": ""})
            await asyncio.sleep(0.05)
        assert not running.done() and page.stream.at_ms == at_ms
        monkeypatch.setattr(line, "LONGEST_QUIET_S", 0.2)
        while not running.done():
            page.say({"type": "audio", "audio": ""})
            await asyncio.sleep(0.05)
    assert page.closed[0] == BROKEN
    assert page.call.is_left_open


async def test_a_stream_that_is_overtaken_tells_its_page_so(stage: Stage) -> None:
    page = Page(stage)
    async with asyncio.timeout(20):
        running = await page.begin()
        await page.listens()
        other = Page(stage, page.session_id, first_reply=10_000)
        others = await other.begin()
        await other.until("audio")
        page.say({"type": "text", "text": "공원을 걸었어요"})
        await running
        other.say({"type": "end"})
        await others
    assert page.closed[0] == OVERTAKEN


async def test_a_page_that_asks_for_whisper_gets_it(stage: Stage) -> None:
    asked: list[Any] = []
    stream = stage.services.recogniser.stream
    stage.services.recogniser.stream = lambda emit, **options: asked.append(options["options"]) or stream(emit)  # type: ignore[method-assign]
    for config in ({}, {"useWhisper": True}, {"useWhisper": True, "language": "en"}, {"language": "ja"}):
        page = Page(stage, **config)
        running = await page.begin()
        await page.until("audio")
        page.say({"type": "end"})
        await running
    found = [(options.model_name, options.language) for options in asked]
    assert found == [("sommers_ko", None), ("whisper", "ko"), ("whisper", "en"), ("sommers_ja", None)]


async def test_sound_that_comes_faster_than_time_is_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.line.MOST_AHEAD_MS", 1_000)
    page = Page(stage)
    running = await page.begin()
    await page.until("audio")
    await page.quiet(900)
    assert page.codes() == []
    await page.quiet(3_000)
    await running
    assert page.codes() == ["TOO_FAST"] * BAD_MESSAGES + ["TOO_MANY_FAULTS"]
    assert page.closed[0] == POLICY


async def test_an_aside_is_heard_and_said_nowhere(stage: Stage) -> None:
    page = Page(stage)
    running = await page.begin()
    await page.listens()
    page.call._playout.interject(FRAME * 4)
    while not [message for message in page.of("audio") if message["sentence"].startswith("aside:")]:
        await page.quiet(30)
        await asyncio.sleep(0.005)
    await page.quiet(300)
    page.say({"type": "end"})
    await running
    assert page.transcript("bot") == GREETING
