"""/talk in a real browser: what both sides say, what the page says when something is lost or refused, and to whom."""

import asyncio
import time

import numpy as np
import pytest

from tests.chat_by_hand import WAIT_S
from tests.pages.browsing import becomes, grave, is_too_wide
from tests.pages.talking import open_talk, sounds, tone, trouble
from tests.pages.voice_by_hand import Audio, End, Interrupt, Text, until

# The text


async def test_both_sides_are_shown_as_they_speak_and_what_is_typed_is_sent(tmp_path):
    async with open_talk(tmp_path) as (page, _door, _pages, talk):
        talk.send(type="transcript", speaker="user", text="오늘", final=False)
        await page.wait_for_selector(".interim:has-text('오늘')")
        talk.send(type="transcript", speaker="user", text="오늘 바다에", final=False)
        await page.wait_for_selector(".interim:has-text('오늘 바다에')")
        assert await page.locator(".interim").count() == 1
        talk.send(type="transcript", speaker="user", text="오늘 바다에 갔어요.", final=True)
        talk.send(type="transcript", speaker="bot", text="<b>바다</b>는 어땠어요?", final=True)
        await page.wait_for_selector(".final:has-text('<b>바다</b>는 어땠어요?')")
        assert await page.locator(".interim").count() == 0
        assert await page.locator("#lines").get_attribute("aria-live") == "polite"
        texts = await page.locator("#lines .text").all_inner_texts()
        assert texts == ["오늘 바다에 갔어요.", "<b>바다</b>는 어땠어요?"]
        await page.fill("#text", "  파도가 높았어요  ")
        await page.press("#text", "Enter")
        await talk.until(lambda talk: talk.of(Text))
        assert talk.of(Text)[0].text == "파도가 높았어요"
        assert await page.input_value("#text") == ""


async def test_what_was_not_heard_is_marked_also_above_the_words_that_stopped_it(tmp_path):
    async with open_talk(tmp_path) as (page, _door, _pages, talk):
        talk.send(type="transcript", speaker="bot", text="바다는 어땠어요?", final=True)
        talk.send(type="transcript", speaker="user", text="잠깐만요.", final=True)
        talk.send(type="interrupted", heard="바다는")
        await page.wait_for_selector("s")
        assert await page.inner_text("s") == " 어땠어요?"


# The end


async def test_hanging_up_ends_the_talk_and_shows_the_way_to_the_diary(tmp_path):
    async with open_talk(tmp_path) as (page, _door, pages, talk):
        talk.say("1:0", tone(300, 20))
        await page.wait_for_selector("#stop:not([hidden])")
        await page.click("#start")
        await page.wait_for_selector("[data-state=ended]")
        assert len(talk.of(End)) == 1
        assert "마쳤어요" in await page.inner_text("#state")
        await page.click("#after a")
        await page.wait_for_url(f"{pages.address}/")


async def test_a_talk_can_be_given_up_before_it_has_begun(tmp_path):
    async with open_talk(tmp_path, begin=False) as (page, door, *_):
        door.refuses = (None,)
        before = await page.inner_text("#state")
        await page.click("#start")
        await page.wait_for_selector("[data-state=connecting]")
        assert await page.inner_text("#start-text") == "그만두기"
        await page.click("#start")
        await page.wait_for_selector("[data-state=idle]")
        assert await page.inner_text("#state") == before
        assert await page.is_hidden("#after")


async def test_the_screen_stays_on_for_as_long_as_the_talk(tmp_path):
    async with open_talk(tmp_path, record=True) as (page, *_):
        await becomes(page, "awake.length === 1 && !awake[0].released")
        await page.click("#start")
        await page.wait_for_selector("[data-state=ended]")
        await becomes(page, "awake[0].released")


async def test_a_sound_that_the_browser_stopped_goes_on_with_a_touch(tmp_path):
    async with open_talk(tmp_path, record=True) as (page, _door, _pages, talk):
        await page.evaluate("contexts.at(-1).suspend()")
        await page.wait_for_selector("#state:has-text('화면을 한 번 누르면')")
        await talk.until(lambda talk: sum(not message.audio for message in talk.of(Audio)) >= 2)
        count = len(talk.pcm)
        await page.click("h1")
        await page.wait_for_selector("#state:has-text('편하게 말씀하세요')")
        await talk.until(lambda talk: len(talk.pcm) > count + 10_000)


async def test_a_sound_that_the_browser_never_began_begins_with_a_touch(tmp_path):
    async with open_talk(tmp_path, begin=False) as (page, door, *_):
        await page.evaluate(
            """() => {
              window.AudioContext = class extends AudioContext {
                constructor(...options) {
                  super(...options);
                  this.suspend();
                }
              };
            }"""
        )
        await page.click("#start")
        talk = await door.talk()
        await page.wait_for_selector("[data-state=talking]")
        assert "화면을 한 번 누르면" in await page.inner_text("#state")
        await page.click("h1")
        await page.wait_for_selector("#state:has-text('편하게 말씀하세요')")
        await talk.until(lambda talk: len(talk.pcm) > 10_000)


