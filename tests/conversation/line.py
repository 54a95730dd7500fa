"""A telephone line to one `Turns`, and the talks that bring it to the places where a test begins."""

from bot.conversation.commands import Command, KeepEntry, Play, Prepare, Reply, Say, Status, WriteEntry
from bot.conversation.events import (
    Before,
    CallStarted,
    EntryWritten,
    Event,
    Final,
    Interim,
    MarkEchoed,
    ReplyEnded,
    SentenceMade,
    SentenceSent,
    SentenceStarted,
    SpeechPaused,
    SpeechStarted,
    SpeechStopped,
    Tick,
    TurnBefore,
)
from bot.conversation.habit import UNKNOWN, PauseHabit
from bot.conversation.turns import Turns

DAY = "오늘은 친구를 만났어요"
"""What a caller tells."""


def before(*said: str, next_turn: int = 0, numbers: tuple[int, ...] = ()) -> Before:
    """What is known of a call of which nobody noted where it was: each turn was answered."""
    turns = zip(numbers or range(len(said)), said, strict=True)
    return Before(tuple(TurnBefore(turn, text, "네.") for turn, text in turns), next_turn or len(said))


class Line:
    """A telephone line to one `Turns`, with the shells played by hand and all commands written down."""

    def __init__(
        self,
        *,
        first_time: bool = False,
        before: Before | None = None,
        habit: PauseHabit = UNKNOWN,
        minutes: int = 30,
    ) -> None:
        self.turns = Turns(max_call_ms=minutes * 60_000)
        self.now = 0
        self.commands: list[Command] = []
        self.utterance = 100
        self.tell(CallStarted(first_time, habit, before))

    def tell(self, *events: Event) -> list[Command]:
        new: list[Command] = []
        for event in events:
            new += self.turns.step(event, self.now)
        self.commands += new
        return new

    def wait(self, ms: int) -> list[Command]:
        new: list[Command] = []
        for _ in range(ms // 20):
            self.now += 20
            new += self.tell(Tick())
        return new

    def all(self, kind: type[Command]) -> list:
        return [command for command in self.commands if isinstance(command, kind)]

    def begins(self, text: str, *, ms: int = 500) -> list[Command]:
        """The caller is in the middle of saying `text`, and the recogniser has an interim of it."""
        self.utterance += 1
        new = self.tell(SpeechStarted(self.now))
        new += self.wait(ms)
        return new + self.tell(Interim((1, self.utterance), text))

    def speech(self, text: str | None, *, ms: int = 1_000) -> list[Command]:
        """The caller speaks; the final comes 170 ms after `Finalize`; `text` None is a noise."""
        self.utterance += 1
        key = (1, self.utterance)
        new = self.tell(SpeechStarted(self.now))
        new += self.wait(ms)
        if text:
            new += self.tell(Interim(key, text))
        voiced_until = self.now
        new += self.wait(200)
        new += self.tell(SpeechPaused(voiced_until))
        new += self.wait(80)
        new += self.tell(SpeechStopped(voiced_until))
        new += self.wait(100)
        if text:
            new += self.tell(Final(key, text))
        return new

    def says(self, text: str | None, *, ms: int = 1_000) -> list[Command]:
        """The caller speaks and waits for the turn to end."""
        return self.speech(text, ms=ms) + self.wait(1_400)

    def replies(self) -> list[Reply | Say]:
        """All that the bot said or began to say; what was prepared counts once it is played."""
        prepared = {command.reply: command for command in self.commands if isinstance(command, Prepare)}
        found: list[Reply | Say] = []
        for command in self.commands:
            if isinstance(command, Play):
                ready = prepared[command.reply]
                found.append(Reply(ready.reply, ready.history, ready.lead))
            elif isinstance(command, Reply | Say):
                found.append(command)
        return found

    def answers(self) -> list[Reply]:
        """The model's replies among them."""
        return [reply for reply in self.replies() if isinstance(reply, Reply)]

    def live(self) -> Reply | Say:
        return self.replies()[-1]

    def bot_makes(self, *sentences: str) -> int:
        """The pieces of the bot's last reply are known, and nothing of it was sent yet; gives its number."""
        reply = self.live().reply
        for index, text in enumerate(sentences):
            self.tell(SentenceMade(reply, index, text))
        return reply

    def bot_begins(self, *sentences: str) -> tuple[str, ...]:
        """The bot's last reply is sent, and none of it has been played."""
        live = self.live()
        texts = live.sentences if isinstance(live, Say) else sentences
        for index, text in enumerate(texts):
            if isinstance(live, Reply):
                self.tell(SentenceMade(live.reply, index, text))
            self.tell(SentenceStarted(live.reply, index), SentenceSent(live.reply, index, 2_000))
        self.tell(ReplyEnded(live.reply))
        return texts

    def bot_finishes(self, upto: int | None = None) -> None:
        live = self.live()
        for index in range(upto if upto is not None else 20):
            self.wait(100)
            self.tell(MarkEchoed(live.reply, index))

    def bot_speaks(self, *sentences: str) -> None:
        texts = self.bot_begins(*sentences)
        self.bot_finishes(len(texts))


def statuses(line: Line) -> list[Status]:
    """What became of the entry, step by step."""
    return [command.status for command in line.all(KeepEntry)]


def talked(line: Line, *texts: str) -> Line:
    for text in texts:
        line.says(text)
        line.bot_speaks("그러셨군요.")
    return line


def at_the_entry(line: Line) -> Line:
    """The day was told and is written; its read-back is about to be spoken."""
    talked(line, DAY)
    line.says("오늘은 여기까지 할게")
    line.bot_speaks()
    line.tell(EntryWritten(line.all(WriteEntry)[-1].draft, "친구", "친구를 만났다. 즐거웠다.", "기쁨"))
    return line


def in_read_back(line: Line) -> Line:
    """The entry is being read back, and only the words before it were heard."""
    at_the_entry(line)
    line.bot_begins()
    line.bot_finishes(1)
    line.wait(600)
    return line


def at_approval(line: Line) -> Line:
    """The entry was read back, and the caller is asked for a decision."""
    at_the_entry(line)
    line.bot_speaks()
    return line
