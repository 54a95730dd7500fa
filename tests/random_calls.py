"""A made-up call in virtual time: a caller, a telephone, a recogniser, a model and a voice that follow one seed.

All of the bot but its ears is real: `Call`, its playout and speaker, and the core. Every word is unique, and the sound
of a word carries its name, so what was really heard, said and kept can be compared word by word.
"""

import asyncio
import json
import random
import re
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from types import SimpleNamespace
from typing import Any

from bot.call import Call
from bot.conversation.commands import Command, Exchange, Manner, Mood
from bot.conversation.events import (
    Event,
    Final,
    Interim,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    SttPace,
)
from bot.diary.entries import Entry
from bot.process import Services
from tests.random_diary import CALL, MadeUpStore

STREAM, ACCOUNT = "MZ" + "2" * 32, "AC" + "3" * 32
CONTENT = re.compile(r"일\d+")
"""A word that belongs into the diary."""

FRAME_MS = 20
QUIET = b64encode(b"\xff" * 160).decode()
MEDIA = f'{{"event":"media","streamSid":"{STREAM}","media":{{"timestamp":"%d","payload":"{QUIET}","track":"inbound"}}}}'
"""A frame of the line; what is said on it is known to the ears and the recogniser."""

WISHES = ("다시 말해 줘", "잠깐만", "천천히 말해 줘", "이건 적지 마", "오늘은 여기까지 할게", "맞아요")
LETTER_FRAMES = 8
"""A letter of the voice lasts about 160 ms."""


@dataclass(slots=True)
class Rendition:
    """One sentence, spoken once: its words, and the frame at which each ends."""

    words: list[str]
    ends: list[int]
    played: int = 0
    began: int = 0
    dead: bool = False


class MadeUpVoice:
    """A voice whose frames say which rendition and which frame of it they are."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.renditions: list[Rendition] = []

    def _render(self, sentence: str) -> tuple[int, int]:
        ends, end = [], 1
        for word in sentence.split():
            letters = sum(char.isalnum() for char in word) + 2 * (not word[-1].isalnum())
            end += max(2, round(letters * LETTER_FRAMES * self._dice.uniform(0.85, 1.15)))
            ends.append(end)
        self.renditions.append(Rendition(sentence.split(), ends))
        return len(self.renditions) - 1, end + 2

    async def frames(self, sentence: str, manner: Manner = Manner()) -> AsyncIterator[bytes]:  # noqa: B008
        await asyncio.sleep(self._dice.choice((0.0, 0.15, 0.15, 0.3, 1.0)))
        number, length = self._render(sentence)
        for at in range(0, length, 10):
            yield b"".join(frame(number, index) for index in range(at, min(at + 10, length)))
            await asyncio.sleep(self._dice.choice((0.0, 0.025, 0.1)))

    def cached(self, text: str, manner: Manner = Manner()) -> bytes | None:  # noqa: B008
        return b"\x55" * 160 * 20

    async def warm(self) -> None:
        pass


def frame(rendition: int, index: int) -> bytes:
    """A frame of the voice, 160 bytes."""
    return (rendition.to_bytes(4, "big") + index.to_bytes(4, "big")) * 20


class MadeUpReplies:
    """A model that answers with words of its own, in a clause and one or two sentences."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._words = 0
        self.told_twice: list[str] = []
        self.usage = SimpleNamespace(line=lambda: "")

    async def warm(self) -> None:
        pass

    def begin(self, history: Sequence[Exchange], on_first_token: Callable[[], None] | None = None) -> Any:
        told = [word for exchange in history if exchange.who == "caller" for word in CONTENT.findall(exchange.text)]
        self.told_twice += [word for word in set(told) if told.count(word) > 1]
        return SimpleNamespace(pieces=lambda: self._pieces(on_first_token), kept=lambda: None)

    async def _pieces(self, on_first_token: Callable[[], None] | None) -> AsyncIterator[str]:
        await asyncio.sleep(self._dice.choice((0.05, 0.2, 0.2, 0.5, 2.0)))
        if on_first_token:
            on_first_token()
        for end in self._dice.choice(((",", "."), (",", ".", "?"), (".",), ())):
            await asyncio.sleep(0.02 * self._dice.randrange(10))
            yield " ".join(self._word() for _ in range(self._dice.randint(1, 7))) + end

    def _word(self) -> str:
        self._words += 1
        return "답" * self._dice.randint(1, 3) + str(self._words)


