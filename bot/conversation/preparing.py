"""The reply that is made before the turn is over, so that it is there when it is needed.

It is begun when what was said so far could be all of it: at once when an interim is complete, otherwise with the final,
early enough to be ready when the turn can end. Nothing follows from it: it has no sound, no history and no place in the
store until the turn ends with the very words that it answers. Other words drop it.
"""

from bot.conversation.bots_replies import Prepared
from bot.conversation.commands import Exchange, Prepare
from bot.conversation.endpointing import prepare_at_ms
from bot.conversation.events import Due, Timer
from bot.conversation.floor import Floor, State
from bot.conversation.korean import normalise

MOST_TRIES = 3
"""Replies that are begun for one turn before it is over."""

MOST_WHILE_TALKING = 1
"""Of these, how many while a voice is heard: a story has many sentences that could be its last."""


def prepare(floor: Floor, now_ms: int) -> None:
    """Begin, keep or drop the reply to what was said so far."""
    text = floor.text
    if floor.prepared and normalise(floor.prepared.text) == normalise(text):
        return
    floor.drop_prepared()
    floor.forget(Timer.PREPARE)
    if not text or floor.tries >= MOST_TRIES:
        return
    after_ms = prepare_at_ms(text, floor.habit)
    if floor.talking:
        if floor.tries < MOST_WHILE_TALKING and after_ms == 0:
            begin(floor, text)
        return
    at_ms = floor.voiced_until_ms + after_ms
    if at_ms <= now_ms:
        if after_ms == 0 or Timer.FINAL not in floor.due:
            begin(floor, text)
    else:
        floor.due[Timer.PREPARE] = at_ms


def begin(floor: Floor, text: str) -> None:
    lead = floor.dialogue.speculates(text, interrupted=bool(floor.broken_off))
    if lead is None:
        return
    floor.tries += 1
    floor.prepared = Prepared(text, lead, floor.open_ledger(lead))
    history = (*floor.transcript.history, Exchange("caller", text))
    floor.out.append(Prepare(floor.prepared.ledger.reply, history, lead))


def time_to_prepare(floor: Floor, event: Due, now_ms: int) -> State:
    prepare(floor, now_ms)
    return floor.state
