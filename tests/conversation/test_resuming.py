"""The talk is taken up again: half a sentence, the same stage, and nothing lost or said twice."""

import pytest

from bot.conversation.commands import (
    ChangeManner,
    Exchange,
    ForgetTurn,
    HandOver,
    HangUp,
    KeepEntry,
    KeepSaid,
    KeepStage,
    Reply,
    Say,
    Status,
    WriteEntry,
)
from bot.conversation.dialogue import NOTICE
from bot.conversation.events import (
    Before,
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
    SpeechStopped,
    SttLoss,
    SttLost,
    TurnBefore,
)
from bot.conversation.floor import State
from bot.conversation.lines import LINES
from bot.conversation.resuming import LEAST_MS
from bot.conversation.snapshot import Snapshot, Stage
from tests.conversation.kept import Kept
from tests.conversation.line import DAY, Line, at_approval, at_the_entry, in_read_back, statuses, talked

BROKE = LINES.resumed[:1]


def committed(line: Line, kept: Kept | None = None) -> Kept:
    """What a diary has of the call when the process is killed now."""
    kept = kept or Kept()
    kept.take(*line.commands)
    return kept


def killed(line: Line, *, first_time: bool = False, **diary: bool) -> Line:
    """The process dies without a word, and another one takes the call up."""
    return Line(first_time=first_time, before=committed(line).before(**diary))


def handed_over(line: Line) -> Line:
    """The process is told to go away, and another one takes the call up."""
    line.tell(Draining())
    line.wait(6_020)
    line.tell(CallerGone())
    assert line.all(HandOver)
    return killed(line)


def first_words(line: Line) -> tuple[str, ...]:
    live = line.live()
    return live.sentences if isinstance(live, Say) else live.lead


def by_caller(line: Line) -> list[str]:
    """What the model knows of the caller."""
    return [exchange.text for exchange in line.turns.history if exchange.who == "caller"]


def heard_first(line: Line, *sentences: str) -> None:
    """Of the model's answer the first sentence is heard, and the others are known."""
    reply = line.bot_makes(*sentences)
    line.tell(SentenceStarted(reply, 0), SentenceSent(reply, 0, 1_000), MarkEchoed(reply, 0))


# ── the caller's story ───────────────────────────────────────────────────────────────────────────────────────────────


def test_after_a_hand_over_the_bot_listens_on_with_half_a_sentence(line: Line) -> None:
    then = handed_over(talked(line, DAY))
    assert first_words(then) == LINES.resumed_listening
    assert then.turns.state is State.THINKING
    then.bot_speaks()
    then.says("영화도 봤어요")
    assert by_caller(then) == [DAY, "영화도 봤어요"]
    assert then.all(KeepSaid)[-1].turn == 1
    assert then.turns.dialogue.said == [DAY, "영화도 봤어요"]


def test_after_a_crash_what_was_being_said_is_asked_for_again(line: Line) -> None:
    talked(line, DAY)
    line.begins("그리고 영화도")
    then = killed(line)
    assert first_words(then) == LINES.resumed
    assert then.turns.history == line.turns.history


def test_a_turn_without_an_answer_gets_it(line: Line) -> None:
    talked(line, DAY)
    line.says("영화도 봤어요")
    for then, lead in ((killed(line), BROKE), (handed_over(line), LINES.resumed_answering)):
        reply = then.live()
        assert isinstance(reply, Reply) and reply.lead == lead
        assert reply.history[-1] == Exchange("caller", "영화도 봤어요")
        assert then.turns.dialogue.said == [DAY, "영화도 봤어요"]
        assert not then.all(KeepSaid)


def test_a_turn_that_nobody_could_note_is_taken_up_from_the_turns(line: Line) -> None:
    talked(line, DAY)
    kept = committed(line)
    [said] = [command for command in line.says("오늘은 여기까지 할게") if isinstance(command, KeepSaid)]
    kept.take(said)
    then = Line(before=kept.before())
    assert [write.said for write in then.all(WriteEntry)] == [(DAY,)]
    assert first_words(then) == (*BROKE, *LINES.writing)
    assert then.turns.dialogue.stage is Stage.WRITING


