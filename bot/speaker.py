"""What the bot says: each reply has one task that makes it, until it is done or stopped.

It must not know why something is said, or what was said before.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial

from bot.conversation.commands import (
    ChangeManner,
    Interject,
    Manner,
    Pause,
    Play,
    Prepare,
    Reply,
    Resume,
    Say,
    StopSpeaking,
)
from bot.conversation.events import Event
from bot.making import Making
from bot.playout import Playout
from bot.services.replies import Replies
from bot.services.tts import Voice

Speech = Reply | Say | Prepare | Play | Pause | Resume | Interject | ChangeManner | StopSpeaking

Spawn = Callable[[Coroutine[None, None, None]], asyncio.Task[None] | None]
"""Runs something as long as the call lives; None: the call is over."""


class Speaker:
    """One call's speaker."""

    def __init__(
        self, replies: Replies, voice: Voice, playout: Playout, emit: Callable[[Event], None], spawn: Spawn
    ) -> None:
        self._replies = replies
        self._voice = voice
        self._playout = playout
        self._emit = emit
        self._spawn = spawn
        self._manner = Manner()
        self._live: int | None = None
        self._making: dict[int, tuple[Making, asyncio.Task[None]]] = {}
        self._warming: dict[str, asyncio.Task[None]] = {}

    def carry_out(self, command: Speech) -> None:
        """Do what the core decided; nothing of it waits."""
        match command:
            case Reply(reply) | Say(reply):
                self._go_live(reply)
                self._playout.begin(reply)
                self._make(command)
            case Prepare(reply):
                self._playout.prepare(reply)
                self._make(command)
            case Play(reply):
                if made := self._making.get(reply):
                    self._go_live(reply)
                    self._playout.play(reply)
                    made[0].play()
            case Pause(reply):
                self._playout.pause(reply)
            case Resume(reply):
                self._playout.resume(reply)
            case StopSpeaking(reply):
                self._cancel(reply)
                self._playout.stop(reply)
                self.warm()
            case Interject(text):
                if frames := self._voice.cached(text, self._manner):
                    self._playout.interject(frames)
            case ChangeManner(manner):
                self._manner = manner

    def warm(self) -> None:
        """Have connections to the model and the voice opened before they are needed."""
        for name, warm in (("model", self._replies.warm), ("voice", self._voice.warm)):
            if name not in self._warming and (task := self._spawn(warm())):
                self._warming[name] = task
                task.add_done_callback(partial(self._warmed, name))

    def _warmed(self, name: str, _: asyncio.Task[None]) -> None:
        del self._warming[name]

    def close(self) -> None:
        """Stop whatever is in the making."""
        for task in (*(task for _, task in self._making.values()), *self._warming.values()):
            task.cancel()

    def _go_live(self, reply: int) -> None:
        """One reply is heard: what was live before it is made no further."""
        if self._live is not None and self._live != reply:
            self._cancel(self._live)
        self._live = reply

    def _make(self, command: Reply | Say | Prepare) -> None:
        making = Making(
            command,
            self._manner,
            replies=self._replies,
            voice=self._voice,
            playout=self._playout,
            emit=self._emit,
        )
        if task := self._spawn(making.run()):
            self._making[command.reply] = making, task
            task.add_done_callback(lambda _: self._making.pop(command.reply))

    def _cancel(self, reply: int) -> None:
        if made := self._making.get(reply):
            made[1].cancel()
