"""Barge-in in two steps: what only pauses the bot, and what stops it."""

import pytest

from bot.conversation.bots_replies import MOST_FALSE_ALARMS
from bot.conversation.commands import Finalize, HangUp, KeepHeard, KeepSaid, KeepStage, Pause, Resume, StopSpeaking
from bot.conversation.endpointing import PROBATION_MS
from bot.conversation.events import (
    AudioSent,
    EntryWritten,
    Final,
    Interim,
    KeyPressed,
    MarkEchoed,
    ReplyEnded,
    SentenceMade,
    SentenceSent,
    SentenceStarted,
    SpeechPaused,
    SpeechStarted,
    SpeechStopped,
    SttLoss,
    SttLost,
    SttPace,
)
from bot.conversation.floor import State
from bot.conversation.lines import LINES
from tests.conversation.line import Line, at_approval


@pytest.fixture
def spoken_to(line: Line) -> Line:
    """The bot is in the middle of its second sentence."""
    line.says("오늘은 친구를 만났어요")
    line.bot_begins("그러셨군요.", "그래서 무엇을 하고 오셨어요?")
    line.bot_finishes(1)
    line.wait(600)
    return line


def test_a_voice_pauses_at_once_and_stops_nothing(spoken_to: Line) -> None:
    assert spoken_to.tell(SpeechStarted(spoken_to.now)) == [Pause(2)]
    assert spoken_to.turns.state is State.PROBATION


@pytest.mark.parametrize(
    "sound", [None, "네", "음", "아 네", "그렇죠", "음음음", "네네네네", "하하하", "우와", "알겠습니다"]
)
def test_a_sound_that_is_no_word_lets_the_bot_go_on(spoken_to: Line, sound: str | None) -> None:
    commands = spoken_to.says(sound, ms=300)
    assert [command for command in commands if isinstance(command, Pause | Resume)] == [Pause(2), Resume(2)]
    assert spoken_to.turns.state is State.SPEAKING
    assert not spoken_to.all(StopSpeaking)
    assert [said.text for said in spoken_to.all(KeepSaid)] == ["오늘은 친구를 만났어요"]


def test_a_cough_is_over_within_a_second_of_its_end(spoken_to: Line) -> None:
    spoken_to.tell(SttPace(190))
    spoken_to.tell(SpeechStarted(spoken_to.now))
    spoken_to.wait(200)
    ended = spoken_to.now
    spoken_to.wait(200)
    spoken_to.tell(SpeechPaused(ended))
    spoken_to.wait(80)
    spoken_to.tell(SpeechStopped(ended))
    while spoken_to.turns.state is State.PROBATION:
        spoken_to.wait(20)
    assert spoken_to.now - ended < 700


def test_noise_that_does_not_end_lets_the_bot_go_on_and_words_still_stop_it(spoken_to: Line) -> None:
    spoken_to.tell(SpeechStarted(spoken_to.now))
    spoken_to.wait(PROBATION_MS)
    assert spoken_to.all(Resume) == [Resume(2)]
    spoken_to.wait(1_000)
    assert StopSpeaking(2) in spoken_to.tell(Interim((1, 999), "아니 그게 아니고"))
    assert spoken_to.turns.state is State.LISTENING


def test_a_voice_that_outlasts_the_pause_still_has_its_words_asked_for(spoken_to: Line) -> None:
    spoken_to.tell(SpeechStarted(spoken_to.now))
    spoken_to.wait(PROBATION_MS + 200)
    assert spoken_to.turns.state is State.SPEAKING
    assert spoken_to.tell(SpeechPaused(spoken_to.now)) == [Finalize()]
    assert StopSpeaking(2) in spoken_to.tell(Final((1, 999), "아니 그게 아니고요"))


def test_a_long_sound_of_listening_is_heard_out(spoken_to: Line) -> None:
    spoken_to.tell(SpeechStarted(spoken_to.now))
    spoken_to.wait(700)
    spoken_to.tell(Interim((1, 999), "그렇죠"))
    spoken_to.wait(600)
    assert spoken_to.turns.state is State.PROBATION
    spoken_to.tell(SpeechPaused(spoken_to.now))
    spoken_to.wait(80)
    spoken_to.tell(SpeechStopped(spoken_to.now - 80), Final((1, 999), "그렇죠"))
    assert spoken_to.all(Resume) == [Resume(2)]


