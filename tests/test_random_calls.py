"""A thousand calls that chance made up, in virtual time: whatever happens, what is kept is what was heard and said."""

import logging

import pytest

from bot.conversation.floor import State
from tests.random_calls import CONTENT, FRAME_MS, World
from tests.virtual_time import run

CALLS, BLOCK = 1_000, 50
LONGEST_S = 25.0


def is_subsequence(words: list[str], of: list[str]) -> bool:
    rest = iter(of)
    return all(word in rest for word in words)


def check(seed: int) -> World:
    world = World(seed)
    run(world.run(LONGEST_S))
    turns = world.call._talk.turns
    assert turns.state is State.CLOSED
    assert world.phone.faults == []
    assert world.phone.most_ahead_ms <= 200 + FRAME_MS
    heard = world.heard_words()
    history = [word for exchange in turns.history if exchange.who == "bot" for word in exchange.text.split()]
    assert is_subsequence(history, heard), "history holds what was not heard"
    kept = [word for _, text in sorted(world.store.heard.items()) for word in text.split()]
    assert is_subsequence(kept, heard), "the diary holds what was not heard"
    said = {word for text in world.store.all_said for word in text.split()}
    lost = {word for word in world.recognised if CONTENT.match(word)} - said
    assert not lost or "ForgetTurn" in world.seen, "what the caller said is not kept"
    return world


@pytest.mark.parametrize("block", range(CALLS // BLOCK))
def test_history_is_what_was_heard(block: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for seed in range(block * BLOCK, (block + 1) * BLOCK):
            check(seed)
    assert not [record.message for record in caplog.records if "broke down" in record.message]


def test_the_calls_reach_every_corner() -> None:
    seen = set[str]()
    for seed in range(60):
        seen |= check(seed).seen
    assert {"Play", "Prepare", "Pause", "Resume", "Interject", "StopSpeaking", "ForgetTurn", "WriteEntry"} <= seen