async def test_the_goodbye_is_heard_to_its_end_when_the_server_ends_the_talk(tmp_path):
    async with open_talk(tmp_path, record=True) as (page, _door, _pages, talk):
        talk.say("1:0", tone(300, 1.5))
        talk.close(1000)
        await page.wait_for_selector("[data-state=ended]")
        samples, rate, _ = await sounds(page)
        assert np.count_nonzero(np.abs(samples) > 1e-4) / rate == pytest.approx(1.5, abs=0.1)


# What is lost


async def test_a_lost_socket_is_opened_again_and_the_talk_goes_on(tmp_path):
    async with open_talk(tmp_path) as (page, door, pages, talk):
        talk.send(type="transcript", speaker="user", text="오늘 바다에 갔어요.", final=True)
        await page.wait_for_selector(".final")
        pages.relay.closed = True
        pages.relay.cut()
        await page.wait_for_selector("[data-state=lost]")
        assert "다시 잇고 있어요" in await page.inner_text("#state")
        await asyncio.sleep(2)
        pages.relay.closed = False
        again = await door.talk(1)
        assert (again.session_id, again.resumed) == (talk.session_id, True)
        await page.wait_for_selector("[data-state=talking]")
        assert "다시 이어졌어요" in await page.inner_text("#state")
        assert await page.locator(".final").count() == 1
        await again.until(lambda talk: len(talk.pcm))


async def test_a_network_that_takes_nothing_is_a_lost_socket(tmp_path):
    async with open_talk(tmp_path) as (page, door, _pages, talk):
        await page.evaluate("Object.defineProperty(WebSocket.prototype, 'bufferedAmount', { get: () => 1e7 })")
        again = await door.talk(1)
        assert (again.session_id, again.resumed) == (talk.session_id, True)


async def test_a_server_that_is_replaced_is_asked_again_at_once(tmp_path):
    async with open_talk(tmp_path) as (_page, door, _pages, talk):
        talk.close(1012)
        began = time.monotonic()
        again = await door.talk(1)
        assert time.monotonic() - began < 1.0
        assert again.resumed


async def test_a_talk_that_is_over_meanwhile_is_said_to_be_kept_and_a_new_one_waits_for_the_button(tmp_path):
    async with open_talk(tmp_path) as (page, door, pages, talk):
        talk.send(type="transcript", speaker="user", text="오늘 바다에 갔어요.", final=True)
        await page.wait_for_selector(".final")
        door.forgets = True
        pages.relay.cut()
        await page.wait_for_selector("[data-state=ended]")
        assert "마무리했어요" in await page.inner_text("#state")
        assert await page.is_hidden("#trouble") and await page.is_visible("#after")
        assert await page.locator(".final").count() == 1
        assert await page.inner_text("#start") == "새로 이야기하기"
        await page.click("#start")
        assert not (await door.talk(1)).resumed
        await page.wait_for_selector("#state:has-text('편하게 말씀하세요')")


async def test_a_page_that_was_stopped_finds_out_at_once_when_it_is_seen_again(tmp_path):
    async with open_talk(tmp_path) as (page, door, _pages, talk):
        await page.evaluate(
            """() => {
              const now = Date.now;
              Date.now = () => now() + 10_000;
              document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
            }"""
        )
        again = await door.talk(1)
        assert (again.session_id, again.resumed) == (talk.session_id, True)


async def test_a_page_that_is_seen_again_does_not_wait_to_connect(tmp_path):
    async with open_talk(tmp_path) as (page, door, pages, talk):
        await page.evaluate("() => { window.setTimeout = () => 0 }")  # no pause of the page ends by itself
        pages.relay.cut()
        await page.wait_for_selector("[data-state=lost]")
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))")
        assert (await door.talk(1)).session_id == talk.session_id


async def test_a_talk_that_goes_on_in_another_window_is_left_there_until_it_is_taken_back(tmp_path):
    async with open_talk(tmp_path) as (page, door, _pages, talk):
        talk.close(4001)
        await page.wait_for_selector("[data-state=ended]")
        assert "다른 창에서" in await page.inner_text("#state")
        assert await page.is_hidden("#trouble") and await page.is_hidden("#after")
        await asyncio.sleep(1.5)
        assert len(door.talks) == 1
        assert await page.inner_text("#start") == "여기서 이어 하기"
        await page.click("#start")
        again = await door.talk(1)
        assert (again.session_id, again.resumed) == (talk.session_id, True)


