"""Turn-taking where two things happen at once: keys over words, goodbyes over speech, finals that are late."""

import pytest

from bot.conversation.commands import (
    ForgetDay,
    HangUp,
    KeepSaid,
    ReopenDay,
    Resume,
    Status,
    WriteEntry,
)
from bot.conversation.events import (
    CallerGone,
    Draining,
    EntryWritten,
    Event,
    Final,
    Interim,
    KeyPressed,
    MarkEchoed,
    ReplyEnded,
    SentenceMade,
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
from bot.conversation.lines import LINES
from bot.conversation.snapshot import Stage
from tests.conversation.line import Line, at_approval, before, in_read_back, statuses, talked

# ── texts that are late, or still open ───────────────────────────────────────────────────────────────────────────────


def test_words_that_stand_open_when_the_turn_ends_are_taken_once(line: Line) -> None:
    line.tell(Final((1, 9), "작게 말했어요"))
    line.wait(200)
    line.tell(Interim((1, 10), "그리고 잤어요"))
    line.wait(800)
    line.tell(Final((1, 10), "그리고 잤어요"))
    line.wait(2_000)
    assert [said.text for said in line.all(KeepSaid)] == ["작게 말했어요 그리고 잤어요"]
    assert len(line.answers()) == 1


def test_a_late_final_does_not_cut_off_the_utterance_after_it(line: Line) -> None:
    line.begins("비가")
    voiced_until = line.now
    line.wait(200)
    line.tell(SpeechPaused(voiced_until))
    line.wait(40)
    line.tell(SpeechResumed())
    line.wait(300)
    line.tell(Interim((1, line.utterance + 1), "왔어요"))
    voiced_until = line.now
    line.wait(200)
    line.tell(SpeechPaused(voiced_until))
    line.wait(60)
    line.tell(Final((1, line.utterance), "비가"))
    line.wait(20)
    line.tell(SpeechStopped(voiced_until))
    line.wait(600)
    assert not line.all(KeepSaid)
    line.tell(Final((1, line.utterance + 1), "왔어요 많이"))
    line.wait(2_000)
    assert [said.text for said in line.all(KeepSaid)] == ["비가 왔어요 많이"]


def test_words_without_voice_have_times_of_their_own(line: Line) -> None:
    talked(line, "오늘은 친구를 만났어요")
    line.wait(1_000)
    came_at = line.now
    line.tell(Final((1, 900), "작게 말했어요"))
    line.wait(2_000)
    with_voice, without = line.all(KeepSaid)
    assert with_voice.to_ms <= came_at <= without.from_ms <= without.to_ms


# ── noise ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_noise_that_never_stops_after_a_turn_only_delays_its_answer(line: Line) -> None:
    line.says("비가 왔어요")
    line.tell(SpeechStarted(line.now))
    line.wait(6_000)
    assert len(line.answers()) == 1
    assert line.turns.state is State.THINKING
    assert line.all(Resume) == [Resume(line.live().reply)]


def test_noise_that_begins_with_the_last_word_does_not_hold_the_turn(line: Line) -> None:
    line.speech("비가 왔어요")
    line.tell(SpeechStarted(line.now))
    line.wait(8_000)
    assert len(line.answers()) == 1


def test_noise_that_drowns_the_words_which_cancel_the_goodbye_does_not_hold_the_turn(line: Line) -> None:
    at_approval(line)
    line.says("맞아요")
    line.bot_begins()
    line.begins("아 잠깐 오늘 상도 받았어요")
    line.wait(8_000)
    assert line.answers()[-1].history[-1].text == "아 잠깐 오늘 상도 받았어요"


# ── replies ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_reply_whose_mark_is_lost_and_whose_end_is_late_is_over_all_the_same(line: Line) -> None:
    line.says("비가 왔어요")
    reply = line.live().reply
    line.tell(SentenceMade(reply, 0, "네."), SentenceStarted(reply, 0), SentenceSent(reply, 0, 1_000))
    line.wait(4_000)
    line.tell(ReplyEnded(reply))
    line.wait(3_200)
    assert line.turns.state is State.LISTENING


def test_the_turns_of_a_resumed_call_come_after_all_that_were_kept() -> None:
    line = Line(before=before("공원을 걸었어요", next_turn=4))
    line.bot_speaks()
    line.says("영화도 봤어요")
    assert line.all(KeepSaid)[-1].turn == 4


# ── keys over words ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_key_over_words_that_finish_the_day_does_not_lose_the_entry(line: Line) -> None:
    talked(line, "오늘은 친구를 만났어요")
    line.begins("오늘은 여기까지 할게")
    line.tell(KeyPressed("*"))
    assert len(line.all(WriteEntry)) == 1
    assert line.live().sentences == LINES.writing


def test_the_key_of_approval_over_a_spoken_correction_approves_nothing(line: Line) -> None:
    at_approval(line)
    line.begins("고칠게 친구가 아니라 동생이야")
    line.tell(KeyPressed("1"))
    assert Status.APPROVED not in statuses(line)
    assert line.all(WriteEntry)[-1].corrections == ("친구가 아니라 동생이야",)


# ── the read-back and what may approve of it ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("ending", "status"), [(CallerGone(), Status.UNCONFIRMED), (SttLost(SttLoss.UNREACHABLE), Status.DRAFT)]
)
def test_a_sound_in_the_read_back_is_no_approval_when_the_call_ends(line: Line, ending: Event, status: Status) -> None:
    in_read_back(line)
    line.begins("네", ms=300)
    line.tell(ending)
    line.bot_speaks()
    assert line.turns.state is State.CLOSED
    assert Status.APPROVED not in statuses(line) and statuses(line)[-1] is status


