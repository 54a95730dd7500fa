"""What a process has once, for all its calls."""

from collections.abc import Callable
from dataclasses import dataclass, field

from bot.diary.entries import Scribe
from bot.diary.retention import Retention
from bot.diary.store import Store
from bot.journal import Journal
from bot.metrics import Metrics
from bot.services.carrier import Carrier
from bot.services.llm import ChatModel
from bot.services.replies import Replies
from bot.services.stt import Recogniser
from bot.services.stt_file import Transcriber
from bot.services.tts import Voice


@dataclass(frozen=True, slots=True)
class Services:
    """The diary, the outside services, and how a call is limited and recorded."""

    store: Store
    recogniser: Recogniser
    replies: Replies
    scribe: Scribe
    voice: Voice
    max_call_ms: int
    wide_voice: Voice | None = None
    """The same voice for browsers; None: each talk in one has its own."""
    web_model: ChatModel | None = None
    """The model of chats and summaries: apart from the calls', which it must not make rest. None: there is none."""
    journal: Callable[[str, str], Journal] | None = None
    """Opens the journal of (call_sid, stream_sid); None: calls are not recorded."""
    forget_journals: Callable[[str], object] | None = None
    """Removes every journal of a call."""
    carrier: Carrier | None = None
    """The telephone account; None: nothing can be fetched from it."""
    transcriber: Transcriber | None = None
    retention: Retention | None = None
    metrics: Metrics = field(default_factory=Metrics)
