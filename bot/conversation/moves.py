"""What the bot may do next. Knows no words."""

from dataclasses import dataclass

from bot.conversation.commands import ForgetDay, Manner, Status


@dataclass(frozen=True, slots=True)
class Move:
    """What the bot does next. With nothing set, it listens."""

    say: tuple[str, ...] = ()
    ask_model: bool = False
    """Have the model answer, behind what is to be said."""
    go_on: bool = False
    """Say what the caller broke off and has not heard."""
    again: bool = False
    """Say the last thing once more, behind what is to be said."""
    write: bool = False
    keep: Status | None = None
    forget: ForgetDay | None = None
    off_record: tuple[str, ...] = ()
    """What the caller wants to have said to nobody, as it was said, latest first."""
    left: str = ""
    """All that is kept of what the caller said last."""
    manner: Manner | None = None
    """Speak like this from now on."""
    patience_ms: int = 0
    """The caller asked to be waited for: listen so long before the next prompt."""
    hang_up: str | None = None
    """Say it as the last thing, then hang up, for this reason."""
    record: bool = False
    """Do not hang up then, but have the rest of the call recorded."""


LISTEN = Move()