def test_a_sound_and_then_a_breath_in_the_read_back_are_no_approval(line: Line) -> None:
    in_read_back(line)
    live = line.live()
    line.says("네", ms=300)
    line.says(None, ms=200)
    line.wait(2_000)
    assert Status.APPROVED not in statuses(line)
    assert line.live() == live
    assert line.all(Resume)[-2:] == [Resume(live.reply), Resume(live.reply)]


def test_an_approval_that_was_begun_counts_when_the_process_goes_away(line: Line) -> None:
    at_approval(line)
    line.begins("맞아요")
    line.tell(Draining())
    line.wait(6_100)
    line.tell(CallerGone())
    assert statuses(line)[-1] is Status.APPROVED


@pytest.mark.parametrize("sound", ["음", "어", "아", "음...", "글쎄", "그", "저기"])
def test_a_hesitation_approves_of_nothing(line: Line, sound: str) -> None:
    at_approval(line)
    line.says(sound)
    assert Status.APPROVED not in statuses(line)
    assert line.turns.dialogue.stage is Stage.APPROVAL


@pytest.mark.parametrize("sound", ["음", "어", "네"])
def test_a_hesitation_corrects_nothing(line: Line, sound: str) -> None:
    at_approval(line)
    line.says("고칠게")
    line.bot_speaks()
    line.says(sound)
    assert line.turns.dialogue.stage is Stage.CORRECTION
    assert len(line.all(WriteEntry)) == 1


def test_who_finishes_instead_of_correcting_leaves_the_entry_as_it_is(line: Line) -> None:
    at_approval(line)
    line.says("고칠게")
    line.bot_speaks()
    line.says("오늘은 여기까지 할게")
    assert line.live().sentences == LINES.goodbye_unconfirmed
    line.bot_speaks()
    assert len(line.all(WriteEntry)) == 1
    assert statuses(line)[-1] is Status.UNCONFIRMED


def test_an_entry_that_holds_nothing_is_not_read_back(line: Line) -> None:
    talked(line, "오늘은 친구를 만났어요")
    line.says("오늘은 여기까지 할게")
    line.bot_speaks()
    line.tell(EntryWritten(line.all(WriteEntry)[-1].draft, "11월 21일의 일기", "", "보통"))
    assert line.live().sentences == LINES.goodbye_nothing


# ── forgetting ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_day_can_be_forgotten_while_it_is_being_written(line: Line) -> None:
    talked(line, "오늘은 친구를 만났어요")
    line.says("오늘은 여기까지 할게")
    line.bot_speaks()
    line.says("지워 줘")
    assert line.all(ForgetDay) == [ForgetDay(for_good=True)]
    line.tell(CallerGone())
    assert line.turns.dialogue.said == []


