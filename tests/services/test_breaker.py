"""When a failing service is left alone, and how it is tried again."""

import asyncio
import logging
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import ModelError, VoiceError
from bot.services.breaker import FAILURES, REST_S, Breaker
from bot.services.llm import ModelDeclined


class Service:
    """A breaker, its clock, and requests that end as they are told."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.breaker = Breaker("model", clock=lambda: self.now_s)

    def asked(self, error: type[BaseException] | None = None) -> bool:
        """Whether the service was asked; the request ends with `error`."""
        if (asking := self.breaker.request()) is None:
            return False
        with suppress(*([error] if error else [])), asking:
            if error:
                raise error
        return True

    def rests(self) -> None:
        for _ in range(FAILURES):
            assert self.asked(ModelError)
        assert not self.asked()


def test_it_rests_after_failures_in_a_row_and_then_one_that_works_ends_it() -> None:
    service = Service()
    service.rests()
    service.now_s += REST_S - 0.001
    assert not service.asked()
    service.now_s += 0.001
    assert service.asked()
    assert service.asked(VoiceError), "it is whole again: one failure is none in a row"
    assert service.asked()


def test_a_success_between_failures_starts_the_count_again() -> None:
    service = Service()
    for _ in range(5):
        assert service.asked(ModelError)
        assert service.asked()


def test_a_trial_that_fails_begins_the_rest_anew() -> None:
    service = Service()
    service.rests()
    for _ in range(3):
        service.now_s += REST_S
        assert service.asked(ModelError)
        service.now_s += REST_S / 2
        assert not service.asked()


def test_one_trial_at_a_time() -> None:
    service = Service()
    service.rests()
    service.now_s += REST_S
    trial = service.breaker.request()
    assert trial
    assert not service.asked()
    with trial:
        assert not service.asked()
    assert service.breaker.request() and service.breaker.request(), "it works: as many at a time as ask"


@pytest.mark.parametrize("given_up", [asyncio.CancelledError, GeneratorExit, KeyError, ModelDeclined])
def test_what_is_given_up_says_nothing_of_the_service(given_up: type[BaseException]) -> None:
    service = Service()
    for _ in range(5):
        assert service.asked(given_up)
    assert service.asked(ModelError)
    assert service.asked(given_up)
    assert service.asked(ModelError)
    assert not service.asked(), "two failures, and nothing known between them"
    service.now_s += REST_S
    assert service.asked(given_up), "a trial"
    assert service.asked(given_up), "and another: the first one told nothing"
    assert service.asked()
    assert service.asked(ModelError)
    assert service.asked()


@pytest.mark.parametrize("worked", [True, False])
def test_a_request_from_before_the_rest_decides_no_trial(worked: bool) -> None:
    service = Service()
    old = service.breaker.request()
    assert old
    service.rests()
    service.now_s += REST_S
    trial = service.breaker.request()
    assert trial
    with suppress(ModelError), old:
        if not worked:
            raise ModelError("late")
    assert not service.asked(), "the trial is still under way"
    with trial:
        pass
    assert service.asked()


def test_each_change_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    service = Service()
    service.asked(ModelError)
    assert caplog.messages == []
    service.asked(ModelError)
    service.asked()
    for _ in range(3):
        service.now_s += REST_S
        service.asked(ModelError)
    service.now_s += REST_S
    service.asked()
    service.asked()
    assert caplog.messages == ["the model rests: 2 failures in a row", "the model works again"]


@given(st.lists(st.tuples(st.sampled_from([None, ModelError, asyncio.CancelledError]), st.floats(0, 2 * REST_S))))
def test_it_is_asked_unless_it_failed_twice_in_a_row_within_the_rest(
    history: list[tuple[type[BaseException] | None, float]],
) -> None:
    service, in_a_row, resting, until_s = Service(), 0, False, 0.0
    for error, later_s in history:
        asked = service.asked(error)
        assert asked == (not resting or service.now_s >= until_s)
        if asked and error is ModelError:
            in_a_row += 1
            if resting or in_a_row >= FAILURES:
                resting, until_s, in_a_row = True, service.now_s + REST_S, 0
        elif asked and error is None:
            resting, in_a_row = False, 0
        service.now_s += later_s