def test_the_rest_of_an_answer_is_said(line: Line) -> None:
    line.says(DAY)
    heard_first(line, "그러셨군요.", "무엇을 하셨어요?")
    then = killed(line)
    assert first_words(then) == (*BROKE, "무엇을 하셨어요?")
    assert then.turns.history[-1] == Exchange("bot", "그러셨군요.")


def test_the_rest_of_an_answer_is_said_after_a_hand_over(line: Line) -> None:
    line.says(DAY)
    reply = line.bot_makes("그러셨군요.", "무엇을 하셨어요?")
    line.tell(SentenceStarted(reply, 0), Draining(), SentenceSent(reply, 0, 1_000), MarkEchoed(reply, 0))
    line.tell(CallerGone())
    assert first_words(killed(line)) == (*LINES.resumed_speaking, "무엇을 하셨어요?")


def test_the_turns_alone_are_enough_when_nobody_can_read_where_the_talk_was(line: Line) -> None:
    talked(line, DAY, "네", "고칠게 친구가 아니라 동생이야")
    then = killed(line, stage=False)
    assert first_words(then) == LINES.resumed
    assert then.turns.dialogue.said == [DAY] and then.turns.dialogue.corrections == ["친구가 아니라 동생이야"]
    line.says("영화도 봤어요")
    then = killed(line, stage=False)
    assert isinstance(then.live(), Reply) and then.turns.dialogue.said == [DAY, "영화도 봤어요"]


def test_a_call_of_which_nothing_was_heard_begins_from_the_start() -> None:
    assert first_words(killed(Line(first_time=True), first_time=True)) == LINES.greeting_first
    assert first_words(Line(first_time=True, before=Before())) == LINES.greeting_first


def test_a_first_caller_still_hears_the_notice() -> None:
    line = Line(first_time=True)
    heard_first(line, *LINES.greeting_first)
    then = killed(line, first_time=True)
    assert first_words(then) == (*BROKE, *LINES.greeting_first[1:])
    line.begins(DAY)
    line.tell(CallerGone())
    then = killed(line, first_time=True)
    assert NOTICE in first_words(then)
    then.bot_speaks()
    assert NOTICE not in first_words(killed(then, first_time=True))


def test_a_first_caller_hears_the_notice_when_only_the_turns_are_left() -> None:
    before = Before((TurnBefore(-1, None, LINES.greeting_first[0]),), 0)
    assert NOTICE in first_words(Line(first_time=True, before=before))
    assert NOTICE not in first_words(Line(first_time=False, before=before))


def test_a_caller_who_asked_to_be_waited_for_is_waited_for(line: Line) -> None:
    talked(line, DAY)
    line.says("잠깐만요")
    line.bot_speaks()
    then = handed_over(line)
    assert first_words(then) == LINES.waiting
    then.bot_speaks()
    then.wait(55_000)
    assert len(then.all(Say)) == 1


def test_the_caller_is_spoken_to_as_before(line: Line) -> None:
    line.says("천천히 말해 주세요")
    line.bot_speaks()
    line.says("좀 크게 말해 주세요")
    then = killed(line)
    [change] = then.all(ChangeManner)
    assert change.manner == line.all(ChangeManner)[-1].manner
    assert then.commands.index(change) < then.commands.index(then.live())


def test_again_says_what_was_said_before_the_break(line: Line) -> None:
    talked(line, DAY)
    line.begins("다시 말해 줘")
    line.tell(CallerGone())
    assert first_words(killed(line)) == (*BROKE, "그러셨군요.")


def test_silence_goes_on_being_counted(line: Line) -> None:
    talked(line, DAY)
    line.wait(8_100)
    line.bot_speaks()
    then = handed_over(line)
    then.bot_speaks()
    then.wait(12_100)
    assert first_words(then) == LINES.silence_second