def test_noise_again_and_again_keeps_the_bot_silent_for_a_bounded_time(spoken_to: Line) -> None:
    began = spoken_to.now
    spoken_to.tell(SpeechStarted(began))
    for _ in range(30):
        spoken_to.wait(400)
        spoken_to.tell(SpeechPaused(spoken_to.now), SpeechStarted(spoken_to.now))
    assert len(spoken_to.all(Pause)) == len(spoken_to.all(Resume)) == MOST_FALSE_ALARMS
    assert spoken_to.turns.state is State.SPEAKING
    assert StopSpeaking(2) in spoken_to.tell(Interim((1, 999), "아니 그게 아니고"))


@pytest.mark.parametrize("kind", [Interim, Final])
def test_real_words_stop_the_bot(spoken_to: Line, kind: type[Interim | Final]) -> None:
    spoken_to.tell(SpeechStarted(spoken_to.now))
    spoken_to.wait(300)
    commands = spoken_to.tell(kind((1, 999), "네 그런데 잠깐만요"))
    assert [command for command in commands if not isinstance(command, KeepStage)] == [StopSpeaking(2)]
    assert spoken_to.all(KeepHeard)[-1] == KeepHeard(0, "그러셨군요.")
    assert spoken_to.turns.state is State.LISTENING


def test_a_short_word_that_has_only_a_final_stops_the_bot(spoken_to: Line) -> None:
    spoken_to.speech("아니요 그거 말고요", ms=300)
    assert StopSpeaking(2) in spoken_to.commands
    assert not spoken_to.all(Resume)
    spoken_to.wait(1_000)
    assert spoken_to.all(KeepSaid)[-1].text == "아니요 그거 말고요"


def test_history_holds_the_words_of_a_sentence_up_to_the_cut(spoken_to: Line) -> None:
    spoken_to.tell(SpeechStarted(spoken_to.now), AudioSent(2, 1, 1_000, 200, 2_000))
    spoken_to.wait(400)
    spoken_to.tell(Interim((1, 999), "영화를 봤어요"))
    assert spoken_to.all(KeepHeard)[-1] == KeepHeard(0, "그러셨군요. 그래서 무엇을")


def test_what_goes_on_after_a_pause_may_take_as_much_longer(spoken_to: Line) -> None:
    reply = spoken_to.live().reply
    spoken_to.tell(SpeechStarted(spoken_to.now))
    spoken_to.wait(PROBATION_MS)
    assert spoken_to.turns.state is State.SPEAKING
    spoken_to.wait(3_000)
    assert spoken_to.turns.state is State.SPEAKING
    spoken_to.tell(MarkEchoed(reply, 1))
    assert spoken_to.turns.state is State.LISTENING


def test_a_noise_before_the_first_sound_only_delays_it(line: Line) -> None:
    line.says("오늘은 친구를 만났어요")
    assert line.turns.state is State.THINKING
    line.says(None, ms=200)
    assert line.turns.state is State.THINKING
    assert [type(command) for command in line.commands[-4:]].count(Resume) == 1
    assert not line.all(StopSpeaking)


def test_when_the_last_sound_was_played_the_floor_is_the_callers(spoken_to: Line) -> None:
    spoken_to.begins("네", ms=300)
    spoken_to.tell(MarkEchoed(2, 1))
    assert spoken_to.turns.state is State.LISTENING
    spoken_to.tell(SpeechPaused(spoken_to.now))
    spoken_to.wait(80)
    spoken_to.tell(SpeechStopped(spoken_to.now - 80), Final((1, spoken_to.utterance), "네"))
    spoken_to.wait(1_200)
    assert spoken_to.all(KeepSaid)[-1].text == "네"
    assert not spoken_to.all(Resume)


def test_a_key_in_probation_is_a_key(spoken_to: Line) -> None:
    spoken_to.tell(SpeechStarted(spoken_to.now))
    commands = spoken_to.tell(KeyPressed("*"))
    assert StopSpeaking(2) in commands
    assert spoken_to.live().reply == 3


def test_the_greeting_too_is_only_paused() -> None:
    line = Line(first_time=True)
    line.tell(SentenceStarted(1, 0))
    line.says("여보세요", ms=400)
    assert line.turns.state is State.GREETING
    assert line.all(Resume) == [Resume(1)]


def in_goodbye(line: Line) -> Line:
    """The day is kept, and the goodbye is being spoken."""
    at_approval(line)
    line.says("맞아요")
    line.bot_begins()
    line.wait(400)
    return line


