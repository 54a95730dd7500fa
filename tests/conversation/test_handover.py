"""The process goes away: the sentence is finished, and everything is left for the next one."""

import pytest

from bot.conversation.commands import (
    HandOver,
    HangUp,
    KeepHabit,
    KeepHeard,
    KeepSaid,
    KeepStage,
    Pause,
    Reply,
    Resume,
    Say,
    StopSpeaking,
    WriteEntry,
)
from bot.conversation.events import (
    CallerGone,
    Draining,
    Final,
    Interim,
    KeyPressed,
    MarkEchoed,
    ReplyEnded,
    SentenceSent,
    SentenceStarted,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    SttLoss,
    SttLost,
)
from bot.conversation.floor import State
from bot.conversation.habit import PauseHabit
from bot.conversation.handover import HANDOVER_MS
from bot.conversation.lines import LINES
from bot.conversation.snapshot import Snapshot, Stage
from tests.conversation.line import DAY, Line, at_approval, at_the_entry, statuses, talked


def left(line: Line) -> Snapshot:
    """Where the talk was when the call was handed over: kept before the stream may be closed."""
    assert len(line.all(HandOver)) == 1 and not line.all(HangUp)
    assert line.turns.state in (State.LEAVING, State.CLOSED)
    until = line.commands[: line.commands.index(HandOver())]
    kept = [command.snapshot for command in until if isinstance(command, KeepStage)]
    last: Snapshot = line.all(KeepStage)[-1].snapshot
    assert kept[-1].handed_over is last.handed_over
    return last


def speaking(line: Line, *sentences: str) -> int:
    """The caller hears the first of the bot's sentences, and the next are known."""
    line.says(DAY)
    reply = line.bot_makes(*sentences)
    line.tell(SentenceStarted(reply, 0))
    return reply


def test_a_bot_that_listens_hands_over_at_once(line: Line) -> None:
    talked(line, DAY)
    commands = line.tell(Draining())
    assert [type(command) for command in commands] == [KeepStage, HandOver]
    assert left(line) == Snapshot(
        handed_over=True, turn=0, parts=left(line).parts, changes=1, last_said=("그러셨군요.",), stage=Stage.TALK
    )
    assert [part.text for part in left(line).parts] == [DAY]


def test_the_sentence_is_finished_and_no_other_is_begun(line: Line) -> None:
    reply = speaking(line, "그러셨군요.", "무엇을 하셨어요?")
    assert line.tell(Draining()) == []
    assert line.tell(SentenceSent(reply, 0, 1_500))[:1] == [Pause(reply)]
    line.wait(1_500)
    assert not line.all(HandOver)
    line.tell(MarkEchoed(reply, 0))
    assert line.all(StopSpeaking)[-1] == StopSpeaking(reply)
    assert line.all(KeepHeard)[-1] == KeepHeard(0, "그러셨군요.")
    snapshot = left(line)
    assert (snapshot.handed_over, snapshot.answered, snapshot.unheard) == (True, True, ("무엇을 하셨어요?",))


def test_a_sentence_that_is_all_sent_is_still_heard_out(line: Line) -> None:
    reply = speaking(line, "그러셨군요.", "무엇을 하셨어요?")
    line.tell(SentenceSent(reply, 0, 1_500))
    assert Pause(reply) in line.tell(Draining())
    assert not line.all(HandOver)
    line.tell(MarkEchoed(reply, 0))
    assert left(line).unheard == ("무엇을 하셨어요?",)


def test_an_answer_that_has_not_begun_is_left_to_the_next_process(line: Line) -> None:
    line.says(DAY)
    assert line.turns.state is State.THINKING
    line.tell(Draining())
    snapshot = left(line)
    assert (snapshot.turn, snapshot.answered, snapshot.unheard) == (0, False, ())


def test_a_sentence_that_does_not_end_is_cut_in_time(line: Line) -> None:
    reply = speaking(line, "그러셨군요.", "무엇을 하셨어요?")
    line.tell(Draining())
    line.wait(HANDOVER_MS - 20)
    assert not line.all(HandOver)
    line.wait(40)
    assert line.all(StopSpeaking)[-1] == StopSpeaking(reply)
    assert left(line).handed_over


