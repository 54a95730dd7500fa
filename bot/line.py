"""The lines that a call can be on: what a telephone's media socket and a browser's have not in common.

A line reads and builds the messages of its socket, and knows how the bot sounds on it. It must not know the talk, or
when anything is sent.
"""

import time
from collections.abc import Sequence
from enum import Enum, auto
from typing import Protocol

from bot.audio import forms
from bot.audio.forms import Form
from bot.close_codes import BROKEN, GOING_AWAY, NORMAL, POLICY
from bot.conversation import talk_lines
from bot.conversation.commands import Command, HangUp, Prepare, Reply, Say, StopSpeaking
from bot.conversation.events import Event, Final, Interim, SentenceMade
from bot.conversation.talk import Inbound, mark_name
from bot.conversation.talk_lines import TalkLine
from bot.errors import RemoteProtocolError
from bot.playout import LEAD_MS, Stream
from bot.protocols.browser import BrowserStream, Quiet, Sound, Typed
from bot.protocols.browser_messages import BadMessage, Config, Fault, failure, transcript
from bot.protocols.playing import Played
from bot.protocols.rtzr import KOREAN, Options, options_for
from bot.protocols.twilio import MediaStream
from bot.services.tts import Voice

OVERTAKEN = 4001
"""The talk goes on over another socket: a page that took it back by itself would take it from another window."""

BROWSER_LEAD_MS = 240
"""More than on a telephone: between us and the page is a network without a jitter buffer of its own."""

LONGEST_QUIET_S = 120.0
"""So long a page that is there may send no sound: a telephone call has its microphone, or the browser wants a touch."""

MOST_AHEAD_MS = 30_000
"""So much more sound than time may have gone by: what a page had kept while its network was away."""

LETTERS_AT_ONCE, LETTERS_A_S = 3_000, 20.0
"""So much may be typed at once, and then as fast as a quick hand does: a turn that grows is looked at as a whole each
time, and so are the calls kept waiting."""


class Close(Enum):
    """Why a call closes its socket."""

    OVER = auto()
    """The talk is over."""
    LEAVES = auto()
    """The process goes away; another one goes on with the talk."""
    FAULTS = auto()
    """Too many messages broke the protocol."""
    BROKEN = auto()
    """This stream cannot go on; the talk may."""
    OVERTAKEN = auto()
    """Another stream goes on with the talk."""
    REFUSED = auto()
    """The stream was not let in, or cannot be now."""


class Line(Protocol):
    """One socket, with what is known of its kind."""

    door: str
    """One of `metrics.DOORS`."""
    voice: Voice
    form: Form
    lead_ms: int
    kind: TalkLine
    recogniser: Options
    is_journalled: bool

    @property
    def stream(self) -> Stream:
        """What builds the messages of sound."""

    @property
    def has_sound(self) -> bool:
        """Whether time is told by the sound that comes; else silence has to be let pass."""

    def receive(self, message: str | bytes) -> Sequence[Inbound]:
        """Read one message. RemoteProtocolError."""

    def silence(self, ms: int) -> Sequence[Inbound]:
        """Let so much silence pass."""

    def unplayed_ms(self) -> int | None:
        """How much of the bot's sound waits at the ear, if the ear tells."""

    def besides(self, what: Inbound | Event | Command) -> Sequence[str]:
        """The messages that are sent besides sound, for something that happened or was decided."""

    def answer(self, error: RemoteProtocolError, *, last: bool) -> Sequence[str]:
        """The messages that answer one that broke the protocol; `last`: the socket is closed for it."""

    def refusal(self) -> Sequence[str]:
        """The messages for a stream that was not let in."""

    def close_code(self, why: Close) -> int:
        """The code that the socket is closed with."""


class PhoneLine:
    """Twilio's media socket."""

    door = "telephone"
    form = forms.TELEPHONE
    lead_ms = LEAD_MS
    kind = talk_lines.TELEPHONE
    recogniser = KOREAN
    is_journalled = True
    has_sound = True

    def __init__(self, voice: Voice) -> None:
        self.voice = voice
        self.stream = MediaStream()

    def receive(self, message: str | bytes) -> Sequence[Inbound]:
        """Read one message of Media Streams."""
        return (self.stream.receive(message),)

    def silence(self, ms: int) -> Sequence[Inbound]:
        """There is always sound."""
        return ()

    def unplayed_ms(self) -> int | None:
        """Twilio tells nothing but marks."""
        return None

    def besides(self, what: Inbound | Event | Command) -> Sequence[str]:
        """Nothing can be sent but sound."""
        return ()

    def answer(self, error: RemoteProtocolError, *, last: bool) -> Sequence[str]:
        """Twilio takes no complaints."""
        return ()

    def refusal(self) -> Sequence[str]:
        """Twilio is told nothing."""
        return ()

    def close_code(self, why: Close) -> int:
        """Twilio asks what comes next, however the socket is closed."""
        return POLICY if why is Close.REFUSED else NORMAL