@pytest.mark.parametrize(("spent_ms", "left_ms"), [(8 * 60_000, 2 * 60_000), (10 * 60_000 - 20_000, LEAST_MS)])
def test_a_call_lasts_no_longer_for_being_taken_up(spent_ms: int, left_ms: int) -> None:
    line = Line(minutes=10)
    line.bot_speaks()
    line.wait(spent_ms - line.now)
    line.says(DAY)
    then = Line(minutes=10, before=committed(line).before())
    while then.turns.state is not State.CLOSING and then.now < 10 * 60_000:
        then.bot_speaks("네.")
        then.wait(5_000)
        then.tell(KeyPressed("*"))
    assert first_words(then) == LINES.goodbye_time
    assert left_ms <= then.now < left_ms + 10_000


# ── the entry ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", [killed, handed_over])
def test_the_entry_goes_on_being_written(line: Line, way) -> None:
    talked(line, DAY)
    line.says("오늘은 여기까지 할게")
    then = way(line)
    assert first_words(then)[-1:] == LINES.resumed_writing
    write = then.all(WriteEntry)[-1]
    assert write.said == (DAY,)
    then.tell(EntryWritten(write.draft, "친구", "친구를 만났다.", "기쁨"))
    then.bot_speaks()
    assert "친구를 만났다." in first_words(then)
    assert then.turns.dialogue.stage is Stage.APPROVAL


def test_an_entry_that_was_written_is_not_written_again(line: Line) -> None:
    talked(line, DAY)
    line.says("오늘은 여기까지 할게")
    line.bot_begins()
    line.tell(EntryWritten(1, "친구", "친구를 만났다.", "기쁨"))
    then = killed(line)
    assert not then.all(WriteEntry)
    then.bot_speaks()
    assert "친구를 만났다." in first_words(then)


def test_the_read_back_goes_on_behind_the_sentence(line: Line) -> None:
    at_the_entry(line)
    live = line.live()
    assert isinstance(live, Say)
    line.tell(SentenceStarted(live.reply, 0), Draining(), SentenceSent(live.reply, 0, 900), MarkEchoed(live.reply, 0))
    line.tell(CallerGone())
    then = killed(line)
    assert first_words(then) == (*LINES.resumed_reading, *live.sentences[1:])
    then.bot_speaks()
    then.says("맞아요")
    assert then.all(KeepStage)[-1].snapshot.stage is Stage.GOODBYE
    assert [(kept.status, kept.entry.body) for kept in then.all(KeepEntry)] == [
        (Status.APPROVED, "친구를 만났다. 즐거웠다.")
    ]


def test_a_read_back_that_broke_off_is_read_from_its_start(line: Line) -> None:
    in_read_back(line)
    live = line.live()
    assert isinstance(live, Say)
    assert first_words(killed(line)) == (*BROKE, *live.sentences)


@pytest.mark.parametrize(("way", "lead"), [(killed, BROKE), (handed_over, ())])
def test_who_has_heard_the_entry_is_asked_for_the_decision(line: Line, way, lead: tuple[str, ...]) -> None:
    at_approval(line)
    then = way(line)
    assert first_words(then) == (*lead, *LINES.approval_silence)
    then.tell(KeyPressed("1"))
    assert statuses(then) == [Status.APPROVED]


def test_who_broke_the_read_back_off_hears_it_after_a_break(line: Line) -> None:
    in_read_back(line)
    line.begins("아니 그게")
    assert "친구를 만났다." in first_words(killed(line))


def test_a_story_beside_a_wish_that_nobody_took_up_is_told() -> None:
    turns = TurnBefore(0, "산책을 했어요. 영화 얘기는 빼 줘.", None), TurnBefore(1, "밥을 먹었어요", None)
    line = Line(before=Before(turns, 2, Snapshot(turn=-1)))
    assert line.turns.dialogue.said == ["산책을 했어요.", "밥을 먹었어요"]
    assert [exchange.text for exchange in line.turns.history] == [turn.said for turn in turns]


@pytest.mark.parametrize(("way", "lead"), [(killed, BROKE), (handed_over, ())])
def test_a_correction_is_asked_for_again(line: Line, way, lead: tuple[str, ...]) -> None:
    at_approval(line)
    line.says("고칠게")
    line.bot_speaks()
    then = way(line)
    assert first_words(then) == (*lead, *LINES.ask_correction)
    then.bot_speaks()
    then.says("친구가 아니라 동생이야")
    assert then.all(WriteEntry)[-1].corrections == ("친구가 아니라 동생이야",)


