"""A talk in a browser, from the server's side of its socket: JSON in, events out; audio in, JSON out.

Must not know sockets, clocks, databases, or what is talked about.

The rules of this file
----------------------
One `BrowserStream` belongs to one socket. It has the face of `twilio.MediaStream`, so that what carries a talk need not
know which of the two it has. The client sends

    init        first, and once; again only when it was answered with NO_SESSION, or with another error
    audio       PCM16, little-endian, mono, at the rate that init named, in pieces of any size; maybe empty
    text        a turn that is typed
    interrupt   the person has pressed stop
    end         the talk is over

and the server `connected`, `transcript`, `audio`, `interrupted`, `error`, each built here and nowhere else.

Time is the sound that came: `at_ms` counts frames of 20 ms, so that a talk is the same at any speed. Who only types
sends no sound; then silence passes as it is told (`silence`). Who has sent sound and has none now, since the microphone
or the loudspeaker was taken away, sends empty `audio` at least every second to tell that somebody is there (`Quiet`):
no time passes then.

There are no marks on this wire: each piece of the bot's sound names its sentence, and `heard` tells how much of one the
page has played. What follows from that is `playing`.

A message that breaks these rules is a `BadMessage`; it has no effect, and the stream goes on as if it had not come.

How the socket is closed tells what comes next: 1000, the talk is over; 1011 or 1012, it goes on with another socket and
`init` with its session, within 30 s; 4001, it does already, in another window, so leave it there unless the person
wants it back; 1008, the client is at fault, or nobody is signed in any more.
"""

from dataclasses import dataclass
from enum import Enum, auto

from bot.audio.forms import WIDE
from bot.audio.frames import FRAME_MS, PCM_FRAME_BYTES, PCM_HZ, Framer
from bot.audio.resample import Resampler
from bot.errors import LocalProtocolError
from bot.protocols import browser_messages as wire
from bot.protocols.browser_messages import BadMessage, Config, Fault
from bot.protocols.playing import Interrupt, Played, Playing
from bot.protocols.twilio import Connected, Ignored, Mark, Started, Stopped

ASIDE, ASIDE_END = "aside:", ":end"
"""A sentence of this name is no part of a reply; the mark behind it has this at its end."""

RATE_STEP_HZ = 25
"""Sound is resampled from the nearest multiple of this: all rates that exist are one, and their filters are small."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The client wants to talk, or to go on with talk `session_id` (a UUID)."""

    config: Config
    session_id: str | None


@dataclass(frozen=True, slots=True)
class Sound:
    """16 kHz PCM of the person, in whole frames of 640 B; the first begins at `at_ms`."""

    at_ms: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Typed:
    """A turn in writing, in one line."""

    text: str


@dataclass(frozen=True, slots=True)
class Quiet:
    """The page is there, and has no sound to send."""


Inbound = Connected | Started | Stopped | Ignored | Mark | Hello | Sound | Typed | Interrupt | Played | Quiet


# ── the stream ───────────────────────────────────────────────────────────────────────────────────────────────────────


class _State(Enum):
    NEW = auto()
    OPENING = auto()
    TALKING = auto()
    OVER = auto()


