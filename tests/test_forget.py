"""bot/forget.py and rotate.py: a person is removed with everything; the diary is brought to its newest key."""

import asyncio
import io
from pathlib import Path

import pytest

from bot.diary.browser_talks import new_session, sid_of
from bot.diary.crypto import Keys
from bot.errors import WrongKey
from bot.forget import main as forget
from bot.lab.twilio_rest import TwilioRest
from bot.rotate import main as rotate
from tests.canned import Answer, canned
from tests.diary.talks import ANOTHER, BOTH_SECRETS, NEWER_SECRET, NUMBER, SECRET, opened, told

SIDS = ["CA" + "1a" * 16, "CA" + "2b" * 16, "CA" + "3c" * 16]
AWAITED, LEFT = "RE" + "4d" * 16, "RE" + "5e" * 16
ACCOUNT = "AC" + "0f" * 16
REST = f"/2010-04-01/Accounts/{ACCOUNT}"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "journals"
    path.mkdir()
    return path


@pytest.fixture
def environ(database_url, folder):
    return {"DATABASE_URL": database_url, "DIARY_KEY": SECRET, "JOURNAL_DIR": str(folder)}


@pytest.fixture
def filled(database_url, folder):
    """Two calls of one person, one of another; the second call waits for its recording."""

    async def fill():
        async with opened(database_url) as store:
            for sid, number in zip(SIDS, (NUMBER, NUMBER, ANOTHER), strict=True):
                await told(store, sid, "산책했어요", number=number)
                (folder / f"{sid}-MZ1.journal").touch()
            await store.recording_made(SIDS[1], AWAITED)

    asyncio.run(fill())


def kept(database_url):
    async def read():
        async with opened(database_url) as store:
            return [record.call_sid for record in await store.entries()]

    return asyncio.run(read())


def journals(folder):
    return sorted(path.name.partition("-")[0] for path in folder.iterdir())


@pytest.mark.parametrize("spelled", [NUMBER, "+82 10-1234-5678", "+82 (10) 1234 5678"])
@pytest.mark.usefixtures("filled")
def test_a_person_is_removed_with_calls_and_journals_and_nobody_else(environ, run_sql, capsys, *, spelled):
    database_url, folder = environ["DATABASE_URL"], Path(environ["JOURNAL_DIR"])
    assert forget([spelled, "--yes", "--keep-recordings"], environ) == 0
    assert capsys.readouterr().out == "removed the caller: 2 calls, 2 journals and 0 recordings\n"
    assert kept(database_url) == [SIDS[2]]
    assert journals(folder) == [SIDS[2]]
    assert run_sql(database_url, "SELECT count(*) FROM callers") == [("1",)]
    for sid in SIDS[:2]:
        assert run_sql(database_url, f"SELECT count(*) FROM jobs WHERE args LIKE '%{sid}%'") == [("0",)]
    assert forget([spelled, "--yes"], environ) == 1
    assert capsys.readouterr().err == "forget: nothing is kept of this number\n"


@pytest.mark.parametrize(("answer", "is_removed"), [("yes\n", True), ("YES\n", True), ("y\n", False), ("", False)])
@pytest.mark.usefixtures("filled")
def test_it_asks_first(environ, monkeypatch, capsys, *, answer, is_removed):
    database_url, folder = environ["DATABASE_URL"], Path(environ["JOURNAL_DIR"])
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert forget([NUMBER, "--keep-recordings"], environ) == (0 if is_removed else 1)
    told_so = capsys.readouterr()
    assert "Remove this caller and 2 calls, for good?" in told_so.out
    assert NUMBER not in told_so.out + told_so.err
    assert (kept(database_url) == [SIDS[2]]) is is_removed
    assert (journals(folder) == [SIDS[2]]) is is_removed


async def forgotten(environ, *arguments, answers=()):
    """Run it beside a Twilio that has these answers; gives the status and the requests."""
    async with canned(dict(answers)) as twilio:
        account = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": "token", "TWILIO_API_URL": twilio.url}
        status = await asyncio.to_thread(forget, [NUMBER, "--yes", *arguments], {**environ, **account})
    return status, [f"{request.method} {request.path.removeprefix(REST)}" for request in twilio.requests]


OK = {
    ("GET", f"{REST}/Calls/{SIDS[0]}/Recordings.json"): Answer(200, {"recordings": [{"sid": LEFT}]}),
    ("DELETE", f"{REST}/Recordings/{LEFT}.json"): Answer(200, b""),
    ("DELETE", f"{REST}/Recordings/{AWAITED}.json"): Answer(200, b""),
}


def test_recordings_that_are_still_at_twilio_are_removed_there(filled, environ, database_url, capsys):
    status, requests = asyncio.run(forgotten(environ, answers=OK))
    assert status == 0
    assert [request for request in requests if request.startswith("DELETE")] == [
        f"DELETE /Recordings/{AWAITED}.json",
        f"DELETE /Recordings/{LEFT}.json",
    ]
    assert capsys.readouterr().out == "removed the caller: 2 calls, 2 journals and 2 recordings\n"
    assert kept(database_url) == [SIDS[2]]


