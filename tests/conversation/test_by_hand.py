"""What is done on a page: turns that are typed, and a button that makes the bot be quiet."""

import pytest

from bot.conversation.commands import (
    Command,
    HangUp,
    KeepHeard,
    KeepSaid,
    Resume,
    Say,
    Status,
    StopSpeaking,
    WriteEntry,
)
from bot.conversation.events import (
    AudioSent,
    CallerGone,
    CallStarted,
    Draining,
    EntryWritten,
    Final,
    Interim,
    MarkEchoed,
    ReplyEnded,
    SentenceSent,
    SentenceStarted,
    SpeechStarted,
    StopPressed,
    SttLoss,
    SttLost,
    TurnTyped,
)
from bot.conversation.floor import State
from bot.conversation.lines import LINES
from bot.conversation.talk_lines import BROWSER, TELEPHONE
from bot.conversation.turns import Turns
from tests.conversation.line import DAY, Line, at_approval, at_the_entry, in_read_back, statuses, talked


@pytest.fixture
def spoken_to(line: Line) -> Line:
    """The bot is in the middle of its answer, of which one sentence was heard."""
    line.says(DAY)
    line.bot_begins("그러셨군요.", "그다음에는요?")
    line.bot_finishes(1)
    line.tell(AudioSent(line.live().reply, 1, 400, 200, 2_000))
    return line


def test_a_turn_that_is_typed_is_answered_at_once(line: Line) -> None:
    line.tell(TurnTyped("오늘은 영화를 봤어요"))
    assert line.turns.state is State.THINKING
    assert line.all(KeepSaid)[-1] == KeepSaid(0, "오늘은 영화를 봤어요", line.now, line.now)
    assert line.answers()[-1].history[-1].text == "오늘은 영화를 봤어요"


def test_typed_words_end_the_turn_that_is_being_spoken(line: Line) -> None:
    line.begins("오늘은 영화를")
    line.tell(TurnTyped("혼자 봤어요"))
    assert [said.text for said in line.all(KeepSaid)] == ["오늘은 영화를 혼자 봤어요"]
    line.tell(Final((1, line.utterance), "오늘은 영화를"))
    line.bot_speaks("그러셨군요.")
    assert [said.text for said in line.all(KeepSaid)] == ["오늘은 영화를 혼자 봤어요"]


def test_typing_breaks_the_bot_off_as_words_do(spoken_to: Line) -> None:
    stopped = spoken_to.live().reply
    assert StopSpeaking(stopped) in spoken_to.tell(TurnTyped("영화도 봤어요"))
    assert spoken_to.all(KeepHeard)[-1] == KeepHeard(0, "그러셨군요.")
    assert spoken_to.answers()[-1].history[-1].text == "영화도 봤어요"
    assert [said.turn for said in spoken_to.all(KeepSaid)] == [0, 1]


def test_typing_before_the_answer_is_heard_goes_on_with_the_same_turn(line: Line) -> None:
    line.says(DAY)
    line.tell(TurnTyped("영화도 봤어요"))
    said = line.all(KeepSaid)
    assert (said[-1].turn, said[-1].text) == (0, f"{DAY} 영화도 봤어요")


def test_typing_over_a_voice_that_has_paused_the_bot_takes_both(spoken_to: Line) -> None:
    spoken_to.tell(SpeechStarted(spoken_to.now))
    spoken_to.wait(100)
    assert spoken_to.turns.state is State.PROBATION
    spoken_to.tell(TurnTyped("영화도 봤어요"))
    assert spoken_to.turns.state is State.THINKING
    assert not spoken_to.all(Resume)


def test_a_typed_sound_of_listening_does_not_make_the_bot_lose_its_place(spoken_to: Line) -> None:
    spoken_to.tell(TurnTyped("네"))
    assert spoken_to.live() == Say(spoken_to.live().reply, ("그다음에는요?",))


def test_an_entry_can_be_approved_in_writing(line: Line) -> None:
    at_approval(line)
    line.tell(TurnTyped("맞아요"))
    assert statuses(line)[-1] is Status.APPROVED
    line.bot_speaks()
    assert line.all(HangUp) == [HangUp("approved")]


def test_real_words_typed_at_the_goodbye_reopen_the_talk(line: Line) -> None:
    at_approval(line)
    line.tell(TurnTyped("맞아요"))
    line.bot_begins()
    line.tell(TurnTyped("참, 저녁에는 책도 읽었어요"))
    assert line.turns.state is State.THINKING
    assert line.answers()[-1].history[-1].text == "참, 저녁에는 책도 읽었어요"
    assert not line.all(HangUp)


def test_a_farewell_typed_at_the_goodbye_does_not(line: Line) -> None:
    at_approval(line)
    line.tell(TurnTyped("맞아요"))
    line.bot_begins()
    line.tell(TurnTyped("안녕히 계세요"))
    assert line.turns.state is State.CLOSING
    line.bot_finishes()
    assert line.all(HangUp) == [HangUp("approved")]


def test_typed_words_that_come_too_late_are_kept_for_the_next_process(line: Line) -> None:
    line.tell(Draining())
    assert line.turns.state is State.LEAVING
    line.tell(TurnTyped(DAY), CallerGone())
    assert [said.text for said in line.all(KeepSaid)] == [DAY]


