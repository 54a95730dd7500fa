"""How a reply is made: the model's pieces one after the other, and the voice of each while the one before is queued.

It knows the model, the voice and the playout; it must not know why something is said, or when it is heard.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

from bot.conversation.commands import Manner, Prepare, Reply, Say
from bot.conversation.events import Event, FirstAudio, FirstToken, SentenceMade
from bot.conversation.splitting import ending_mark
from bot.playout import Playout
from bot.services.replies import Replies
from bot.services.tts import Voice

AHEAD_CHUNKS = 200
"""So much of a voice may wait until the piece before it is queued: about a sentence."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece of a reply and its sound, None behind the last of it."""

    index: int
    text: str
    sound: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(AHEAD_CHUNKS))


class Making:
    """One reply in the making. What is prepared is made to the end of its first sentence, and on once it is played."""

    def __init__(
        self,
        command: Reply | Say | Prepare,
        manner: Manner,
        *,
        replies: Replies,
        voice: Voice,
        playout: Playout,
        emit: Callable[[Event], None],
    ) -> None:
        self._command = command
        self._manner = manner
        self._replies = replies
        self._voice = voice
        self._playout = playout
        self._emit = emit
        self._sounds = False
        self._played = asyncio.Event()
        if not isinstance(command, Prepare):
            self._played.set()

    def play(self) -> None:
        """It may be heard: make all of it."""
        self._played.set()

    async def run(self) -> None:
        """Hand all of it to the playout; cancel it to stop in the middle."""
        ahead: asyncio.Queue[_Piece | None] = asyncio.Queue(1)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read(ahead, tasks))
            while (piece := await ahead.get()) is not None:
                async with aclosing(self._sound(piece)) as frames:
                    await self._playout.sentence(self._command.reply, piece.index, frames)
        self._playout.end(self._command.reply)

    async def _read(self, ahead: asyncio.Queue[_Piece | None], tasks: asyncio.TaskGroup) -> None:
        """Begin the voice of each piece once the piece before it is the one being queued."""
        async with aclosing(self._pieces()) as pieces:
            async for piece in pieces:
                await ahead.put(piece)
                tasks.create_task(self._speak(piece))
        await ahead.put(None)

    async def _pieces(self) -> AsyncGenerator[_Piece]:
        command = self._command
        known = command.sentences if isinstance(command, Say) else command.lead
        for index, text in enumerate(known):
            yield _Piece(index, text)
        if isinstance(command, Say):
            return
        index = len(known)
        answer = self._replies.begin(command.history, on_first_token=partial(self._emit, FirstToken(command.reply)))
        async with aclosing(answer.pieces()) as texts:
            try:
                async for text in texts:
                    self._emit(SentenceMade(command.reply, index, text))
                    yield _Piece(index, text)
                    index += 1
                    if ending_mark(text):
                        await self._played.wait()
                await self._played.wait()
            finally:
                if self._played.is_set():
                    answer.kept()

    async def _speak(self, piece: _Piece) -> None:
        async with aclosing(self._voice.frames(piece.text, self._manner)) as frames:
            async for chunk in frames:
                await piece.sound.put(chunk)
        await piece.sound.put(None)

    async def _sound(self, piece: _Piece) -> AsyncGenerator[bytes]:
        while (chunk := await piece.sound.get()) is not None:
            if not self._sounds:
                self._sounds = True
                self._emit(FirstAudio(self._command.reply))
            yield chunk