async def test_who_signed_out_elsewhere_is_led_to_sign_in(tmp_path):
    async with open_talk(tmp_path) as (page, _door, _pages, talk):
        talk.send(type="error", code="SIGNED_OUT", message="로그인이 끝났어요.", retry=False)
        talk.close(1008)
        assert "로그인이 끝났어요" in await trouble(page)
        assert await page.is_visible("#trouble a")


async def test_a_microphone_that_the_system_keeps_is_said_so_until_it_is_back_and_the_bot_is_heard(tmp_path):
    async with open_talk(tmp_path, begin=False) as (page, door, *_):
        await page.evaluate(
            """() => {
              const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
              navigator.mediaDevices.getUserMedia = async (wanted) => (window.stream = await real(wanted));
              window.keep = (muted) => {
                const [track] = stream.getAudioTracks();
                Object.defineProperty(track, "muted", { value: muted, configurable: true });
                track.dispatchEvent(new Event(muted ? "mute" : "unmute"));
              };
            }"""
        )
        await page.click("#start")
        talk = await door.talk()
        await page.wait_for_selector("[data-state=talking]")
        await page.evaluate("keep(true)")
        assert "마이크가 잠깐 꺼져" in await page.inner_text("#state")
        await talk.until(lambda talk: sum(not message.audio for message in talk.of(Audio)) >= 2)
        talk.say("1:0", tone(300, 3))
        await talk.until(
            lambda talk: any(not told.audio and told.heard and told.heard.ms > 2_000 for told in talk.of(Audio))
        )
        count = len(talk.pcm)
        await page.evaluate("keep(false)")
        assert "편하게 말씀하세요" in await page.inner_text("#state")
        await talk.until(lambda talk: len(talk.pcm) > count + 10_000)


async def test_a_talk_that_is_over_before_it_is_taken_up_is_followed_by_a_new_one_that_says_so(tmp_path):
    async with open_talk(tmp_path) as (page, door, _pages, _talk):
        await page.reload()
        door.forgets = True
        await page.click("#start")
        again = await door.talk(1)
        assert not again.resumed
        await page.wait_for_selector("[data-state=talking]")
        assert "새로 시작했어요" in await page.inner_text("#state")
        assert await page.is_hidden("#trouble")


async def test_a_socket_that_stays_lost_is_said_so_and_a_new_talk_can_be_begun(tmp_path):
    async with open_talk(tmp_path) as (page, door, pages, _talk):
        await page.clock.install()
        pages.relay.closed = True
        pages.relay.cut()
        await page.wait_for_selector("[data-state=lost]")
        for _ in range(40):
            await page.clock.run_for(1000)
            await asyncio.sleep(0.02)
        said = await trouble(page)
        assert "연결이 끊어졌어요" in said and "인터넷 연결을 확인" in said
        pages.relay.closed = False
        assert await page.inner_text("#start") == "다시 시도"
        await page.click("#start")
        again = await door.talk(1)
        assert not again.resumed


async def test_a_page_that_is_loaded_again_goes_on_with_its_talk(tmp_path):
    async with open_talk(tmp_path) as (page, door, _pages, talk):
        await page.reload()
        async with asyncio.timeout(WAIT_S):
            await talk.over.wait()
        assert "다시 누르면 이어져요" in await page.inner_text("#state")
        await page.click("#start")
        again = await door.talk(1)
        assert again.resumed


# What is refused


async def test_a_microphone_that_is_refused_is_said_so_and_can_be_tried_again(tmp_path):
    async with open_talk(tmp_path, begin=False, allowed=False) as (page, door, *_):
        await page.click("#start")
        said = await trouble(page)
        assert "마이크를 쓸 수 없게 막혀 있어요" in said and "허용한 뒤" in said
        await page.context.grant_permissions(["microphone"])
        await page.click("#start")
        await door.talk()
        await page.wait_for_selector("#trouble", state="hidden")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("() => Promise.reject(new DOMException('', 'NotFoundError'))", "마이크를 찾지 못했어요"),
        ("() => Promise.reject(new DOMException('', 'NotReadableError'))", "다른 프로그램이 마이크를 쓰고 있어요"),
        ("undefined", "이 주소에서는 브라우저가 마이크를 열어 주지 않아요"),
    ],
)
async def test_a_microphone_that_cannot_be_had_is_said_so(tmp_path, broken, said):
    async with open_talk(tmp_path, begin=False) as (page, *_):
        await page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = {broken} }}")
        await page.click("#start")
        assert said in await trouble(page)
        assert await page.inner_text("#start") == "다시 시도"
        assert await grave(page) == []