def test_a_caller_may_finish_the_turn_and_the_answer_is_left(line: Line) -> None:
    line.begins(DAY)
    line.tell(Draining())
    line.wait(400)
    assert not line.all(HandOver)
    voiced_until = line.now
    line.wait(200)
    line.tell(SpeechPaused(voiced_until), SpeechStopped(voiced_until))
    line.wait(100)
    line.tell(Final((1, line.utterance), DAY))
    line.wait(1_500)
    assert line.all(KeepSaid)[-1].text == DAY
    snapshot = left(line)
    assert (snapshot.handed_over, snapshot.turn, snapshot.answered) == (True, 0, False)
    assert line.tell(CallerGone()) == []


def test_a_caller_who_talks_on_is_cut_off_and_their_words_are_kept(line: Line) -> None:
    line.begins("오늘은 친구를 만났는데")
    line.tell(Draining())
    for _ in range(HANDOVER_MS // 1_000 + 1):
        line.wait(1_000)
        line.tell(SpeechPaused(line.now), SpeechResumed())
        line.tell(Interim((1, line.utterance), f"오늘은 친구를 만났는데 {line.now}"))
    assert left(line).handed_over is False
    line.tell(Final((1, line.utterance), "오늘은 친구를 만났는데 글쎄"))
    line.tell(CallerGone())
    assert [said.text for said in line.all(KeepSaid)] == ["오늘은 친구를 만났는데 글쎄"]
    snapshot = left(line)
    assert (snapshot.handed_over, snapshot.turn, snapshot.answered) == (False, 0, True)


def test_words_that_come_after_the_hand_over_are_a_turn_that_waits_for_its_answer(line: Line) -> None:
    talked(line, DAY)
    line.tell(Draining())
    line.tell(SpeechStarted(line.now), Interim((1, 900), "영화도"), Final((1, 900), "영화도 봤어요"))
    commands = line.tell(CallerGone())
    assert [said.text for said in commands if isinstance(said, KeepSaid)] == ["영화도 봤어요"]
    assert not [command for command in commands if isinstance(command, Reply | Say | HangUp)]
    snapshot = left(line)
    assert (snapshot.handed_over, snapshot.turn, snapshot.answered) == (True, 1, False)
    assert line.turns.state is State.CLOSED


def test_a_wish_that_comes_after_the_hand_over_is_granted(line: Line) -> None:
    talked(line, DAY, "회사에서 잘렸어요")
    line.tell(Draining())
    line.tell(Final((1, 900), "방금 한 말은 빼 줘"))
    line.tell(CallerGone())
    snapshot = left(line)
    assert [part.text for part in snapshot.parts] == [DAY]
    assert "잘렸" not in repr(snapshot) and snapshot.unheard == LINES.off_record


def test_nothing_more_happens_once_the_call_is_handed_over(line: Line) -> None:
    talked(line, DAY)
    line.tell(Draining())
    assert line.tell(SpeechStarted(line.now), KeyPressed("#"), Draining(), SttLost(SttLoss.FULL)) == []
    assert line.wait(60_000) == []
    assert line.tell(CallerGone()) == [] and line.turns.state is State.CLOSED


def test_a_cough_does_not_make_the_bot_begin_another_sentence(line: Line) -> None:
    reply = speaking(line, "그러셨군요.", "무엇을 하셨어요?")
    line.tell(Draining(), SentenceSent(reply, 0, 1_500))
    line.says(None, ms=200)
    assert not line.all(Resume)
    line.tell(MarkEchoed(reply, 0))
    assert left(line).unheard == ("무엇을 하셨어요?",)


def test_a_pause_by_a_voice_ends_with_the_sentence_being_finished(line: Line) -> None:
    reply = speaking(line, "그러셨군요.", "무엇을 하셨어요?")
    line.tell(SpeechStarted(line.now), Draining())
    line.wait(2_600)
    assert line.all(Resume) == [Resume(reply)]
    line.tell(SentenceSent(reply, 0, 1_500))
    assert line.all(Pause)[1:] == [Pause(reply)]
    line.tell(MarkEchoed(reply, 0))
    assert left(line).handed_over


def test_a_goodbye_that_is_being_said_is_finished_and_the_call_ends(line: Line) -> None:
    at_approval(line)
    line.says("맞아요")
    line.bot_begins()
    line.tell(Draining())
    line.bot_finishes(len(LINES.goodbye_kept))
    assert line.all(HangUp) == [HangUp("approved")] and not line.all(HandOver)


def test_a_goodbye_that_takes_too_long_is_left(line: Line) -> None:
    at_approval(line)
    line.says("맞아요")
    line.bot_begins()
    line.tell(Draining())
    line.bot_finishes(1)
    line.wait(HANDOVER_MS)
    snapshot = left(line)
    assert (snapshot.stage, snapshot.unheard) == (Stage.GOODBYE, LINES.goodbye_kept[1:])


def test_a_decision_of_the_last_moment_counts_and_its_goodbye_is_left(line: Line) -> None:
    at_approval(line)
    line.begins("맞아요")
    line.tell(Draining())
    line.tell(SpeechPaused(line.now), SpeechStopped(line.now), Final((1, line.utterance), "맞아요"))
    line.wait(1_500)
    assert str(statuses(line)[-1]) == "approved"
    assert (left(line).stage, left(line).unheard) == (Stage.GOODBYE, LINES.goodbye_kept)


def test_the_entry_is_left_while_it_is_being_written(line: Line) -> None:
    talked(line, DAY)
    line.says("오늘은 여기까지 할게")
    line.tell(Draining())
    snapshot = left(line)
    assert (snapshot.stage, snapshot.draft, snapshot.entry) == (Stage.WRITING, 1, None)
    assert len(line.all(WriteEntry)) == 1


def test_a_read_back_stops_behind_its_sentence(line: Line) -> None:
    at_the_entry(line)
    live = line.live()
    assert isinstance(live, Say)
    line.tell(SentenceStarted(live.reply, 0), Draining(), SentenceSent(live.reply, 0, 900), MarkEchoed(live.reply, 0))
    snapshot = left(line)
    assert (snapshot.stage, snapshot.unheard) == (Stage.APPROVAL, live.sentences[1:])
    assert snapshot.entry and snapshot.entry.title == "친구"


def test_a_recogniser_lost_meanwhile_hands_over_at_once(line: Line) -> None:
    line.begins(DAY)
    line.tell(Draining(), SttLost(SttLoss.UNREACHABLE))
    line.wait(20)
    assert left(line).stage is Stage.TALK and not line.all(Say)[1:]


def test_the_rest_is_recorded_when_that_was_said_in_time(line: Line) -> None:
    talked(line, DAY)
    line.tell(SttLost(SttLoss.UNREACHABLE))
    line.bot_begins()
    line.tell(Draining())
    line.bot_finishes(1)
    line.wait(HANDOVER_MS)
    snapshot = left(line)
    assert (snapshot.stage, snapshot.unheard) == (Stage.TALK, ())


def test_what_was_learned_of_the_pauses_goes_along() -> None:
    line = Line(habit=PauseHabit(400, 400, 3))
    line.bot_speaks()
    line.speech("오늘은 친구를 만났는데")
    line.wait(300)
    line.begins("영화도")
    line.tell(Draining())
    line.wait(HANDOVER_MS)
    assert line.all(KeepHabit) and left(line)


@pytest.mark.parametrize("state", ["greeting", "listening", "thinking"])
def test_a_reply_that_ends_with_nothing_to_say_holds_nothing_up(line: Line, state: str) -> None:
    if state == "greeting":
        line = Line()
    elif state == "thinking":
        line.says(DAY)
    line.tell(Draining(), ReplyEnded(line.live().reply))
    assert left(line).handed_over