def test_twilio_is_asked_for_recordings_that_it_could_not_tell_of(filled, environ, database_url, capsys):
    async def forgotten_beside_twilio():
        async with TwilioRest(ACCOUNT, "token") as rest:
            for sid in SIDS:
                rest.recordings.keep(sid, b"\xff" * 8000)
            account = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": "token", "TWILIO_API_URL": rest.url}
            assert await asyncio.to_thread(forget, [NUMBER, "--yes"], {**environ, **account}) == 0
            return [recorded.call_sid for recorded in rest.recordings.kept.values()]

    assert asyncio.run(forgotten_beside_twilio()) == [SIDS[2]]
    # with the one that the diary waited for
    assert capsys.readouterr().out == "removed the caller: 2 calls, 2 journals and 3 recordings\n"
    assert kept(database_url) == [SIDS[2]]


def test_twilio_is_not_asked_about_talks_in_browsers(filled, environ, database_url, capsys):
    async def ran():
        async with opened(database_url) as store:
            await told(store, sid_of(new_session()), "책을 읽었어요")
        async with TwilioRest(ACCOUNT, "token") as rest:
            account = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": "token", "TWILIO_API_URL": rest.url}
            return await asyncio.to_thread(forget, [NUMBER, "--yes"], {**environ, **account})

    status = asyncio.run(ran())
    assert (status, capsys.readouterr().out) == (0, "removed the caller: 3 calls, 2 journals and 1 recordings\n")
    assert kept(database_url) == [SIDS[2]]


def test_the_diary_still_knows_the_calls_when_twilio_fails(filled, environ, database_url, folder, capsys):
    answers = {**OK, ("DELETE", f"{REST}/Recordings/{LEFT}.json"): Answer(503, {})}
    assert asyncio.run(forgotten(environ, answers=answers))[0] == 1
    assert capsys.readouterr().err == (
        "forget: Twilio: HTTP 503; not all is removed: run it again, or with --keep-recordings\n"
    )
    assert len(kept(database_url)) == len(journals(folder)) == 3
    assert asyncio.run(forgotten(environ, "--keep-recordings", answers=answers)) == (0, [])
    assert kept(database_url) == [SIDS[2]]


def test_without_an_account_recordings_are_not_left_behind(filled, environ, database_url, folder, capsys):
    assert forget([NUMBER, "--yes"], environ) == 1
    assert capsys.readouterr().err.startswith("forget: Twilio: no account is set, and there are recordings; ")
    assert len(kept(database_url)) == len(journals(folder)) == 3
    assert forget([ANOTHER, "--yes"], environ) == 0
    assert kept(database_url) == list(SIDS[:2])


@pytest.mark.parametrize("number", ["01012345678", "anonymous", "+0", ""])
def test_what_is_no_number_is_bad_usage(environ, capsys, number):
    assert forget([number, "--yes"], environ) == 2
    assert capsys.readouterr().err == "forget: NUMBER must look like +821012345678\n"


def test_a_bad_setting_is_named(filled, environ, capsys):
    assert forget([NUMBER, "--yes"], {**environ, "TWILIO_ACCOUNT_SID": "AC1"}) == 1
    assert capsys.readouterr().err.startswith("forget: TWILIO_AUTH_TOKEN: ")
    assert rotate([], {**environ, "DIARY_KEY": "short"}) == 1
    assert capsys.readouterr().err.startswith("rotate: DIARY_KEY: ")


@pytest.mark.sqlite
def test_looking_makes_no_diary(environ, tmp_path, folder, capsys):
    assert forget([NUMBER, "--yes"], environ) == 1
    assert rotate([], environ) == 1
    assert capsys.readouterr().err == (
        "forget: nothing is kept of this number\nrotate: DATABASE_URL: there is no diary yet\n"
    )
    assert list(tmp_path.iterdir()) == [folder]


def test_after_a_rotation_the_old_key_can_be_dropped(filled, environ, database_url, capsys):
    async def callers_with(key):
        async with opened(database_url, Keys.parse(key)) as store:
            return [record.caller for record in await store.entries(NUMBER)]

    with pytest.raises(WrongKey):
        asyncio.run(callers_with(NEWER_SECRET))
    assert rotate([], {**environ, "DIARY_KEY": BOTH_SECRETS}) == 0
    assert " texts were brought to the newest key" in capsys.readouterr().out
    assert asyncio.run(callers_with(NEWER_SECRET)) == [NUMBER, NUMBER]
    with pytest.raises(WrongKey):
        asyncio.run(callers_with(SECRET))


def test_the_command_line_knows_them(monkeypatch, capsys):
    from bot.__main__ import COMMANDS, USAGE

    for name in ("doctor", "forget", "rotate"):
        assert f"\n  {name} " in USAGE
        with pytest.raises(SystemExit) as ended:
            COMMANDS[name](["--help"])
        assert ended.value.code == 0
        assert capsys.readouterr().out.startswith(f"usage: python -m bot {name}")
