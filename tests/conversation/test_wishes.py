"""Wishes that are granted before the model is asked, as turn-taking carries them out."""

from bot.conversation.commands import ChangeManner, ForgetTurn, HangUp, Interject, KeepHeard, KeepSaid, Say
from bot.conversation.events import Interim, SentenceMade, SpeechPaused, SpeechStarted, SpeechStopped
from bot.conversation.floor import State
from bot.conversation.lines import LINES
from tests.conversation.line import Line, before, talked

SECRET = "사실 회사에서 잘렸어요"


def test_what_is_off_the_record_is_nowhere_any_more(line: Line) -> None:
    talked(line, "오늘은 비가 왔어요", SECRET)
    line.bot_speaks()
    line.says("이건 적지 마")
    assert ForgetTurn(1) in line.commands
    assert line.live() == Say(line.live().reply, LINES.off_record)
    assert line.turns.dialogue.said == ["오늘은 비가 왔어요"]
    texts = [exchange.text for exchange in line.turns.history]
    assert SECRET not in texts and texts.count("그러셨군요.") == 1
    line.bot_speaks()
    line.says("다시 말해 줘")
    assert line.live().sentences == LINES.off_record


def test_a_secret_and_the_wish_in_one_breath_are_never_kept(line: Line) -> None:
    commands = line.says(f"{SECRET}. 이건 적지 마세요.")
    assert ForgetTurn(0) in commands
    assert not [command for command in commands if isinstance(command, KeepSaid) and "잘렸" in command.text]
    assert not [exchange for exchange in line.turns.history if "잘렸" in exchange.text]


def test_a_turn_is_forgotten_before_the_wish_is_kept(line: Line) -> None:
    talked(line, SECRET)
    commands = line.says("이건 적지 마")
    kept = next(command for command in commands if isinstance(command, KeepSaid))
    assert commands.index(ForgetTurn(0)) < commands.index(kept)


def test_the_wish_itself_is_not_kept_when_a_story_beside_it_is(line: Line) -> None:
    talked(line, SECRET)
    line.bot_speaks()
    commands = line.says("비가 왔어요. 회사 얘기는 빼 주세요.")
    assert ForgetTurn(0) in commands
    assert [command.text for command in commands if isinstance(command, KeepSaid)] == ["비가 왔어요."]
    assert [exchange.text for exchange in line.turns.history if exchange.who == "caller"] == ["비가 왔어요."]


def test_a_turn_of_the_stream_before_can_be_taken_off_the_record() -> None:
    line = Line(before=before("오늘은 비가 왔어요", SECRET, next_turn=5, numbers=(0, 4)))
    line.bot_speaks()
    line.says("방금 한 말은 빼 줘")
    assert line.all(ForgetTurn) == [ForgetTurn(4)]


def test_slower_and_louder_change_the_voice_and_say_it_again(line: Line) -> None:
    last = line.live().sentences
    line.says("천천히 말해 주세요")
    assert line.live().sentences == (*LINES.slower, *last)
    [slower] = line.all(ChangeManner)
    assert slower.manner.pace < 1.0
    line.bot_speaks()
    line.says("좀 크게 말해 주세요")
    assert line.live().sentences == (*LINES.louder, *last)
    assert line.all(ChangeManner)[-1].manner.gain_db > 0
    assert line.all(ChangeManner)[-1].manner.pace == slower.manner.pace


def test_a_caller_who_asked_to_be_waited_for_is_left_alone_for_long(line: Line) -> None:
    line.says("잠깐만요")
    assert line.live().sentences == LINES.waiting
    line.bot_speaks()
    line.wait(55_000)
    assert line.live().sentences == LINES.waiting
    line.wait(10_000)
    assert line.live().sentences == LINES.silence_first
    line.bot_speaks()
    line.wait(13_000)
    assert line.live().sentences == LINES.silence_second


def test_the_silence_ladder_ends_with_a_goodbye(line: Line) -> None:
    begun = line.now
    for at_s, words in ((8, LINES.silence_first), (20, LINES.silence_second), (30, LINES.goodbye_plain)):
        while line.live().sentences != words:
            line.wait(20)
            assert line.now - begun < (at_s + 1) * 1_000
        line.bot_speaks()
        begun += line.now - begun - at_s * 1_000
    assert line.all(HangUp)


def story(line: Line, parts: int) -> None:
    """A caller tells a long story, in parts that end openly."""
    for part in range(parts):
        line.tell(SpeechStarted(line.now))
        line.wait(3_000)
        line.tell(Interim((1, 500 + part), f"{part}번 밭에 가서 딸기를 땄는데"))
        line.wait(200)
        line.tell(SpeechPaused(line.now - 200))
        line.wait(80)
        line.tell(SpeechStopped(line.now - 280))
        line.wait(120)


def test_in_a_long_story_the_bot_shows_that_it_listens(line: Line) -> None:
    story(line, 8)
    sounds = line.all(Interject)
    assert 1 <= len(sounds) <= 3
    assert {sound.text for sound in sounds} <= set(LINES.backchannels)
    assert line.turns.state is State.ENDPOINTING
    assert {kept.turn for kept in line.all(KeepHeard)} == {-1}
    assert len({sound.text for sound in sounds}) == len(sounds)


def test_a_short_story_is_heard_in_silence(line: Line) -> None:
    story(line, 2)
    assert not line.all(Interject)


def test_an_answer_that_takes_long_is_announced_once(line: Line) -> None:
    line.says("오늘은 친구를 만났어요")
    line.wait(3_000)
    assert [sound.text for sound in line.all(Interject)] == [LINES.filler[0]]


def test_an_answer_in_time_needs_no_filler(line: Line) -> None:
    line.speech("오늘은 친구를 만났어요")
    line.wait(200)
    line.tell(SentenceMade(line.live().reply, 0, "그러셨군요."))
    line.bot_begins("그러셨군요.")
    line.wait(3_000)
    assert not line.all(Interject)
