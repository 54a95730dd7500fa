"""The stages of a diary call, without time."""

import pytest

from bot.conversation.commands import ForgetDay, Status
from bot.conversation.dialogue import Dialogue, Stage
from bot.conversation.events import EntryWritten, SttLoss
from bot.conversation.lines import LINES


def at_approval() -> Dialogue:
    dialogue = Dialogue()
    dialogue.turn("친구를 만났어요", interrupted=False)
    assert dialogue.turn("오늘은 여기까지 할게", interrupted=False).write
    dialogue.written(EntryWritten(dialogue.draft, "친구", "친구를 만났다. 즐거웠다.", "기쁨"))
    move = dialogue.spoken()
    assert move and "친구를 만났다." in move.say
    return dialogue


@pytest.mark.parametrize("text", ["음", "네", "여보세요", "다시 말해 줘", "오늘은 여기까지 할게"])
def test_what_is_no_part_of_the_day(text: str) -> None:
    dialogue = Dialogue()
    dialogue.turn(text, interrupted=False)
    assert dialogue.said == []


def test_a_resumed_day_leaves_out_what_is_no_part_of_it() -> None:
    dialogue = Dialogue()
    dialogue.begin(first_time=False, said_before=("친구를 만났어요", "네", "오늘은 여기까지 할게"))
    assert dialogue.said == ["친구를 만났어요"]


def test_a_correction_in_the_same_breath() -> None:
    dialogue = at_approval()
    move = dialogue.turn("고칠게 친구가 아니라 동생이야", interrupted=False)
    assert move.write
    assert dialogue.corrections == ["친구가 아니라 동생이야"]


def test_a_long_sentence_at_the_approval_is_a_correction() -> None:
    dialogue = at_approval()
    assert dialogue.turn("그 친구 이름은 지민이라고 적어 주세요", interrupted=False).write


def test_a_short_unclear_answer_is_asked_again_once() -> None:
    dialogue = at_approval()
    assert dialogue.turn("파란색", interrupted=False).say == LINES.ask_approval_again
    assert dialogue.turn("파란색", interrupted=False).write


def test_listening_to_the_read_back_is_not_approving_it() -> None:
    dialogue = at_approval()
    assert dialogue.turn("네", interrupted=True).go_on
    assert dialogue.turn("맞아요", interrupted=True).keep is Status.APPROVED


def test_changing_one_s_mind_about_a_correction() -> None:
    dialogue = at_approval()
    dialogue.turn("고칠게", interrupted=False)
    assert dialogue.stage is Stage.CORRECTION
    assert dialogue.turn("지워 줘", interrupted=False).forget == ForgetDay(for_good=True)


def test_an_approved_day_is_settled_until_more_is_said() -> None:
    dialogue = at_approval()
    assert dialogue.unsettled and dialogue.entry_is_current
    dialogue.turn("맞아요", interrupted=False)
    assert not dialogue.unsettled
    assert dialogue.reopens("아 그리고 상도 받았어요")
    dialogue.turn("아 그리고 상도 받았어요", interrupted=False)
    assert dialogue.unsettled and not dialogue.entry_is_current


POLITE = (
    *("네", "안녕히 계세요", "음", "", "감사합니다", "네 고맙습니다", "알겠습니다", "네 알겠어요", "편히 쉬세요"),
    *("고생하셨어요", "건강하세요", "네 좋은 밤 되세요", "내일 또 봐요", "정말 고마워요 안녕히 계세요"),
)


@pytest.mark.parametrize("text", POLITE)
def test_politeness_does_not_reopen_a_talk(text: str) -> None:
    dialogue = at_approval()
    dialogue.turn("맞아요", interrupted=False)
    assert not dialogue.reopens(text)


def test_a_discarded_day_is_not_reopened() -> None:
    dialogue = at_approval()
    dialogue.turn("지워 줘", interrupted=False)
    assert not dialogue.reopens("아 그리고 상도 받았어요")
    assert not dialogue.unsettled


def test_a_lost_recogniser_is_told_apart() -> None:
    assert Dialogue().stt_lost(SttLoss.FULL).say == LINES.stt_full_nothing
    assert Dialogue(said=["친구를 만났어요"]).stt_lost(SttLoss.FULL).say == LINES.stt_full
    assert Dialogue().stt_lost(SttLoss.UNREACHABLE).say == LINES.stt_lost_nothing
    assert Dialogue(said=["친구를 만났어요"]).stt_lost(SttLoss.UNREACHABLE).say == LINES.stt_lost


def test_a_copy_is_left_alone() -> None:
    dialogue = at_approval()
    before = dialogue.copy()
    dialogue.turn("고칠게 동생이야", interrupted=False)
    assert before.corrections == [] and before.stage is Stage.APPROVAL


@pytest.mark.parametrize(
    ("stage", "known"), [(Stage.TALK, "#*"), (Stage.APPROVAL, "123*"), (Stage.CORRECTION, "123*"), (Stage.WRITING, "*")]
)
def test_which_keys_mean_something(stage: Stage, known: str) -> None:
    dialogue = Dialogue(stage=stage)
    assert {digit for digit in "0123456789*#" if dialogue.knows_key(digit)} == set(known)


@pytest.mark.parametrize("text", ["하하", "오", "그렇구나", "그러게요", "감사합니다", "음"])
def test_a_sound_at_the_approval_decides_nothing(text: str) -> None:
    dialogue = at_approval()
    move = dialogue.turn(text, interrupted=False)
    assert move.keep is None and not move.write and dialogue.stage is Stage.APPROVAL


@pytest.mark.parametrize("text", ["그렇군요", "하하", "네", "오"])
def test_a_sound_over_the_read_back_lets_it_go_on(text: str) -> None:
    assert at_approval().turn(text, interrupted=True).go_on


def test_a_first_caller_who_speaks_over_the_notice_hears_it_with_the_first_answer() -> None:
    dialogue = Dialogue()
    dialogue.begin(first_time=True, said_before=())
    assert dialogue.turn("여보세요", interrupted=True).go_on
    move = dialogue.turn("친구를 만났어요", interrupted=True)
    assert move.ask_model and move.say == LINES.greeting_first[1:2]
    dialogue.notice = ""
    assert dialogue.turn("영화도 봤어요", interrupted=False).say == ()


def test_a_correction_of_an_earlier_stream_is_no_part_of_the_day() -> None:
    dialogue = Dialogue()
    dialogue.begin(first_time=False, said_before=("민수랑 밥을 먹었어요", "고칠게 민수가 아니라 지훈이야"))
    assert dialogue.said == ["민수랑 밥을 먹었어요"]
    assert dialogue.corrections == ["민수가 아니라 지훈이야"]


def test_what_is_said_after_forgetting_is_unsettled_again() -> None:
    dialogue = at_approval()
    dialogue.turn("맞아요", interrupted=False)
    dialogue.stage = Stage.TALK
    dialogue.turn("지워 줘", interrupted=False)
    dialogue.turn("산책을 했어요", interrupted=False)
    assert dialogue.unsettled
