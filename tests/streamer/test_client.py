"""bot/streamer/client.py, against a server that is played by hand."""

import asyncio
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from bot.errors import IlgiError
from bot.protocols import jobs as wire
from bot.protocols.jobs import JobRequest, TranscriptSegment
from bot.streamer import client
from bot.streamer.client import Refused
from tests.streamer.by_hand import JOB, Hand, Memory, Pcm, house

PCM = bytes(range(256)) * 251  # 2.008 s, and no whole number of chunks
SECOND = 32000
ONE, TWO = TranscriptSegment(0, "하나", 0.1, 0.4), TranscriptSegment(1, "둘", 0.5, 0.9)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAUSES_S", (0.01, 0.02))
    monkeypatch.setattr(client, "POLL_S", 0.01)


def shown(state: str, duration: float, *segments: TranscriptSegment, **more: Any) -> dict[str, object]:
    names = ("index", "text", "start_time", "end_time")
    told = [{name: getattr(each, name) for name in names} for each in segments]
    return {"state": state, "duration": duration, "segments": told, "summary": None, "error": None, **more}


async def hears_all(hand: Hand) -> None:
    await hand.welcome()
    await hand.hear()
    await hand.say(ONE)
    await hand.finish(len(PCM) / SECOND, 1)


async def test_every_byte_arrives_in_chunks_of_30_ms_and_then_the_end() -> None:
    view = Memory()
    async with house(hears_all) as home:
        outcome = await home.file(PCM, view).run(JobRequest(language="ko", title="day.wav"), fast=True)
    (hand,) = home.hands
    assert b"".join(hand.chunks) == PCM and hand.ended
    assert {len(chunk) for chunk in hand.chunks[:-1]} == {960}
    assert (outcome.is_whole, outcome.state, outcome.summary) == (True, "completed", "요약")
    assert (view.segments, view.failures, view.sent_ms) == ([ONE], [], len(PCM) // 32)
    asked = msgspec.json.decode(home.requests[0].content)
    assert (asked["language"], asked["title"], asked["summary"]) == ("ko", "day.wav", True)
    assert home.requests[0].headers["Authorization"] == "Bearer the-key"


async def test_in_real_time_every_chunk_has_its_moment_and_no_delay_is_carried_over() -> None:
    moments: list[float] = []
    now = asyncio.get_running_loop().time

    async def takes_the_time(hand: Hand) -> None:
        await hand.welcome()
        async for message in hand.socket:
            if isinstance(message, str):
                break
            moments.append(now())
            if len(moments) == 20:
                await asyncio.sleep(0.2)
        await hand.finish(len(PCM) / SECOND)

    async with house(takes_the_time) as home:
        await home.file(PCM, Memory()).run(JobRequest(), fast=False)
    assert len(moments) == -(-len(PCM) // 960)
    took_s = moments[-1] - moments[0]
    assert took_s == pytest.approx((len(moments) - 1) * 0.03, abs=0.25)
    assert all(one <= other for one, other in pairwise(moments))
    # It is never ahead of the sound by more than the first chunk was late.
    assert all(at - moments[0] > index * 0.03 - 0.25 for index, at in enumerate(moments))


async def test_a_connection_that_breaks_goes_on_from_where_the_server_is() -> None:
    async def breaks(hand: Hand) -> None:
        await hand.welcome()
        await hand.hear(SECOND)
        await hand.say(ONE)
        await asyncio.sleep(0.05)
        hand.vanish()

    async def goes_on(hand: Hand) -> None:
        await hand.welcome(960, 1)
        await hand.hear()
        await hand.say(TWO)
        await hand.finish(len(PCM) / SECOND, 2)

    view = Memory()
    async with house(breaks, goes_on) as home:
        outcome = await home.file(PCM, view).run(JobRequest(), fast=True)
    assert b"".join(home.hands[1].chunks) == PCM[960 * 32 :]
    assert outcome.is_whole
    assert (view.segments, view.failures) == ([ONE, TWO], ["CONNECTION_LOST"])


async def test_a_server_without_a_recogniser_is_sent_again_what_it_has_no_text_of() -> None:
    async def loses_it(hand: Hand) -> None:
        await hand.welcome()
        await hand.hear(SECOND)
        await hand.say(ONE, wire.NO_RECOGNISER)
        await hand.socket.close(1013)

    async def goes_on(hand: Hand) -> None:
        await hand.welcome(400, 1)
        await hand.hear()
        await hand.finish(len(PCM) / SECOND, 1)

    view = Memory()
    async with house(loses_it, goes_on) as home:
        outcome = await home.file(PCM, view).run(JobRequest(), fast=True)
    assert b"".join(home.hands[1].chunks) == PCM[400 * 32 :]
    assert (outcome.is_whole, view.failures) == (True, ["RECOGNISER_UNAVAILABLE"])


async def test_a_segment_that_was_kept_and_not_told_is_asked_for() -> None:
    async def breaks(hand: Hand) -> None:
        await hand.welcome()
        await hand.hear(SECOND)
        hand.vanish()

    async def goes_on(hand: Hand) -> None:
        await hand.welcome(400, 1)
        await hand.hear()
        await hand.say(TWO)
        await hand.finish(len(PCM) / SECOND, 2)

    view = Memory()
    async with house(breaks, goes_on) as home:
        home.shown = shown("streaming", 0.4, ONE)
        await home.file(PCM, view).run(JobRequest(), fast=True)
    assert view.segments == [ONE, TWO]


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (wire.JOB_BUSY, wire.BUSY),
        (wire.GOING_AWAY, 1012),
        (wire.NO_RECOGNISER, 1013),
        (wire.NO_STORE, 1013),
        (None, 1011),
        (None, None),
    ],
    ids=["busy", "going away", "no recogniser", "no store", "closed", "broken"],
)
async def test_a_server_that_cannot_yet_is_asked_again(failure: wire.Failure | None, code: int | None) -> None:
    async def not_yet(hand: Hand) -> None:
        if failure:
            await hand.say(failure)
        if code is None:
            hand.vanish()
        else:
            await hand.socket.close(code)

    view = Memory()
    async with house(not_yet, not_yet, hears_all) as home:
        outcome = await home.file(PCM, view).run(JobRequest(), fast=True)
    assert outcome.is_whole and b"".join(home.hands[2].chunks) == PCM
    assert len(view.failures) == 2


