"""Turn-taking, told as little talks: what happens, and what the bot does about it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.conversation.commands import (
    Exchange,
    Finalize,
    ForgetDay,
    HangUp,
    KeepEntry,
    KeepHeard,
    KeepSaid,
    KeepWaterfall,
    Pause,
    Play,
    Prepare,
    RecordRest,
    ReopenDay,
    Reply,
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
    Event,
    Final,
    FirstAudio,
    FirstToken,
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
    StopPressed,
    SttLoss,
    SttLost,
    SttPace,
    SttReady,
    Tick,
    TurnTyped,
)
from bot.conversation.floor import State
from bot.conversation.lines import LINES
from bot.conversation.snapshot import Written
from bot.conversation.turns import TABLE, Turns
from tests.conversation.line import Line, at_approval, before, statuses, talked


def test_a_first_call_is_greeted_with_the_notice() -> None:
    assert Line(first_time=True).live().sentences == LINES.greeting_first
    assert Line().live().sentences == LINES.greeting_again


def test_a_resumed_call_goes_on_where_it_was() -> None:
    line = Line(before=before("오늘은 친구를 만났어요"))
    assert line.live().sentences == LINES.resumed
    line.bot_speaks()
    line.says("영화도 봤어요")
    assert line.live().history == (
        Exchange("caller", "오늘은 친구를 만났어요"),
        Exchange("bot", "네."),
        Exchange("bot", " ".join(LINES.resumed)),
        Exchange("caller", "영화도 봤어요"),
    )
    assert line.all(KeepSaid)[-1].turn == 1


def test_a_turn_is_finalized_kept_and_answered(line: Line) -> None:
    line.says("오늘은 친구를 만났어요")
    assert len(line.all(Finalize)) == 1
    said = line.all(KeepSaid)[0]
    assert (said.turn, said.text) == (0, "오늘은 친구를 만났어요")
    assert said.to_ms - said.from_ms == 1_000
    assert line.answers()[0].history[-1] == Exchange("caller", "오늘은 친구를 만났어요")
    assert line.turns.state is State.THINKING


def test_what_was_heard_is_kept(line: Line) -> None:
    talked(line, "오늘은 친구를 만났어요")
    assert line.all(KeepHeard)[-1] == KeepHeard(0, "그러셨군요.")
    assert line.turns.state is State.LISTENING


def test_several_finals_are_one_turn(line: Line) -> None:
    line.speech("오늘은 친구를")
    line.speech("만났어요")
    line.wait(1_000)
    assert [said.text for said in line.all(KeepSaid)] == ["오늘은 친구를 만났어요"]


def test_a_stop_that_is_taken_back_keeps_the_turn_open(line: Line) -> None:
    line.tell(SpeechStarted(line.now))
    line.wait(500)
    line.tell(Interim((1, 1), "오늘은"), SpeechPaused(line.now))
    line.wait(60)
    line.tell(SpeechResumed(), Final((1, 1), "오늘은"))
    line.wait(3_000)
    assert line.turns.state is State.LISTENING
    assert not line.answers()
    line.says("친구를 만났어요")
    assert line.all(KeepSaid)[0].text == "오늘은 친구를 만났어요"


def test_a_final_that_never_comes_is_replaced_by_its_interim_and_not_taken_twice(line: Line) -> None:
    line.tell(SpeechStarted(line.now))
    line.wait(500)
    line.tell(Interim((1, 1), "비가 왔어요"), SpeechPaused(line.now))
    line.wait(80)
    line.tell(SpeechStopped(line.now - 280))
    line.wait(1_600)
    assert line.all(KeepSaid)[0].text == "비가 왔어요"
    line.tell(Final((1, 1), "비가 왔어요"))
    line.wait(2_000)
    assert len(line.all(KeepSaid)) == 1
    line.tell(Final((1, 1), "비가 왔어요 많이"))
    line.wait(2_000)
    assert line.all(KeepSaid)[-1].text.endswith("많이")


def test_noise_gets_no_answer(line: Line) -> None:
    line.says(None)
    line.wait(1_000)
    assert not line.answers()
    assert line.turns.state is State.LISTENING


def test_words_that_the_vad_did_not_hear_are_a_turn_too(line: Line) -> None:
    line.tell(Final((1, 9), "작게 말했어요"))
    line.wait(2_000)
    assert line.all(KeepSaid)[0].text == "작게 말했어요"


def test_noise_that_never_stops_does_not_keep_a_turn_open(line: Line) -> None:
    line.tell(SpeechStarted(line.now))
    line.wait(1_000)
    line.tell(Interim((1, 1), "비가"))
    line.wait(800)
    line.tell(Final((1, 1), "비가 왔어요"))
    line.wait(1_600)
    assert line.all(KeepSaid)[0].text == "비가 왔어요"
    line.bot_begins("그러셨군요.")
    line.wait(700)
    line.tell(Interim((1, 2), "네"))
    assert line.turns.state is State.SPEAKING
    line.tell(Interim((1, 2), "네 그리고 눈도"))
    assert line.all(StopSpeaking)
    line.tell(Final((1, 2), "네 그리고 눈도 왔어요"))
    line.wait(1_000)
    assert line.all(KeepSaid)[1].text == "네 그리고 눈도 왔어요"


def test_noise_without_words_does_not_silence_the_ladder(line: Line) -> None:
    line.tell(SpeechStarted(line.now))
    line.wait(30_000)
    assert LINES.silence_first in [say.sentences for say in line.all(Say)]


def test_a_caller_who_draws_breath_in_noise_keeps_the_turn(line: Line) -> None:
    line.tell(SpeechStarted(line.now), Interim((1, 1), "비가"))
    line.wait(1_000)
    line.tell(Final((1, 1), "비가"))
    line.wait(1_000)
    line.tell(Interim((1, 2), "왔어요"))
    line.wait(1_000)
    assert not line.all(KeepSaid)
    line.tell(Final((1, 2), "왔어요"))
    line.wait(1_600)
    assert line.all(KeepSaid)[0].text == "비가 왔어요"


def test_barge_in_stops_the_bot_and_history_holds_what_was_heard(line: Line) -> None:
    line.says("오늘은 친구를 만났어요")
    line.bot_begins("그러셨군요.", "무엇을 하셨어요?")
    line.bot_finishes(1)
    line.wait(600)
    assert line.all(KeepHeard)[-1] == KeepHeard(0, "그러셨군요.")
    assert StopSpeaking(2) in line.says("영화를 봤어요")
    history = line.answers()[-1].history
    assert [exchange.text for exchange in history[-3:]] == ["오늘은 친구를 만났어요", "그러셨군요.", "영화를 봤어요"]


def test_a_mark_of_a_stopped_reply_is_not_heard(line: Line) -> None:
    line.says("오늘은 친구를 만났어요")
    line.bot_begins("그러셨군요.")
    stopped = line.live().reply
    line.wait(1_000)
    line.begins("아니요 그게")
    line.tell(MarkEchoed(stopped, 0))
    assert StopSpeaking(stopped) in line.commands
    assert not [heard for heard in line.all(KeepHeard) if heard.turn == 0]


def test_who_goes_on_before_the_answer_has_said_one_turn(line: Line) -> None:
    line.says("오늘은 친구를 만났는데")
    assert line.turns.state is State.THINKING
    line.says("영화도 봤어요")
    assert line.all(StopSpeaking)
    assert line.all(KeepSaid)[-1] == KeepSaid(
        0, "오늘은 친구를 만났는데 영화도 봤어요", line.all(KeepSaid)[0].from_ms, line.all(KeepSaid)[-1].to_ms
    )
    assert line.answers()[-1].history[-1].text == "오늘은 친구를 만났는데 영화도 봤어요"
    assert line.turns.dialogue.said == ["오늘은 친구를 만났는데 영화도 봤어요"]


def test_a_noise_while_thinking_only_delays_the_answer(line: Line) -> None:
    line.says("오늘은 친구를 만났어요")
    line.says(None)
    assert line.answers()[-1].history[-1].text == "오늘은 친구를 만났어요"
    assert line.turns.state is State.THINKING


def test_the_day_is_read_back_and_kept(line: Line) -> None:
    at_approval(line)
    assert line.all(WriteEntry)[0].said == ("오늘은 친구를 만났어요",)
    assert "친구를 만났다." in line.live().sentences
    line.says("맞아요")
    assert statuses(line) == [Status.DRAFT, Status.APPROVED]
    assert {kept.entry for kept in line.all(KeepEntry)} == {Written(1, "친구", "친구를 만났다. 즐거웠다.", "기쁨")}
    assert line.live().sentences == LINES.goodbye_kept
    assert not line.all(HangUp)
    line.bot_speaks()
    assert line.all(HangUp)
    assert not line.all(ReopenDay)
    assert line.turns.state is State.CLOSED


def test_an_entry_that_comes_while_the_bot_speaks_waits(line: Line) -> None:
    talked(line, "오늘은 친구를 만났어요")
    line.says("오늘은 여기까지 할게")
    line.bot_begins()
    line.tell(EntryWritten(1, "친구", "친구를 만났다.", "기쁨"))
    assert line.live().sentences == LINES.writing
    line.bot_finishes(2)
    assert "친구를 만났다." in line.live().sentences


def test_a_correction_is_written_and_read_again(line: Line) -> None:
    at_approval(line)
    line.says("고칠게")
    assert line.live().sentences == LINES.ask_correction
    line.bot_speaks()
    line.says("친구가 아니라 동생을 만났어")
    assert line.all(WriteEntry)[-1].corrections == ("친구가 아니라 동생을 만났어",)
    line.bot_speaks()
    line.tell(EntryWritten(2, "동생", "동생을 만났다.", "기쁨"))
    assert line.live().sentences[:2] == (*LINES.corrected_intro, "제목, 동생.")


def test_an_old_draft_is_not_read(line: Line) -> None:
    talked(line, "오늘은 친구를 만났어요")
    line.says("오늘은 여기까지 할게")
    line.bot_speaks()
    line.says("아 그리고 영화도 봤어요")
    assert line.all(WriteEntry)[-1].said == ("오늘은 친구를 만났어요", "아 그리고 영화도 봤어요")
    line.bot_speaks()
    line.tell(EntryWritten(1, "친구", "친구를 만났다.", "기쁨"))
    assert not line.all(KeepEntry)


def test_discarding_forgets_and_says_goodbye(line: Line) -> None:
    at_approval(line)
    line.says("지워 줘")
    assert line.all(ForgetDay)
    assert line.live().sentences == LINES.goodbye_discarded
    line.bot_speaks()
    assert line.turns.state is State.CLOSED
    assert line.turns.dialogue.said == []


def test_forgetting_in_the_middle_goes_on(line: Line) -> None:
    talked(line, "오늘은 친구를 만났어요")
    line.says("지워 줘")
    assert line.all(ForgetDay)
    assert line.turns.history == ()
    line.bot_speaks()
    talked(line, "산책을 했어요")
    line.says("오늘은 여기까지 할게")
    assert line.all(WriteEntry)[-1].said == ("산책을 했어요",)


@pytest.mark.parametrize(("key", "status"), [("1", Status.APPROVED), ("3", None)])
def test_keys_decide_like_words(line: Line, key: str, status: Status | None) -> None:
    at_approval(line)
    line.tell(KeyPressed(key))
    assert (Status.APPROVED in statuses(line)) == (status is Status.APPROVED)
    assert bool(line.all(ForgetDay)) == (status is None)
    line.bot_speaks()
    assert line.turns.state is State.CLOSED


def test_hash_finishes_with_what_was_just_being_said(line: Line) -> None:
    line.tell(SpeechStarted(line.now), Interim((1, 1), "산책을 했어요"))
    line.tell(KeyPressed("#"))
    assert line.all(WriteEntry)[0].said == ("산책을 했어요",)


def test_a_key_without_meaning_changes_nothing(line: Line) -> None:
    line.tell(SpeechStarted(line.now), Interim((1, 1), "산책을 했어요"))
    assert line.tell(KeyPressed("5")) == []
    line.says("좋았어요")
    assert line.all(KeepSaid)[0].text == "산책을 했어요 좋았어요"


def test_hanging_up_in_the_middle_keeps_the_day(line: Line) -> None:
    talked(line, "오늘은 친구를 만났어요")
    line.tell(SpeechStarted(line.now), Interim((1, 5), "그리고 영화도"))
    line.tell(CallerGone())
    assert line.all(KeepSaid)[-1].text == "그리고 영화도"
    assert line.turns.dialogue.said == ["오늘은 친구를 만났어요", "그리고 영화도"]
    assert line.turns.state is State.CLOSED


def test_hanging_up_after_the_read_back_keeps_that_entry_unconfirmed(line: Line) -> None:
    at_approval(line)
    line.tell(CallerGone())
    assert statuses(line)[-1] is Status.UNCONFIRMED


def test_approving_and_hanging_up_at_once_is_an_approval(line: Line) -> None:
    at_approval(line)
    line.tell(SpeechStarted(line.now), Interim((1, 7), "맞아요"), CallerGone())
    assert statuses(line)[-1] is Status.APPROVED


def test_nothing_said_leaves_nothing(line: Line) -> None:
    line.tell(CallerGone())
    assert not line.all(KeepEntry)


def test_the_silence_ladder_ends_in_a_goodbye(line: Line) -> None:
    talked(line, "오늘은 친구를 만났어요")
    line.wait(8_000)
    assert line.live().sentences == LINES.silence_first
    line.bot_speaks()
    line.wait(12_000)
    assert line.live().sentences == LINES.silence_second
    line.bot_speaks()
    line.wait(10_000)
    assert line.live().sentences == LINES.goodbye_silence
    line.bot_speaks()
    assert line.all(HangUp) == [HangUp("silence")]


def test_noise_does_not_put_the_prompt_off_for_ever(line: Line) -> None:
    for _ in range(8):
        line.says(None)
        line.wait(1_500)
    assert LINES.silence_first in [say.sentences for say in line.all(Say)]


def test_words_at_the_goodbye_cancel_it_and_politeness_does_not(line: Line) -> None:
    at_approval(line)
    line.says("맞아요")
    line.bot_begins()
    line.speech("네 안녕히 계세요", ms=400)
    assert line.turns.state is State.CLOSING
    line.speech("아 잠깐 오늘 상도 받았어요")
    line.wait(1_000)
    assert line.answers()[-1].history[-1].text == "아 잠깐 오늘 상도 받았어요"
    line.tell(CallerGone())
    assert line.turns.dialogue.said[-1] == "아 잠깐 오늘 상도 받았어요"


def test_a_mark_that_never_comes_does_not_hold_the_bot_up(line: Line) -> None:
    line.says("오늘은 친구를 만났어요")
    line.bot_begins("그러셨군요.")
    line.wait(2_000 + 2_100)
    assert line.turns.state is State.LISTENING
    assert line.all(KeepHeard)[-1].text == "그러셨군요."


@pytest.mark.parametrize(
    ("loss", "words", "with_nothing_said"),
    [
        (SttLoss.FULL, LINES.stt_full, LINES.stt_full_nothing),
        (SttLoss.UNREACHABLE, LINES.stt_lost, LINES.stt_lost_nothing),
    ],
)
def test_without_a_recogniser_the_rest_is_recorded_as_is_said_honestly(
    line: Line, loss: SttLoss, words: tuple[str, ...], with_nothing_said: tuple[str, ...]
) -> None:
    line.tell(SttLost(loss))
    assert line.live().sentences == with_nothing_said
    line = talked(Line(), "오늘은 친구를 만났어요")
    line.tell(SttLost(loss))
    assert line.live().sentences == words
    line.bot_begins()
    assert not line.all(RecordRest)
    line.bot_finishes()
    assert line.all(RecordRest) == [RecordRest(f"recogniser {loss}")]
    assert not line.all(HangUp)
    assert line.tell(CallerGone()) == []


def test_a_call_ends_in_time(line: Line) -> None:
    line = Line(minutes=1)
    line.bot_speaks()
    talked(line, "오늘은 친구를 만났어요")
    line.says("그리고요")
    while line.now < 61_000:
        line.bot_speaks("네.")
        line.says("더 있어요")
    line.bot_speaks("네.")
    line.wait(1_100)
    assert line.live().sentences == LINES.goodbye_time


EVENTS = st.one_of(
    st.just(Tick()),
    st.builds(SpeechStarted, st.integers(0, 10_000)),
    st.builds(SpeechPaused, st.integers(0, 10_000)),
    st.just(SpeechResumed()),
    st.builds(SpeechStopped, st.integers(0, 10_000)),
    st.builds(
        Interim,
        st.tuples(st.just(1), st.integers(0, 4)),
        st.sampled_from(["", "네", "오늘은", "산책했어요", "여기까지 할게"]),
    ),
    st.builds(
        Final,
        st.tuples(st.just(1), st.integers(0, 4)),
        st.sampled_from(["", "네", "산책을 했어요", "여기까지 할게", "맞아요", "고칠게", "지워 줘"]),
    ),
    st.builds(KeyPressed, st.sampled_from("0123*#")),
    st.builds(TurnTyped, st.sampled_from(["네", "산책을 했어요", "여기까지 할게", "맞아요", "지워 줘"])),
    st.tuples(st.integers(1, 6), st.integers(0, 2)).map(lambda of: SentenceMade(*of, f"답{of[0]}:{of[1]}")),
    st.builds(SentenceStarted, st.integers(1, 6), st.integers(0, 2)),
    st.builds(AudioSent, st.integers(1, 6), st.integers(0, 2), st.integers(0, 3_000), st.integers(0, 200)),
    st.builds(FirstToken, st.integers(1, 6)),
    st.builds(FirstAudio, st.integers(1, 6)),
    st.builds(SttPace, st.integers(50, 3_000)),
    st.builds(SentenceSent, st.integers(1, 6), st.integers(0, 2), st.integers(0, 3_000)),
    st.builds(MarkEchoed, st.integers(1, 6), st.integers(0, 2)),
    st.builds(ReplyEnded, st.integers(1, 6)),
    st.builds(EntryWritten, st.integers(1, 3), st.just("제목"), st.just("산책을 했다."), st.just("평온")),
    st.sampled_from([SttReady(), SttLost(SttLoss.FULL), StopPressed(), Draining(), CallerGone()]),
)


@given(st.lists(st.tuples(EVENTS, st.integers(0, 3_000)), max_size=60))
def test_whatever_happens_one_reply_lives_and_closed_absorbs(story: list[tuple[Event, int]]) -> None:
    turns = Turns()
    now, live, last, over, paused, sent = 0, 0, 0, True, False, set[str]()
    prepared: int | None = None
    steps: list[tuple[Event, int]] = [(CallStarted(True), 0), *story]
    for event, passed in steps:
        now += passed
        if isinstance(event, ReplyEnded) and event.reply > max(live, last):
            continue  # what has not begun does not end
        closed = turns.state is State.CLOSED
        match event:
            case SentenceSent(reply, index) | AudioSent(reply, index) if reply == live:
                sent.add(f"답{reply}:{index}")
            case ReplyEnded(reply) if reply == live:
                over = True
        commands = turns.step(event, now)
        assert not (closed and commands)
        for command in commands:
            paused = paused and not isinstance(command, StopSpeaking)
            match command:
                case Reply(reply) | Say(reply):
                    assert over, "a reply begins while another lives"
                    assert prepared is None and reply > max(live, last)
                    live, over = reply, False
                case Prepare(reply):
                    assert prepared is None and reply > max(live, last)
                    prepared = last = reply
                case Play(reply):
                    assert over and reply == prepared
                    live, over, prepared = reply, False, None
                case StopSpeaking(reply) if reply == prepared:
                    prepared = None
                case StopSpeaking(reply):
                    assert reply == live
                    over = True
                case Pause(reply) | Resume(reply):
                    assert reply == live and isinstance(command, Resume) == paused
                    paused = not paused
                case HangUp():
                    assert prepared is None
        paused = paused and not over
        heard = {word for exchange in turns.history if exchange.who == "bot" for word in exchange.text.split()}
        assert {word for word in heard if word.startswith("답")} <= sent
    ends = turns.step(CallerGone(), now)
    assert turns.state is State.CLOSED
    assert turns.step(CallStarted(True), now) == []
    assert len([command for command in ends if isinstance(command, HangUp)]) <= 1


def test_every_row_can_be_read() -> None:
    for (state, _), row in TABLE.items():
        assert row.leads_to
        assert state is not State.CLOSED


@pytest.mark.parametrize("behind_ms", [0, 2_000])
def test_a_final_is_waited_for_longer_when_sound_comes_late_and_in_one_go(line: Line, behind_ms: int) -> None:
    line.begins("오늘은 친구를")
    line.turns.behind(behind_ms)
    line.tell(SpeechPaused(line.now))
    line.wait(80)
    line.tell(SpeechStopped(line.now - 80))
    line.turns.behind(0)
    line.wait(1_800)
    assert bool(line.answers()) is (behind_ms == 0)
    line.tell(Final((1, line.utterance), "오늘은 친구를 만났어요"))
    assert bool(line.answers())
    assert line.all(KeepSaid)[-1].text == ("오늘은 친구를 만났어요" if behind_ms else "오늘은 친구를")


def test_a_final_that_says_more_than_its_interim_renews_the_wait(line: Line) -> None:
    line.tell(SpeechStarted(line.now))
    line.wait(900)
    line.tell(Interim((1, 950), "오늘은 친구를 만났어요"))
    line.wait(200)
    line.tell(SpeechPaused(line.now - 200))
    line.wait(80)
    line.tell(SpeechStopped(line.now - 280))
    line.wait(160)
    line.tell(Final((1, 950), "오늘은 친구를 만났는데"))
    assert line.turns.state is State.ENDPOINTING
    line.wait(900)
    assert line.answers()


def test_again_says_what_was_heard_and_not_what_was_only_made(line: Line) -> None:
    heard = line.live().sentences
    line.says("오늘은 친구를 만났어요")
    line.tell(SentenceMade(line.live().reply, 0, "그러셨군요,"), KeyPressed("*"))
    assert line.live().sentences == heard


def test_each_answered_turn_has_its_waterfall(line: Line) -> None:
    line.speech("오늘은 친구를 만났어요")
    line.wait(200)
    reply = line.live().reply
    line.tell(FirstToken(reply), SentenceMade(reply, 0, "그러셨군요,"), FirstAudio(reply))
    line.wait(100)
    line.tell(SentenceStarted(reply, 0, 20))
    [kept] = line.all(KeepWaterfall)
    times = kept.waterfall
    assert (kept.turn, times.stop_ms, times.final_ms, times.ending, times.prepared) == (0, 280, 380, "final", True)
    assert times.over_ms is not None and times.heard_ms is not None
    assert (
        times.final_ms <= times.over_ms <= times.token_ms == times.clause_ms == times.audio_ms <= times.heard_ms - 120
    )
    line.bot_finishes(1)
    line.wait(9_000)
    line.bot_speaks()
    assert len(line.all(KeepWaterfall)) == 1


def test_what_is_heard_on_a_resumed_call_is_kept_with_the_turn_before() -> None:
    line = Line(before=before("비가 왔어요", next_turn=5, numbers=(4,)))
    line.bot_speaks()
    assert line.all(KeepHeard)[-1] == KeepHeard(4, " ".join(LINES.resumed))
    line.says("영화도 봤어요")
    line.bot_speaks("그러셨군요.")
    assert line.all(KeepHeard)[-1] == KeepHeard(5, "그러셨군요.")