def test_a_day_can_be_forgotten_while_the_goodbye_is_spoken(line: Line) -> None:
    at_approval(line)
    line.says("맞아요")
    line.bot_begins()
    line.speech("아니 지워 줘")
    line.wait(2_000)
    assert line.all(ForgetDay)
    line.tell(CallerGone())
    assert line.turns.dialogue.said == []


# ── words over a goodbye ─────────────────────────────────────────────────────────────────────────────────────────────


def test_words_over_a_goodbye_that_nothing_cancels_are_kept(line: Line) -> None:
    talked(line, "오늘은 친구를 만났어요")
    line.tell(SttLost(SttLoss.FULL))
    line.bot_begins()
    line.speech("아 그리고 상도 받았어요")
    line.tell(CallerGone())
    assert line.all(KeepSaid)[-1].text == "아 그리고 상도 받았어요"
    assert line.turns.dialogue.said == ["오늘은 친구를 만났어요", "아 그리고 상도 받았어요"]


def test_politeness_over_a_goodbye_that_nothing_cancels_is_no_part_of_the_day(line: Line) -> None:
    talked(line, "오늘은 친구를 만났어요")
    line.tell(SttLost(SttLoss.FULL))
    line.bot_begins()
    line.speech("네 안녕히 계세요")
    line.tell(CallerGone())
    assert line.turns.dialogue.said == ["오늘은 친구를 만났어요"]


def reopened_before_more_is_said(line: Line) -> bool:
    """Whether the entry that was approved was reopened, once, before more than it holds was kept."""
    more = next(command for command in line.all(KeepSaid) if "상도 받았어요" in command.text)
    reopened = [at for at, command in enumerate(line.commands) if isinstance(command, ReopenDay)]
    return len(reopened) == 1 and reopened[0] < line.commands.index(more)


def test_an_approved_day_is_reopened_by_words_over_the_goodbye(line: Line) -> None:
    at_approval(line)
    line.says("맞아요")
    line.bot_begins()
    line.speech("네 안녕히 계세요", ms=400)
    assert not line.all(ReopenDay)
    line.speech("아 잠깐 오늘 상도 받았어요")
    line.tell(CallerGone())
    assert line.turns.dialogue.said == ["오늘은 친구를 만났어요", "아 잠깐 오늘 상도 받았어요"]
    assert reopened_before_more_is_said(line)


def test_an_approved_day_is_reopened_by_words_without_voice_that_a_hang_up_cuts_off(line: Line) -> None:
    at_approval(line)
    line.says("맞아요")
    line.bot_begins()
    line.tell(Interim((1, 900), "아 잠깐 오늘 상도 받았어요"), CallerGone())
    assert line.turns.dialogue.said == ["오늘은 친구를 만났어요", "아 잠깐 오늘 상도 받았어요"]
    assert reopened_before_more_is_said(line)


def test_an_approved_day_is_reopened_by_words_over_a_goodbye_that_nothing_cancels(line: Line) -> None:
    at_approval(line)
    line.says("맞아요")
    line.bot_begins()
    line.tell(SttLost(SttLoss.FULL))
    line.speech("아 잠깐 오늘 상도 받았어요")
    line.tell(CallerGone())
    assert line.turns.dialogue.said == ["오늘은 친구를 만났어요", "아 잠깐 오늘 상도 받았어요"]
    assert reopened_before_more_is_said(line)


def test_an_entry_falls_behind_the_turn_that_asked_for_it_when_that_goes_on(line: Line) -> None:
    talked(line, "오늘은 친구를 만났어요")
    line.says("오늘은 여기까지 할게")
    line.tell(EntryWritten(1, "친구", "친구를 만났다.", "기쁨"))
    line.says("아 그리고 상도 받았어요")
    assert line.all(KeepSaid)[-1].text == "오늘은 여기까지 할게 아 그리고 상도 받았어요"
    assert reopened_before_more_is_said(line)


