"""The recogniser of a call, against the stand-in on real sockets: one socket, and no word lost when it breaks."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from bot.conversation.events import Final, Interim, SttLoss, SttLost, SttPace, SttReady
from bot.errors import RecogniserError, RecogniserFull
from bot.lab.rtzr import RtzrLab
from bot.lab.rtzr_behaviour import Close, Faults, Profile
from bot.services import stt
from bot.services.stt import Recogniser
from bot.services.stt_feed import KEPT_BYTES
from bot.services.stt_token import RecogniserRefused, Tokens
from bot.settings import RtzrSettings
from tests.services.listening import FRAME, LONG, PATIENCE_S, SHORT, TEXTS, Listener, call, live, settings_of, spoken


@pytest.fixture
async def lab() -> AsyncIterator[RtzrLab]:
    async with RtzrLab(profile=Profile(open_ms=10, final_ms=15)) as running:
        yield running


@pytest.fixture
async def recogniser(lab: RtzrLab) -> AsyncIterator[Recogniser]:
    running = Recogniser(settings_of(lab))
    yield running
    await running.close()


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stt, "DELAYS_S", (0.0, 0.01, 0.02, 0.04))


async def test_six_utterances_share_one_socket(
    lab: RtzrLab, recogniser: Recogniser, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bot")
    listener = Listener(recogniser)
    await call(listener, SHORT)
    assert listener.finals == [TEXTS[name] for name in SHORT]
    assert (lab.report.sockets, lab.report.eos, lab.report.finalizes, lab.report.authentications) == (1, 1, 6, 1)
    assert not lab.breaches
    stats = listener.stream.stats
    assert (stats.sockets, stats.utterances, stats.reused, stats.eos, stats.finals) == (1, 6, 5, 1, 6)
    assert stats.saved_ms == pytest.approx(stats.connect_ms * 5)
    assert [record.message for record in caplog.records] == [f"recogniser: {stats.line()}"]
    assert "5 of 6 utterances reused it" in stats.line()


async def test_all_audio_arrives_in_order(lab: RtzrLab, recogniser: Recogniser) -> None:
    listener = Listener(recogniser)
    await call(listener, LONG[:2])
    assert lab.report.connections[0].audio_s == pytest.approx(sum(len(spoken(name)) for name in LONG[:2]) / 32000)
    assert listener.events[0] == SttReady()
    utterances = [event.utterance for event in listener.events if isinstance(event, Interim | Final)]
    assert utterances == sorted(utterances)
    assert {connection for connection, _ in utterances} == {1}


async def test_a_stream_that_is_over_holds_no_audio(recogniser: Recogniser) -> None:
    listener = Listener(recogniser)
    async with live(listener):
        listener.say("minho-hello")
        await listener.until(lambda: len(listener.finals) == 1)
        listener.stream.push(bytes(FRAME * 100))
    listener.stream._feed.outbox.rewind()
    assert listener.stream._feed.outbox.empty


async def test_what_is_said_before_the_socket_is_open_is_kept(lab: RtzrLab, recogniser: Recogniser) -> None:
    lab.profile.open_ms = 100
    listener = Listener(recogniser)
    listener.say("minho-hello")
    listener.say("jia-rain")
    async with live(listener):
        await listener.until(lambda: len(listener.finals) == 2)
    assert listener.finals == [TEXTS["minho-hello"], TEXTS["jia-rain"]]
    assert listener.stream.stats.dropped_bytes == 0


async def test_it_is_told_how_long_each_socket_took_and_what_no_socket_was_sent(lab: RtzrLab) -> None:
    opened_s: list[float] = []
    dropped: list[int] = []
    recogniser = Recogniser(settings_of(lab), opened=opened_s.append, dropped=dropped.append)
    listener = Listener(recogniser)
    too_much = KEPT_BYTES + FRAME * 100
    listener.stream.push(bytes(too_much))
    await call(listener, ["minho-hello"])
    await recogniser.close()
    assert opened_s == [pytest.approx(listener.stream.stats.connect_ms / 1000)]
    assert dropped == [listener.stream.stats.dropped_bytes]
    assert dropped[0] >= FRAME * 100


async def test_a_final_that_is_pending_at_the_end_is_still_told(lab: RtzrLab, recogniser: Recogniser) -> None:
    listener = Listener(recogniser)
    listener.stream.push(spoken("sunja-walk"))
    async with live(listener):
        await listener.until(lambda: listener.events)
        listener.stream.end()
    assert listener.finals == [TEXTS["sunja-walk"]]
    assert (lab.report.finalizes, lab.report.eos) == (0, 1)


@pytest.mark.parametrize("code", [1000, 1011, None])
async def test_a_close_in_the_middle_of_a_word_loses_nothing(
    lab: RtzrLab, recogniser: Recogniser, code: int | None
) -> None:
    lab.faults.closes.append(Close(after_ms=2000, code=code))
    listener = Listener(recogniser)
    await call(listener, LONG)
    assert listener.finals == [TEXTS[name] for name in LONG]
    assert [connection.eos for connection in lab.report.connections] == [0, 1]
    assert listener.events.count(SttReady()) == 2
    texts = [event for event in listener.events if isinstance(event, Interim | Final)]
    assert list(dict.fromkeys(event.utterance for event in texts)) == [(1, 0), (2, 1), (2, 2)]
    assert not lab.breaches


async def test_what_is_final_is_not_told_again(lab: RtzrLab, recogniser: Recogniser) -> None:
    first_ms = len(spoken("jia-rain")) / 32
    lab.faults.closes += [Close(first_ms + 1500), Close(2500)]
    listener = Listener(recogniser)
    await call(listener, LONG)
    assert listener.finals == [TEXTS[name] for name in LONG]
    assert lab.report.sockets == 3


async def test_a_close_in_place_of_a_final_loses_nothing(lab: RtzrLab, recogniser: Recogniser) -> None:
    lab.faults.lost_finals = 1
    listener = Listener(recogniser)
    await call(listener, LONG[:2])
    assert listener.finals == [TEXTS[name] for name in LONG[:2]]
    assert lab.report.sockets == 2


async def test_a_server_that_always_closes_is_given_up(lab: RtzrLab, recogniser: Recogniser) -> None:
    lab.faults.closes += [Close(0)] * 20
    listener = Listener(recogniser)
    listener.stream.push(bytes(32000))
    async with asyncio.timeout(PATIENCE_S):
        await listener.stream.run()
    assert listener.events[-1] == SttLost(SttLoss.UNREACHABLE)
    assert 4 <= lab.report.sockets <= 6


async def test_a_token_that_is_not_taken_is_replaced_once(lab: RtzrLab, recogniser: Recogniser) -> None:
    await call(Listener(recogniser), ["jia-right"])
    lab.expire_tokens()
    listener = Listener(recogniser)
    await call(listener, ["jia-right"])
    assert listener.finals == [TEXTS["jia-right"]]
    assert (lab.report.authentications, lab.report.refused, lab.report.sockets) == (2, [401], 2)


@pytest.mark.parametrize(
    ("status", "handshakes", "loss"),
    [
        (429, 1, SttLoss.FULL),
        (400, 1, SttLoss.UNREACHABLE),
        (403, 1, SttLoss.UNREACHABLE),
        (401, 2, SttLoss.UNREACHABLE),
        (500, 4, SttLoss.UNREACHABLE),
    ],
)
async def test_a_refused_handshake_is_not_tried_for_ever(
    lab: RtzrLab, recogniser: Recogniser, status: int, handshakes: int, loss: SttLoss
) -> None:
    lab.faults.handshake_status, lab.faults.handshakes = status, 99
    listener = Listener(recogniser)
    await listener.stream.run()
    assert listener.events == [SttLost(loss)]
    assert lab.report.refused == [status] * handshakes
    listener.stream.push(bytes(FRAME))
    listener.stream.end()


async def test_a_server_that_recovers_is_found_again(lab: RtzrLab, recogniser: Recogniser) -> None:
    lab.faults.handshakes = 3
    listener = Listener(recogniser)
    await call(listener, ["jia-rain"])
    assert listener.finals == [TEXTS["jia-rain"]]
    assert lab.report.refused == [500] * 3


async def test_no_channel_is_an_outcome_of_its_own(lab: RtzrLab, recogniser: Recogniser) -> None:
    lab.faults.channels = 1
    first, second = Listener(recogniser), Listener(recogniser)
    async with live(first):
        await first.until(lambda: first.events)
        await second.stream.run()
    assert second.events == [SttLost(SttLoss.FULL)]
    assert first.events == [SttReady()]


async def test_nobody_there_is_told_once() -> None:
    async with RtzrLab() as gone:
        settings = settings_of(gone)
    recogniser = Recogniser(settings)
    listener = Listener(recogniser)
    await listener.stream.run()
    await recogniser.close()
    assert listener.events == [SttLost(SttLoss.UNREACHABLE)]
    assert listener.stream.stats.sockets == 0


async def test_the_end_before_the_socket_is_open_waits_for_nothing(lab: RtzrLab, recogniser: Recogniser) -> None:
    lab.profile.open_ms = 60_000
    listener = Listener(recogniser)
    async with live(listener):
        await listener.until(lambda: lab.report.channels_open)
    assert listener.events == []


async def test_the_end_before_the_run_is_an_end(recogniser: Recogniser) -> None:
    listener = Listener(recogniser)
    listener.stream.end()
    await listener.stream.run()
    assert listener.events == []


async def test_a_server_that_does_not_close_is_not_waited_for(
    lab: RtzrLab, recogniser: Recogniser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stt, "DRAIN_S", 0.1)
    lab.faults.slow_finals, lab.faults.slow_final_ms = 1, 60_000
    listener = Listener(recogniser)
    listener.stream.push(spoken("jia-rain"))
    async with live(listener):
        await listener.until(lambda: any(isinstance(event, Interim) for event in listener.events))
    assert listener.finals == []
    assert lab.report.eos == 1


async def test_a_cancelled_call_leaves_no_socket(lab: RtzrLab, recogniser: Recogniser) -> None:
    listener = Listener(recogniser)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(listener.stream.run())
        await listener.until(lambda: listener.events)
        assert lab.report.channels_open == 1
        running.cancel()
    assert running.cancelled()
    await listener.until(lambda: lab.report.channels_open == 0)
    assert lab.report.eos == 0


async def test_two_calls_at_once_do_not_mix_and_authenticate_once(lab: RtzrLab, recogniser: Recogniser) -> None:
    first, second = Listener(recogniser), Listener(recogniser)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(call(first, SHORT[:3]))
        tasks.create_task(call(second, SHORT[3:]))
    assert first.finals == [TEXTS[name] for name in SHORT[:3]]
    assert second.finals == [TEXTS[name] for name in SHORT[3:]]
    assert (lab.report.sockets, lab.report.authentications) == (2, 1)


async def test_the_journal_holds_text_messages_only_and_the_log_nothing_said(
    lab: RtzrLab, recogniser: Recogniser, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "bot")
    lab.faults.closes.append(Close(1000))
    listener = Listener(recogniser)
    await call(listener, ["jia-rain"])
    assert {type(message) for _, message in listener.journal} == {str}
    assert {message for direction, message in listener.journal if direction == "out"} == {'{"type":"Finalize"}', "EOS"}
    journal = " ".join(str(message) for _, message in listener.journal)
    for secret in (*lab.tokens, lab.client_secret):
        assert secret not in caplog.text + journal
    assert not any(word in caplog.text for word in TEXTS["jia-rain"].split())


# ── how long a final takes ─────────────────────────────────────────────────────────────────────────────────────────


async def paced_call(listener: Listener, names: list[str]) -> None:
    """A call whose socket is open before anything is said."""
    async with live(listener):
        await listener.until(lambda: listener.events)
        await listener.talk(names)


async def test_the_pace_is_told_before_the_final_that_made_it_known_and_to_the_next_call_at_once(
    lab: RtzrLab, recogniser: Recogniser
) -> None:
    lab.profile.final_ms = 120
    first, second = Listener(recogniser), Listener(recogniser)
    await paced_call(first, SHORT)
    told = [event for event in first.events if isinstance(event, SttPace | Final)]
    assert [type(event) for event in told[:6]] == [Final] * 4 + [SttPace, Final]
    pace = recogniser.pace.p95_ms
    assert pace is not None
    assert pace >= 115
    await paced_call(second, [])
    assert second.events == [SttReady(), SttPace(pace)]


async def test_a_pace_that_changes_is_told_again(lab: RtzrLab, recogniser: Recogniser) -> None:
    for _ in range(20):
        recogniser.pace.add(20)
    lab.profile.final_ms = 200
    listener = Listener(recogniser)
    await paced_call(listener, SHORT[:2])
    paces = [event.final_p95_ms for event in listener.events if isinstance(event, SttPace)]
    assert paces[0] == 20
    assert paces == sorted(set(paces))
    assert paces[-1] >= 22


async def test_what_was_said_before_the_socket_was_open_tells_nothing_of_the_pace(
    lab: RtzrLab, recogniser: Recogniser
) -> None:
    listener = Listener(recogniser)
    for name in SHORT:
        listener.say(name)
    async with live(listener):
        await listener.until(lambda: len(listener.finals) == 6)
    assert recogniser.pace.p95_ms is None


async def test_a_final_behind_a_reconnect_tells_nothing_of_the_pace(lab: RtzrLab, recogniser: Recogniser) -> None:
    for _ in range(5):
        recogniser.pace.add(20)
    lab.faults.lost_finals = 1
    lab.profile.final_ms = 500
    listener = Listener(recogniser)
    await paced_call(listener, ["jia-rain"])
    assert listener.finals == [TEXTS["jia-rain"]]
    assert lab.report.sockets == 2
    assert recogniser.pace.p95_ms == 20


async def test_a_final_that_nobody_asked_for_tells_nothing_of_the_pace(lab: RtzrLab, recogniser: Recogniser) -> None:
    for _ in range(5):
        recogniser.pace.add(20)
    lab.profile.final_ms = 300
    listener = Listener(recogniser)
    async with live(listener):
        await listener.until(lambda: listener.events)
        listener.stream.push(spoken("jia-rain", trail_ms=2000))
        listener.stream.finalize()  # too late: the recogniser has ended the utterance by itself
        await listener.until(lambda: listener.finals)
    assert listener.finals == [TEXTS["jia-rain"]]
    assert recogniser.pace.p95_ms == 20


async def test_a_stop_that_is_taken_back_and_comes_again_asks_twice_and_is_told_once(
    lab: RtzrLab, recogniser: Recogniser
) -> None:
    listener = Listener(recogniser)
    async with live(listener):
        await listener.until(lambda: listener.events)
        listener.say("jia-rain")
        listener.stream.push(bytes(5 * FRAME))
        listener.stream.finalize()
        await listener.until(lambda: listener.finals)
        listener.say("minho-cat")
        await listener.until(lambda: len(listener.finals) == 2)
    assert listener.finals == [TEXTS["jia-rain"], TEXTS["minho-cat"]]
    assert lab.report.finalizes == 3
    assert not lab.breaches


# ── the token ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_token_is_replaced_five_minutes_early(lab: RtzrLab) -> None:
    clock = [time.time()]
    tokens = Tokens(settings_of(lab), now=lambda: clock[0])
    first = await tokens.get()
    clock[0] = first.expire_at_s - 301
    assert await tokens.get() == first
    clock[0] = first.expire_at_s - 299
    assert await tokens.get() != first
    assert lab.report.authentications == 2
    await tokens.close()


async def test_many_at_once_fetch_one_token(lab: RtzrLab) -> None:
    tokens = Tokens(settings_of(lab))
    assert len(set(await asyncio.gather(*(tokens.get() for _ in range(20))))) == 1
    old = await tokens.get()
    tokens.reject(old)
    new = await tokens.get()
    tokens.reject(old)
    assert await tokens.get() == new
    assert lab.report.authentications == 2
    await tokens.close()


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, RecogniserRefused), (429, RecogniserFull), (500, RecogniserError), (204, RecogniserError)],
)
async def test_a_failed_authentication_has_a_name(status: int, error: type[RecogniserError]) -> None:
    async with RtzrLab(faults=Faults(authentication_status=status, authentications=1)) as lab:
        tokens = Tokens(settings_of(lab))
        with pytest.raises(error) as failure:
            await tokens.get()
        assert type(failure.value) is error
        assert (await tokens.get()).text in lab.tokens
        await tokens.close()


async def test_an_answer_without_a_token_is_an_error(lab: RtzrLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "authenticate", lambda form, kind: (200, {"access_token": None, "expire_at": "x"}))
    tokens = Tokens(settings_of(lab))
    with pytest.raises(RecogniserError):
        await tokens.get()
    await tokens.close()


# ── what goes over the wire ────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def wire(say: list[str]) -> AsyncIterator[tuple[Recogniser, list[str | bytes]]]:
    """A server that says something at once, and keeps what it gets until EOS."""
    got: list[str | bytes] = []

    async def handler(socket: ServerConnection) -> None:
        for message in say:
            await socket.send(message)
        async for message in socket:
            got.append(message)
            if message == "EOS":
                return

    async with RtzrLab() as lab, serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        tokens = Tokens(settings_of(lab))
        address = RtzrSettings(client_id="", client_secret="", api_url=f"http://127.0.0.1:{port}")
        recogniser = Recogniser(address, tokens=tokens)
        yield recogniser, got
        await recogniser.close()


async def test_audio_goes_in_bundles_and_what_is_left_before_finalize() -> None:
    async with wire([]) as (recogniser, got):
        listener = Listener(recogniser)
        async with live(listener):
            await listener.until(lambda: listener.events)
            for number in range(7):
                listener.stream.push(bytes([number, 0]) * (FRAME // 2))
                await asyncio.sleep(0)
            await listener.until(lambda: got)
            assert [len(message) for message in got] == [5 * FRAME]
            listener.stream.finalize()
            listener.stream.push(b"\7\0" * (FRAME // 2))
    assert [message if isinstance(message, str) else len(message) for message in got] == [
        5 * FRAME,
        2 * FRAME,
        '{"type":"Finalize"}',
        FRAME,
        "EOS",
    ]
    audio = b"".join(message for message in got if isinstance(message, bytes))
    assert audio == b"".join(bytes([number, 0]) * (FRAME // 2) for number in range(8))


async def test_nonsense_and_errors_from_the_server_do_not_end_the_stream() -> None:
    final = json.dumps({"seq": 0, "start_at": 0, "duration": 300, "final": True, "alternatives": [{"text": "네"}]})
    empty = json.dumps({"seq": 1, "final": True, "alternatives": []})
    async with wire(["nonsense", '{"error": "busy"}', '{"type": "x"}', final, empty]) as (recogniser, _):
        listener = Listener(recogniser)
        async with live(listener):
            await listener.until(lambda: len(listener.finals) == 2)
    assert listener.finals == ["네", ""]
    assert listener.stream.stats.faults == 2