# ── the goodbye ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", [killed, handed_over])
def test_a_goodbye_is_said_to_its_end(line: Line, way) -> None:
    at_approval(line)
    line.says("맞아요")
    reply = line.live().reply
    line.tell(SentenceStarted(reply, 0), SentenceSent(reply, 0, 1_000), MarkEchoed(reply, 0), SentenceStarted(reply, 1))
    then = way(line)
    assert first_words(then) == LINES.goodbye_kept[1:] and then.turns.state is State.CLOSING
    then.bot_speaks()
    assert then.all(HangUp) == [HangUp("approved")]
    assert not statuses(then)


def test_a_day_that_was_approved_on_an_overtaken_stream_is_not_asked_about_again(line: Line) -> None:
    in_read_back(line)
    kept = committed(line)
    turn = kept.before().next_turn
    kept.take(KeepSaid(turn, "맞아요", 0, 1), KeepSaid(turn + 1, "네", 1, 2))
    then = Line(before=kept.before())
    assert not set(first_words(then)) & set(LINES.ask_approval)
    then.bot_speaks()
    assert then.all(HangUp) == [HangUp("approved")]


def test_a_goodbye_that_was_heard_is_short(line: Line) -> None:
    at_approval(line)
    line.says("맞아요")
    line.bot_begins()
    line.begins("네", ms=200)
    line.bot_finishes(2)
    then = killed(line)
    assert first_words(then) == LINES.goodbye_resumed
    then.bot_speaks()
    assert then.all(HangUp)


def test_words_over_a_goodbye_that_broke_off_go_on(line: Line) -> None:
    at_approval(line)
    line.says("맞아요")
    line.bot_begins()
    line.tell(Interim((1, 900), "아 잠깐 오늘 상도 받았어요"), CallerGone())
    then = killed(line)
    assert then.answers()[-1].history[-1].text == "아 잠깐 오늘 상도 받았어요"
    assert then.turns.dialogue.stage is Stage.TALK


def test_laughter_over_a_goodbye_that_nobody_could_note_goes_on(line: Line) -> None:
    at_approval(line)
    line.says("맞아요")
    line.bot_begins()
    kept = committed(line)
    [said] = [command for command in line.tell(Interim((1, 900), "하하하"), CallerGone()) if type(command) is KeepSaid]
    kept.take(said)
    then = Line(before=kept.before())
    assert then.answers()[-1].history[-1].text == "하하하"
    assert first_words(then) == BROKE


def test_politeness_over_a_goodbye_that_broke_off_does_not(line: Line) -> None:
    at_approval(line)
    line.says("맞아요")
    line.bot_begins()
    line.tell(Interim((1, 900), "네 안녕히 계세요"), CallerGone())
    then = killed(line)
    assert then.turns.dialogue.stage is Stage.GOODBYE and then.turns.state is State.CLOSING


# ── nothing twice, nothing that was forgotten ────────────────────────────────────────────────────────────────────────


def test_the_words_of_a_broken_line_are_a_turn_and_are_asked_for_again(line: Line) -> None:
    talked(line, DAY)
    line.begins("그리고 영화도")
    line.tell(CallerGone())
    then = killed(line)
    assert first_words(then) == LINES.resumed
    assert then.turns.history[-1] == Exchange("caller", "그리고 영화도")
    then.bot_speaks()
    then.says("그리고 영화도 봤어요")
    assert then.all(KeepSaid)[-1].turn == 2


def test_a_turn_that_was_taken_back_is_one_turn_after_a_crash(line: Line) -> None:
    line.says(DAY)
    line.tell(Interim((1, 900), "그리고"))
    line.begins("그리고 영화도", ms=100)
    assert not by_caller(line)
    then = killed(line)
    assert by_caller(then) == then.turns.dialogue.said == [DAY]
    line.says("그리고 영화도 봤어요")
    then = killed(line)
    assert by_caller(then) == then.turns.dialogue.said == committed(line).said and len(by_caller(then)) == 1


