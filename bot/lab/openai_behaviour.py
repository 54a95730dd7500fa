"""How the OpenAI stand-in behaves, and what it saw."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Profile:
    """How fast it is."""

    first_token_ms: float = 200
    token_ms: float = 20
    first_byte_ms: float = 150
    speech_speed: float = 8.0
    """How many times faster than real time speech comes."""


@dataclass(slots=True)
class Faults:
    """What it does wrong; all of it can be set while it runs."""

    chat_status: int | None = None
    """Answer every chat with this HTTP status: 401, 429, 500."""
    speech_status: int | None = None
    """The same for speech."""
    never_first_token: bool = False
    """Take the chat's request and send nothing."""
    stall_after_tokens: int | None = None
    """Send so many tokens and then nothing."""
    cut_after_tokens: int | None = None
    """Send so many tokens and break the connection."""
    stall_speech_after_bytes: int | None = None
    """Send so many bytes of speech and then nothing."""
    cut_speech_after_bytes: int | None = None
    """Send so many bytes of speech (0: not even a head) and break the connection."""
    invents: bool = False
    """Put a name and a number that no one said into replies and entries."""
    bad_json: bool = False
    """Cut off a JSON answer in the middle."""
    no_json_mode: bool = False
    """Refuse `response_format`, as some compatible servers do."""
    no_options: bool = False
    """Refuse `max_tokens` and `temperature`, as reasoning models do."""


@dataclass(slots=True)
class Report:
    """What it saw."""

    connections: int = 0
    requests: list[str] = field(default_factory=list)
    cancelled: int = 0
    """Answers that the client did not wait for."""
    breaches: list[str] = field(default_factory=list)