def test_an_entry_falls_behind_what_is_said_as_the_last_thing_over_a_goodbye() -> None:
    line = Line(minutes=1)
    line.bot_speaks()
    at_approval(line)
    for _ in range(20):
        line.tell(KeyPressed("*"))
        line.bot_speaks()
        line.wait(6_000)
        if line.turns.state is State.CLOSING:
            break
    assert line.live().sentences == LINES.goodbye_time
    line.bot_begins()
    line.tell(SpeechStarted(line.now))
    line.bot_finishes(len(LINES.goodbye_time))
    line.wait(500)
    line.tell(SpeechPaused(line.now), Final((1, 900), "아 잠깐 오늘 상도 받았어요"))
    assert line.all(HangUp)
    assert reopened_before_more_is_said(line)


def test_a_first_caller_hears_the_notice_with_the_first_answer_when_it_was_talked_over() -> None:
    line = Line(first_time=True)
    line.wait(400)
    line.says("오늘은 친구를 만났어요")
    [reply] = line.answers()
    assert reply.lead == LINES.greeting_first[1:2]
    line.tell(SentenceStarted(reply.reply, 0), SentenceSent(reply.reply, 0, 2_000), MarkEchoed(reply.reply, 0))
    line.tell(SentenceMade(reply.reply, 1, "그러셨군요."), SentenceStarted(reply.reply, 1))
    line.tell(SentenceSent(reply.reply, 1, 1_000), ReplyEnded(reply.reply), MarkEchoed(reply.reply, 1))
    line.says("영화도 봤어요")
    assert line.answers()[-1].lead == ()


def test_half_a_politeness_over_the_goodbye_cancels_nothing(line: Line) -> None:
    at_approval(line)
    line.says("맞아요")
    line.bot_begins()
    line.tell(SpeechStarted(line.now))
    line.wait(300)
    assert line.tell(Interim((1, 700), "네 안녕히")) == []
    line.bot_finishes(len(LINES.goodbye_kept))
    assert line.turns.state is State.CLOSING
    voiced_until = line.now
    line.wait(200)
    line.tell(SpeechPaused(voiced_until))
    line.tell(Final((1, 700), "네 안녕히 계세요"))
    assert line.turns.state is State.CLOSED
    assert not line.all(ReopenDay)


def test_the_bot_does_not_hang_up_on_who_has_just_begun_to_speak(line: Line) -> None:
    at_approval(line)
    line.says("맞아요")
    line.bot_begins()
    line.wait(1_000)
    line.tell(SpeechStarted(line.now))
    line.bot_finishes(len(LINES.goodbye_kept))
    assert line.turns.state is State.CLOSING
    line.wait(600)
    voiced_until = line.now
    line.wait(200)
    line.tell(SpeechPaused(voiced_until))
    line.tell(Final((1, 701), "아 그리고 상도 받았어요"))
    line.wait(1_500)
    assert line.answers()[-1].history[-1].text == "아 그리고 상도 받았어요"


def test_a_noise_at_the_end_of_the_goodbye_only_delays_the_hang_up(line: Line) -> None:
    at_approval(line)
    line.says("맞아요")
    line.bot_begins()
    line.tell(SpeechStarted(line.now))
    line.bot_finishes(len(LINES.goodbye_kept))
    line.wait(6_000)
    assert line.turns.state is State.CLOSED


@pytest.mark.parametrize("way", ["word", "key"])
def test_a_day_can_be_discarded_over_any_goodbye(line: Line, way: str) -> None:
    talked(line, "오늘은 친구를 만났어요")
    line.tell(SttLost(SttLoss.UNREACHABLE))
    line.bot_begins()
    line.tell(KeyPressed("3") if way == "key" else Final((1, 800), "아니 지워 줘"))
    assert line.all(ForgetDay) == [ForgetDay(for_good=True)]
    assert line.live().sentences == LINES.goodbye_discarded
    assert line.tell(KeyPressed("3")) == []
    line.bot_speaks()
    assert line.turns.state is State.CLOSED
    assert line.turns.dialogue.said == []


def test_noise_that_comes_and_goes_keeps_no_line_open_after_the_goodbye(line: Line) -> None:
    at_approval(line)
    line.says("맞아요")
    line.bot_begins()
    line.tell(SpeechStarted(line.now))
    line.bot_finishes(len(LINES.goodbye_kept))
    for _ in range(20):
        line.wait(700)
        line.tell(SpeechPaused(line.now))
        line.wait(300)
        line.tell(SpeechStarted(line.now))
    assert line.turns.state is State.CLOSED
