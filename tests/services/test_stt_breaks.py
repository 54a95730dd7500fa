"""The recogniser's socket dies, at any moment and in any way: no word is lost, none is said twice, and nobody waits."""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection

from bot.conversation.events import Final, Interim, SttLoss, SttLost, SttReady
from bot.conversation.korean import normalise
from bot.conversation.utterances import Utterances
from bot.lab.rtzr import RtzrLab
from bot.lab.rtzr_behaviour import Close, Faults, Freeze, FreezeAt, Profile
from bot.services import stt, stt_account, stt_link, stt_watch
from bot.services.stt import Recogniser
from bot.services.stt_token import Tokens
from tests.services.listening import FRAME, LONG, PATIENCE_S, SHORT, TEXTS, Listener, call, live, settings_of, spoken

SECOND = bytes(32_000)
NOISE = b"\x10\x00\xf0\xff" * 8000
"""A second of what is no speech."""


@pytest.fixture(autouse=True)
def hurry() -> Iterator[None]:
    with patch.object(stt, "DELAYS_S", (0.0, 0.01, 0.02, 0.04)):
        yield


@asynccontextmanager
async def recognising(
    faults: Faults | None = None, *, by_heart: bool = False
) -> AsyncIterator[tuple[RtzrLab, Recogniser]]:
    async with RtzrLab(profile=Profile(open_ms=5, final_ms=15), faults=faults, by_heart=by_heart) as lab:
        recogniser = Recogniser(settings_of(lab))
        yield lab, recogniser
        await recogniser.close()


# ── it closes ──────────────────────────────────────────────────────────────────────────────────────────────────────

CODES = st.sampled_from([1000, 1011, None])
CLOSES = st.one_of(
    st.builds(Close, st.floats(0, 6000), CODES),
    st.builds(Close, st.just(0.0), CODES, after_finalizes=st.integers(1, 2)),
    st.builds(Close, st.just(0.0), CODES, after_finals=st.integers(1, 2)),
    st.builds(Close, st.floats(0, 4000), CODES, after_finals=st.just(1)),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    closes=st.lists(CLOSES, min_size=1, max_size=3),
    names=st.lists(st.sampled_from([*SHORT, *LONG]), min_size=1, max_size=3, unique=True),
)
async def test_whenever_it_closes_every_utterance_is_told_once(closes: list[Close], names: list[str]) -> None:
    async with recognising(Faults(closes=closes)) as (lab, recogniser):
        listener = Listener(recogniser)
        async with asyncio.timeout(PATIENCE_S):
            await call(listener, names)
        assert listener.finals == [TEXTS[name] for name in names]
        assert listener.stream.stats.dropped_bytes == 0
        assert not lab.breaches


