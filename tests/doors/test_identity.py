"""bot/doors/identity.py: whose request it is, of which origin, and from where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quart import Quart, websocket

from bot.diary.people import Person
from bot.doors.identity import Identity, is_still, origin_of
from bot.errors import StoreError
from bot.settings import load
from tests.doors.website import ENVIRON, NUMBER, PUBLIC_URL, open_site


class Nobody:
    """People who are never asked."""


def identity(**environ):
    return Identity(load({**ENVIRON, **environ}), Nobody())


async def address_of(who, client, *forwarded):
    headers = [("X-Forwarded-For", one) for one in forwarded]
    async with Quart("x").test_request_context("/", headers=headers, scope_base={"client": client}):
        return who.address()


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Diary.Example.com", "https://diary.example.com"),
        ("https://diary.example.com:443", "https://diary.example.com"),
        ("https://diary.example.com:8443/ilgi", "https://diary.example.com:8443"),
        ("http://localhost:80", "http://localhost"),
        ("http://[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_an_origin_is_written_as_browsers_write_it(url, origin):
    assert origin_of(url) == origin


# Where from


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, ["203.0.113.9"], "10.0.0.1"),
        (1, [], "10.0.0.1"),
        (1, ["203.0.113.9"], "203.0.113.9"),
        (1, ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        (1, ["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
        (2, ["1.1.1.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        (2, ["1.1.1.1, 203.0.113.9", "10.0.0.2"], "203.0.113.9"),
        (2, ["203.0.113.9"], "203.0.113.9"),
        (1, ["1.1.1.1, unknown"], "unknown"),
        (1, ["1.1.1.1,"], "unknown"),
        (1, ["203.0.113.9:4711"], "203.0.113.9"),
        (1, ["[2001:db8:1:2:3:4:5:6]:4711"], "2001:db8:1:2::"),
        (1, ["2001:db8:1:2:ffff::1"], "2001:db8:1:2::"),
        (1, ["::ffff:203.0.113.9"], "203.0.113.9"),
    ],
)
async def test_the_address_is_what_the_outermost_proxy_of_ours_has_seen(proxies, forwarded, address):
    assert await address_of(identity(PROXIES=str(proxies)), ("10.0.0.1", 4711), *forwarded) == address


@given(
    st.lists(st.text("0123456789.,: []abcx", max_size=20), max_size=4),
    st.integers(1, 3),
    st.lists(st.ip_addresses(v=4).map(str), min_size=3, max_size=3),
)
async def test_what_a_client_writes_changes_nothing(forged, proxies, seen):
    told = seen[:proxies]
    assert await address_of(identity(PROXIES=str(proxies)), ("10.0.0.1", 1), *forged, *told) == told[0]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("::ffff:203.0.113.9", "203.0.113.0/24"),
        ("nobody", "unknown"),
    ],
)
async def test_a_network_is_what_one_client_may_well_have_all_of(address, network):
    headers = [("X-Forwarded-For", address)]
    async with Quart("x").test_request_context("/", headers=headers, scope_base={"client": ("10.0.0.1", 1)}):
        assert identity(PROXIES="1").network() == network


async def test_a_client_without_an_address_is_somebody_unknown():
    assert await address_of(identity(PROXIES="0"), None) == "unknown"


async def test_no_proxy_is_believed_on_this_machine_and_one_elsewhere():
    local = identity(PUBLIC_URL="http://localhost:5000", TWILIO_ACCOUNT_SID="", TWILIO_AUTH_TOKEN="")
    assert await address_of(local, ("127.0.0.1", 1), "203.0.113.9") == "127.0.0.1"
    assert await address_of(identity(), ("10.0.0.1", 1), "203.0.113.9") == "203.0.113.9"


async def test_the_header_remote_addr_is_not_an_address():
    who = identity(PROXIES="0")
    scope = {"client": ("10.0.0.1", 1)}
    async with Quart("x").test_request_context("/", headers={"Remote-Addr": "203.0.113.9"}, scope_base=scope):
        assert who.address() == "10.0.0.1"


# Which origin


@pytest.mark.parametrize(
    ("headers", "ours"),
    [
        ([("Origin", PUBLIC_URL)], True),
        ([], False),
        ([("Origin", "null")], False),
        ([("Origin", "")], False),
        ([("Origin", PUBLIC_URL + "/")], False),
        ([("Origin", PUBLIC_URL + ":8443")], False),
        ([("Origin", PUBLIC_URL), ("Origin", "https://evil.example.com")], False),
        ([("Authorization", "Bearer other-key-of-a-program-012345678")], True),
        ([("Authorization", "bearer first-key-of-a-program-012345678")], True),
        ([("Authorization", "Bearer key-three")], False),
        ([("Authorization", "Bearer ")], False),
        ([("Authorization", "Basic first-key-of-a-program-012345678")], False),
        ([("Authorization", "Bearer 열쇠")], False),
        ([("Origin", "https://evil.example.com"), ("Authorization", "Bearer first-key-of-a-program-012345678")], False),
    ],
)
async def test_a_request_is_ours_by_its_origin_or_without_one_by_a_key(headers, ours):
    who = identity(STREAM_KEYS="first-key-of-a-program-012345678,other-key-of-a-program-012345678")
    async with Quart("x").test_request_context("/", headers=headers):
        assert who.is_ours() is ours


async def test_without_keys_no_key_is_good():
    async with Quart("x").test_request_context("/", headers={"Authorization": "Bearer "}):
        assert not identity().is_ours()


# Who, also on a socket


async def test_a_socket_knows_its_person_until_they_sign_out(tmp_path):
    async with open_site(tmp_path) as site:

        async def who():
            while True:
                await websocket.receive()
                person = await site.identity.person()
                await websocket.send(f"{person and person.number} {site.identity.is_ours()}")

        site.app.websocket("/who")(who)
        browser = site.browser()
        await browser.sign_in(site.carrier)
        token = browser.cookies["__Host-ilgi"].value
        headers = {"Cookie": f"__Host-ilgi={token}", "Origin": PUBLIC_URL}
        async with site.app.test_client().websocket("/who", headers=headers) as socket:
            await socket.send("?")
            assert await socket.receive() == f"{NUMBER} True"
            await site.people.sign_out(token)
            await socket.send("?")
            assert await socket.receive() == "None True"
        async with site.app.test_client().websocket("/who") as socket:
            await socket.send("?")
            assert await socket.receive() == "None False"


@pytest.mark.parametrize(
    ("now", "is_it"),
    [(Person(1, NUMBER), True), (Person(2, NUMBER), False), (None, False), (StoreError("away"), True)],
    ids=["the same person", "another one", "nobody", "nobody can tell"],
)
async def test_a_person_is_still_there_until_it_is_known_that_they_are_not(now, is_it):
    async def whose():
        if isinstance(now, StoreError):
            raise now
        return now

    assert await is_still(whose, 1) is is_it


async def test_what_is_done_too_often_is_refused(tmp_path):
    async with open_site(tmp_path) as site:
        assert [await site.identity.allow("message", "1", 2, 60) for _ in range(3)] == [True, True, False]
