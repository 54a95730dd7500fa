"""RTZR's streaming recogniser on the wire, without the wire.

EOS or Finalize
---------------
Two text frames end something, and they are easily taken for one another:

* `{"type":"Finalize"}` ends the *utterance*. The server decodes what it has, answers with one `"final": true`, and the
  socket stays open for the next utterance. When nothing was pending (the server's own end-point detection was faster,
  or there was only silence) there is *no answer at all*, and nothing in a final tells which Finalize it belongs to. So
  whoever sends it needs a timer of their own, and never waits for an acknowledgement.
* `EOS` (three letters, no JSON) ends the *stream*. The server decodes what it has, sends the last final, and closes
  with 1000. Nothing may be sent after it; the next utterance would need a new socket, and with it a new handshake
  of some 80 ms.

Hence: one socket a call, Finalize at each end of an utterance, EOS once, when the call is over.

What comes in is read with tolerance (fields may be missing, `alternatives` may be empty on a final too, errors have
been written in two shapes); what goes out is checked. Two things that are easily overlooked: a partial's text is the
whole utterance so far, so it replaces the one before; and `seq` counts the utterances of one connection, so it starts
again after a reconnect.

The settings of a stream stand in its URL and can't be changed later. Knows no sockets, tokens or retries; those are the
shell's. Source: RTZR's developer pages, "Streaming STT" and "AI voice agent".
"""

import json
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit, urlunsplit

from bot.errors import LocalProtocolError, RemoteProtocolError

STREAMING_PATH = "/v1/transcribe:streaming"
EOS = "EOS"
FINALIZE = '{"type":"Finalize"}'
BYTES_PER_SAMPLE = {"LINEAR16": 2, "MULAW": 1, "ALAW": 1}
_WEBSOCKET_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a final; `start_ms` since its utterance began."""

    text: str
    start_ms: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Interim:
    """The text of utterance `seq` so far. `start_ms` since the first audio of this connection."""

    seq: int
    start_ms: int
    duration_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class Final:
    """The last word on utterance `seq`; `text` may be empty."""

    seq: int
    start_ms: int
    duration_ms: int
    text: str
    words: tuple[Word, ...] = ()

    @property
    def end_ms(self) -> int:
        """Where the utterance ended, since the first audio of this connection."""
        return self.start_ms + self.duration_ms


@dataclass(frozen=True, slots=True)
class ServerFault:
    """The server says that something is wrong with it, or with us."""

    message: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """A message without a meaning for us."""

    why: str


Inbound = Interim | Final | ServerFault | Ignored


@dataclass(frozen=True, slots=True)
class Options:
    """Who listens on a stream: the model, whisper's `language`, and after how much silence it ends an utterance."""

    model_name: str = "sommers_ko"
    language: str | None = None
    epd_time_s: float = 0.8


KOREAN = Options()


def options_for(language: str, *, whisper: bool = False, epd_time_s: float = 0.8) -> Options:
    """The model for a language (ISO 639, or `auto`, which is Korean): RTZR's own, or whisper where it has none."""
    language = "ko" if language == "auto" else language
    if language in ("ko", "ja") and not whisper:
        return Options(f"sommers_{language}", None, epd_time_s)
    return Options("whisper", language, epd_time_s)


def streaming_url(
    base_url: str,
    *,
    sample_rate_hz: int = 16000,
    encoding: str = "LINEAR16",
    model_name: str = "sommers_ko",
    language: str | None = None,
    domain: str = "CALL",
    use_itn: bool = True,
    use_punctuation: bool = True,
    epd_time_s: float = 0.8,
) -> str:
    """Return the address of a stream with these settings, from the API's base (http or https, ws or wss).

    `epd_time_s` is the silence after which the server ends an utterance by itself. Raises LocalProtocolError for
    settings that the server would refuse.
    """
    parts = urlsplit(base_url)
    scheme = _WEBSOCKET_SCHEMES.get(parts.scheme.lower())
    if scheme is None or not parts.netloc:
        raise LocalProtocolError(f"not the base of an API: {base_url!r}")
    if not 8000 <= sample_rate_hz <= 48000:
        raise LocalProtocolError(f"sample rate must be 8000 to 48000 Hz, not {sample_rate_hz}")
    if encoding not in BYTES_PER_SAMPLE:
        raise LocalProtocolError(f"encoding must be one of {', '.join(BYTES_PER_SAMPLE)}, not {encoding!r}")
    if domain not in ("CALL", "MEETING"):
        raise LocalProtocolError(f"domain must be CALL or MEETING, not {domain!r}")
    if (model_name == "whisper") != (language is not None):
        raise LocalProtocolError(f"a language is for whisper, which needs one: {model_name!r}, {language!r}")
    if not epd_time_s > 0:
        raise LocalProtocolError(f"epd_time must be more than 0 s, not {epd_time_s}")
    query = {
        "sample_rate": str(sample_rate_hz),
        "encoding": encoding,
        "model_name": model_name,
        "domain": domain,
        "use_itn": _boolean(use_itn),
        "use_punctuation": _boolean(use_punctuation),
        "epd_time": f"{epd_time_s:g}",
    }
    if language is not None:
        query["language"] = language
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + STREAMING_PATH, urlencode(query), ""))


