"""The reply that is made before the turn is over: when it is begun, kept and dropped."""

from bot.conversation.commands import Exchange, KeepSaid, Play, Prepare, Reply, StopSpeaking
from bot.conversation.events import (
    CallerGone,
    Final,
    FirstToken,
    Interim,
    SentenceMade,
    SpeechPaused,
    SpeechStarted,
    SpeechStopped,
)
from bot.conversation.floor import State
from bot.conversation.preparing import MOST_TRIES
from tests.conversation.line import DAY, Line, at_approval


def test_a_complete_interim_begins_the_reply_while_the_caller_still_speaks(line: Line) -> None:
    commands = line.begins(DAY)
    assert [command for command in commands if isinstance(command, Prepare)] == [
        Prepare(2, (line.all(Prepare)[0].history[0], Exchange("caller", DAY)), ())
    ]
    assert line.turns.history[-1].who == "bot"
    assert not line.all(KeepSaid)


def test_what_was_prepared_is_played_when_the_turn_ends_with_its_words(line: Line) -> None:
    line.says(DAY)
    assert [line.commands.index(each) for each in (*line.all(Prepare), *line.all(KeepSaid), *line.all(Play))] == sorted(
        line.commands.index(each) for each in (*line.all(Prepare), *line.all(KeepSaid), *line.all(Play))
    )
    assert line.all(Play) == [Play(2)]
    assert not line.all(Reply)
    assert line.turns.state is State.THINKING


def test_punctuation_of_the_final_changes_nothing(line: Line) -> None:
    line.begins(DAY)
    line.tell(SpeechPaused(line.now), SpeechStopped(line.now), Final((1, line.utterance), "오늘은, 친구를 만났어요."))
    line.wait(1_000)
    assert line.all(Play) == [Play(2)]


def test_another_final_drops_it_and_begins_anew(line: Line) -> None:
    line.begins(DAY)
    line.tell(SpeechPaused(line.now))
    line.wait(100)
    commands = line.tell(SpeechStopped(line.now - 100), Final((1, line.utterance), "오늘은 친구랑 만났어요"))
    assert StopSpeaking(2) in commands
    line.wait(1_000)
    assert line.answers()[-1].history[-1].text == "오늘은 친구랑 만났어요"


def test_a_caller_who_goes_on_drops_it(line: Line) -> None:
    line.begins(DAY)
    assert line.tell(Interim((1, line.utterance), DAY + " 그리고")) == [StopSpeaking(2)]
    line.says("영화도 봤어요")
    assert len(line.answers()) == 1
    assert line.live().history[-1].text == DAY + " 그리고 영화도 봤어요"


def test_a_noise_does_not_drop_it(line: Line) -> None:
    line.begins(DAY)
    line.tell(SpeechPaused(line.now))
    line.wait(60)
    line.tell(SpeechStopped(line.now - 60), SpeechStarted(line.now))
    line.wait(200)
    line.tell(SpeechPaused(line.now), Final((1, line.utterance), DAY), SpeechStopped(line.now))
    line.wait(2_000)
    assert line.all(Play) == [Play(2)]
    assert len(line.all(Prepare)) == 1


def test_after_an_open_ending_it_is_begun_before_the_wait_is_over(line: Line) -> None:
    line.speech("오늘은 친구를 만났는데")
    assert not line.all(Prepare)
    line.wait(400)
    assert len(line.all(Prepare)) == 1
    assert not line.all(Play)
    line.wait(600)
    assert len(line.all(Play)) == 1


def test_nothing_is_begun_on_a_guess_while_the_final_is_on_its_way(line: Line) -> None:
    line.begins("오늘은 우리 동네")
    line.tell(SpeechPaused(line.now))
    line.wait(80)
    line.tell(SpeechStopped(line.now - 80))
    line.wait(600)
    assert not line.all(Prepare)
    line.tell(Final((1, line.utterance), "오늘은 우리 동네 시장"))
    assert [prepared.history[-1].text for prepared in line.all(Prepare)] == ["오늘은 우리 동네 시장"]


def test_the_tries_for_a_turn_are_counted(line: Line) -> None:
    for number in range(8):
        line.tell(SpeechStarted(line.now), Interim((1, number), f"{number}번 갔어요"))
        line.tell(SpeechPaused(line.now), SpeechStopped(line.now))
        line.tell(Final((1, number), f"{number}번 갔어요"))
        line.wait(100)
    assert len(line.all(Prepare)) == MOST_TRIES
    line.wait(1_500)
    assert len(line.answers()) == 1


def test_commands_and_fixed_lines_are_not_prepared(line: Line) -> None:
    line.says("다시 말해 줘")
    line.bot_speaks()
    line.says("안녕하세요")
    assert not line.all(Prepare)


def test_nothing_is_prepared_where_the_model_has_no_say(line: Line) -> None:
    at_approval(line)
    before = len(line.all(Prepare))
    line.says("맞아요")
    assert len(line.all(Prepare)) == before


def test_what_is_made_ahead_is_known_when_it_is_played(line: Line) -> None:
    line.begins(DAY)
    line.tell(FirstToken(2), SentenceMade(2, 0, "그러셨군요,"))
    line.tell(SpeechPaused(line.now), SpeechStopped(line.now), Final((1, line.utterance), DAY))
    line.wait(1_000)
    line.bot_speaks("그러셨군요,")
    assert line.turns.history[-1] == Exchange("bot", "그러셨군요,")


def test_a_call_that_ends_drops_it(line: Line) -> None:
    line.begins(DAY)
    assert StopSpeaking(2) in line.tell(CallerGone())
    assert line.all(KeepSaid)[-1].text == DAY
