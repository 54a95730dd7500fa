"""What was told in a call, for the work after it. Pure; it knows no tables and no keys.

The same words are a story while the day is told, a correction behind the read-back, and maybe an answer to a question.
The talk knew which, so what it took of a turn counts. Words that it did not get to, since its process died or they were
recorded, are judged by themselves.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from bot.conversation.intents import IntentKind, intent
from bot.conversation.korean import normalise
from bot.conversation.snapshot import Part, Snapshot
from bot.conversation.told import Told, told_in
from bot.diary.records import TurnRecord

_Spoken = tuple[TurnRecord, str]


def told_after(turns: Iterable[TurnRecord], snapshot: Snapshot | None) -> tuple[list[str], list[str]]:
    """What of the turns of a call belongs into its diary, and what corrects it, each in order.

    `snapshot` is the last of the talk; None: there is none that can be read.
    """
    spoken = [(turn, turn.said) for turn in turns if turn.said]
    taken = _taken(spoken, snapshot) if snapshot else {}
    said: list[str] = []
    corrections: list[str] = []
    for place, (_, text) in enumerate(spoken):
        told = _told_of(text, taken[place]) if place in taken else told_in([text])
        said += told.said
        corrections += told.corrections
    return said, corrections


def _taken(spoken: list[_Spoken], snapshot: Snapshot) -> dict[int, Part | None]:
    """What the talk took of the turns that it has judged, by their places: None where it was nothing for a diary.

    A turn of which it took nothing is one of those only when that is sure: every part has its turn, and no other stream
    has used the turn's number. What was recorded has no times, and no talk has heard it.
    """
    known = {
        place: normalise(text)
        for place, (turn, text) in enumerate(spoken)
        if turn.turn <= snapshot.turn and turn.from_ms is not None
    }
    taken: dict[int, Part | None] = {}
    last = -1
    for part in snapshot.parts:
        place = _place(part, known, last)
        if place is not None:
            taken[place] = part
            last = place
    told_anything = bool(snapshot.parts) or snapshot.changes > 0
    if told_anything and len(taken) == len(snapshot.parts):
        streams = Counter(turn.turn for turn, _ in spoken)
        for place in known:
            if streams[spoken[place][0].turn] == 1:
                taken.setdefault(place, None)
    return taken


def _place(part: Part, known: Mapping[int, str], after: int) -> int | None:
    """The place of the turn that a part is of, behind the place `after`; None: it was forgotten, or is not known.

    A story is all of its turn, and a correction the end of it, unless the turn has grown since.
    """
    wanted = normalise(part.text)
    grown = None
    for place, text in known.items():
        if place <= after or wanted not in text:
            continue
        if text == wanted or (part.corrects and text.endswith(wanted)):
            return place
        grown = place if grown is None else grown
    return grown


def _told_of(text: str, part: Part | None) -> Told:
    """What a turn has told of which the talk took `part`; what the turn holds besides is judged by its words."""
    told = Told()
    found = intent(text)
    if part is None:
        return told
    if found and found.kind is IntentKind.OFF_RECORD and normalise(part.text) not in normalise(found.left):
        return told
    before, behind = (told_in([words]) for words in _around(text, part.text))
    if part.corrects:  # before it is the wish to correct
        told.correct(" ".join([part.text, *behind.said]))
    else:
        told.add(" ".join([*before.said, part.text, *behind.said]))
    for how in behind.corrections:
        told.correct(how)
    return told


def _around(text: str, held: str) -> tuple[str, str]:
    """The words of a turn before and behind those that hold `held`, which is in it but for spaces and punctuation."""
    begin = normalise(text).index(normalise(held))
    end = begin + len(normalise(held))
    before: list[str] = []
    behind: list[str] = []
    letters = 0
    for word in text.split():
        first, letters = letters, letters + len(normalise(word))
        if first < letters <= begin:
            before.append(word)
        elif end <= first < letters:
            behind.append(word)
    return " ".join(before), " ".join(behind)
