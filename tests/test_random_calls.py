"""A thousand calls that chance made up, in virtual time: whatever happens, what is kept is what was heard and said."""

import logging
from collections.abc import Iterator

import pytest

from bot.conversation.floor import State
from tests.random_calls import CONTENT, FRAME_MS, World
from tests.virtual_time import run

CALLS, BROKEN_CALLS, BLOCK = 1_000, 400, 100
LONGEST_S = 25.0
LONGEST_STREAM_S = 12.0


def is_subsequence(words: list[str], of: list[str]) -> bool:
    rest = iter(of)
    return all(word in rest for word in words)


def check(seed: int, streams: int = 1) -> set[str]:
    """Live through one call; gives the kinds of command that were seen in it."""
    world = World(seed, streams)
    run(world.run(LONGEST_S if streams == 1 else LONGEST_STREAM_S))
    turns = world.call._talk.turns
    assert turns.state is State.CLOSED
    assert world.faults == []
    assert world.most_ahead_ms <= 200 + FRAME_MS
    heard = world.heard_words()
    history = [word for exchange in turns.history if exchange.who == "bot" for word in exchange.text.split()]
    assert is_subsequence(history, heard), "history holds what was not heard"
    kept = [word for text in world.store.heard() for word in text.split()]
    assert is_subsequence(kept, heard), "the diary holds what was not heard"
    said = [word for text in world.store.said() for word in CONTENT.findall(text)]
    once = [word for word in said if word not in world.moved]
    assert len(once) == len(set(once)), "the diary holds something twice"
    assert set(world.replies.told_twice) <= world.moved, "the model was told something twice"
    if world.seen.isdisjoint({"ForgetTurn", "ForgetDay"}):
        told = [word for exchange in turns.history for word in CONTENT.findall(exchange.text)]
        assert told == said, "history is not what is kept"
        lost = {word for word in world.recognised if CONTENT.match(word)} - world.died_with
        lost -= {word for text in world.store.said() for word in text.split()}
        assert not lost, "what the caller said is not kept"
    return world.seen


@pytest.fixture
def no_break_down(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No call of the test breaks down with a bug of ours."""
    with caplog.at_level(logging.WARNING):
        yield
    assert not [record.message for record in caplog.get_records("call") if "broke down" in record.message]


@pytest.mark.usefixtures("no_break_down")
@pytest.mark.parametrize("block", range(CALLS // BLOCK))
def test_history_is_what_was_heard(block: int) -> None:
    seen = set[str]()
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        seen |= check(seed)
    assert seen >= {"Play", "Prepare", "Pause", "Resume", "Interject", "StopSpeaking", "ForgetTurn", "WriteEntry"}


@pytest.mark.usefixtures("no_break_down")
@pytest.mark.parametrize("block", range(BROKEN_CALLS // BLOCK))
def test_a_call_that_breaks_off_goes_on(block: int) -> None:
    seen = set[str]()
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        seen |= check(seed, streams=2 + seed % 3)
    assert seen >= {"KeepStage", "HandOver", "HangUp"}