class BrowserStream:
    """One talk in a browser, over one socket."""

    def __init__(self) -> None:
        self.at_ms = 0
        """How much sound has come."""
        self.has_sound = False
        """The client has sent sound, so time is told by that alone."""
        self._state = _State.NEW
        self._rate_hz = PCM_HZ
        self._resampler = Resampler(PCM_HZ, PCM_HZ)
        self._framer = Framer(PCM_FRAME_BYTES, b"\0")
        self._playing = Playing()
        self._texts: dict[str, str] = {}
        self._reply = ""
        self._first = 0
        self._heard_text = ""

    # What comes in

    def receive(self, message: str | bytes, latest_ms: int | None = None) -> list[Inbound]:
        """Read one message of the socket (str for a text frame, bytes for a binary one). BadMessage.

        Sound that would end after `latest_ms` is one too.
        """
        parsed = wire.parse(message)
        match parsed:
            case wire.Init(config, session_id):
                return [self._init(config, session_id)]
            case wire.Audio(audio, heard):
                if self._state is _State.OPENING:
                    return [Ignored("sound before the talk")]
                self._need_talk()
                if len(audio) % 2:
                    raise BadMessage(Fault.INVALID_AUDIO, "audio")
                if latest_ms is not None and self.at_ms + len(audio) * 500 // self._rate_hz > latest_ms:
                    raise BadMessage(Fault.TOO_FAST)
                quiet = [Quiet()] if self.has_sound and not audio else []
                return [*quiet, *self._playing.heard(heard, self.at_ms), *self._sound(audio)]
            case wire.Text(text):
                self._need_talk()
                line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
                return [Typed(line)] if line else [Ignored("nothing that could be read")]
            case wire.Stop(heard):
                self._need_talk()
                return [*self._playing.heard(heard, self.at_ms, at_once=True), Interrupt()]
            case wire.End():
                self._need_talk()
                self._state = _State.OVER
                return [Stopped()]

    def refuse(self) -> None:
        """The talk that `Hello` asked for cannot be had: another init may follow."""
        if self._state is not _State.OPENING:
            raise LocalProtocolError(f"an init refused while {self._state.name}")
        self._state = _State.NEW

    def begin(self, call_sid: str, token: str, first: int = 0) -> Started:
        """The talk that `Hello` asked for begins, as a call of this sid.

        `first` is added to the numbers of replies on the wire, so that no sentence of a talk that goes on has the name
        of one that was sent on another socket.
        """
        if self._state is not _State.OPENING:
            raise LocalProtocolError(f"a talk begun while {self._state.name}")
        self._state = _State.TALKING
        self._first = first
        return Started(call_sid, call_sid, "", {"token": token})

    def silence(self, ms: int) -> list[Inbound]:
        """Let so much silence pass, while no sound has come."""
        if self._state is not _State.TALKING or self.has_sound:
            return []
        return self._frames(bytes(PCM_FRAME_BYTES * (ms // FRAME_MS)))

    # What goes out

    def connected(self, session_id: str, *, resumed: bool) -> str:
        """The message that answers init."""
        return wire.encode(wire.ConnectedTo(session_id, resumed)).decode()

    def caption(self, sentence: str, text: str) -> None:
        """What a sentence says that will be sent; it goes out with its first sound."""
        self._texts[sentence] = text

    def media(self, sound: bytes, sentence: str = "") -> str:
        """The message that plays whole frames of 960 B, at 24 kHz, of a sentence, after all that was sent before."""
        if not sound or len(sound) % WIDE.frame_bytes:
            raise LocalProtocolError(f"audio goes out in whole frames of {WIDE.frame_bytes} bytes, not {len(sound)}")
        self._need_to_send("audio")
        text = ""
        on_the_wire = self._on_the_wire(sentence)
        if self._playing.last != sentence:
            text = self._texts.pop(sentence, "")
            self._playing.add(sentence, on_the_wire, text)
            self._reply = self._reply if sentence.startswith(ASIDE) else sentence.partition(":")[0]
        self._playing.sound(len(sound) // WIDE.frame_bytes * FRAME_MS, self.at_ms)
        return wire.encode(wire.Sounds(sound, on_the_wire, text)).decode()

    def mark(self, name: str) -> str:
        """The sentence that was sent last is whole. Nothing is sent: what the page tells is echo enough."""
        self._need_to_send("mark")
        if self._playing.last == name.removesuffix(ASIDE_END):
            self._playing.whole(self.at_ms)
        return ""

    def stopping(self, reply: int, heard: str) -> None:
        """A reply is about to be stopped, of which so much was heard."""
        self._texts = {name: text for name, text in self._texts.items() if not name.startswith(f"{reply}:")}
        if self._reply == str(reply):
            self._heard_text = heard

    def clear(self) -> str:
        """The message that has the page drop all that it has not played."""
        self._need_to_send("interrupted")
        self._playing.clear()
        heard, self._heard_text = self._heard_text, ""
        return wire.encode(wire.Interrupted(heard)).decode()

    @property
    def unplayed_ms(self) -> int | None:
        """How much of what was sent the page has not played, as far as it has told; None: it does not tell."""
        return self._playing.unplayed_ms(self.at_ms)

    # ── small things ─────────────────────────────────────────────────────────────────────────────────────────────

    def _init(self, config: Config, session_id: str | None) -> Hello:
        if self._state is not _State.NEW:
            raise BadMessage(Fault.WRONG_ORDER)
        self._state = _State.OPENING
        rate_hz = round(config.sample_rate / RATE_STEP_HZ) * RATE_STEP_HZ
        self._rate_hz = rate_hz
        self._resampler = Resampler(rate_hz, PCM_HZ)
        return Hello(config, session_id.lower() if session_id else None)

    def _on_the_wire(self, sentence: str) -> str:
        kind = ASIDE if sentence.startswith(ASIDE) else ""
        number, colon, rest = sentence.removeprefix(kind).partition(":")
        return f"{kind}{int(number) + self._first}{colon}{rest}"

    def _need_talk(self) -> None:
        if self._state is not _State.TALKING:
            raise BadMessage(Fault.WRONG_ORDER)

    def _need_to_send(self, what: str) -> None:
        if self._state is not _State.TALKING:
            raise LocalProtocolError(f"{what} sent while {self._state.name}")

    def _sound(self, pcm: bytes) -> list[Inbound]:
        self.has_sound = self.has_sound or bool(pcm)
        return self._frames(self._framer.push(self._resampler.push(pcm)))

    def _frames(self, pcm: bytes) -> list[Inbound]:
        """The frames, if there are any, and what is due of the sentences that play."""
        found: list[Inbound] = []
        if pcm:
            found.append(Sound(self.at_ms, pcm))
            self.at_ms += len(pcm) // PCM_FRAME_BYTES * FRAME_MS
        return [*found, *self._playing.due(self.at_ms)]
