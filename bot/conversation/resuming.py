"""The talk is taken up again, by another process or on another stream: with half a sentence, and in the same stage.

After a clean hand-over the bot goes on as if nothing had been. After a break the words of that moment may be lost, so
it says that there was one, and asks for them again. What was said and got no answer is answered.
"""

from dataclasses import replace
from itertools import takewhile

from bot.conversation.commands import ChangeManner, Manner
from bot.conversation.dialogue import NOTICE, Dialogue
from bot.conversation.events import Before
from bot.conversation.floor import Floor, State
from bot.conversation.handover import taken_up
from bot.conversation.lines import LINES, Sentences
from bot.conversation.moves import LISTEN, Move
from bot.conversation.snapshot import Snapshot, Stage
from bot.conversation.told import told_in

LEAST_MS = 60_000
"""However long the call has lasted, a stream that takes it up may last so long."""

_BROKE, _SAY_AGAIN = LINES.resumed[:1], LINES.resumed[1:]
_OF_ITS_OWN = frozenset(
    LINES.resumed
    + LINES.resumed_listening
    + LINES.resumed_answering
    + LINES.resumed_speaking
    + LINES.resumed_reading
    + LINES.resumed_writing
)
"""What is said here, and is said no second time when the talk is taken up once more."""


def resume(floor: Floor, before: Before, now_ms: int, *, first_time: bool) -> State:
    """Be where the talk was, and say the first words."""
    noted = before.snapshot or noted_from_turns(before, first_time=first_time)
    floor.transcript.resume(before, noted.turn)
    if noted.turn < 0 and noted.stage is Stage.TALK and not floor.transcript.history:
        floor.carry_out(floor.dialogue.begin(first_time=first_time), now_ms)
        return State.GREETING
    noted = be_there(floor, noted)
    move = follow_up(floor, noted, [turn.said for turn in before.turns if turn.said and turn.turn > noted.turn])
    answerable = bool(floor.transcript.history) and floor.transcript.history[-1].who == "caller"
    if move.ask_model and not answerable:
        move = replace(move, ask_model=False)
    move = first_words(floor.dialogue, noted, move)
    if not move.say and not (move.again and floor.last_said):
        move = replace(move, say=LINES.resumed_listening)
    return floor.carry_out(move, now_ms)


def noted_from_turns(before: Before, *, first_time: bool) -> Snapshot:
    """What the turns alone tell, when nobody could note where the talk was."""
    unanswered = takewhile(lambda turn: not turn.heard, reversed(before.turns))
    waiting = next((turn for turn in unanswered if turn.said), None)
    told = told_in(turn.said for turn in before.turns if turn.said and turn is not waiting)
    last_turn = (waiting.turn if waiting else before.next_turn) - 1
    knows_notice = not first_time or any(NOTICE in (turn.heard or "") for turn in before.turns)
    return told.noted_in(Snapshot(turn=last_turn, notice="" if knows_notice else NOTICE))


def be_there(floor: Floor, noted: Snapshot) -> Snapshot:
    """Take over what was noted; gives it without what was forgotten since, should the process have died over that."""
    dialogue = floor.dialogue
    dialogue.go_on_from(noted)
    floor.patience_ms, floor.spent_ms = noted.patience_ms, noted.spent_ms
    floor.max_call_ms = max(LEAST_MS, floor.max_call_ms - noted.spent_ms)
    if dialogue.manner != Manner():
        floor.out.append(ChangeManner(dialogue.manner))
    if dialogue.told.keep_only(floor.transcript.all_said):
        dialogue.entry, dialogue.entry_stands = None, False
        noted = replace(noted, unheard=(), last_said=())
    if dialogue.entry is None and dialogue.stage in (Stage.APPROVAL, Stage.CORRECTION):
        dialogue.stage = Stage.WRITING
    if dialogue.stage is Stage.WRITING and not dialogue.said:
        dialogue.stage = Stage.TALK
    floor.last_said = noted.last_said
    return replace(noted, unheard=tuple(text for text in noted.unheard if text not in _OF_ITS_OWN))


def follow_up(floor: Floor, noted: Snapshot, not_taken_up: list[str]) -> Move:
    """What follows from what the caller said before the break."""
    move = LISTEN if noted.answered or not_taken_up else Move(ask_model=True)
    for text in not_taken_up:
        floor.settle(move)
        move = replace(taken_up(floor.dialogue, text, interrupted=False) or LISTEN, left="")  # it is kept as it is
    return move


def first_words(dialogue: Dialogue, noted: Snapshot, move: Move) -> Move:
    """What is said when the talk goes on; `move` is what is owed to the caller."""
    owed = move != LISTEN
    if not owed:
        move = _from_the_stage(dialogue, noted)
    if move.hang_up:
        return move
    lead = _BROKE
    if noted.handed_over:
        lead = LINES.resumed_answering if move.ask_model else ()
    if dialogue.notice and dialogue.notice not in move.say and (move.ask_model or not owed):
        lead = (*lead, dialogue.notice)
    return replace(move, say=(*lead, *move.say))


def _from_the_stage(dialogue: Dialogue, noted: Snapshot) -> Move:
    """Nothing is owed to the caller: where the talk stood says how it goes on. The break was told already."""
    if dialogue.stage is Stage.GOODBYE:
        unheard = noted.unheard if noted.stage is Stage.GOODBYE else ()
        return Move(say=unheard or LINES.goodbye_resumed, hang_up=dialogue.why or "goodbye")
    if dialogue.stage is Stage.WRITING:
        written = dialogue.entry is not None and dialogue.entry.draft == dialogue.draft
        return replace(LISTEN if written else dialogue.write(), say=LINES.resumed_writing)
    if noted.patience_ms:
        return Move(say=LINES.waiting, patience_ms=noted.patience_ms)
    if dialogue.stage is Stage.CORRECTION:
        return Move(say=LINES.ask_correction)
    if dialogue.stage is Stage.APPROVAL:
        return Move(say=_to_approve(dialogue, noted))
    if noted.unheard:
        return Move(say=(*(LINES.resumed_speaking if noted.handed_over else ()), *noted.unheard))
    return Move(say=LINES.resumed_listening if noted.handed_over else _SAY_AGAIN)


def _to_approve(dialogue: Dialogue, noted: Snapshot) -> Sentences:
    """The rest of the read-back; all of it, when it broke off; else the question that it leads to."""
    assert dialogue.entry
    read_back = dialogue.read_back(dialogue.entry).say
    in_entry = any(text in read_back and text not in LINES.ask_approval for text in noted.unheard)
    if in_entry:
        return (*LINES.resumed_reading, *noted.unheard) if noted.handed_over else read_back
    return noted.unheard or LINES.approval_silence
