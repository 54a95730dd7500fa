"""How long a caller heard nothing while it was the bot's turn, from a list of who was to be heard when.

Must not know sockets, scripts or clocks: it is told times in ms, on the wall clock of one call. `DEFINITION` says what
counts; `silences` is that and nothing else.
"""

from dataclasses import dataclass, field
from enum import Enum, auto

DEFINITION = """\
Silence is time by the wall in which the caller hears nothing and it is the bot's turn. It begins when the caller has
ended a turn (its last voiced frame), when the call was answered, when the line broke or went dead (also between two
sentences of the caller's, and in the middle of one of the bot's), or when the bot paused and then went on by itself; it
ends with the first audible 20 ms at the caller's ear, of the bot's or of a <Say>. What does not count: pauses inside a
turn of the caller's; the time between the bot's last sound and the caller's next word, unless the line broke in it; the
time in which the call is being recorded (<Record>). A caller who was not answered and speaks again, or a call that
ends, ends the silence too."""

MERGE_MS = 60
"""Frames that are no further apart belong to one sound: the lab may be a frame or two late."""


class Who(Enum):
    """Whose sound it is."""

    BOT = auto()
    CALLER = auto()
    BREAK = auto()
    """The line broke here: no sound."""


@dataclass(slots=True)
class Sound:
    """A stretch of sound; `ends_turn`: the caller was done after it."""

    who: Who
    start_ms: int
    end_ms: int
    ends_turn: bool = False


@dataclass(frozen=True, slots=True)
class Silence:
    """The caller heard nothing from `start_ms` on, for `ms`."""

    start_ms: int
    ms: int
    after: str
    """What it began with: "answer" (of the call), "turn", "break" or "pause"."""


NO_SILENCE = Silence(0, 0, "")


@dataclass(slots=True)
class Sounds:
    """All that was to be heard in one call."""

    answered_ms: int | None = None
    ended_ms: int | None = None
    heard: list[Sound] = field(default_factory=list)
    _last: dict[Who, Sound] = field(default_factory=dict)

    def answered(self, at_ms: int) -> None:
        """The call was answered, if it was not before."""
        if self.answered_ms is None:
            self.answered_ms = at_ms

    def bot(self, at_ms: int, length_ms: int) -> None:
        """The caller hears the bot, or Twilio in its place."""
        self._add(Who.BOT, at_ms, length_ms)

    def caller(self, at_ms: int, length_ms: int) -> None:
        """The caller speaks."""
        self._add(Who.CALLER, at_ms, length_ms)

    def turn_ended(self) -> None:
        """The caller is done with what was said last."""
        if sound := self._last.pop(Who.CALLER, None):
            sound.ends_turn = True

    def broke(self, at_ms: int) -> None:
        """The stream is over, or carries nothing any more, and the call goes on."""
        self.heard.append(Sound(Who.BREAK, at_ms, at_ms))
        self._last.pop(Who.BOT, None)

    def ended(self, at_ms: int) -> None:
        """The call is over."""
        self.ended_ms = at_ms

    def _add(self, who: Who, at_ms: int, length_ms: int) -> None:
        sound = self._last.get(who)
        if sound is not None and at_ms - sound.end_ms <= MERGE_MS:
            sound.end_ms = max(sound.end_ms, at_ms + length_ms)
        else:
            self._last[who] = Sound(who, at_ms, at_ms + length_ms)
            self.heard.append(self._last[who])


def silences(sounds: Sounds) -> list[Silence]:
    """Every silence of a call, in order, as `DEFINITION` has it."""
    found: list[Silence] = []
    since_ms, after = sounds.answered_ms, "answer"
    bot_until_ms = caller_until_ms = 0

    def over(at_ms: int) -> None:
        if since_ms is not None and (length_ms := at_ms - max(since_ms, bot_until_ms)) > 0:
            found.append(Silence(max(since_ms, bot_until_ms), length_ms, after))

    for sound in sorted(sounds.heard, key=lambda sound: sound.start_ms):
        match sound.who:
            case Who.BOT:
                over(sound.start_ms)
                bot_until_ms = max(bot_until_ms, sound.end_ms)
                if sound.end_ms >= caller_until_ms:
                    since_ms, after = bot_until_ms, "pause"
            case Who.CALLER:
                if after != "pause":
                    over(sound.start_ms)
                caller_until_ms = max(caller_until_ms, sound.end_ms)
                since_ms, after = (sound.end_ms, "turn") if sound.ends_turn else (None, "")
            case Who.BREAK:
                if since_ms is None or after == "pause":
                    since_ms, after = max(sound.start_ms, since_ms or 0), "break"
                    bot_until_ms = min(bot_until_ms, sound.start_ms)
    if sounds.ended_ms is not None and after != "pause":
        over(sounds.ended_ms)
    return found


def longest(sounds: Sounds) -> Silence:
    """The longest silence of a call; one of 0 ms when there was none."""
    return max(silences(sounds), key=lambda silence: silence.ms, default=NO_SILENCE)