async def test_a_microphone_that_is_pulled_out_is_said_so_and_the_talk_can_be_resumed(tmp_path):
    async with open_talk(tmp_path, begin=False) as (page, door, *_):
        await page.evaluate(
            """() => {
              const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
              navigator.mediaDevices.getUserMedia = async (wanted) => (window.stream = await real(wanted));
            }"""
        )
        await page.click("#start")
        await page.wait_for_selector("[data-state=talking]")
        await page.evaluate("stream.getAudioTracks()[0].dispatchEvent(new Event('ended'))")
        assert "마이크가 꺼졌어요" in await trouble(page)
        await page.click("#start")
        assert (await door.talk(1)).resumed


async def test_a_full_server_is_said_so_and_can_be_tried_again(tmp_path):
    async with open_talk(tmp_path, begin=False) as (page, door, *_):
        full = {"type": "error", "code": "NO_PLACE", "message": "지금은 자리가 없어요.", "retry": True}
        door.refuses = (full, None)
        await page.click("#start")
        await page.wait_for_selector("[data-state=failed]")
        assert "자리가 없어요" in await trouble(page)
        door.refuses = None
        await page.click("#start")
        await door.talk()
        await page.wait_for_selector("#trouble", state="hidden")


async def test_a_talk_that_is_refused_on_an_open_socket_is_said_so(tmp_path):
    async with open_talk(tmp_path, begin=False) as (page, door, *_):
        door.refuses = ({"type": "error", "code": "TOO_MANY", "message": "자리가 없어요.", "retry": True}, None)
        await page.click("#start")
        await page.wait_for_selector("[data-state=failed]")
        assert await trouble(page) == "자리가 없어요."
        assert await page.inner_text("#start") == "다시 시도"


async def test_a_handshake_that_is_refused_for_want_of_room_is_said_so(tmp_path):
    async with open_talk(tmp_path, begin=False) as (page, door, *_):
        door.status = 503
        await page.click("#start")
        assert "자리가 없어요" in await trouble(page)
        page.complaints.clear()  # the browser's own word about the handshake


async def test_a_server_that_refuses_and_then_answers_nothing_is_said_to_be_away(tmp_path):
    async with open_talk(tmp_path, begin=False) as (page, door, *_):
        await page.evaluate("() => { const real = AbortSignal.timeout; AbortSignal.timeout = (ms) => real(ms / 100) }")
        door.status = 429
        await page.route("**/talk", lambda _: None)
        await page.click("#start")
        assert "서버에 연결할 수 없어요" in await trouble(page)
        page.complaints.clear()


async def test_who_is_signed_out_is_led_to_sign_in(tmp_path):
    async with open_talk(tmp_path, begin=False) as (page, _door, pages, _talk):
        await page.context.clear_cookies()
        await page.click("#start")
        assert "로그인이 끝났어요" in await trouble(page)
        page.complaints.clear()
        await page.click("#trouble a")
        await page.wait_for_url(f"{pages.address}/sign-in")


async def test_an_error_of_the_server_is_shown_in_its_own_words(tmp_path):
    async with open_talk(tmp_path) as (page, _door, _pages, talk):
        talk.send(type="error", code="stt", message="지금은 말을 알아듣지 못해요.", retry=True)
        assert "지금은 말을 알아듣지 못해요." in await trouble(page)
        assert await page.get_attribute(".talk", "data-state") == "talking"
        talk.send(type="error", code="over", message="이 이야기는 다른 창에서 하고 있어요.", retry=False)
        talk.close(1008)
        await page.wait_for_selector("[data-state=failed]")
        assert "다른 창에서" in await trouble(page)
        assert await page.is_hidden("#start")


# Everybody


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_talk_needs_only_a_keyboard_and_shuts_nobody_out(tmp_path, scheme):
    async with open_talk(tmp_path, begin=False) as (page, door, *_):
        await page.emulate_media(color_scheme=scheme)
        assert await grave(page) == []
        while await page.evaluate("document.activeElement.id") != "start":
            await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        talk = await door.talk()
        await page.wait_for_selector("[data-state=talking]")
        talk.send(type="transcript", speaker="user", text="오늘 바다에 갔어요.", final=True)
        talk.send(type="transcript", speaker="bot", text="바다는 어땠어요?", final=True)
        talk.send(type="transcript", speaker="user", text="파도가", final=False)
        talk.say("1:0", tone(300, 20))
        await page.wait_for_selector("#stop:not([hidden])")
        assert await grave(page) == []
        assert not await is_too_wide(page)
        while await page.evaluate("document.activeElement.id") != "text":
            await page.keyboard.press("Tab")
        await page.keyboard.type("높았어요")
        await page.keyboard.press("Enter")
        await talk.until(lambda talk: talk.of(Text))
        await page.keyboard.press("Escape")
        await talk.until(lambda talk: talk.of(Interrupt))
        while await page.evaluate("document.activeElement.id") != "start":
            await page.keyboard.press("Shift+Tab")
        await page.keyboard.press("Space")
        await page.wait_for_selector("[data-state=ended]")
        assert await grave(page) == []
        await until(lambda: talk.of(End))