class MadeUpStt:
    """A recogniser that is told what is said; its finals may be late, missing, empty, or split in two."""

    def __init__(self, emit: Callable[[Event], None], world: "World") -> None:
        self.emit = emit
        self._world = world
        self._dice = world.dice
        self._ended = asyncio.Event()
        self._utterance = 1
        self.words: list[str] = []
        self._voiced_ms = 0

    def push(self, pcm: bytes, *, urgent: bool = False) -> None:
        pass

    def speaks(self, word: str | None) -> None:
        """20 ms of voice went by, with which `word` came to its end."""
        if word:
            self.words.append(word)
        self._voiced_ms += FRAME_MS
        if self._voiced_ms % 300 == 0 and self.words and self._dice.random() < 0.9:
            self._tell(Interim((1, self._utterance), " ".join(self.words)), self._dice.choice((0.0, 0.02, 0.2)))

    def finalize(self) -> None:
        if not self.words:
            return
        words, self.words, key = self.words, [], (1, self._utterance)
        self._utterance += 1
        luck = self._dice.random()
        if luck < 0.03:
            return
        delay_s = self._dice.uniform(1.0, 4.0) if luck < 0.08 else self._dice.uniform(0.05, 0.4)
        if luck > 0.95 and len(words) > 1:
            self._tell(Final(key, " ".join(words[:1])), delay_s)
            self._utterance += 1
            key, words = (1, self._utterance - 1), words[1:]
            self._world.moved |= {CONTENT.findall(word)[0] for word in words if CONTENT.match(word)}
        self._tell(Final(key, " ".join(words)), delay_s)

    def _tell(self, event: Interim | Final, delay_s: float) -> None:
        def emit() -> None:
            if not self._ended.is_set():
                if isinstance(event, Final):
                    self._world.recognised += event.text.split()
                self.emit(event)

        asyncio.get_running_loop().call_later(delay_s, emit)

    def dies(self) -> None:
        """The process is gone, and this with it."""
        self._ended.set()

    def end(self) -> None:
        if self.words:
            text = " ".join(self.words)
            self._world.recognised += self.words
            self.emit(Final((1, self._utterance), text))
        self._ended.set()

    async def run(self) -> None:
        self.emit(SttPace(self._dice.choice((180, 250, 400))))
        await self._ended.wait()


class MadeUpEars:
    """In place of the VAD: what the caller does, with an onset of 60 ms, a SOFT stop and a STOP."""

    def __init__(self) -> None:
        self.voiced = False
        self._run_ms = 0
        self._quiet_ms = 0
        self._talking = self._paused = False

    def push(self, pcm: bytes, now_ms: int) -> Iterator[Event]:
        self._run_ms = self._run_ms + FRAME_MS if self.voiced else 0
        self._quiet_ms = 0 if self.voiced else self._quiet_ms + FRAME_MS
        if not self._talking and self._run_ms >= 60:
            self._talking, self._paused = True, False
            yield SpeechStarted(now_ms - 60)
        elif self._talking and self._paused and self.voiced:
            self._paused = False
            yield SpeechResumed()
        elif self._talking and self._quiet_ms == 200:
            self._paused = True
            yield SpeechPaused(now_ms - 200)
        elif self._talking and self._quiet_ms == 280:
            self._talking = False
            yield SpeechStopped(now_ms - 280)


class MadeUpScribe:
    def __init__(self, dice: random.Random) -> None:
        self._dice = dice

    async def write(self, said: Sequence[str], corrections: Sequence[str], day: date) -> Entry:
        await asyncio.sleep(self._dice.choice((0.1, 1.0, 5.0)))
        return Entry("하루", "좋은 하루였다. 잘 잤다.", Mood.JOY)