def test_what_was_taken_off_the_record_stays_so_when_nobody_could_note_it(line: Line) -> None:
    talked(line, DAY, "회사에서 잘렸어요")
    kept = committed(line)
    for command in line.says("방금 한 말은 빼 줘"):
        kept.take(command)
        if isinstance(command, ForgetTurn):
            break
    then = Line(before=kept.before())
    assert then.turns.dialogue.said == [DAY]
    assert "잘렸" not in repr(then.commands)


def test_an_entry_of_what_was_forgotten_is_written_again(line: Line) -> None:
    talked(line, "회사에서 잘렸어요")
    at_approval(line)
    kept = committed(line)
    kept.take(ForgetTurn(0))
    then = Line(before=kept.before())
    assert then.turns.dialogue.stage is Stage.WRITING
    assert then.all(WriteEntry)[-1].said == (DAY,)


def test_with_nothing_left_of_the_day_the_talk_begins_anew(line: Line) -> None:
    at_approval(line)
    kept = committed(line)
    kept.take(ForgetTurn(0))
    then = Line(before=kept.before())
    assert then.turns.dialogue.stage is Stage.TALK and not then.all(WriteEntry)
    then.bot_speaks()
    then.says("영화를 봤어요")
    assert then.all(KeepSaid)[-1].turn > line.all(KeepSaid)[-1].turn


def test_a_call_can_be_taken_up_again_and_again(line: Line) -> None:
    kept = committed(talked(line, DAY))
    for stream in range(1, 4):
        then = Line(before=kept.before())
        assert first_words(then) == LINES.resumed
        then.bot_speaks()
        then.says(f"{stream}번째 이야기예요")
        kept.stream = stream
        committed(then, kept)
        once_more = Line(before=kept.before())
        assert by_caller(once_more) == kept.said
        assert once_more.turns.dialogue.said == kept.said
        then.bot_speaks("그러셨군요.")
        committed(then, kept)


def test_a_turn_that_grew_in_one_step_is_one_turn_wherever_the_process_died(line: Line) -> None:
    line.says(DAY)
    voiced_until = line.now + 200
    line.tell(SpeechStarted(line.now))
    line.wait(400)
    line.tell(SpeechPaused(voiced_until))
    line.wait(80)
    line.tell(SpeechStopped(voiced_until))
    line.wait(700)
    kept = committed(line)
    grows = line.tell(Final((1, 950), "영화도 봤어요"))
    assert [said.text for said in grows if isinstance(said, KeepSaid)] == [f"{DAY} 영화도 봤어요"]
    for command in grows:
        kept.take(command)
        assert Line(before=kept.before()).turns.dialogue.said == kept.said


@pytest.mark.parametrize("broken_off", ["answer", "read-back"])
def test_the_first_words_are_not_said_twice(line: Line, broken_off: str) -> None:
    if broken_off == "answer":
        line.says(DAY)
        heard_first(line, "그러셨군요.", "무엇을 하셨어요?")
    else:
        in_read_back(line)
    kept = committed(line)
    words = first_words(Line(before=kept.before()))
    for stream in range(1, 4):
        kept.stream = stream
        then = Line(before=kept.before())
        assert first_words(then) == words
        committed(then, kept)


def test_words_of_a_stream_that_was_overtaken_are_answered(line: Line) -> None:
    kept = committed(talked(line, DAY))
    kept.stream = 1
    committed(Line(before=kept.before()), kept)
    kept.stream = 0
    kept.take(KeepSaid(1, "영화도 봤어요", 0, 1))
    then = Line(before=kept.before())
    assert then.turns.dialogue.said == [DAY, "영화도 봤어요"]
    assert then.turns.history.count(Exchange("caller", "영화도 봤어요")) == 1


def test_a_recogniser_that_comes_back_with_another_stream_is_listened_to(line: Line) -> None:
    talked(line, DAY)
    line.tell(SttLost(SttLoss.UNREACHABLE))
    line.bot_begins()
    then = killed(line)
    assert first_words(then) == LINES.resumed and then.turns.dialogue.stage is Stage.TALK
    then.bot_speaks()
    then.tell(Final((1, 1), "영화도 봤어요"))
    then.wait(2_000)
    assert then.turns.dialogue.said == [DAY, "영화도 봤어요"]
