"""/chat in a real browser over the real door of the chat: streaming, sources, faults, a lost connection, long talks."""

import asyncio
import json

import pytest

from tests.chat_by_hand import CUT
from tests.pages.asking import ask, open_chat
from tests.pages.browsing import becomes, grave, is_too_wide

ANSWER = "[data-speaker=bot]:last-child"


async def test_an_answer_streams_and_tells_where_it_is_from(tmp_path):
    go_on = asyncio.Event()
    async with open_chat(tmp_path, "한강에서", " 라면을", go_on, " 드셨어요[1].\n", "좋았대요[2].") as (page, *_):
        await page.keyboard.type("한강에서 뭘 먹었지?")  # the field has the focus
        await page.keyboard.press("Enter")
        await page.wait_for_selector(f"{ANSWER} .text:has-text('한강에서 라면을')")
        assert await page.get_attribute("#messages", "aria-busy") == "true"
        assert "답하고 있어요" in await page.inner_text("#state")
        go_on.set()
        await page.wait_for_selector(f"{ANSWER} .sources")
        assert await page.inner_text("[data-speaker=user] .text") == "한강에서 뭘 먹었지?"
        answer = await page.inner_text(f"{ANSWER} .text")
        assert "드셨어요" in answer and "좋았대요" in answer
        items = await page.locator(f"{ANSWER} .sources summary").all_inner_texts()
        assert [" ".join(item.split()) for item in items] == [
            "2026년 3월 2일 월요일 한강",
            "2026년 4월 5일 일요일 바다",
        ]
        assert await page.get_attribute(f"{ANSWER} time", "datetime") == "2026-03-02"
        assert await page.is_hidden(f"{ANSWER} .content >> nth=0")
        await page.focus(f"{ANSWER} summary")
        await page.keyboard.press("Enter")
        assert "라면을 먹었다" in await page.inner_text(f"{ANSWER} .content >> nth=0")
        await becomes(page, "document.getElementById('state').textContent === ''")
        assert await page.get_attribute("#messages", "aria-busy") is None
        assert await grave(page) == []


async def test_enter_sends_shift_enter_does_not_and_neither_does_the_end_of_a_syllable(tmp_path):
    async with open_chat(tmp_path, "네.") as (page, model, _):
        await page.keyboard.type("하나")
        await page.keyboard.press("Shift+Enter")
        await page.keyboard.type("둘")
        await page.evaluate(
            """() => document.getElementById("question").dispatchEvent(
              new KeyboardEvent("keydown", { key: "Enter", isComposing: true, bubbles: true, cancelable: true }))"""
        )
        assert model.asked == []
        await page.keyboard.press("Enter")
        await page.wait_for_selector(f"{ANSWER} .text:has-text('네.')")
        assert len(model.asked) == 1
        assert json.loads(model.asked[0][-1]["content"])["question"] == "하나\n둘"
        await page.keyboard.press("Enter")
        await asyncio.sleep(0.2)
        assert len(model.asked) == 1, "nothing is asked with nothing"


async def test_what_was_said_is_shown_as_text_and_never_as_markup(tmp_path):
    async with open_chat(tmp_path, "<img src=x onerror=alert(1)> **네**") as (page, *_):
        await ask(page, "<b>뭐</b>?")
        await page.wait_for_selector(f"{ANSWER} .text:has-text('<img src=x onerror=alert(1)> **네**')")
        assert await page.inner_text("[data-speaker=user] .text") == "<b>뭐</b>?"


async def test_a_fault_says_what_can_be_done_and_the_question_can_be_sent_again(tmp_path):
    async with open_chat(tmp_path, "한강에서", CUT) as (page, model, _):
        await ask(page, "한강에서 뭘 먹었지?")
        await page.wait_for_selector("[role=alert]:has-text('답이 도중에 끊겼어요.')")
        assert "같은 질문을 다시 보내 주세요." in await page.inner_text("[role=alert] li >> nth=0")
        assert await grave(page) == []
        model.tokens = ("라면이요[1].",)
        await page.focus("[role=alert] button")
        await page.keyboard.press("Enter")
        await page.wait_for_selector(f"{ANSWER} .text:has-text('라면이요')")
        assert await page.locator("[data-speaker=user]").count() == 2