@dataclass(slots=True)
class Phone:
    """Twilio's end: plays what it gets in real time, gives marks back, and now and then loses one."""

    world: "World"
    queue: list[bytes | str] = field(default_factory=list)
    most_ahead_ms: int = 0
    faults: list[str] = field(default_factory=list)

    def take(self, message: dict[str, Any]) -> None:
        match message:
            case {"event": "media", "media": {"payload": payload}}:
                audio = b64decode(payload)
                self.queue += [audio[at : at + 160] for at in range(0, len(audio), 160)]
                ahead = sum(isinstance(item, bytes) for item in self.queue)
                self.most_ahead_ms = max(self.most_ahead_ms, ahead * FRAME_MS)
            case {"event": "mark", "mark": {"name": name}}:
                self.queue.append(name)
            case {"event": "clear"}:
                marks = [item for item in self.queue if isinstance(item, str)]
                self.queue.clear()
                for rendition in self.world.voice.renditions:
                    rendition.dead = rendition.dead or rendition.played > 0
                for name in marks:
                    self._echo(name)
        self._give_back()

    def tick(self) -> None:
        """Play 20 ms."""
        self.world.frames_played += 1
        self._give_back()
        for item in self.queue:
            if isinstance(item, bytes):
                self.queue.remove(item)
                self._play(item)
                break
        self._give_back()

    def _give_back(self) -> None:
        while self.queue and isinstance(self.queue[0], str):
            self._echo(self.queue.pop(0))

    def _echo(self, name: str) -> None:
        if self.world.dice.random() > 0.02:
            self.world.say({"event": "mark", "mark": {"name": name}}, delay_s=self.world.dice.choice((0.0, 0.05)))

    def _play(self, audio: bytes) -> None:
        if audio == b"\x55" * 160:
            return
        number, index = int.from_bytes(audio[:4], "big"), int.from_bytes(audio[4:8], "big")
        rendition = self.world.voice.renditions[number]
        if rendition.dead:
            self.faults.append(f"sound of rendition {number} after its clear")
        if index != rendition.played:
            self.faults.append(f"rendition {number}: frame {index} after {rendition.played}")
        rendition.began = rendition.began or self.world.frames_played
        rendition.played = index + 1


