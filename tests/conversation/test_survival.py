"""Whenever and however a stream ends, the next one goes on with the same talk.

Nothing is lost or doubled, and nothing that was forgotten comes back.
"""

import re
from collections.abc import Iterable

from hypothesis import given, note, settings
from hypothesis import strategies as st

from bot.conversation.commands import (
    ForgetDay,
    ForgetTurn,
    HandOver,
    HangUp,
    KeepSaid,
    KeepStage,
    RecordRest,
    Reply,
    Say,
    WriteEntry,
)
from bot.conversation.events import (
    CallerGone,
    Draining,
    EntryWritten,
    Final,
    Interim,
    KeyPressed,
    MarkEchoed,
    SentenceSent,
    SentenceStarted,
    SpeechPaused,
    SpeechStarted,
    SttLoss,
    SttLost,
)
from bot.conversation.floor import State
from bot.conversation.snapshot import Snapshot, decode
from tests.conversation.kept import Kept
from tests.conversation.line import Line

WISHES = ("다시 말해 줘", "잠깐만", "천천히 말해 줘", "이건 적지 마", "오늘은 여기까지 할게", "맞아요", "네", "지워 줘")
WISHES += ("고칠게", "안녕히 계세요", "음", "하하하", "오늘 거 다 지워 줘", "친구 얘기는 빼 줘", "영화 얘기는 빼 줘")
ACTIONS = st.one_of(
    st.sampled_from(["story", "story", "begins", "speaks", "speaks", "piece", "sent", "cough", "wait", "long"]),
    st.sampled_from(["beside", "behind"]),
    st.sampled_from(["entry", "entry", "interim", "final", "gone quiet", "speech", "starts", "lost"]),
    st.sampled_from(WISHES).map(lambda wish: f"says {wish}"),
    st.sampled_from(WISHES).map(lambda wish: f"begins {wish}"),
    st.sampled_from("*#123").map(lambda digit: f"key {digit}"),
)
ENDS = st.sampled_from(["kill", "kill", "drop", "drop and kill", "drain", "drain and kill"])


class Story:
    """A caller whose every sentence is another, on one stream after the other."""

    def __init__(self) -> None:
        self.kept = Kept()
        self.line = Line(first_time=True)
        self.sentences = 0
        self.committed = 0
        self.last = 0

    def sentence(self) -> str:
        self.sentences += 1
        return f"오늘은 {'가나다라마바사아자차'[self.sentences % 10]}{self.sentences}번째 친구를 만났어요"

    def act(self, action: str) -> None:
        """Something happens on the line."""
        line, self.last = self.line, len(self.line.commands)
        verb, _, text = action.partition(" ")
        match verb:
            case "story":
                line.says(self.sentence())
            case "beside":
                line.says(f"{self.sentence()}. 영화 얘기는 빼 줘.")
            case "behind":
                line.says(f"방금 한 말은 빼 줘. 그리고 {self.sentence()}")
            case "says":
                line.says(text)
            case "speech":
                line.speech(self.sentence())
            case "begins":
                line.begins(text or self.sentence(), ms=300)
            case "starts":
                line.tell(SpeechStarted(line.now))
            case "interim" | "final":
                line.utterance += 1
                kind = Interim if verb == "interim" else Final
                line.tell(kind((1, line.utterance), self.sentence()))
            case "gone":
                line.tell(SpeechPaused(line.now))
                line.wait(300)
            case "speaks":
                line.bot_speaks("그래요.", "어땠어요?")
            case "piece" | "sent":
                reply = line.bot_makes("그래요.", "어땠어요?")
                line.tell(SentenceStarted(reply, 0), SentenceSent(reply, 0, 900))
                if verb == "piece":
                    line.tell(MarkEchoed(reply, 0), SentenceStarted(reply, 1))
            case "cough":
                line.says(None, ms=200)
            case "wait":
                line.wait(700)
            case "long":
                line.wait(9_000)
            case "entry" if written := line.all(WriteEntry):
                body = ". ".join(written[-1].said + written[-1].corrections)
                line.tell(EntryWritten(written[-1].draft, "하루", body, "평온"))
            case "key":
                line.tell(KeyPressed(text))
            case "lost":
                line.tell(SttLost(SttLoss.UNREACHABLE))

    def end(self, how: str, lost: int) -> None:
        """The stream ends; the last `lost` commands of the last act never reach the diary when it is killed."""
        commands = self.line.commands
        if how.startswith("drop"):
            self.last = len(commands)
            self.line.tell(CallerGone())
        elif how.startswith("drain"):
            self.line.tell(Draining())
            self.line.wait(6_040)
            if how == "drain":
                self.line.tell(CallerGone())
        until = max(self.last, len(commands) - lost) if how.endswith("kill") else len(commands)
        self.kept.take(*commands[:until])

    def goes_on(self) -> Snapshot | None:
        """Another stream takes the call up; gives what it began from."""
        began_from = decode(self.kept.stage) if self.kept.stage else None
        self.kept.stream += 1
        self.line = Line(first_time=True, before=self.kept.before())
        self.last = len(self.line.commands)
        return began_from