async def test_an_answer_goes_on_after_its_connection_was_lost_and_is_shown_once(tmp_path):
    go_on = asyncio.Event()
    async with open_chat(tmp_path, "한강에서 ", go_on, "라면을 드셨어요.") as (page, model, pages):
        await ask(page, "한강에서 뭘 먹었지?")
        await page.wait_for_selector(f"{ANSWER} .text:has-text('한강에서')")
        pages.relay.cut()
        await becomes(page, "document.getElementById('state').textContent.includes('다시 잇고')")
        model.tokens = ("한강에서 ", "라면을 드셨어요.")
        go_on.set()
        await becomes(page, "document.getElementById('state').textContent === ''")
        await page.wait_for_selector(f"{ANSWER} .text")
        text = await page.inner_text(f"{ANSWER} .text")
        assert text.count("한강에서") == 1, text


async def test_who_is_signed_out_is_led_to_sign_in(tmp_path):
    async with open_chat(tmp_path, "네.") as (page, _model, pages):
        await page.context.clear_cookies()
        await ask(page, "뭐?")
        await page.wait_for_selector("[role=alert]:has-text('로그인이 끝났어요')")
        page.complaints.clear()
        await page.click("[role=alert] a")
        await page.wait_for_url(f"{pages.address}/sign-in")


async def test_who_is_signed_out_while_the_socket_is_open_is_led_to_sign_in_too(tmp_path):
    async with open_chat(tmp_path, "네.") as (page, _model, pages):
        await ask(page, "뭐?")
        await page.wait_for_selector(f"{ANSWER} .text:has-text('네.')")
        (cookie,) = [cookie for cookie in await page.context.cookies() if cookie["name"] == "ilgi"]
        await pages.site.people.sign_out(cookie["value"])
        await ask(page, "또?")
        await page.wait_for_selector("[role=alert]:has-text('로그인이 끝났어요') a[href$='/sign-in']")


async def test_a_server_that_is_away_is_said_so_and_the_question_can_be_sent_again(tmp_path):
    async with open_chat(tmp_path, "네, 그랬어요.") as (page, _model, pages):
        await page.clock.install()
        pages.relay.closed = True
        pages.relay.cut()
        await ask(page, "뭐?")
        for _ in range(60):
            await page.clock.run_for(1000)
            await asyncio.sleep(0.03)
        await page.wait_for_selector("[role=alert]:has-text('서버에 연결하지 못했어요')")
        pages.relay.closed = False
        await page.click("[role=alert] button")
        await page.clock.run_for(1000)
        await becomes(page, "document.querySelectorAll('[data-speaker=bot]').length === 2")
        for _ in range(10):
            await page.clock.run_for(200)
            await asyncio.sleep(0.05)
        assert "네, 그랬어요." in await page.inner_text(f"{ANSWER} .text")


async def test_a_long_talk_stays_light(tmp_path):
    """200 messages of 5,000 letters: what is not near the window is not laid out."""
    word = "가나다라마바사 "
    answer = [word * 25] * 24 + [word * 24 + "가나다라마바사아"]
    async with open_chat(tmp_path, *answer) as (page, *_):
        await ask(page, "뭐?")
        await page.wait_for_selector(f"{ANSWER} .sources, {ANSWER} .text:not(.waiting)")
        await page.evaluate(
            """() => {
              const messages = document.getElementById("messages");
              const last = messages.lastElementChild;
              while (messages.childElementCount < 200) messages.prepend(last.cloneNode(true));
            }"""
        )
        assert await page.evaluate("document.querySelectorAll('.message .text')[5].textContent.length") == 5000
        measured = await page.evaluate(
            """async () => {
              const frame = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
              const text = document.querySelector(".message:last-child .text p").firstChild;
              await frame();
              const took = [];
              for (let number = 0; number < 20; number++) {
                const began = performance.now();
                text.appendData("가나다라 ");
                document.documentElement.scrollHeight;
                took.push(performance.now() - began);
                await frame();
              }
              // The same without what keeps it light.
              for (const message of document.querySelectorAll(".message")) message.style.contentVisibility = "visible";
              document.documentElement.style.width = "99%";
              const began = performance.now();
              document.documentElement.scrollHeight;
              const whole = performance.now() - began;
              for (const message of document.querySelectorAll(".message")) message.style.contentVisibility = "";
              await frame();
              document.documentElement.style.width = "98%";
              const again = performance.now();
              document.documentElement.scrollHeight;
              return { light: performance.now() - again, whole, append: took.sort((a, b) => a - b)[10] };
            }"""
        )
        print(measured)
        assert measured["light"] < measured["whole"] / 4
        assert measured["append"] < measured["whole"] / 50


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_chat_shuts_nobody_out(tmp_path, scheme):
    async with open_chat(tmp_path, "라면이요[1].", scheme=scheme) as (page, *_):
        assert await grave(page) == []
        await ask(page, "뭘 먹었지?")
        await page.wait_for_selector(f"{ANSWER} .sources")
        assert await grave(page) == []
        assert not await is_too_wide(page)