class Session:
    """The messages of one connection, in both directions."""

    def __init__(self, *, encoding: str = "LINEAR16") -> None:
        """Begin where the handshake has succeeded."""
        self._sample_bytes = BYTES_PER_SAMPLE[encoding]
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether EOS was sent: only receiving is left."""
        return self._ended

    def audio(self, pcm: bytes) -> bytes:
        """Return the binary frame for some audio: whole samples, at least one. Raises LocalProtocolError."""
        self._not_after_eos("audio")
        if not pcm:
            raise LocalProtocolError("audio must not be empty")
        if len(pcm) % self._sample_bytes:
            raise LocalProtocolError(f"audio must be whole samples of {self._sample_bytes} B, not {len(pcm)} B")
        return pcm

    def finalize(self) -> str:
        """Return the text frame that ends the utterance; there may be no answer. Raises LocalProtocolError."""
        self._not_after_eos("Finalize")
        return FINALIZE

    def eos(self) -> str:
        """Return the text frame that ends the stream; the server closes. Raises LocalProtocolError when sent twice."""
        self._not_after_eos("EOS")
        self._ended = True
        return EOS

    def receive(self, message: str | bytes) -> Inbound:
        """Read one message. Raises RemoteProtocolError for what is no JSON object; the session stays usable."""
        try:
            fields = json.loads(message)
        except (ValueError, RecursionError) as error:
            raise RemoteProtocolError("not JSON") from error
        if not isinstance(fields, dict):
            raise RemoteProtocolError(f"expected a JSON object, got {type(fields).__name__}")
        if fields.get("error") or fields.get("type") == "error":
            return ServerFault(_fault(fields))
        if "alternatives" not in fields and "final" not in fields:
            return Ignored("neither a transcript nor an error")
        return _transcript(fields)

    def _not_after_eos(self, what: str) -> None:
        if self._ended:
            raise LocalProtocolError(f"{what} after EOS; the stream is over")


def _transcript(fields: dict[str, object]) -> Inbound:
    seq = _whole(fields.get("seq"), -1)
    if seq < 0:
        return Ignored("a transcript without seq")
    start_ms, duration_ms = _whole(fields.get("start_at"), 0), _whole(fields.get("duration"), 0)
    alternatives = fields.get("alternatives")
    best = alternatives[0] if isinstance(alternatives, list) and alternatives else None
    alternative = best if isinstance(best, dict) else {}
    text = alternative.get("text")
    # JSON may hold half of a surrogate pair, which nothing behind this could write down.
    text = text.encode("utf-8", "replace").decode().strip() if isinstance(text, str) else ""
    if fields.get("final") is True:
        return Final(seq, start_ms, duration_ms, text, _words(alternative.get("words")))
    if not text:
        return Ignored("an interim without text")
    return Interim(seq, start_ms, duration_ms, text)


def _words(words: object) -> tuple[Word, ...]:
    if not isinstance(words, list):
        return ()
    return tuple(
        Word(word["text"], _whole(word.get("start_at"), 0), _whole(word.get("duration"), 0))
        for word in words
        if isinstance(word, dict) and isinstance(word.get("text"), str)
    )


def _fault(fields: dict[str, object]) -> str:
    error = fields.get("error")
    inner = error if isinstance(error, dict) else {}
    for value in (error, inner.get("message"), inner.get("msg"), fields.get("message"), fields.get("msg")):
        if isinstance(value, str) and value:
            return value
    return "unnamed"


def _whole(value: object, default: int) -> int:
    """Read a number that may come as a string, or not at all."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return default
    try:
        return max(int(float(value)), default)
    except (ValueError, OverflowError):
        return default


def _boolean(value: bool) -> str:
    return "true" if value else "false"