def numbers(texts: Iterable[str]) -> list[str]:
    """The stories that these texts tell."""
    return sorted(number for text in texts for number in re.findall(r"\d+번째", text))


def check_first_step(story: Story, began_from: Snapshot | None) -> None:
    line, said = story.line, story.kept.said
    assert len([command for command in line.commands if isinstance(command, Reply | Say)]) == 1
    assert not [command for command in line.commands if isinstance(command, HandOver | HangUp | RecordRest | KeepSaid)]
    assert line.turns.state in (State.GREETING, State.THINKING, State.CLOSING)
    if [command for command in line.commands if isinstance(command, ForgetTurn | ForgetDay)]:
        return
    history = [exchange.text for exchange in line.turns.history if exchange.who == "caller"]
    assert history == said, "each turn that was kept is in the history, once and in its place"
    dialogue = line.turns.dialogue
    assert numbers((*dialogue.said, *dialogue.corrections)) == numbers(said), "and so is each story in the day"
    if began_from and line.all(KeepStage)[-1].snapshot.turn == began_from.turn:
        forgotten = any(not any(part.text in text for text in said) for part in began_from.parts)
        assert forgotten or dialogue.stage is began_from.stage


def check_nothing_returns(story: Story) -> None:
    line = story.line
    known = repr((line.commands, line.turns.history, line.turns.dialogue.noted()))
    for text in story.kept.forgotten:
        if "번째" in text:
            assert text not in known, "what was forgotten has come back"


def check_entry(story: Story) -> None:
    if entry := story.kept.entry:
        assert set(numbers(story.kept.said)) <= set(numbers([entry.body])), "an entry stands that does not hold all"


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.lists(ACTIONS, max_size=12), ENDS, st.integers(0, 12)), min_size=1, max_size=4))
def test_the_talk_survives_whatever_happens(streams: list[tuple[list[str], str, int]]) -> None:
    story = Story()
    for actions, how, lost in streams:
        for action in actions:
            story.act(action)
        note(f"{story.line.turns.state} {how}")
        story.end(how, lost)
        check_entry(story)
        if story.kept.ended and how == "drain":
            return
        began_from = story.goes_on()
        check_first_step(story, began_from)
        check_nothing_returns(story)
    comes_to_an_end(story.line)


def comes_to_an_end(line: Line) -> None:
    """Left alone, the talk ends: with a goodbye, and the entry kept that was asked for."""
    told = 0
    for _ in range(12):
        if line.turns.state is State.CLOSED:
            break
        if line.turns.state is not State.LISTENING:
            line.bot_speaks("그래요.")
        written = line.all(WriteEntry)
        if len(written) > told:
            told = len(written)
            line.tell(EntryWritten(written[-1].draft, "하루", "하루를 보냈다.", "평온"))
        line.wait(13_000)
    assert line.turns.state is State.CLOSED
    assert line.all(HangUp) or line.all(RecordRest)
