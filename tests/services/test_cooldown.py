"""When a failing service is left alone."""

from bot.services.cooldown import FAILURES, REST_S, CoolDown


def test_it_rests_after_failures_in_a_row_and_then_gets_single_tries() -> None:
    now = 100.0
    service = CoolDown(lambda: now)
    for _ in range(FAILURES):
        assert not service.is_resting
        service.failed()
    assert service.is_resting
    now += REST_S
    assert not service.is_resting
    service.failed()
    assert service.is_resting


def test_a_success_between_failures_starts_the_count_again() -> None:
    service = CoolDown(lambda: 0.0)
    for _ in range(5):
        service.failed()
        service.worked()
    assert not service.is_resting
