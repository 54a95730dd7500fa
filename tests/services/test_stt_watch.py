"""When a connection is asked whether it is still there, and when another one is tried."""

from hypothesis import given
from hypothesis import strategies as st

from bot.services.stt_watch import (
    AFTER_FINALIZE_MS,
    ANSWER_S,
    DEAF_AFTER_S,
    DEAF_REST_S,
    DEAF_TRIES,
    DEAF_VOICE_MS,
    PROBE_AFTER_S,
    DeafTries,
    Watch,
)

STEP_MS = 40.0


def voice(watch: Watch, from_s: float, ms: float, *, voiced: bool = True) -> float:
    """Audio in bundles as it is spoken; returns when it ended."""
    for _ in range(round(ms / STEP_MS)):
        watch.sent(STEP_MS, STEP_MS if voiced else 0.0, from_s)
        from_s += STEP_MS / 1000
    return from_s


def test_in_a_quiet_nobody_is_asked() -> None:
    watch = Watch()
    now_s = voice(watch, 0.0, 60_000, voiced=False)
    watch.finalized(now_s)
    assert not watch.waits(now_s + 60)
    assert not watch.is_deaf(now_s + 60)


def test_a_voice_without_any_sign_is_asked_after() -> None:
    watch = Watch()
    voice(watch, 10.0, 2_000)
    assert not watch.waits(10.0 + PROBE_AFTER_S - 0.01)
    assert watch.waits(10.01 + PROBE_AFTER_S)


def test_a_recogniser_that_gives_interims_is_never_asked_nor_thought_deaf() -> None:
    watch, now_s = Watch(), 0.0
    for _ in range(100):
        now_s = voice(watch, now_s, 320)
        assert not watch.waits(now_s)
        assert not watch.is_deaf(now_s)
        watch.text(now_s, final=False)


def test_one_that_answers_is_asked_again_only_after_more_voice() -> None:
    watch = Watch()
    voice(watch, 0.0, 400)
    watch.alive(0.5)
    assert not watch.waits(60.0)
    voice(watch, 60.0, 40)
    assert watch.waits(60.01 + PROBE_AFTER_S)


def test_a_finalize_behind_a_voice_is_asked_after_until_it_is_answered_or_will_not_be() -> None:
    watch = Watch()
    voice(watch, 0.0, 200)
    watch.alive(0.2)
    watch.finalized(1.0)
    assert watch.waits(1.01 + PROBE_AFTER_S)
    watch.alive(1.6)
    assert watch.waits(1.61 + PROBE_AFTER_S)
    watch.alive(1.0 + ANSWER_S + 0.1)
    assert not watch.waits(100.0)

    watch.finalized(200.0)
    watch.text(200.2, final=True)
    assert not watch.waits(300.0)


def test_much_voice_and_no_word_is_deaf_and_a_cough_is_not() -> None:
    watch = Watch()
    for _ in range(2):
        now_s = voice(watch, 0.0, DEAF_VOICE_MS / 2 - STEP_MS)
        watch.alive(now_s)
    assert not watch.is_deaf(100.0)
    enough_s = voice(watch, 100.0, 4 * STEP_MS)
    assert not watch.is_deaf(enough_s + DEAF_AFTER_S - 0.2)
    assert watch.is_deaf(enough_s + DEAF_AFTER_S)
    watch.text(enough_s, final=False)
    assert not watch.is_deaf(1000.0)


def test_the_wait_for_an_answer_is_no_voice() -> None:
    watch = Watch()
    now_s = voice(watch, 0.0, 400)
    for _ in range(3):
        watch.finalized(now_s)
        now_s = voice(watch, now_s, AFTER_FINALIZE_MS)
        watch.alive(now_s)
    assert not watch.is_deaf(now_s + 60)


def test_an_utterance_that_was_begun_and_gets_no_final_is_deaf() -> None:
    watch = Watch()
    voice(watch, 0.0, 400)
    watch.text(0.4, final=False)
    watch.finalized(1.0)
    watch.alive(1.5)
    assert not watch.is_deaf(1.0 + ANSWER_S - 0.1)
    assert watch.is_deaf(1.01 + ANSWER_S)


def test_a_few_tries_far_apart_and_a_word_makes_them_as_many_again() -> None:
    tries = DeafTries()
    assert tries.allows(0.0)
    for times in range(DEAF_TRIES):
        assert not tries.exhausted
        tries.tried(times * DEAF_REST_S)
        assert not tries.allows((times + 1) * DEAF_REST_S - 0.1)
        assert tries.allows((times + 1) * DEAF_REST_S)
    assert tries.exhausted
    tries.helped()
    assert not tries.exhausted


@given(st.lists(st.tuples(st.sampled_from("vqfitp"), st.floats(0.01, 2.0)), max_size=60))
def test_who_says_something_is_not_asked_at_once(steps: list[tuple[str, float]]) -> None:
    watch, now_s, sign_s = Watch(), 0.0, 0.0
    for what, wait_s in steps:
        now_s += wait_s
        match what:
            case "v" | "q":
                watch.sent(100.0, 100.0 if what == "v" else 0.0, now_s)
            case "f":
                watch.finalized(now_s)
            case "p":
                watch.alive(now_s)
                sign_s = now_s
            case _:
                watch.text(now_s, final=what == "t")
                sign_s = now_s
        assert not (watch.waits(now_s) and now_s - sign_s < PROBE_AFTER_S)
        if not any(step in "vf" for step, _ in steps):
            assert not watch.waits(now_s)