class World:
    """One call, from `seed`; with more than one of `streams`, each but the last breaks off, and the call goes on."""

    def __init__(self, seed: int, streams: int = 1) -> None:
        self.dice = random.Random(seed)
        self.voice = MadeUpVoice(self.dice)
        self.replies = MadeUpReplies(self.dice)
        self.store = MadeUpStore()
        self.recognised: list[str] = []
        self.died_with: set[str] = set()
        """Words that were recognised and not kept yet when their process died."""
        self.moved: set[str] = set()
        """Words that stood in one utterance's interim and came in the final of the next: they may be taken twice."""
        self.seen: set[str] = set()
        """The kinds of command."""
        self.faults: list[str] = []
        self.most_ahead_ms = 0
        self.frames_played = 0
        self._streams = streams
        self._words = 0
        self._life = self._caller()

    def _stream(self, emit: Callable[[Event], None], **_: Any) -> MadeUpStt:
        self.stt = MadeUpStt(emit, self)
        return self.stt

    async def run(self, longest_s: float) -> None:
        for stream in range(1, self._streams + 1):
            how = "end" if stream == self._streams else self.dice.choice(("kill", "drop", "drain", "drain"))
            await self._one_stream(longest_s if how == "end" else self.dice.uniform(0.2, longest_s), how)
            if self.store.left in ("ended", "to be recorded"):
                break
            await asyncio.sleep(self.dice.uniform(0.5, 2.0))

    async def _one_stream(self, longest_s: float, how: str) -> None:
        self.ears, self.phone, self.at_ms, self._closed = MadeUpEars(), Phone(self), 155, False
        self.stt: MadeUpStt | None = None
        self.store.left = None
        call = self._begin_call()
        running = asyncio.create_task(call.run())
        self.call.receive('{"event":"connected","protocol":"Call","version":"1.0.0"}')
        start = {
            "streamSid": STREAM,
            "callSid": CALL,
            "accountSid": ACCOUNT,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"token": "t"},
        }
        self.say({"event": "start", "sequenceNumber": "1", "start": start})
        await self._until_it_breaks(longest_s, how)
        if how == "kill" and not self._closed:
            if self.stt:
                self.stt.dies()
            running.cancel()
            kept = {word for text in self.store.said() for word in text.split()}
            self.died_with |= {word for word in self.recognised if word not in kept}
        elif not self._closed:
            if how == "end" and self.dice.random() < 0.7:
                self.say({"event": "stop", "stop": {"accountSid": ACCOUNT, "callSid": CALL}})
            call.gone()
        await asyncio.gather(running, return_exceptions=how == "kill")
        self.faults += self.phone.faults
        self.most_ahead_ms = max(self.most_ahead_ms, self.phone.most_ahead_ms)
        for rendition in self.voice.renditions:
            rendition.dead = True

    async def _until_it_breaks(self, longest_s: float, how: str) -> None:
        loop, drained = asyncio.get_running_loop(), False
        breaks_at = loop.time() + longest_s
        for voiced, word in self._life:
            if self._closed or (loop.time() >= breaks_at and (how != "drain" or drained)):
                break
            if loop.time() >= breaks_at:
                drained = True
                breaks_at += 9.0
                self.call.drain()
            await self._frame(voiced, word)

    def _begin_call(self) -> Call:
        services = Services(
            store=self.store,  # type: ignore[arg-type]
            recogniser=SimpleNamespace(stream=self._stream),  # type: ignore[arg-type]
            replies=self.replies,  # type: ignore[arg-type]
            scribe=MadeUpScribe(self.dice),  # type: ignore[arg-type]
            voice=self.voice,  # type: ignore[arg-type]
            max_call_ms=120_000,
        )

        async def send(text: str) -> None:
            if call is self.call and not self._closed:
                self.phone.take(json.loads(text))

        async def close(code: int) -> None:
            if call is self.call:
                self._closed = True
            call.gone()

        call = self.call = Call(services, send, close)
        carry_out = call._carry_out

        def watched(commands: list[Command]) -> None:
            self.seen |= {type(command).__name__ for command in commands}
            carry_out(commands)

        call._carry_out = watched  # type: ignore[method-assign]
        call._talk._vad = self.ears
        call._talk._resampler = SimpleNamespace(push=lambda pcm: pcm)  # type: ignore[assignment]
        return call

    async def _frame(self, voiced: bool, word: str | None) -> None:
        self.ears.voiced = voiced
        if self.stt and word is not None:
            self.stt.speaks(word)
        self.phone.tick()
        self.call.receive(MEDIA % self.at_ms)
        self.at_ms += FRAME_MS
        await asyncio.sleep(FRAME_MS / 1000)

    def _caller(self) -> Iterator[tuple[bool, str | None]]:
        """20 ms after 20 ms: is there a voice, and which word ends now (empty: none; None: no speech at all)."""
        dice = self.dice
        while True:
            yield from self._quiet(dice.choice((0.1, 0.5, 1.0, 1.0, 2.0, 4.0)))
            match dice.choices(("story", "yes", "cough", "noise", "wish", "key"), (10, 3, 3, 1, 2, 1))[0]:
                case "story":
                    for part in range(dice.choice((1, 1, 2, 3))):
                        if part:
                            yield from self._quiet(dice.uniform(0.2, 1.5))
                        yield from self._says([self._word() for _ in range(dice.randint(1, 8))])
                case "yes":
                    yield from self._says([dice.choice(("네", "음", "아", "그렇죠"))])
                case "cough":
                    yield from ((True, None) for _ in range(dice.randint(2, 20)))
                case "noise":
                    yield from ((True, None) for _ in range(dice.randint(50, 300)))
                case "wish":
                    yield from self._says(dice.choice(WISHES).split())
                case "key":
                    self.say({"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": dice.choice("*#129")}})

    def _word(self) -> str:
        self._words += 1
        return f"일{self._words}" + self.dice.choice(("요", "고", "는데", "에서", ""))

    def _says(self, words: list[str]) -> Iterator[tuple[bool, str | None]]:
        for word in words:
            for _ in range(self.dice.randint(8, 25)):
                yield True, ""
            yield True, word

    def _quiet(self, seconds: float) -> Iterator[tuple[bool, str | None]]:
        for _ in range(int(seconds * 50)):
            yield False, None

    def say(self, message: dict[str, Any], *, delay_s: float = 0.0) -> None:
        text = json.dumps(message | {"streamSid": STREAM})
        if delay_s:
            asyncio.get_running_loop().call_later(delay_s, self.call.receive, text)
        else:
            self.call.receive(text)

    def heard_words(self) -> list[str]:
        """Every word of which the ear got half, in the order in which they were played."""
        words = []
        for rendition in sorted(self.voice.renditions, key=lambda each: each.began):
            begin = 1
            for word, end in zip(rendition.words, rendition.ends, strict=True):
                if rendition.played >= (begin + end) / 2:
                    words.append(word)
                begin = end
        return words
