"""How the RTZR stand-in behaves: its latencies, what it can be made to do wrong, and what it saw.

Knows no sockets and no audio.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

REQUIRED = ("sample_rate", "encoding")
BOOLEANS = ("use_itn", "use_disfluency_filter", "use_profanity_filter", "use_punctuation")
CHOICES = {
    "encoding": ("LINEAR16", "MULAW"),
    "model_name": ("sommers_ko", "sommers_ja", "whisper"),
    "domain": ("CALL", "MEETING"),
}
NUMBERS = {
    "sample_rate": (8000.0, 48000.0),
    "epd_time": (0.05, 10.0),
    "max_utter_duration": (1.0, 600.0),
    "noise_threshold": (0.0, 1.0),
    "active_threshold": (0.0, 1.0),
}
OTHERS = ("language", "keywords")
ERRORS = {
    400: ("H0001", "invalid parameter"),
    401: ("H0002", "authentication failed"),
    403: ("H0003", "permission denied"),
    404: ("H0004", "not found"),
    410: ("H0007", "result expired"),
    413: ("H0005", "file too large"),
    429: ("A0001", "usage exceeded"),
    500: ("E500", "internal server error"),
}


@dataclass(slots=True)
class Profile:
    """The stand-in's latencies; the defaults are the lab's standard profile."""

    open_ms: float = 80.0  # until the handshake is answered
    final_ms: float = 170.0  # from the end of an utterance to its final
    idle_close_s: float = 60.0  # without audio
    file_ms: float = 500.0  # to transcribe a file,
    file_speed: float = 40.0  # … and its length divided by this
    poll_s: float = 5.0  # a file's result may not be asked for again sooner


@dataclass(frozen=True, slots=True)
class Close:
    """Close a connection when all this has happened on it; code None: the connection just breaks.

    It has sent `after_ms` of audio and so many Finalizes, the last of which gets no answer, and got so many finals.
    """

    after_ms: float = 0.0
    code: int | None = 1000
    after_finalizes: int = 0
    after_finals: int = 0


class Freeze(StrEnum):
    """How a connection stops working while it stays open."""

    SILENT = "silent"
    """It is half-open: what comes is taken by the system and read by nobody; nothing goes out, no pong either."""
    DEAF = "deaf"
    """It answers pings, and recognises nothing any more."""
    BLOCKED = "blocked"
    """As SILENT, and its receive window fills."""


@dataclass(frozen=True, slots=True)
class FreezeAt:
    """Freeze a connection when it has sent `after_ms` of audio, and so many Finalizes."""

    after_ms: float = 0.0
    how: Freeze = Freeze.SILENT
    after_finalizes: int = 0


@dataclass(slots=True)
class Faults:
    """What goes wrong; a count goes down as it does."""

    handshake_status: int = 500
    handshakes: int = 0  # so many handshakes are answered with `handshake_status`
    authentication_status: int = 500
    authentications: int = 0
    stale_tokens: int = 0  # so many tokens have expired when they are given
    token_lifetime_s: float = 6 * 3600.0
    closes: list[Close] = field(default_factory=list)  # one for each connection to come
    lost_finals: int = 0  # the connection is closed (1011) in place of a final
    empty_finals: int = 0  # a final with no alternatives in place of what was heard
    epd_races: int = 0  # the server's own end of utterance comes just before Finalize, which gets no answer
    slow_finals: int = 0
    slow_final_ms: float = 2000.0
    channels: int | None = None  # open at once; one more is answered with 429
    channel_lingers_s: float = 0.0  # a channel counts for so long after its connection
    freezes: list[FreezeAt | None] = field(default_factory=list)  # one for each connection to come
    unanswered: bool = False  # a request or handshake that comes while it is set is never answered
    file_posts: int = 0  # so many uploads are answered with `file_status`
    file_gets: int = 0  # so many questions for a result are
    file_status: int = 500
    failed_files: int = 0  # so many transcriptions fail
    file_channels: int | None = None  # files that are transcribed at once; one more is answered with 429
    times_frozen: int = 0  # how often `freeze_now` was called

    def freeze_now(self) -> None:
        """Freeze every connection that is open now (SILENT), for good; those to come are sound."""
        self.times_frozen += 1


@dataclass(slots=True)
class ConnectionReport:
    """What one connection did."""

    number: int
    parameters: dict[str, str]
    audio_s: float = 0.0
    finalizes: int = 0
    eos: int = 0
    interims: int = 0
    finals: int = 0
    utterances: list[str] = field(default_factory=list)  # the texts of its finals; empty: not understood
    breaches: list[str] = field(default_factory=list)
    open: bool = True
    frozen: Freeze | None = None


@dataclass(slots=True)
class FileReport:
    """One file that was to be transcribed."""

    number: int
    config: dict[str, object]
    audio_s: float = 0.0
    polls: int = 0
    utterances: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """What the stand-in saw since it was started."""

    connections: list[ConnectionReport] = field(default_factory=list)
    authentications: int = 0
    refused: list[int] = field(default_factory=list)  # the status of each handshake that was refused
    channels_open: int = 0
    files: list[FileReport] = field(default_factory=list)
    other_breaches: list[str] = field(default_factory=list)

    @property
    def sockets(self) -> int:
        """How many connections were opened."""
        return len(self.connections)

    @property
    def finalizes(self) -> int:
        """How many Finalize frames came."""
        return sum(connection.finalizes for connection in self.connections)

    @property
    def eos(self) -> int:
        """How many EOS frames came."""
        return sum(connection.eos for connection in self.connections)

    @property
    def utterances(self) -> list[str]:
        """The texts of all finals."""
        return [text for connection in self.connections for text in connection.utterances]

    @property
    def breaches(self) -> list[str]:
        """Every breach of the protocol by a client."""
        of_connections = (
            f"connection {connection.number}: {breach}"
            for connection in self.connections
            for breach in connection.breaches
        )
        return [*self.other_breaches, *of_connections]


def error_body(status: int, code: str | None = None) -> dict[str, object]:
    """Return the body that the service sends with `status`; `code` is there where a status has several."""
    usual, message = ERRORS.get(status, (f"E{status}", "error"))
    return {"code": code or usual, "msg": message}


def wrong_parameters(parameters: Mapping[str, str]) -> list[str]:
    """Return what the service would answer with 400."""
    wrong = [f"{name} is missing" for name in REQUIRED if name not in parameters]
    for name, value in parameters.items():
        if name in CHOICES and value not in CHOICES[name]:
            wrong.append(f"{name} must be one of {', '.join(CHOICES[name])}, not {value!r}")
        if name in BOOLEANS and value not in ("true", "false"):
            wrong.append(f"{name} must be true or false, not {value!r}")
        if name in NUMBERS and not _within(value, *NUMBERS[name]):
            wrong.append(f"{name} must be {NUMBERS[name][0]:g} to {NUMBERS[name][1]:g}, not {value!r}")
    if parameters.get("encoding") == "MULAW" and parameters.get("sample_rate") != "8000":
        wrong.append("this stand-in takes MULAW at 8000 Hz only")
    rate = parameters.get("sample_rate", "8000")
    if not rate.isdecimal() or int(rate) % 4000:
        wrong.append(f"this stand-in takes multiples of 4000 Hz only, not {rate!r}")
    return wrong


def unknown_parameters(parameters: Mapping[str, str]) -> list[str]:
    """Return the names that the service does not have."""
    return [name for name in parameters if name not in (*BOOLEANS, *CHOICES, *NUMBERS, *OTHERS)]


def _within(value: str, least: float, most: float) -> bool:
    try:
        return least <= float(value) <= most
    except ValueError:
        return False