@pytest.mark.parametrize("sound", [None, "네", "안녕히 계세요"])
def test_a_goodbye_goes_on_after_a_sound_or_a_farewell(line: Line, sound: str | None) -> None:
    in_goodbye(line)
    reply = line.live().reply
    commands = line.says(sound, ms=400)
    assert [command for command in commands if isinstance(command, Pause | Resume)] == [Pause(reply), Resume(reply)]
    line.bot_finishes(len(LINES.goodbye_kept))
    assert line.all(HangUp)


def test_a_word_over_the_goodbye_is_no_false_alarm(line: Line) -> None:
    in_goodbye(line)
    for number in range(MOST_FALSE_ALARMS + 1):
        assert Pause(line.live().reply) in line.tell(SpeechStarted(line.now))
        line.wait(200)
        line.tell(SpeechPaused(line.now), Final((1, 900 + number), "네"))


def test_real_words_cancel_the_hang_up(line: Line) -> None:
    in_goodbye(line)
    reply = line.live().reply
    line.says("아 잠깐 오늘 상도 받았어요", ms=900)
    assert StopSpeaking(reply) in line.commands
    assert Resume(reply) not in line.commands
    assert not line.all(HangUp)
    assert line.all(KeepSaid)[-1].text == "아 잠깐 오늘 상도 받았어요"


def test_a_yes_over_the_last_words_of_a_question_is_its_answer(line: Line) -> None:
    line.says("오늘은 친구를 만났어요")
    reply = line.live().reply
    line.tell(SentenceMade(reply, 0, "재미있으셨어요?"), SentenceStarted(reply, 0))
    line.wait(1_000)
    line.speech("네", ms=300)
    assert line.all(Resume) == [Resume(reply)]
    line.tell(SentenceSent(reply, 0, 1_500), ReplyEnded(reply))
    assert [said.text for said in line.all(KeepSaid)] == ["오늘은 친구를 만났어요"]
    line.tell(MarkEchoed(reply, 0))
    assert line.all(KeepSaid)[-1].text == "네"
    assert line.answers()[-1].history[-1].text == "네"


def test_noise_at_the_end_of_the_bots_words_is_followed_by_the_usual_silence(spoken_to: Line) -> None:
    spoken_to.tell(SpeechStarted(spoken_to.now))
    spoken_to.wait(150)
    spoken_to.tell(MarkEchoed(2, 1), SpeechPaused(spoken_to.now))
    spoken_to.wait(80)
    spoken_to.tell(SpeechStopped(spoken_to.now - 80))
    live = spoken_to.live()
    spoken_to.wait(7_000)
    assert spoken_to.live() == live
    spoken_to.wait(2_000)
    assert spoken_to.live().sentences == LINES.silence_first


def test_a_filler_over_the_bot_stops_it_and_is_no_turn(spoken_to: Line) -> None:
    spoken_to.says("저기", ms=400)
    assert StopSpeaking(2) in spoken_to.commands
    assert spoken_to.live().sentences == ("그래서 무엇을 하고 오셨어요?",)


def test_a_goodbye_whose_interrupter_is_never_understood_goes_on(line: Line) -> None:
    in_goodbye(line)
    line.begins("아 잠깐 오늘 상도")
    line.tell(SpeechPaused(line.now))
    line.wait(80)
    line.tell(SpeechStopped(line.now - 80))
    line.wait(6_000)
    assert line.all(KeepSaid)[-1].text == "아 잠깐 오늘 상도"


def test_a_goodbye_without_a_recogniser_ends(line: Line) -> None:
    in_goodbye(line)
    reply = line.live().reply
    line.tell(SpeechStarted(line.now), SttLost(SttLoss.UNREACHABLE))
    assert Resume(reply) in line.commands
    line.bot_finishes(len(LINES.goodbye_kept))
    assert line.all(HangUp)


def test_words_too_faint_for_the_ears_are_not_talked_over_by_the_read_back(line: Line) -> None:
    line.says("오늘은 친구를 만났어요")
    line.bot_speaks("그러셨군요.")
    line.says("오늘은 여기까지 할게")
    line.bot_speaks()
    line.tell(Interim((1, 950), "그리고 영화도"), EntryWritten(1, "친구", "친구를 만났다.", "기쁨"))
    line.tell(SpeechStarted(line.now))
    line.wait(300)
    assert line.turns.state is State.LISTENING
