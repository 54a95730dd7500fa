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
    empty_chat: bool = False
    """Answer every chat with no words."""
    garbage_chat: str | None = None
    """Answer every chat with this body as it is, as a page or a broken proxy does."""
    never_first_byte: bool = False
    """Take the request for speech and send nothing."""
    speech_type: str | None = None
    """Say that speech is of this content type."""
    speech_body: bytes | None = None
    """Send this instead of speech."""
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
    """Refuse `max_tokens`, `temperature` and `stream_options`, as some models and servers do."""


@dataclass(slots=True)
class Chat:
    """One chat and its tokens, a word each: of the messages it was sent, and of what it answered so far."""

    prompt_tokens: int
    is_entry: bool = False
    completion_tokens: int = 0
    is_done: bool = False
    """All of the answer was taken."""

    @property
    def tokens(self) -> int:
        """All tokens that it cost."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(slots=True)
class Report:
    """What it saw."""

    connections: int = 0
    requests: list[str] = field(default_factory=list)
    cancelled: int = 0
    """Answers that the client did not wait for."""
    breaches: list[str] = field(default_factory=list)
    chats: list[Chat] = field(default_factory=list)
    chat_chars: int = 0
    """The characters of all that the model was given to read."""
    speeches: int = 0
    """How often it was asked to speak."""
    spoken_chars: int = 0

    @property
    def replies(self) -> list[Chat]:
        """The chats that are no entries."""
        return [chat for chat in self.chats if not chat.is_entry]

    @property
    def reply_tokens(self) -> int:
        """What all replies cost."""
        return sum(chat.tokens for chat in self.replies)

    @property
    def cancelled_reply_tokens(self) -> int:
        """What the replies cost that the client did not wait for."""
        return sum(chat.tokens for chat in self.replies if not chat.is_done)