class BrowserLine:
    """The socket of a page, on which `stream` has already said hello."""

    door = "browser"
    form = forms.WIDE
    lead_ms = BROWSER_LEAD_MS
    kind = talk_lines.BROWSER
    is_journalled = False

    def __init__(self, stream: BrowserStream, config: Config, voice: Voice) -> None:
        self.stream = stream
        self.voice = voice
        self.recogniser = options_for(config.language, whisper=config.use_whisper)
        self._began_s = self._typed_at_s = self._sounded_at_s = time.monotonic()
        self._letters = float(LETTERS_AT_ONCE)

    @property
    def has_sound(self) -> bool:
        """Who only types sends none."""
        return self.stream.has_sound

    def receive(self, message: str | bytes) -> Sequence[Inbound]:
        """Read one message of the page. BadMessage."""
        now_s = time.monotonic()
        inbounds = self.stream.receive(message, round((now_s - self._began_s) * 1000) + MOST_AHEAD_MS)
        for inbound in inbounds:
            if isinstance(inbound, Typed):
                self._count(len(inbound.text))
            elif isinstance(inbound, Sound):
                self._sounded_at_s = now_s
        if now_s - self._sounded_at_s > LONGEST_QUIET_S:
            return [inbound for inbound in inbounds if not isinstance(inbound, Quiet)]
        return inbounds

    def _count(self, letters: int) -> None:
        now_s = time.monotonic()
        room = min(LETTERS_AT_ONCE, self._letters + (now_s - self._typed_at_s) * LETTERS_A_S)
        self._letters, self._typed_at_s = room, now_s
        if letters > room:
            raise BadMessage(Fault.TOO_FAST)
        self._letters -= letters

    def silence(self, ms: int) -> Sequence[Inbound]:
        """Let so much silence pass while nothing is heard of the person."""
        return self.stream.silence(ms)

    def unplayed_ms(self) -> int | None:
        """What the page has told."""
        return self.stream.unplayed_ms

    def besides(self, what: Inbound | Event | Command) -> Sequence[str]:
        """What was said by either side, and what keeps the talk from going on."""
        match what:
            case Played(begun):
                return [transcript("bot", text, final=True) for text in begun]
            case Typed(text) | Final(_, text) if text:
                return (transcript("user", text, final=True),)
            case Interim(_, text):
                return (transcript("user", text, final=False),)
            case SentenceMade(reply, index, text):
                self.stream.caption(mark_name(reply, index), text)
            case Say(reply, sentences) | Reply(reply, _, sentences) | Prepare(reply, _, sentences):
                for index, sentence in enumerate(sentences):
                    self.stream.caption(mark_name(reply, index), sentence)
            case StopSpeaking(reply, heard):
                self.stream.stopping(reply, heard)
            case HangUp(why) if why.startswith("recogniser"):
                return (failure(Fault.RECOGNISER_UNAVAILABLE),)
        return ()

    def answer(self, error: RemoteProtocolError, *, last: bool) -> Sequence[str]:
        """What is wrong with a message."""
        said = [failure(error.fault, error.where)] if isinstance(error, BadMessage) else []
        return [*said, failure(Fault.TOO_MANY_FAULTS)] if last else said

    def refusal(self) -> Sequence[str]:
        """The diary could not be asked, or another window was quicker: the page may try again."""
        return (failure(Fault.STORE_UNAVAILABLE),)

    def close_code(self, why: Close) -> int:
        """A page comes back by itself unless the talk is over or goes on elsewhere, or it is at fault."""
        codes = {Close.OVER: NORMAL, Close.FAULTS: POLICY, Close.LEAVES: GOING_AWAY, Close.OVERTAKEN: OVERTAKEN}
        return codes.get(why, BROKEN)
