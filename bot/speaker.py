"""Makes sound of what the bot says: a reply's sentences one after the other, each as fast as its voice can be made.

It knows the model, the voice and the playout; it must not know why something is said.
"""

from collections.abc import Callable
from contextlib import aclosing

from bot.conversation.commands import Reply, Say
from bot.conversation.events import Event, SentenceMade
from bot.playout import Playout
from bot.services.replies import Replies
from bot.services.tts import Voice


class Speaker:
    """One call's speaker."""

    def __init__(self, replies: Replies, voice: Voice, playout: Playout, emit: Callable[[Event], None]) -> None:
        self._replies = replies
        self._voice = voice
        self._playout = playout
        self._emit = emit

    async def speak(self, command: Reply | Say) -> None:
        """Hand all of a reply to the playout; cancel it to stop in the middle."""
        known = command.sentences if isinstance(command, Say) else command.lead
        for index, sentence in enumerate(known):
            await self._say(command.reply, index, sentence)
        if isinstance(command, Reply):
            await self._answer(command)
        self._playout.end(command.reply)

    async def _answer(self, command: Reply) -> None:
        index = len(command.lead)
        async with aclosing(self._replies.sentences(command.history)) as sentences:
            async for sentence in sentences:
                self._emit(SentenceMade(command.reply, index, sentence))
                await self._say(command.reply, index, sentence)
                index += 1

    async def _say(self, reply: int, index: int, sentence: str) -> None:
        async with aclosing(self._voice.frames(sentence)) as frames:
            await self._playout.sentence(reply, index, frames)
