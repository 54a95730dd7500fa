"""What is committed of one call, command by command, as a diary keeps it; and what the next stream gets of it."""

from dataclasses import dataclass, field

from bot.conversation.commands import (
    Command,
    ForgetDay,
    ForgetTurn,
    HangUp,
    KeepEntry,
    KeepHeard,
    KeepSaid,
    KeepStage,
    RecordRest,
    ReopenDay,
)
from bot.conversation.events import Before, TurnBefore
from bot.conversation.snapshot import Written, decode, encode
from bot.conversation.told import is_content


@dataclass(slots=True)
class Kept:
    """The diary of one call; `stream` is the stream that writes now, from 0."""

    stream: int = 0
    stage: str | None = None
    entry: Written | None = None
    """The entry that stands: it is provisional no more, and holds all that was told."""
    ended: bool = False
    for_good: bool = False
    forgotten: list[str] = field(default_factory=list)
    _turns: dict[tuple[int, int], dict[str, str]] = field(default_factory=dict)
    _taken: set[int] = field(default_factory=set)

    def take(self, *commands: Command) -> None:
        """Commit them in order."""
        for command in commands:
            match command:
                case KeepSaid(turn, text) if self._takes(turn):
                    self._turns.setdefault((self.stream, turn), {})["said"] = text
                    if is_content(text):
                        self.entry = None
                case KeepHeard(turn, text) if self._takes(turn):
                    self._turns.setdefault((self.stream, turn), {})["heard"] = text
                case ForgetTurn(turn):
                    self._taken.add(turn)
                    self._forget([key for key in self._turns if key[1] == turn])
                case ForgetDay(for_good):
                    self.for_good = self.for_good or for_good
                    self._forget(list(self._turns))
                case KeepEntry(_, entry):
                    self.entry = entry
                case ReopenDay():
                    self.entry = None
                case KeepStage(snapshot):
                    self.stage = encode(snapshot)
                case HangUp() | RecordRest():
                    self.ended = True

    def _takes(self, turn: int) -> bool:
        return not self.for_good and turn not in self._taken

    def _forget(self, keys: list[tuple[int, int]]) -> None:
        self.forgotten += [said for key in keys if (said := self._turns.pop(key).get("said"))]
        self._taken |= {turn for _, turn in keys}
        self.entry = None

    @property
    def said(self) -> list[str]:
        """What is kept of the caller, in order."""
        return [kept["said"] for _, kept in sorted(self._turns.items()) if "said" in kept]

    def before(self, *, stage: bool = True) -> Before:
        """What another stream begins with; without `stage` the turns are all that it gets."""
        turns = tuple(
            TurnBefore(turn, kept.get("said"), kept.get("heard")) for (_, turn), kept in sorted(self._turns.items())
        )
        last = max((turn for turn in (*self._taken, *(turn for _, turn in self._turns))), default=-1)
        return Before(turns, last + 1, decode(self.stage) if stage and self.stage else None)
