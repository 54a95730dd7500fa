"""What waits of one reply, in the order in which it will be heard, and how far it was fed.

Pure: it must not know the clock, the stream's protocol, or whether it is this reply's turn to be heard.
"""

from collections import deque
from dataclasses import dataclass

from bot.audio.forms import TELEPHONE, Form
from bot.audio.frames import FRAME_MS
from bot.conversation.events import AudioSent

QUEUE_MS = 60_000
"""So much sound may wait; then the voice waits."""


@dataclass(frozen=True, slots=True)
class Begin:
    """The sound of sentence `index` comes next."""

    index: int


@dataclass(frozen=True, slots=True)
class End:
    """Sentence `index` is over; it lasts `audio_ms`."""

    index: int
    audio_ms: int


@dataclass(frozen=True, slots=True)
class Over:
    """No more sentences will come."""


Item = bytes | Begin | End | Over


class Track:
    """Reply `reply`: sound goes in as it is made, and comes out in pieces of any size."""

    def __init__(self, reply: int, form: Form = TELEPHONE) -> None:
        self._form = form
        self._most_bytes = QUEUE_MS // FRAME_MS * form.frame_bytes
        self.reply = reply
        self.is_paused = False
        self.is_dropped = False
        self.is_over = False
        self.index: int | None = None
        """The sentence that was begun last."""
        self.untold_ms = 0
        """Sound of it that was taken since `progress` was asked."""
        self._items: deque[Item] = deque()
        self._waiting_bytes = 0
        self._making = -1
        self._made_bytes = 0
        self._taken_bytes = 0
        self._audio_ms: int | None = None

    @property
    def is_full(self) -> bool:
        """Whether the voice must wait."""
        return self._waiting_bytes > self._most_bytes

    @property
    def is_ready(self) -> bool:
        """Whether there is something to take: no sound while it is paused, but what stands before the next sound."""
        return bool(self._items) and not (self.is_paused and self.next_is_sound)

    @property
    def next_is_sound(self) -> bool:
        """Whether the next item is sound, or the beginning of some."""
        return bool(self._items) and isinstance(self._items[0], bytes | Begin)

    def add(self, index: int, chunk: bytes) -> None:
        """Put sound of sentence `index` behind all that waits."""
        if index != self._making:
            self._making, self._made_bytes = index, 0
            self._items.append(Begin(index))
        self._made_bytes += len(chunk)
        self._waiting_bytes += len(chunk)
        self._items.append(chunk)

    def finish(self, index: int) -> None:
        """All of sentence `index` is there; one without sound leaves no trace."""
        if index == self._making:
            self._items.append(End(index, self._form.length_ms(self._made_bytes)))

    def end(self) -> None:
        """No more sentences will come."""
        self._items.append(Over())

    def take(self, limit_bytes: int) -> Item:
        """Take what is next; of sound no more than `limit_bytes`."""
        item = self._items.popleft()
        match item:
            case bytes():
                if len(item) > limit_bytes:
                    self._items.appendleft(item[limit_bytes:])
                    item = item[:limit_bytes]
                self._waiting_bytes -= len(item)
                self._taken_bytes += len(item)
                self.untold_ms += self._form.length_ms(len(item))
            case Begin(index):
                self.index, self._audio_ms = index, None
                self._taken_bytes = self.untold_ms = 0
            case End(_, audio_ms):
                self._audio_ms = audio_ms
            case Over():
                self.is_over = True
        return item

    def progress(self, ahead_ms: int) -> AudioSent | None:
        """How much was taken of the sentence that was begun last; None: nothing of any."""
        if self.index is None or not self._taken_bytes:
            return None
        self.untold_ms = 0
        audio_ms = self._audio_ms
        if audio_ms is None:
            audio_ms = next((item.audio_ms for item in self._items if isinstance(item, End)), None)
        return AudioSent(self.reply, self.index, self._form.length_ms(self._taken_bytes), ahead_ms, audio_ms)
