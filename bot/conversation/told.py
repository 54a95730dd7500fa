"""What a caller has told of the day, and which utterances are part of it at all. Knows no stage of the talk.

Commands, greetings, thanks and mere 네 or 음 are no part of a day. What was taken off the record is not either, in the
same breath or later.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from bot.conversation.answers import says_goodbye
from bot.conversation.intents import IntentKind, intent, is_mere_lead, may_tell
from bot.conversation.korean import is_backchannel, is_filler, is_polite, normalise
from bot.conversation.naming import in_common, names_in
from bot.conversation.snapshot import Part, Snapshot
from bot.conversation.texts import table

_SOUNDS = frozenset(table("dialogue")["sounds"])
_PASSING = frozenset(table("dialogue")["passing"])
_DECIDES = tuple(table("dialogue")["decides"])


@dataclass(slots=True)
class Told:
    """What was told and corrected, in order, and how much of it an entry holds and the caller has approved of."""

    _parts: list[Part] = field(default_factory=list)
    _changes: int = 0
    _drafted: int = 0
    _settled: int = 0

    @property
    def said(self) -> list[str]:
        """What was told, one utterance each."""
        return [part.text for part in self._parts if not part.corrects]

    @property
    def texts(self) -> list[str]:
        """What was told and corrected, in order."""
        return [part.text for part in self._parts]

    @property
    def corrections(self) -> list[str]:
        """What corrects the entry."""
        return [part.text for part in self._parts if part.corrects]

    def add(self, text: str) -> None:
        """The caller told this."""
        self._parts.append(Part(text))
        self._changes += 1

    def correct(self, text: str) -> None:
        """The caller corrected the entry like this."""
        self._parts.append(Part(text, corrects=True))
        self._changes += 1

    def take_back(self) -> str:
        """Remove what was told or corrected last; give it, empty if there is nothing. No entry is of the rest."""
        if not self._parts:
            return ""
        self.unsettle()
        return self._parts.pop().text

    def about(self, named: Iterable[str]) -> list[Part]:
        """What was told or corrected of each that is named; latest first, and empty when one names nothing."""
        found = [self._about(names_in(name)) for name in named]
        return [part for part in reversed(self._parts) if any(part in parts for parts in found)] if all(found) else []

    def _about(self, names: list[str]) -> list[Part]:
        found = [(in_common(part.text, names), part) for part in self._parts]
        most = max((common for common, _ in found), default=0)
        return [part for common, part in found if common == most > 0]

    def take_back_about(self, named: Iterable[str]) -> tuple[str, ...]:
        """Remove what was told of all that is named; give it, latest first. No entry is of the rest."""
        gone = self.about(named)
        if gone:
            self.unsettle()
            self._parts = [part for part in self._parts if part not in gone]
        return tuple(part.text for part in gone)

    def drafted(self) -> None:
        """An entry is being written of all this."""
        self._drafted = self._changes

    def settle(self) -> None:
        """The caller approves of all this."""
        self._settled = self._changes

    def unsettle(self) -> None:
        """No entry holds what was told any more."""
        self._changes += 1
        self._drafted = self._settled = 0

    def clear(self) -> None:
        """Nothing was told."""
        self._parts.clear()
        self.unsettle()

    @property
    def unsettled(self) -> bool:
        """Something was told that no decision of the caller has settled."""
        return bool(self.said) and self._settled != self._changes

    @property
    def is_drafted(self) -> bool:
        """The entry that was asked for last is of all this."""
        return self._drafted == self._changes

    def noted_in(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with all this in it."""
        return replace(
            snapshot,
            parts=tuple(self._parts),
            changes=self._changes,
            drafted=self._drafted,
            settled=self._settled,
        )

    @classmethod
    def of(cls, snapshot: Snapshot) -> "Told":
        """What was told when the snapshot was taken."""
        return cls(list(snapshot.parts), snapshot.changes, snapshot.drafted, snapshot.settled)

    def keep_only(self, said: Iterable[str]) -> bool:
        """Drop what is not part of a turn in `said`: it was forgotten. True: something was dropped."""
        turns = [normalise(text) for text in said]
        left = [part for part in self._parts if any(normalise(part.text) in turn for turn in turns)]
        if len(left) == len(self._parts):
            return False
        self._parts = left
        self.unsettle()
        return True

    def copy(self) -> "Told":
        """A copy that later changes leave alone."""
        return replace(self, _parts=list(self._parts))


def told_in(turns: Iterable[str]) -> Told:
    """What the turns of a call have told."""
    told = Told()
    for text in turns:
        found = intent(text)
        if found and found.kind is IntentKind.CORRECT and found.rest:
            told.correct(found.rest)
        elif is_content(text):
            told.add(text)
        elif found and is_content(found.left):
            told.add(found.left)
    return told


def is_sound(text: str) -> bool:
    """Whether `text` is no word that could approve of anything, only a sign of listening."""
    return set(normalise(text)) <= _SOUNDS


def is_passing(text: str) -> bool:
    """Whether `text`, said while another speaks, is no more than listening, laughing or thanks. Not so an empty one."""
    return bool(normalise(text)) and (is_backchannel(text) or is_polite(text) or set(normalise(text)) <= _PASSING)


def is_content(text: str) -> bool:
    """Whether `text` belongs into a diary, and is not a mere sound, greeting or command."""
    if not text or is_filler(text) or is_backchannel(text) or is_polite(text):
        return False
    found = intent(text)
    if found is None:
        return not says_goodbye(text)
    return found.kind is IntentKind.CORRECT and bool(found.rest)


def tells_of_day(text: str) -> bool:
    """Whether `text`, said when there is nothing to decide, belongs into a diary: then 너무 좋아요 and 잘 지내요 do."""
    if is_content(text) or may_tell(text):
        return True
    found = intent(text)
    judges = found is not None and (found.kind is IntentKind.APPROVE or found.kind is IntentKind.CORRECT)
    if not judges or is_backchannel(text) or is_polite(text) or is_mere_lead(text):
        return False
    return not any(word in normalise(text) for word in _DECIDES)