@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_has_no_place_yet_is_asked_again(status: int) -> None:
    view = Memory()
    async with house(hears_all) as home:
        home.handshakes += [status, status]
        outcome = await home.file(PCM, view).run(JobRequest(), fast=True)
    assert outcome.is_whole
    assert view.failures == [f"HTTP_{status}"] * 2


async def test_a_job_that_the_server_ended_is_read_and_is_not_whole() -> None:
    async def breaks(hand: Hand) -> None:
        await hand.welcome()
        await hand.hear(SECOND)
        await hand.say(ONE)
        await asyncio.sleep(0.05)
        hand.vanish()

    async def over(hand: Hand) -> None:
        await hand.say(wire.JOB_OVER)
        await hand.socket.close(1008)

    view = Memory()
    async with house(breaks, over) as home:
        home.shown = shown("completed", 1.0, ONE, TWO, summary="하나 둘")
        outcome = await home.file(PCM, view).run(JobRequest(), fast=True)
    assert view.segments == [ONE, TWO]
    assert (outcome.state, outcome.is_whole, outcome.summary) == ("completed", False, "하나 둘")


@pytest.mark.parametrize(
    ("told", "state", "is_whole"),
    [
        (wire.SUMMARY_LATER, "completed", True),
        (wire.REFUSED, "failed", False),
        (wire.Failure("JOB_FAILED", "no summary could be made"), "failed", False),
    ],
)
async def test_what_the_socket_does_not_tell_is_asked_for(told: wire.Failure, state: str, is_whole: bool) -> None:
    async def leaves(hand: Hand) -> None:
        await hand.welcome()
        await hand.hear()
        await hand.say(told)
        await hand.socket.close(1000)

    view = Memory()
    async with house(leaves) as home:
        home.shown = shown(state, len(PCM) / SECOND, ONE, error=None if is_whole else "why")
        outcome = await home.file(PCM, view).run(JobRequest(), fast=True)
    assert (outcome.state, outcome.is_whole) == (state, is_whole)
    assert (view.segments, view.failures) == ([ONE], [told.code])


async def test_a_recording_that_is_cut_is_not_whole() -> None:
    async def cuts(hand: Hand) -> None:
        await hand.welcome()
        await hand.hear(SECOND)
        await hand.say(wire.TOO_LONG)
        await hand.finish(1.0)

    view = Memory()
    async with house(cuts) as home:
        outcome = await home.file(PCM, view).run(JobRequest(), fast=True)
    assert (outcome.state, outcome.is_whole, view.failures) == ("completed", False, ["TOO_LONG"])


async def test_sound_that_breaks_ends_the_job_and_is_told_when_the_rest_is_kept() -> None:
    class Breaks(Pcm):
        def pieces(self, from_ms: int = 0) -> Any:
            yield self.pcm[:SECOND]
            raise IlgiError("the file is broken")

    async def hears(hand: Hand) -> None:
        await hand.welcome()
        await hand.hear()
        await hand.say(ONE)
        await hand.finish(1.0, 1)

    view = Memory()
    async with house(hears) as home:
        file = home.file(PCM, view)
        file._audio = Breaks(PCM)
        with pytest.raises(IlgiError, match="the file is broken"):
            await file.run(JobRequest(), fast=True)
    assert home.hands[0].ended and b"".join(home.hands[0].chunks) == PCM[: SECOND - SECOND % 960]
    assert view.segments == [ONE]


async def test_a_server_that_does_not_come_back_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "AGAIN_S", 0.3)
    async with house() as home:
        file = home.file(PCM, Memory())
    with pytest.raises(Refused) as refused:
        await file.run(JobRequest(), fast=True)
    assert refused.value.failure.code == "CONNECTION_LOST" and file.job_id == JOB


@pytest.mark.parametrize(
    ("status", "body", "code", "words"),
    [
        (401, b'{"code":"UNAUTHORIZED","message":"sign in"}', "UNAUTHORIZED", "sign in"),
        (429, b'{"code":"TOO_MANY","message":"later"}', "TOO_MANY", "later"),
        (502, b"<html>nginx</html>", "HTTP_502", "HTTP 502"),
        (201, b"<html>hello</html>", "NO_BOT", "no bot"),
    ],
)
async def test_a_server_that_refuses_is_quoted(status: int, body: bytes, code: str, words: str) -> None:
    async with house() as home:
        home.refusals.append((status, body))
        with pytest.raises(Refused, match=words) as refused:
            await home.file(PCM, Memory()).run(JobRequest(), fast=True)
    assert (refused.value.failure.code, refused.value.status) == (code, status)


async def test_cancelled_it_closes_the_connection_in_order() -> None:
    codes: list[int | None] = []
    heard = asyncio.Event()

    async def listens(hand: Hand) -> None:
        await hand.welcome()
        await hand.hear(SECOND // 2)
        heard.set()
        await hand.hear()
        codes.append(hand.socket.close_code)

    async with house(listens) as home:
        task = asyncio.ensure_future(home.file(PCM, Memory()).run(JobRequest(), fast=False))
        await heard.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert codes == [1000]
