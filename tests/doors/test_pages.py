"""bot/doors/pages.py: what the signed-in person is shown, what nobody else is, and the headers of every page."""

import re

import pytest

from bot.conversation.commands import Mood, Status
from bot.doors import pages as module
from bot.doors.pages import FOLDER
from tests.diary.talks import entered, let_in
from tests.doors.website import ANOTHER, NUMBER, PUBLIC_URL, open_site


async def wrote(site, call_sid, title, body, *, number=NUMBER, status=Status.APPROVED):
    call = await let_in(site.store, call_sid, number)
    assert await call.save_entry(title, body, Mood.JOY, status)


async def test_a_person_reads_their_own_diary(tmp_path):
    async with open_site(tmp_path) as site:
        await wrote(site, "CA1", "바다", "바다에 갔다.\n\n파도가 높았다.")
        site.clock.forward(days=1)
        await wrote(site, "CA2", "산", "산에 올랐다.", status=Status.UNCONFIRMED)
        browser = site.browser()
        await browser.sign_in(site.carrier)
        await browser.get("/")
        assert browser.text.index("2026년 11월 22일 일요일 · 기쁨 확인 전 산 산에 올랐다.") < browser.text.index(
            "2026년 11월 21일 토요일 · 기쁨 바다 바다에 갔다. 파도가 높았다."
        )
        assert 'href="/talk"' in browser.html
        assert 'href="/chat"' in browser.html


async def test_nothing_of_anybody_else_is_shown(tmp_path):
    async with open_site(tmp_path) as site:
        await wrote(site, "CA1", "남의 제목", "남의 하루", number=ANOTHER)
        await wrote(site, "CA2", "이름 없는 제목", "이름 없는 하루", number=None)
        browser = site.browser()
        await browser.sign_in(site.carrier, NUMBER)
        for path in ("/", "/?page=2", "/?number=%2B821099999999", "/?caller_id=1"):
            await browser.get(path)
            assert browser.status == 200
            assert "하루" not in browser.html
            assert "제목" not in browser.html.replace("제목 없음", "")
        await browser.get("/")
        assert "아직 일기가 없어요" in browser.text


@pytest.mark.parametrize("path", ["/", "/?page=2", "/talk", "/chat"])
async def test_who_is_not_signed_in_is_asked_to_and_shown_nothing(tmp_path, path):
    async with open_site(tmp_path) as site:
        await entered(site.store, "CA1")
        response = await site.browser().get(path)
        assert (response.status_code, response.headers["Location"]) == (303, PUBLIC_URL + "/sign-in")
        assert await response.get_data() == b""


async def test_what_was_said_is_shown_as_text_and_never_as_markup(tmp_path):
    async with open_site(tmp_path) as site:
        await wrote(site, "CA1", "<b>제목</b>", "<script>alert(1)</script>\n{{ 7 * 7 }} & \"'")
        browser = site.browser()
        await browser.sign_in(site.carrier)
        await browser.get("/")
        assert "<script>alert" not in browser.html
        assert "<b>제목</b> <script>alert(1)</script> {{ 7 * 7 }} & \"'" in browser.text


async def test_a_long_diary_has_pages(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ENTRIES_A_PAGE", 2)
    async with open_site(tmp_path) as site:
        for n in range(5):
            await wrote(site, f"CA{n}", f"제목 {n}", "하루")
            site.clock.forward(days=1)
        browser = site.browser()
        await browser.sign_in(site.carrier)
        seen, path = [], "/"
        while path:
            await browser.get(path)
            seen += re.findall("제목 ([0-9])", browser.text)
            found = re.search('rel="next" href="([^"]*)"', browser.html)
            path = found and found[1]
        assert seen == list("43210")
        for odd in ("0", "-1", "x", "9" * 30, ""):
            assert (await browser.get(f"/?page={odd}")).status_code == 200


@pytest.mark.parametrize("path", ["/", "/sign-in", "/static/base.css", "/static/sign_in.js"])
async def test_every_answer_keeps_itself_to_itself(tmp_path, path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        for _ in range(2):
            headers = (await browser.get(path)).headers
            policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
            assert policy["default-src"] == "'self'"
            assert policy["frame-ancestors"] == "'none'"
            assert policy["connect-src"] == "'self' wss://diary.example.com"
            assert not any("unsafe" in sources or "*" in sources for sources in policy.values())
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "same-origin"
            assert headers["Cache-Control"] == ("no-cache" if path.startswith("/static") else "no-store")
            await browser.sign_in(site.carrier)


async def test_refusals_have_the_headers_too(tmp_path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.post("/sign-in", origin="https://evil.example.com")
        assert browser.status == 403
        assert browser.response.headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in browser.response.headers["Content-Security-Policy"]


async def test_a_diary_that_cannot_be_read_is_said_in_plain_words(tmp_path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.sign_in(site.carrier)
        async with site.store.database.write() as connection:
            await connection.exec_driver_sql("DROP TABLE entries")
        await browser.get("/")
        assert (browser.status, browser.response.headers["Retry-After"]) == (503, "10")
        assert "지금은 일기장을 열 수 없어요" in browser.text


@pytest.mark.parametrize("template", sorted(FOLDER.glob("*.html")), ids=lambda path: path.name)
def test_no_page_has_a_script_or_a_style_in_it_or_from_elsewhere(template):
    text = template.read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r"<style|\bstyle=|\bon[a-z]+=|javascript:", text)
    assert not re.search(r"""(src|href|action)=["'](https?:)?//""", text)


async def test_a_page_outside_the_folder_of_static_files_is_not_served(tmp_path):
    async with open_site(tmp_path) as site:
        for path in ("/static/../base.html", "/static/%2e%2e/base.html", "/static//etc/passwd", "/base.html"):
            response = await site.app.test_client().get(path, follow_redirects=True)
            assert response.status_code == 404