def test_stop_ends_the_reply_and_the_bot_listens(spoken_to: Line) -> None:
    stopped = spoken_to.live().reply
    commands = spoken_to.tell(StopPressed())
    (stop,) = [command for command in commands if isinstance(command, StopSpeaking)]
    assert (stop.reply, stop.heard) == (stopped, "그러셨군요.")
    assert spoken_to.turns.state is State.LISTENING
    assert spoken_to.all(KeepHeard)[-1] == KeepHeard(0, "그러셨군요.")
    spoken_to.wait(7_900)
    assert len(spoken_to.replies()) == 2
    spoken_to.wait(200)
    assert spoken_to.live() == Say(spoken_to.live().reply, LINES.silence_first)


def test_what_was_stopped_is_not_gone_on_with(spoken_to: Line) -> None:
    spoken_to.tell(StopPressed())
    spoken_to.says("네")
    assert "그다음에는요?" not in str(spoken_to.live())


def test_stop_while_the_bot_still_thinks_ends_that(line: Line) -> None:
    line.says(DAY)
    line.tell(StopPressed())
    assert line.turns.state is State.LISTENING
    line.says("영화도 봤어요")
    assert [said.text for said in line.all(KeepSaid)] == [DAY, "영화도 봤어요"]


def test_stop_while_one_speaks_over_the_bot_leaves_the_turn_to_them(spoken_to: Line) -> None:
    spoken_to.begins("아니 그런데", ms=100)
    spoken_to.tell(StopPressed())
    assert spoken_to.turns.state is State.LISTENING
    assert not spoken_to.all(Resume)


def test_stop_in_the_read_back_leads_to_the_question_it_asks(line: Line) -> None:
    in_read_back(line)
    line.tell(StopPressed())
    line.says("맞아요")
    assert statuses(line)[-1] is Status.APPROVED


def test_stop_while_the_day_is_being_written_waits_for_it(line: Line) -> None:
    talked(line, DAY)
    line.says("오늘은 여기까지 할게")
    line.bot_begins()
    line.tell(StopPressed())
    assert line.turns.state is State.LISTENING
    line.tell(EntryWritten(line.all(WriteEntry)[-1].draft, "친구", "친구를 만났다.", "기쁨"))
    assert line.live().sentences[:1] == LINES.read_back_intro


def test_stop_when_the_entry_is_there_has_it_read(line: Line) -> None:
    at_the_entry(line)
    assert line.live().sentences[:1] == LINES.read_back_intro


def test_stop_at_the_goodbye_is_the_end(line: Line) -> None:
    at_approval(line)
    line.says("맞아요")
    line.bot_begins()
    line.tell(StopPressed())
    assert line.all(HangUp) == [HangUp("approved")]
    assert line.turns.state is State.CLOSED


def test_stop_in_the_greeting_is_no_turn(line: Line) -> None:
    fresh = Line(first_time=True)
    fresh.bot_begins()
    fresh.tell(StopPressed())
    assert fresh.turns.state is State.LISTENING
    assert not fresh.all(KeepSaid)


def test_stop_while_nobody_speaks_changes_nothing(line: Line) -> None:
    assert line.tell(StopPressed()) == []
    assert line.turns.state is State.LISTENING


# ── on a line that is no telephone ───────────────────────────────────────────────────────────────────────────────────


def test_every_line_that_is_worded_anew_is_one_and_nothing_speaks_of_a_telephone() -> None:
    assert set(BROWSER.wording) <= set(LINES.sentences())
    for sentence in BROWSER.worded(tuple(LINES.sentences())):
        assert not any(word in sentence for word in ("전화", "통화", "번을", "눌러", "'삐'", "끊으셔도", "녹음")), (
            sentence
        )
        assert len(sentence) <= 72
    assert TELEPHONE.worded(LINES.greeting_first) is LINES.greeting_first


@pytest.mark.parametrize("loss", SttLoss)
def test_without_a_recogniser_a_browser_is_told_so_and_nothing_is_recorded(loss: SttLoss) -> None:
    turns = Turns(line=BROWSER)
    turns.step(CallStarted(True), 0)
    (said,) = [command for command in turns.step(SttLost(loss), 1_000) if isinstance(command, Say)]
    assert said.sentences[-1] == "잠시 뒤에 다시 찾아와 주세요."
    commands: list[Command] = []
    for index in range(len(said.sentences)):
        commands += turns.step(SentenceStarted(said.reply, index), 1_500)
        commands += turns.step(SentenceSent(said.reply, index, 500), 1_500)
    commands += turns.step(ReplyEnded(said.reply), 1_500)
    for index in range(len(said.sentences)):
        commands += turns.step(MarkEchoed(said.reply, index), 2_000)
    assert HangUp(f"recogniser {loss}") in commands
    assert turns.state is State.CLOSED


def test_a_browser_is_greeted_as_one() -> None:
    turns = Turns(line=BROWSER)
    (greeting,) = [command for command in turns.step(CallStarted(True), 0) if isinstance(command, Say)]
    assert greeting.sentences[0] == "안녕하세요, 이야기로 쓰는 일기예요."
    assert greeting.sentences[1:] == LINES.greeting_first[1:]


def test_interims_do_not_stand_in_the_way(line: Line) -> None:
    line.tell(Interim((1, 1), "오늘"))
    line.tell(TurnTyped("영화를 봤어요"))
    assert line.all(KeepSaid)[-1].text == "오늘 영화를 봤어요"