async def test_close_after_every_150_ms_of_an_utterance() -> None:
    name = "jia-rain"
    codes = cycle([1000, 1011, None])

    async def one(close: Close) -> tuple[Close, list[str]]:
        async with recognising(Faults(closes=[close])) as (_, recogniser):
            listener = Listener(recogniser)
            await call(listener, [name, "jia-right"])
            return close, listener.finals

    closes = [Close(after_ms, next(codes)) for after_ms in range(0, len(spoken(name)) // 32, 150)]
    assert [await one(close) for close in closes] == [(close, [TEXTS[name], TEXTS["jia-right"]]) for close in closes]


@pytest.mark.parametrize("before", [["jia-right"], []], ids=["behind-words", "behind-quiet"])
@pytest.mark.parametrize("onset_ms", [20, 80, 140])
async def test_a_word_that_begins_just_before_the_end_of_an_utterance_is_whole_on_the_next_socket(
    before: list[str], onset_ms: int
) -> None:
    """The caller goes on in the moment in which the pause is noticed, and behind the final the socket closes."""
    name = "jia-lunch"
    loudest = np.abs(np.frombuffer(spoken(name), "<i2").reshape(-1, FRAME // 2).astype(int)).max(axis=1)
    onset = (int(np.argmax(loudest > 300)) + onset_ms // 20) * FRAME
    async with recognising(Faults(closes=[Close(0, 1011, after_finals=1)]), by_heart=True) as (lab, recogniser):
        listener = Listener(recogniser)
        async with live(listener):
            for said in before:
                listener.stream.push(spoken(said))
            listener.stream.push(spoken(name)[:onset])
            listener.stream.finalize()
            await listener.until(lambda: lab.report.sockets == 2)
            listener.stream.push(spoken(name)[onset:])
            listener.stream.finalize()
            await listener.until(lambda: TEXTS[name] in listener.finals)
        assert [text for text in listener.finals if text] == [TEXTS[said] for said in [*before, name]]


@pytest.mark.parametrize("close", [Close(500, 1011), Close(0, None, after_finalizes=1), Close(0, 1000, after_finals=1)])
async def test_what_was_said_last_is_told_though_the_socket_breaks_when_the_call_is_over(close: Close) -> None:
    async with recognising(Faults(closes=[close])) as (lab, recogniser):
        listener = Listener(recogniser)
        async with live(listener):
            listener.say("jia-rain")
        assert listener.finals == [TEXTS["jia-rain"]]
        assert not any(isinstance(event, SttLost) for event in listener.events)
        assert lab.report.connections[-1].eos == 1


async def test_a_final_that_eos_asked_for_is_asked_for_again_when_the_socket_breaks_in_its_place() -> None:
    async with recognising(Faults(lost_finals=1)) as (lab, recogniser):
        listener = Listener(recogniser)
        listener.stream.push(spoken("sunja-walk"))
        async with live(listener):
            await listener.until(lambda: listener.events)
        assert listener.finals == [TEXTS["sunja-walk"]]
        assert lab.report.eos == 2


async def test_a_caller_who_hangs_up_in_mid_sentence_on_a_socket_that_is_half_open_loses_no_word() -> None:
    async with recognising(Faults(freezes=[FreezeAt(2500)])) as (lab, recogniser):
        listener = Listener(recogniser)
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(listener.stream.run())
            await listener.until(lambda: listener.events)
            await listener.hold(spoken("jia-rain", 300, 0), urgent=True)
            listener.stream.end()
            began = time.monotonic()
            await running
        assert listener.finals == [TEXTS["jia-rain"]]
        assert lab.report.sockets == 2
        assert time.monotonic() - began < 2.5


async def test_the_end_is_not_tried_for_ever() -> None:
    async with recognising(Faults(lost_finals=99)) as (lab, recogniser):
        listener = Listener(recogniser)
        listener.say("jia-rain")
        listener.stream.end()
        async with asyncio.timeout(PATIENCE_S):
            await listener.stream.run()
        assert lab.report.sockets == 2
        assert listener.finals == []


async def test_a_long_quiet_is_not_sent_again_and_what_was_said_behind_it_is() -> None:
    async with recognising() as (lab, recogniser):
        listener = Listener(recogniser)
        async with live(listener):
            listener.stream.push(35 * SECOND)
            await listener.until(lambda: lab.report.connections and lab.report.connections[0].audio_s >= 34.9)
            lab.faults.closes.append(Close(0))
            lab.faults.freeze_now()
            await listener.speak("jia-rain", speed=4)
            await listener.until(lambda: listener.finals)
        assert listener.finals == [TEXTS["jia-rain"]]
        assert lab.report.connections[-1].audio_s < 16


async def test_waiting_audio_is_sent_faster_than_it_was_spoken_and_no_faster_than_it_is_understood() -> None:
    async with recognising() as (lab, recogniser):
        listener = Listener(recogniser)
        listener.stream.push(21 * SECOND)
        async with live(listener):
            await listener.until(lambda: listener.events)
            began = time.monotonic()
            await listener.until(lambda: lab.report.connections[0].audio_s >= 20.9)
            took_s = time.monotonic() - began
        assert 0.9 * 20 / stt.FASTEST < took_s < 2.0


# ── it is half-open ────────────────────────────────────────────────────────────────────────────────────────────────


async def spoken_into(lab: RtzrLab, recogniser: Recogniser, name: str) -> tuple[Listener, float]:
    """Say something as it is spoken, and be quiet; returns how long after its end the text was there."""
    listener = Listener(recogniser)
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(listener.stream.run())
        await listener.until(lambda: listener.events)
        ended = await listener.speak(name)
        quiet = tasks.create_task(listener.hold(8 * SECOND))
        await listener.until(lambda: listener.finals)
        quiet.cancel()
        listener.stream.end()
    assert not lab.breaches
    return listener, listener.told(Final)[0] - ended


@pytest.mark.parametrize(
    ("name", "freeze", "within_s"),
    [
        ("jia-rain", FreezeAt(0), 0.5),
        ("jia-rain", FreezeAt(1000), 0.5),
        ("jia-rain", FreezeAt(2400), 0.6),
        ("jia-rain", FreezeAt(0, after_finalizes=1), 2.0),
        ("jia-right", FreezeAt(0), 2.0),
        ("jia-right", FreezeAt(0, after_finalizes=1), 2.0),
        ("jia-rain", FreezeAt(1000, Freeze.BLOCKED), 0.5),
        ("jia-rain", FreezeAt(600, Freeze.DEAF), 0.6),
        ("jia-rain", FreezeAt(1800, Freeze.DEAF), 1.8),
        ("jia-rain", FreezeAt(0, Freeze.DEAF, after_finalizes=1), 4.0),
    ],
    ids=str,
)
async def test_a_socket_that_stays_open_and_does_nothing_is_replaced_and_all_is_told(
    name: str, freeze: FreezeAt, within_s: float
) -> None:
    async with recognising(Faults(freezes=[freeze])) as (lab, recogniser):
        listener, after_s = await spoken_into(lab, recogniser, name)
        assert listener.finals == [TEXTS[name]]
        assert lab.report.sockets == 2
        assert after_s < within_s


async def test_an_utterance_that_is_heard_again_keeps_its_name_and_nothing_that_was_known_of_it_is_taken_back() -> None:
    """So a turn that has ended with its interim is not told a second time, and one that has not does not shrink."""
    async with recognising(Faults(freezes=[FreezeAt(0, after_finalizes=1), FreezeAt(2000)])) as (lab, recogniser):
        listener, _ = await spoken_into(lab, recogniser, "jia-rain")
        texts = [event for event in listener.events if isinstance(event, Interim | Final)]
        assert lab.report.sockets == 3
        assert {event.utterance for event in texts} == {(1, 0)}
        lengths = [len(event.text) for event in texts]
        assert lengths == sorted(lengths)
        known = Utterances()
        for event in texts[:-1]:
            known.take(event, 0)
        assert known.end_turn()
        known.take(texts[-1], 0)
        assert normalise(known.text) == normalise(texts[-1].text.removeprefix(texts[-2].text))


async def test_a_freeze_of_all_at_once_costs_no_call_a_word() -> None:
    async with recognising() as (lab, recogniser):
        listeners = [Listener(recogniser) for _ in range(3)]

        async def one(listener: Listener, name: str) -> None:
            async with live(listener):
                await listener.speak(name)
                await listener.until(lambda: listener.finals)

        async with asyncio.TaskGroup() as tasks:
            for listener, name in zip(listeners, LONG, strict=True):
                tasks.create_task(one(listener, name))
            await asyncio.sleep(1.5)
            lab.faults.freeze_now()
        assert [listener.finals for listener in listeners] == [[TEXTS[name]] for name in LONG]
        assert lab.report.sockets == 6
        assert [connection.frozen for connection in lab.report.connections] == [Freeze.SILENT] * 3 + [None] * 3


async def test_a_socket_that_dies_in_a_quiet_is_noticed_before_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stt_account, "PING_INTERVAL_S", 0.3)
    monkeypatch.setattr(stt_account, "PING_TIMEOUT_S", 0.3)
    monkeypatch.setattr(stt_account, "CLOSE_TIMEOUT_S", 0.1)
    async with recognising() as (lab, recogniser):
        listener = Listener(recogniser)
        async with live(listener):
            await listener.until(lambda: listener.events)
            lab.faults.freeze_now()
            await listener.hold(2 * SECOND)
            assert lab.report.sockets == 2


async def test_a_peer_that_takes_nothing_is_given_up_and_all_that_waited_goes_to_another(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stt_link, "WRITE_S", 0.2)
    monkeypatch.setattr(stt_link, "LOOK_EVERY_S", 60.0)  # nobody asks: only the write can tell
    connect = stt_account.connect

    async def with_a_small_buffer(*args: Any, **options: Any) -> ClientConnection:
        opened = await connect(*args, **options)
        opened.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        return opened

    monkeypatch.setattr(stt_account, "connect", with_a_small_buffer)
    async with recognising(Faults(freezes=[FreezeAt(100, Freeze.BLOCKED)])) as (lab, recogniser):
        listener = Listener(recogniser)
        async with live(listener):
            await listener.until(lambda: listener.events)
            listener.stream.push(30 * SECOND)
            await listener.until(lambda: lab.report.sockets == 2)
        blocked, sound = lab.report.connections
        assert (blocked.frozen, sound.frozen, sound.audio_s) == (Freeze.BLOCKED, None, 30)
        assert "socket 1 answers nothing" in caplog.text
        assert listener.events == [SttReady(), SttReady()]


async def test_noise_causes_no_storm() -> None:
    """What the VAD calls a voice and the recogniser nothing: one more socket, and a long rest."""
    async with recognising() as (lab, recogniser):
        listener = Listener(recogniser)
        async with live(listener, 2 * PATIENCE_S):
            await listener.hold(9 * NOISE, urgent=True)
        assert lab.report.sockets == 2
        assert listener.events == [SttReady(), SttReady()]


async def test_where_there_is_no_second_channel_one_that_may_be_deaf_is_kept() -> None:
    async with recognising(Faults(channels=1)) as (lab, recogniser):
        listener = Listener(recogniser)
        async with live(listener, 2 * PATIENCE_S):
            await listener.hold(4 * NOISE, urgent=True)
            await listener.speak("jia-rain")
            await listener.until(lambda: any(listener.finals))
        assert lab.report.refused == [429]
        assert TEXTS["jia-rain"] in listener.finals
        assert listener.events.count(SttReady()) == 1


async def test_a_recogniser_that_is_deaf_on_every_socket_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stt_watch, "DEAF_REST_S", 0.5)
    monkeypatch.setattr(stt_watch, "DEAF_AFTER_S", 0.2)
    async with recognising(Faults(freezes=[FreezeAt(0, Freeze.DEAF)] * 9)) as (lab, recogniser):
        listener = Listener(recogniser)
        async with asyncio.timeout(2 * PATIENCE_S), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(listener.stream.run())
            talking = tasks.create_task(listener.hold(18 * spoken("jia-rain"), urgent=True))
            await running
            talking.cancel()
        sockets = 1 + stt_watch.DEAF_TRIES
        assert listener.events == [SttReady()] * sockets + [SttLost(SttLoss.UNREACHABLE)]
        assert lab.report.sockets == sockets


async def test_a_recogniser_that_is_frozen_altogether_is_given_up_in_time() -> None:
    with patch.object(stt, "GIVE_UP_S", 1.0), patch.object(stt_account, "OPEN_TIMEOUT_S", 0.4):
        async with recognising() as (lab, recogniser):
            listener = Listener(recogniser)
            async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
                running = tasks.create_task(listener.stream.run())
                await listener.until(lambda: listener.events)
                lab.faults.freeze_now()
                lab.faults.unanswered = True
                began = time.monotonic()
                await listener.speak("jia-rain")
                await running
            assert listener.events[-1] == SttLost(SttLoss.UNREACHABLE)
            assert time.monotonic() - began < 4.0


# ── it cannot be had again ─────────────────────────────────────────────────────────────────────────────────────────


async def test_the_channel_of_a_socket_that_broke_may_count_for_a_moment_longer() -> None:
    with patch.object(stt, "DELAYS_S", (0.0, 0.3, 0.6, 1.2)):
        faults = Faults(channels=1, channel_lingers_s=0.6, closes=[Close(1500, None)])
        async with recognising(faults) as (lab, recogniser):
            listener, after_s = await spoken_into(lab, recogniser, "jia-rain")
            assert listener.finals == [TEXTS["jia-rain"]]
            assert lab.report.refused == [429, 429]
            assert after_s < 0.5


async def test_a_channel_that_does_not_come_back_is_full_after_a_few_tries() -> None:
    faults = Faults(channels=1, channel_lingers_s=60.0, closes=[Close(500)])
    async with recognising(faults) as (lab, recogniser):
        listener = Listener(recogniser)
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(listener.stream.run())
            listener.say("jia-rain")
            await running
        assert listener.events[-1] == SttLost(SttLoss.FULL)
        assert lab.report.refused == [429] * 4
        listener.stream.push(SECOND)
        listener.stream.finalize()
        assert listener.stream.stats.finalizes <= 1


@pytest.mark.parametrize("broken", [Close(1500, 1011), FreezeAt(1500)], ids=str)
async def test_audio_that_breaks_every_socket_it_is_sent_to_is_not_sent_for_ever(broken: Close | FreezeAt) -> None:
    faults = Faults(closes=[broken] * 50) if isinstance(broken, Close) else Faults(freezes=[broken] * 50)
    async with recognising(faults) as (lab, recogniser):
        listener = Listener(recogniser)
        async with asyncio.timeout(2 * PATIENCE_S), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(listener.stream.run())
            await listener.speak("jia-rain")
            quiet = tasks.create_task(listener.hold(20 * SECOND))
            await running
            quiet.cancel()
        assert any(isinstance(event, Interim) for event in listener.events)
        assert listener.events[-1] == SttLost(SttLoss.UNREACHABLE)
        assert lab.report.sockets == 5


async def test_a_recogniser_that_is_gone_in_mid_call_is_told_once_and_the_stream_ends() -> None:
    async with RtzrLab(profile=Profile(open_ms=5)) as lab:
        recogniser = Recogniser(settings_of(lab))
        listener = Listener(recogniser)
        running = asyncio.ensure_future(listener.stream.run())
        await listener.until(lambda: listener.events)
    async with asyncio.timeout(PATIENCE_S):
        await running
    await recogniser.close()
    assert listener.events == [SttReady(), SttLost(SttLoss.UNREACHABLE)]


async def test_an_open_socket_outlives_its_token_and_the_next_socket_gets_a_new_one() -> None:
    async with RtzrLab(profile=Profile(open_ms=5, final_ms=15)) as lab:
        clock = [time.time()]
        tokens = Tokens(settings_of(lab), now=lambda: clock[0])
        recogniser = Recogniser(settings_of(lab), tokens=tokens)
        listener = Listener(recogniser)
        async with live(listener):
            listener.say("jia-right")
            await listener.until(lambda: listener.finals)
            clock[0] += 7 * 3600
            lab.expire_tokens()
            listener.say("minho-hello")
            await listener.until(lambda: len(listener.finals) == 2)
            assert (lab.report.sockets, lab.report.authentications) == (1, 1)
            lab.faults.lost_finals = 1
            listener.say("jia-rain")
            await listener.until(lambda: len(listener.finals) == 3)
        await recogniser.close()
        assert (lab.report.sockets, lab.report.authentications, lab.report.refused) == (2, 2, [])
        assert listener.finals == [TEXTS["jia-right"], TEXTS["minho-hello"], TEXTS["jia-rain"]]


async def test_nothing_that_was_said_is_logged_when_all_goes_wrong(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "bot")
    faults = Faults(closes=[Close(900, 1011)], freezes=[None, FreezeAt(1000)])
    async with recognising(faults) as (lab, recogniser):
        listener, _ = await spoken_into(lab, recogniser, "jia-rain")
        assert any(isinstance(event, Interim) for event in listener.events)
        for secret in (*lab.tokens, lab.client_secret, *TEXTS["jia-rain"].split()):
            assert secret not in caplog.text
        assert "socket 1 closed on its own (1011)" in caplog.text
        assert "socket 2 answers nothing" in caplog.text
