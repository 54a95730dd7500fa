"""The stages of a diary call, and what words and keys mean at each, without time."""

from collections.abc import Callable

import pytest

from bot.conversation.commands import ForgetDay, Manner, Status
from bot.conversation.dialogue import PATIENCE_MS, Dialogue
from bot.conversation.events import EntryWritten, SttLoss
from bot.conversation.lines import LINES
from bot.conversation.moves import Move
from bot.conversation.snapshot import Stage


def talking(*texts: str) -> Dialogue:
    dialogue = Dialogue()
    for text in texts or ("친구를 만났어요",):
        dialogue.turn(text, interrupted=False)
    return dialogue


def writing(*texts: str) -> Dialogue:
    dialogue = talking(*texts)
    assert dialogue.turn("오늘은 여기까지 할게", interrupted=False).write
    return dialogue


def read_back(dialogue: Dialogue) -> Move | None:
    dialogue.written(EntryWritten(dialogue.draft, "친구", "친구를 만났다. 즐거웠다.", "기쁨"))
    return dialogue.spoken()


def at_approval(*texts: str) -> Dialogue:
    dialogue = writing(*texts)
    move = read_back(dialogue)
    assert move and move.say[:2] == (*LINES.read_back_intro, "제목, 친구.") and "친구를 만났다." in move.say
    return dialogue


def correcting(*texts: str) -> Dialogue:
    dialogue = at_approval(*texts)
    dialogue.turn("고칠게", interrupted=False)
    return dialogue


def at_goodbye(*texts: str) -> Dialogue:
    dialogue = at_approval(*texts)
    assert dialogue.turn("맞아요", interrupted=False).keep is Status.APPROVED
    return dialogue


Stager = Callable[..., Dialogue]


@pytest.mark.parametrize("text", ["음", "네", "여보세요", "다시 말해 줘", "오늘은 여기까지 할게"])
def test_what_is_no_part_of_the_day(text: str) -> None:
    dialogue = Dialogue()
    dialogue.turn(text, interrupted=False)
    assert dialogue.said == []


def test_a_correction_in_the_same_breath() -> None:
    dialogue = at_approval()
    move = dialogue.turn("고칠게 친구가 아니라 동생이야", interrupted=False)
    assert move.write
    assert dialogue.corrections == ["친구가 아니라 동생이야"]


def test_a_long_sentence_at_the_approval_is_a_correction() -> None:
    dialogue = at_approval()
    assert dialogue.turn("그 친구 이름은 지민이라고 적어 주세요", interrupted=False).write


@pytest.mark.parametrize("text", ["글쎄 말이야", "파란색", "3번", "취소할게요"])
def test_a_short_unclear_answer_is_asked_again_and_is_no_correction(text: str) -> None:
    dialogue = at_approval()
    for _ in range(3):
        assert dialogue.turn(text, interrupted=False).say == LINES.ask_approval_again
    assert dialogue.corrections == [] and dialogue.turn("네 맞아요", interrupted=False).keep


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
    *("들어 주셔서 감사합니다", "좋은 꿈 꾸세요", "고생 많으셨어요", "새해 복 많이 받으세요", "응 고마워 잘 자"),
    *("네 다음에 또 전화할게요 안녕히 계세요", "네 그랬어요"),
    *("맞네 맞아", "됐어 끊어", "수고했어요", "그려 그려", "좋구먼", "네 수고 많으셨어요"),
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
    assert talking().stt_lost(SttLoss.FULL).say == LINES.stt_full
    assert Dialogue().stt_lost(SttLoss.UNREACHABLE).say == LINES.stt_lost_nothing
    assert talking().stt_lost(SttLoss.UNREACHABLE).say == LINES.stt_lost


def test_a_copy_is_left_alone() -> None:
    dialogue = at_approval()
    before = dialogue.copy()
    dialogue.turn("고칠게 동생이야", interrupted=False)
    assert before.corrections == [] and before.stage is Stage.APPROVAL


@pytest.mark.parametrize(
    ("stage", "known"),
    [(Stage.TALK, "#*"), (Stage.APPROVAL, "123#*"), (Stage.CORRECTION, "123#*"), (Stage.WRITING, "*")],
)
def test_which_keys_mean_something(stage: Stage, known: str) -> None:
    dialogue = Dialogue(stage=stage)
    assert {digit for digit in "0123456789*#" if dialogue.knows_key(digit)} == set(known)


@pytest.mark.parametrize("text", ["네 그랬어요", "네 그러네요", "네에"])
def test_who_agrees_while_listening_approves_only_behind_the_read_back(text: str) -> None:
    dialogue = at_approval()
    assert dialogue.turn(text, interrupted=True).go_on
    assert dialogue.turn(text, interrupted=False).keep is Status.APPROVED


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
    dialogue.begin(first_time=True)
    assert dialogue.turn("여보세요", interrupted=True).go_on
    move = dialogue.turn("친구를 만났어요", interrupted=True)
    assert move.ask_model and move.say == LINES.greeting_first[1:2]
    dialogue.notice = ""
    assert dialogue.turn("영화도 봤어요", interrupted=False).say == ()


def test_what_is_said_after_forgetting_is_unsettled_again() -> None:
    dialogue = at_approval()
    dialogue.turn("맞아요", interrupted=False)
    dialogue.stage = Stage.TALK
    dialogue.turn("지워 줘", interrupted=False)
    dialogue.turn("산책을 했어요", interrupted=False)
    assert dialogue.unsettled


# ── wishes at any stage ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stage", [talking, writing, at_approval, correcting])
@pytest.mark.parametrize("interrupted", [False, True])
def test_slower_speech_at_any_stage(stage: Stager, interrupted: bool) -> None:
    dialogue = stage()
    where = dialogue.stage
    moves = [dialogue.turn("좀 천천히 말해 줘", interrupted=interrupted) for _ in range(3)]
    assert [move.manner for move in moves] == [Manner(pace=0.8), Manner(pace=0.7), Manner(pace=0.7)]
    assert all(move.say == LINES.slower and move.again and not move.ask_model for move in moves)
    assert dialogue.stage is where and dialogue.said == ["친구를 만났어요"]


def test_louder_and_slower_speech_go_together() -> None:
    dialogue = talking()
    assert dialogue.turn("잘 안 들려요", interrupted=False).manner == Manner(gain_db=6.0)
    assert dialogue.turn("너무 빨라요", interrupted=False).manner == Manner(pace=0.8, gain_db=6.0)
    move = dialogue.turn("더 크게 말해 줘", interrupted=True)
    assert (move.manner, move.say, move.again) == (Manner(pace=0.8, gain_db=10.0), LINES.louder, True)
    assert dialogue.turn("소리가 작아요", interrupted=False).manner == Manner(pace=0.8, gain_db=10.0)


@pytest.mark.parametrize("stage", [talking, at_approval, correcting])
@pytest.mark.parametrize("interrupted", [False, True])
def test_a_caller_who_asks_to_be_waited_for(stage: Stager, interrupted: bool) -> None:
    dialogue = stage()
    where = dialogue.stage
    move = dialogue.turn("잠깐만요", interrupted=interrupted)
    assert move == Move(say=LINES.waiting, patience_ms=PATIENCE_MS)
    assert dialogue.stage is where


def test_wait_while_the_entry_is_written_means_that_there_is_more() -> None:
    dialogue = writing()
    assert dialogue.turn("잠깐만요", interrupted=True).patience_ms
    assert read_back(dialogue) is None
    assert dialogue.turn("영화도 봤어요", interrupted=False).ask_model
    assert dialogue.turn("여기까지 할게", interrupted=False).write and dialogue.unsettled


@pytest.mark.parametrize("text", ["네", "네 됐어요", "여보세요", "음", "네 감사합니다", "다시 읽어 줘"])
def test_who_comes_back_to_a_read_back_hears_all_of_it_and_has_approved_of_nothing(text: str) -> None:
    dialogue = at_approval()
    dialogue.turn("잠깐만요", interrupted=True)
    move = dialogue.turn(text, interrupted=False)
    assert move.say[:1] == LINES.read_back_intro and move.keep is None
    assert dialogue.turn("네", interrupted=False).keep is Status.APPROVED


def test_who_asked_to_wait_after_the_read_back_can_approve_of_it() -> None:
    dialogue = at_approval()
    dialogue.turn("잠깐만요", interrupted=False)
    assert dialogue.turn("네", interrupted=False).keep is Status.APPROVED


def test_who_comes_back_to_a_read_back_can_still_correct_it() -> None:
    dialogue = at_approval()
    dialogue.turn("잠깐만요", interrupted=True)
    assert dialogue.turn("고칠게 친구가 아니라 동생이야", interrupted=False).write


@pytest.mark.parametrize("text", ["너무 좋아요", "오늘은 괜찮아요", "별로예요"])
def test_how_a_day_was_is_told_and_decides_nothing(text: str) -> None:
    dialogue = talking(text)
    assert dialogue.said == [text]
    assert at_approval().turn("너무 좋아요", interrupted=False).keep is Status.APPROVED


def test_what_corrects_a_story_is_told_as_a_correction() -> None:
    dialogue = talking("민호를 만났어요", "아니 민호가 아니라 민지야")
    assert (dialogue.said, dialogue.corrections) == (["민호를 만났어요"], ["민호가 아니라 민지야"])
    dialogue.turn("오늘은 여기까지 할게", interrupted=False)
    move = read_back(dialogue)
    assert move and move.say[:1] == LINES.read_back_intro
    dialogue = writing("민호를 만났어요")
    assert dialogue.turn("아니 민호가 아니라 민지야", interrupted=False).write
    assert (dialogue.said, dialogue.corrections) == (["민호를 만났어요"], ["민호가 아니라 민지야"])
    assert talking("아니 민호가 아니라 민지야").said == ["아니 민호가 아니라 민지야"]


def test_a_talk_that_is_ended_behind_a_story_loses_no_word_of_it() -> None:
    dialogue = Dialogue()
    assert dialogue.turn("친구를 만났어요. 오늘은 여기까지 할게요.", interrupted=False).write
    assert dialogue.said == ["친구를 만났어요. 오늘은 여기까지 할게요."]


@pytest.mark.parametrize("text", ["네 맞아요 이제 끊을게요", "네 맞는 거 같아요", "아니요 고칠 거 없어요"])
@pytest.mark.parametrize("stage", [at_approval, correcting])
def test_an_approval_in_other_words_is_no_correction(stage: Stager, text: str) -> None:
    dialogue = stage()
    assert dialogue.turn(text, interrupted=False).keep is Status.APPROVED
    assert dialogue.corrections == []


def test_a_short_story_at_the_approval_is_taken_at_once() -> None:
    dialogue = at_approval()
    assert dialogue.turn("저녁에 산책했어요", interrupted=False).write
    assert dialogue.corrections == ["저녁에 산책했어요"]


def test_who_calls_out_at_the_approval_corrects_nothing() -> None:
    dialogue = at_approval()
    for _ in range(3):
        assert dialogue.turn("여보세요?", interrupted=False).say == LINES.ask_approval_again
    assert dialogue.turn("싫어요", interrupted=False).say == LINES.ask_correction
    assert dialogue.turn("이름이 틀렸어요", interrupted=False).say == LINES.ask_correction
    assert dialogue.turn("여보세요?", interrupted=False).say == LINES.ask_correction
    assert dialogue.turn("아 몰라 그냥 지워", interrupted=False).forget == ForgetDay(for_good=True)
    assert dialogue.corrections == []


def test_a_goodbye_at_the_approval_is_answered() -> None:
    move = at_approval().turn("수고하셨어요 안녕히 계세요", interrupted=False)
    assert move.say == LINES.goodbye_unconfirmed and move.hang_up and move.keep is None


# ── off the record ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("interrupted", [False, True])
def test_the_last_thing_told_is_taken_off_the_record(interrupted: bool) -> None:
    dialogue = talking("친구를 만났어요", "회사에서 잘렸어요")
    assert dialogue.turn("네", interrupted=False).ask_model
    move = dialogue.turn("이건 적지 마", interrupted=interrupted)
    assert move == Move(say=LINES.off_record, off_record=("회사에서 잘렸어요",))
    assert dialogue.said == ["친구를 만났어요"]
    assert dialogue.turn("그 얘기도 빼 줘", interrupted=False).off_record == ("친구를 만났어요",)
    assert dialogue.turn("이건 적지 마", interrupted=False) == Move(say=LINES.off_record_nothing)


def test_a_secret_and_the_wish_in_one_breath_are_no_part_of_the_day() -> None:
    dialogue = talking()
    text = "회사에서 잘렸어요 이건 적지 마세요"
    assert dialogue.turn(text, interrupted=False) == Move(say=LINES.off_record, off_record=(text,))
    assert dialogue.said == ["친구를 만났어요"]


def test_a_wish_that_comes_first_may_mean_what_went_before_and_what_comes_after() -> None:
    dialogue = talking()
    text = "이건 적지 마세요. 회사에서 잘렸어요."
    assert dialogue.turn(text, interrupted=False).off_record == (text, "친구를 만났어요")
    assert dialogue.said == [] and not dialogue.unsettled


# Before any wish not to keep something, these mean what was told last.
MEAN_THE_LAST = ("이건", "이것만은", "이 얘기만", "이 부분은", "방금 한 말은", "좀 전에 한 말", "생각해 보니 그건")
GIVE_A_REASON = ("창피해서", "남편이 볼까 봐", "우리끼리 얘긴데", "비밀이니까")
WISHES = (
    *("적지 마세요", "쓰지 말아 줘", "넣지 마세요", "빼 주세요", "지워 줘", "기록하지 마", "남기지 마세요"),
    *("저장하지 마세요", "안 적었으면 좋겠어요", "없던 걸로 해 줘", "못 들은 걸로 해 주세요", "잊어 주세요"),
)


@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize("means", [*MEAN_THE_LAST, *GIVE_A_REASON])
def test_however_it_is_said_what_was_told_last_is_not_kept(means: str, wish: str) -> None:
    dialogue = talking("친구를 만났어요", "회사에서 잘렸어요")
    move = dialogue.turn(f"{means} {wish}", interrupted=False)
    assert move.say == LINES.off_record and "회사에서 잘렸어요" in move.off_record
    assert dialogue.said == ["친구를 만났어요"]


@pytest.mark.parametrize("wish", ["적지 마세요", "빼 주세요", "넣지 마세요"])
def test_a_wish_that_means_nothing_surely_is_asked_after_when_the_entry_was_read(wish: str) -> None:
    dialogue = at_approval("친구를 만났어요", "회사에서 잘렸어요")
    assert dialogue.turn(wish, interrupted=False).say == LINES.off_record_which
    move = dialogue.turn("오늘 남편 생일이에요 회사 얘기요 회사 얘기는 빼 주세요", interrupted=False)
    assert move.write and "회사에서 잘렸어요" in move.off_record and move.left == "오늘 남편 생일이에요"
    assert dialogue.said == ["친구를 만났어요"]
    assert talking("친구를 만났어요", "회사에서 잘렸어요").turn(wish, interrupted=False).say == LINES.off_record


@pytest.mark.parametrize("stage", [writing, at_approval, correcting])
@pytest.mark.parametrize("text", ["방금 한 말은 빼 줘", "저는 약을 먹어요. 이건 적지 마세요."])
def test_an_entry_is_written_anew_without_what_is_off_the_record(stage: Stager, text: str) -> None:
    dialogue = stage("친구를 만났어요", "회사에서 잘렸어요")
    draft = dialogue.draft
    move = dialogue.turn(text, interrupted=False)
    kept = ["친구를 만났어요"] if "약" not in text else ["친구를 만났어요", "회사에서 잘렸어요"]
    assert move.write and move.say == LINES.off_record_rewriting and len(move.off_record) == 1
    assert dialogue.said == kept and dialogue.draft == draft + 1
    assert dialogue.stage is Stage.WRITING and not dialogue.entry_is_current
    assert dialogue.written(EntryWritten(draft, "친구", "잘렸다.", "슬픔")) is None
    assert read_back(dialogue) and dialogue.entry_is_current


def test_a_correction_is_taken_off_the_record_before_what_it_corrects() -> None:
    dialogue = at_approval()
    dialogue.turn("고칠게 친구가 아니라 동생이야", interrupted=False)
    read_back(dialogue)
    assert dialogue.turn("이건 적지 마", interrupted=False).off_record == ("친구가 아니라 동생이야",)
    assert (dialogue.said, dialogue.corrections) == (["친구를 만났어요"], [])


@pytest.mark.parametrize("stage", [writing, at_approval, correcting])
def test_with_nothing_left_there_is_nothing_to_write(stage: Stager) -> None:
    dialogue = stage()
    move = dialogue.turn("이건 적지 마세요", interrupted=False)
    assert move.off_record == ("친구를 만났어요",) and move.hang_up and not move.write
    assert move.say == (*LINES.off_record, *LINES.goodbye_nothing)
    assert dialogue.entry is None and not dialogue.unsettled
    assert dialogue.reopens("영화도 봤어요")


def test_an_approved_day_without_what_is_off_the_record_is_unsettled() -> None:
    dialogue = at_goodbye("친구를 만났어요", "회사에서 잘렸어요")
    move = dialogue.removes("아니 방금 한 말은 빼 줘")
    assert move and move.off_record == ("회사에서 잘렸어요",) and move.hang_up and move.say == LINES.goodbye_off_record
    assert dialogue.unsettled and not dialogue.entry_is_current
    assert dialogue.reopens("영화도 봤어요")


def test_a_secret_told_over_the_goodbye_leaves_the_approved_entry_as_it_is() -> None:
    dialogue = at_goodbye()
    text = "아 그리고 회사에서 잘렸어요 이건 적지 마세요"
    move = dialogue.removes(text)
    assert move and move.off_record == (text,) and move.hang_up
    assert not dialogue.unsettled and dialogue.entry_is_current and dialogue.said == ["친구를 만났어요"]


@pytest.mark.parametrize("lead", ["그리고", "참", "죄송한데요", "부끄러우니까", "오늘 일기에"])
def test_a_small_word_before_the_wish_is_not_what_it_means(lead: str) -> None:
    dialogue = talking("친구를 만났어요", "회사에서 잘렸어요")
    move = dialogue.turn(f"{lead} 이건 적지 마세요", interrupted=False)
    assert "회사에서 잘렸어요" in move.off_record and move.say == LINES.off_record
    assert dialogue.said == ["친구를 만났어요"]


@pytest.mark.parametrize("remark", ["쪽팔려", "이 얘기 아무도 몰라요", "나중에 딸이 볼 수도 있잖아요"])
def test_a_remark_before_the_wish_is_not_all_that_it_means(remark: str) -> None:
    text = f"{remark} 이건 적지 마세요"
    dialogue = talking("친구를 만났어요", "회사에서 잘렸어요")
    assert dialogue.turn(text, interrupted=False).off_record == (text, "회사에서 잘렸어요")
    dialogue = at_approval("친구를 만났어요", "회사에서 잘렸어요")
    assert dialogue.turn(text, interrupted=True).say == LINES.off_record_which and len(dialogue.said) == 2


@pytest.mark.parametrize("text", ["이건 저장하지 마세요", "이거 지워 주세요"])
def test_a_wish_to_delete_that_points_means_the_last_thing_told(text: str) -> None:
    dialogue = talking("친구를 만났어요", "회사에서 잘렸어요")
    move = dialogue.turn(text, interrupted=False)
    assert move == Move(say=LINES.off_record, off_record=("회사에서 잘렸어요",))
    assert at_approval().turn(text, interrupted=False).forget == ForgetDay(for_good=True)


@pytest.mark.parametrize("text", ["오늘 하루를 지우고 싶어요", "다 지우고 싶어요", "그냥 다 잊어 줘"])
def test_a_feeling_deletes_nothing(text: str) -> None:
    dialogue = talking("회사에서 잘렸어요", text)
    assert dialogue.said == ["회사에서 잘렸어요", text]


@pytest.mark.parametrize("stage", [talking, at_approval, correcting])
def test_what_is_off_the_record_may_be_named(stage: Stager) -> None:
    dialogue = stage("오전에 병원에 갔어요", "친구를 만났어요", "병원에서 약을 받았어요", "산책을 했어요")
    assert dialogue.told.about(["책"]) == []
    text = "병원 얘기는 빼 주세요"
    move = dialogue.turn(text, interrupted=False)
    assert move.off_record == (text, "병원에서 약을 받았어요", "오전에 병원에 갔어요")
    assert dialogue.said == ["친구를 만났어요", "산책을 했어요"]
    assert move.write is (stage is not talking)


@pytest.mark.parametrize("text", ["네?", "예?", "응?"])
def test_who_has_not_understood_approves_of_nothing(text: str) -> None:
    assert at_approval().turn(text, interrupted=False) == Move(say=LINES.ask_approval_again)
    assert correcting().turn(text, interrupted=False) == Move(say=LINES.ask_correction)


@pytest.mark.parametrize(
    "text",
    [
        "친구가 아니라 동생이에요",
        "동생이에요 친구가 아니고",
        "밥이 아니고 국수요",
        "존댓말로 써 주세요",
        "제목은 빼 주세요",
        "제목은 봄날이에요",
        "너무 길어요",
        "더 짧게요",
    ],
)
def test_few_words_that_put_something_right_are_a_correction_at_once(text: str) -> None:
    dialogue = at_approval("친구랑 밥을 먹었어요")
    assert dialogue.turn(text, interrupted=False).write and dialogue.corrections == [text]


@pytest.mark.parametrize("text", ["하나 더 있어요", "추가할 게 있는데요", "한 가지만 더 말할게요"])
def test_who_has_more_to_tell_of_an_entry_is_asked_for_it(text: str) -> None:
    assert at_approval().turn(text, interrupted=False).say == LINES.ask_correction


@pytest.mark.parametrize("text", ["네 맞는데요 하나 틀렸어요", "다 맞는데 하나만 고쳐 줘", "이름이요"])
def test_who_says_that_there_is_something_to_correct_is_asked_what(text: str) -> None:
    dialogue = at_approval()
    assert dialogue.turn(text, interrupted=False).say == LINES.ask_correction and dialogue.corrections == []


@pytest.mark.parametrize("text", ["모르겠어요", "어디를요?", "제목이요"])
def test_who_does_not_say_how_to_correct_is_asked_again(text: str) -> None:
    dialogue = correcting()
    assert dialogue.turn(text, interrupted=False).say == LINES.ask_correction
    assert dialogue.turn("친구가 아니라 동생이에요", interrupted=False).write and len(dialogue.corrections) == 1


def test_who_takes_a_correction_back_decides_once_more() -> None:
    dialogue = correcting()
    assert dialogue.turn("취소할게요", interrupted=False) == Move(say=LINES.ask_approval_again)
    assert dialogue.stage is Stage.APPROVAL and dialogue.corrections == []
    assert correcting().turn("생각해 보니 고칠 거 없네요", interrupted=False).keep
    assert correcting().turn("원래대로 해 줘", interrupted=False).keep


@pytest.mark.parametrize(
    "text", ["천천히 하세요", "네 기다릴게요", "알아서 저장해 주세요", "이만 끊을게요 안녕히 계세요"]
)
def test_who_waits_for_the_entry_adds_nothing_to_it(text: str) -> None:
    dialogue = writing()
    assert dialogue.turn(text, interrupted=False) == Move() and len(dialogue.said) == 1


@pytest.mark.parametrize("text", ["빨리 해 줘", "얼마나 걸려요?", "아직 멀었어요?"])
def test_who_cannot_wait_is_told_that_it_is_nearly_done(text: str) -> None:
    dialogue = writing()
    assert dialogue.turn(text, interrupted=False) == Move(say=LINES.still_writing) and len(dialogue.said) == 1


def test_what_puts_something_right_while_the_entry_is_written_is_a_correction() -> None:
    dialogue = writing("민수를 만났어요")
    assert dialogue.turn("민수가 아니라 민호예요", interrupted=False).write
    assert dialogue.corrections == ["민수가 아니라 민호예요"]
    assert dialogue.turn("하나 더 있어요", interrupted=False) == Move(say=LINES.ask_correction)
    assert dialogue.turn("산책도 했어요", interrupted=False).ask_model and dialogue.said[-1] == "산책도 했어요"


def test_what_only_begins_like_a_correction_is_told_with_every_word() -> None:
    assert talking("시댁에 갔어요", "안 맞아요 남편이랑 성격이").said[-1] == "안 맞아요 남편이랑 성격이"


@pytest.mark.parametrize("text", ["고칠게요", "아 이름이 틀렸어요", "고칠 게 있어요"])
def test_who_wants_to_correct_over_the_goodbye_is_asked_what(text: str) -> None:
    dialogue = at_goodbye("친구를 만났어요")
    assert dialogue.reopens(text)
    assert dialogue.turn(text, interrupted=True) == Move(say=LINES.ask_correction)
    assert dialogue.turn("친구가 아니라 동생이에요", interrupted=False).write
    assert not at_goodbye("친구를 만났어요").reopens("아니")


def test_how_somebody_is_ends_no_talk() -> None:
    dialogue = talking("어머니를 만났어요", "네 잘 지내요")
    assert dialogue.stage is Stage.TALK and dialogue.said == ["어머니를 만났어요", "네 잘 지내요"]
    assert at_approval().turn("잘 지내요", interrupted=False).hang_up


@pytest.mark.parametrize("text", ["이만 끊을게요 안녕히 계세요", "끝이에요 끊을게요", "할 말 다 했어 이제 끊어"])
def test_a_goodbye_in_more_than_one_part_is_no_day(text: str) -> None:
    dialogue = talking("친구를 만났어요")
    assert dialogue.turn(text, interrupted=False).write and dialogue.said == ["친구를 만났어요"]
    assert Dialogue().turn(text, interrupted=False).say == LINES.goodbye_nothing


@pytest.mark.parametrize("text", ["저장해 주세요", "네 저장할게요"])
def test_who_wants_the_day_to_be_kept_hears_it(text: str) -> None:
    assert talking("친구를 만났어요").turn(text, interrupted=False).write
    assert talking("친구를 만났어요", "마음에 들어요", "좋아요").stage is Stage.TALK


def test_a_reason_to_end_is_no_day() -> None:
    assert Dialogue().turn("바빠서 끊을게요", interrupted=False).say == LINES.goodbye_nothing
    dialogue = talking("친구를 만났어요")
    assert dialogue.turn("엄마가 불러서 끊을게요", interrupted=False).write and len(dialogue.said) == 2


@pytest.mark.parametrize("text", ["잘 됐어요", "마음에 들어요", "확인했어요", "통과", "너무 좋아요"])
def test_what_judges_an_entry_judges_a_day_while_it_is_told(text: str) -> None:
    assert talking("시험을 봤어요", text).said == ["시험을 봤어요", text]
    assert at_approval().turn(text, interrupted=False).keep


@pytest.mark.parametrize("stage", [talking, at_approval])
@pytest.mark.parametrize("named", ["아까 병원 간 거", "병원 얘기", "아까 한 병원 이야기"])
def test_what_was_told_may_be_named_before_a_pointer(stage: Stager, named: str) -> None:
    dialogue = stage("병원에 갔어요", "친구를 만났어요")
    assert "병원에 갔어요" in dialogue.turn(f"{named} 그거 지워 주세요", interrupted=False).off_record
    assert dialogue.said == ["친구를 만났어요"]


@pytest.mark.parametrize("stage", [at_approval, correcting])
@pytest.mark.parametrize("named", ["병원 간 거", "병원에 갔다는 얘기", "병원"])
def test_what_stands_before_a_pointer_names_it_while_the_entry_is_decided_on(stage: Stager, named: str) -> None:
    dialogue = stage("병원에 갔어요", "친구를 만났어요")
    assert dialogue.turn(f"{named} 그건 빼 주세요", interrupted=False).write and dialogue.said == ["친구를 만났어요"]
    dialogue = stage("산책을 했어요", "친구를 만났어요")
    assert dialogue.turn(f"{named} 그건 빼 주세요", interrupted=False).say == LINES.off_record_which


def test_what_stands_before_a_pointer_in_the_talk_is_itself_what_is_meant() -> None:
    dialogue = talking("병원에 갔어요", "친구를 만났어요")
    move = dialogue.turn("친구가 병원에 간 거 이건 빼 주세요", interrupted=False)
    assert len(move.off_record) == 1 and dialogue.said == ["병원에 갔어요", "친구를 만났어요"]


@pytest.mark.parametrize("stage", [talking, at_approval, correcting])
def test_a_correction_beside_a_wish_is_not_lost(stage: Stager) -> None:
    dialogue = stage("병원에 갔어요", "민수를 만났어요")
    dialogue.turn("아니 민수가 아니라 민호예요. 병원 얘기는 빼 주세요.", interrupted=False)
    assert (dialogue.said, dialogue.corrections) == (["민수를 만났어요"], ["민수가 아니라 민호예요."])
    dialogue = stage("병원에서 민수를 만났어요")
    dialogue.turn("아니 민수가 아니라 민호예요. 병원 얘기는 빼 주세요.", interrupted=False)
    assert dialogue.told.texts == []


@pytest.mark.parametrize("text", ["산책을 했어요. 병원 얘기는 빼 주세요.", "병원 얘기는 빼 주세요. 산책을 했어요."])
def test_a_story_beside_a_wish_that_names_another_is_told(text: str) -> None:
    dialogue = talking("병원에 갔어요", "친구를 만났어요")
    move = dialogue.turn(text, interrupted=False)
    assert move == Move(say=LINES.off_record, off_record=("병원에 갔어요",), left="산책을 했어요.")
    assert dialogue.said == ["친구를 만났어요", "산책을 했어요."]
    dialogue = at_approval("병원에 갔어요", "친구를 만났어요")
    assert dialogue.turn(text, interrupted=False).write
    assert (dialogue.said, dialogue.corrections) == (["친구를 만났어요"], ["산책을 했어요."])


@pytest.mark.parametrize("text", ["산책을 했어요. 영화 얘기는 빼 주세요.", "산책을 했어요. 아까 한 얘기는 빼 주세요."])
def test_a_story_beside_a_wish_that_names_nothing_is_told(text: str) -> None:
    dialogue = Dialogue()
    assert dialogue.turn(text, interrupted=False) == Move(say=LINES.off_record_which, left="산책을 했어요.")
    assert dialogue.said == ["산책을 했어요."]
    dialogue = at_approval("친구를 만났어요")
    move = dialogue.turn(text, interrupted=False)
    assert move.write and move.say == LINES.off_record_which and dialogue.corrections == ["산책을 했어요."]


def test_a_story_beside_a_wish_over_the_goodbye_is_told() -> None:
    dialogue = at_goodbye("병원에 갔어요", "친구를 만났어요")
    move = dialogue.removes("산책도 했어요. 병원 얘기는 빼 주세요.")
    assert move and (move.off_record, move.left) == (("병원에 갔어요",), "산책도 했어요.") and move.hang_up
    assert dialogue.said == ["친구를 만났어요", "산책도 했어요."] and dialogue.unsettled


def test_a_story_beside_a_wish_that_cannot_be_asked_about_is_told() -> None:
    dialogue = talking()
    dialogue.time_is_up()
    text = "산책도 했어요. 영화 얘기는 빼 주세요."
    assert dialogue.removes(text) is None and not dialogue.reopens(text) and dialogue.notes(text)
    assert dialogue.said == ["친구를 만났어요", "산책도 했어요."]


def test_what_goes_on_behind_a_wish_that_points_back_is_told() -> None:
    dialogue = talking("친구를 만났어요", "회사에서 잘렸어요")
    move = dialogue.turn("이건 적지 마세요. 아 그리고 저녁에는 딸이 왔어요.", interrupted=False)
    assert (move.off_record, move.left) == (("회사에서 잘렸어요",), "아 그리고 저녁에는 딸이 왔어요.")
    assert dialogue.said == ["친구를 만났어요", "아 그리고 저녁에는 딸이 왔어요."]
    dialogue = talking("회사에서 잘렸어요")
    dialogue.turn("방금 한 말은 빼 줘. 그리고 딸이 왔어요.", interrupted=False)
    assert dialogue.said == ["그리고 딸이 왔어요."]
    text = "이건 적지 마세요. 그리고 회사에서 잘렸어요."
    assert Dialogue().turn(text, interrupted=False).off_record == (text,)


def test_what_is_told_of_it_behind_the_wish_goes_with_what_was_told_before() -> None:
    dialogue = talking("약을 먹었어요", "산책을 했어요")
    text = "약 얘기는 빼 줘. 약 때문에 부작용이 있어요."
    assert dialogue.turn(text, interrupted=False).off_record == (text, "약을 먹었어요")
    assert dialogue.said == ["산책을 했어요"]


def test_two_stories_are_taken_off_the_record_with_one_wish_or_none_is() -> None:
    texts = ("시어머니가 오셨어요", "남편이 화를 냈어요", "산책을 했어요")
    for wish in ("시어머니 얘기랑 남편 얘기는 적지 마세요", "남편 얘기는 빼 주세요. 시어머니 얘기도 빼 주세요."):
        dialogue = talking(*texts)
        assert dialogue.turn(wish, interrupted=False).off_record == (wish, texts[1], texts[0])
        assert dialogue.said == ["산책을 했어요"]
    dialogue = talking(*texts)
    assert dialogue.turn("시어머니 얘기랑 친구 얘기는 빼 줘", interrupted=False).say == LINES.off_record_which
    assert dialogue.said == list(texts)


@pytest.mark.parametrize("stage", [talking, at_approval, correcting])
@pytest.mark.parametrize("text", ["영화 얘기는 빼 주세요", "아까 한 얘기는 빼 주세요"])
def test_what_is_not_surely_meant_is_asked_for(stage: Stager, text: str) -> None:
    dialogue = stage("병원에 갔어요", "아까 친구를 만났어요")
    before = dialogue.stage
    move = dialogue.turn(text, interrupted=False)
    assert move == Move(say=LINES.off_record_which, off_record=(text,))
    assert dialogue.said == ["병원에 갔어요", "아까 친구를 만났어요"] and dialogue.stage is before


@pytest.mark.parametrize("text", ["그 얘기는 지워 줘", "그거 지워 주세요", "이건 저장하지 마"])
def test_what_is_pointed_at_over_the_reading_is_asked_for_and_deletes_nothing(text: str) -> None:
    dialogue = at_approval("병원에 갔어요", "친구를 만났어요")
    assert dialogue.turn(text, interrupted=True) == Move(say=LINES.off_record_which)
    assert len(dialogue.said) == 2 and dialogue.stage is Stage.APPROVAL


@pytest.mark.parametrize("text", ["없어요", "할게요", "하죠", "아 맞다"])
def test_what_has_no_object_approves_of_nothing(text: str) -> None:
    dialogue = at_approval()
    assert dialogue.turn(text, interrupted=False).say == LINES.ask_approval_again and dialogue.unsettled


def test_what_is_not_surely_meant_over_the_goodbye_is_asked_for() -> None:
    dialogue = at_goodbye("병원에 갔어요", "친구를 만났어요")
    text = "참 영화 얘기는 빼 주세요"
    assert dialogue.removes(text) is None and dialogue.reopens(text)
    assert dialogue.turn(text, interrupted=False).say == LINES.off_record_which and not dialogue.unsettled
    move = at_goodbye("병원에 갔어요", "친구를 만났어요").removes("병원 얘기는 빼 주세요")
    assert move and move.off_record == ("병원 얘기는 빼 주세요", "병원에 갔어요") and move.hang_up


def test_a_wish_over_the_reading_does_not_mean_what_was_told_last() -> None:
    dialogue = at_approval("병원에 갔어요", "친구를 만났어요")
    assert dialogue.turn("그건 빼 줘", interrupted=True) == Move(say=LINES.off_record_which)
    assert dialogue.turn("병원 얘기는 빼 줘", interrupted=True).write and dialogue.said == ["친구를 만났어요"]
    dialogue = at_approval("병원에 갔어요", "친구를 만났어요")
    assert dialogue.turn("방금 한 말은 빼 줘", interrupted=True).off_record == ("친구를 만났어요",)


@pytest.mark.parametrize("close", [Dialogue.time_is_up, lambda d: d.stt_lost(SttLoss.UNREACHABLE)])
@pytest.mark.parametrize("text", ["이건 적지 마세요", "아 그리고 회사에서 잘렸어요 이건 적지 마세요"])
def test_a_wish_over_a_goodbye_that_nothing_cancels_is_granted(close: Callable[[Dialogue], Move], text: str) -> None:
    dialogue = talking()
    close(dialogue)
    move = dialogue.removes(text)
    assert move and move.hang_up and move.off_record == (text if "회사" in text else "친구를 만났어요",)
    assert dialogue.said == (["친구를 만났어요"] if "회사" in text else [])
    assert not dialogue.reopens("영화도 봤어요")


def test_a_wish_that_the_end_of_the_line_cuts_off_is_granted() -> None:
    dialogue = at_goodbye("친구를 만났어요", "회사에서 잘렸어요")
    assert dialogue.turn("이건 적지 마세요", interrupted=False).off_record == ("회사에서 잘렸어요",)
    assert dialogue.said == ["친구를 만났어요"] and dialogue.unsettled


def test_what_stands_between_two_wishes_is_off_the_record() -> None:
    text = "이건 적지 마 오늘은 회사에서 잘렸어요 이건 적지 마"
    assert Dialogue().turn(text, interrupted=False).off_record == (text,)


@pytest.mark.parametrize("wish", ["적지 마 ", "이건 적지 마 ", "그건 빼 줘 ", "회사 얘기는 빼 줘 "])
def test_a_wish_a_thousand_times_over_is_one(wish: str) -> None:
    dialogue = talking("친구를 만났어요", "회사에서 잘렸어요")
    assert "회사에서 잘렸어요" in dialogue.turn(wish * 1_000, interrupted=False).off_record
    assert dialogue.said == ["친구를 만났어요"]


# ── the whole day ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("texts", [(), ("친구를 만났어요",)])
def test_the_whole_day_is_forgotten_even_if_this_call_told_nothing(texts: tuple[str, ...]) -> None:
    dialogue = Dialogue()
    for text in texts:
        dialogue.turn(text, interrupted=False)
    move = dialogue.turn("오늘 거 지워 줘", interrupted=False)
    assert move == Move(say=LINES.forgotten_day, forget=ForgetDay(for_good=False, whole_day=True))
    assert dialogue.said == [] and dialogue.stage is Stage.TALK
    assert dialogue.turn("산책을 했어요", interrupted=False).ask_model and dialogue.unsettled


@pytest.mark.parametrize("stage", [writing, at_approval, correcting])
def test_the_whole_day_is_discarded_once_there_is_an_entry(stage: Stager) -> None:
    dialogue = stage()
    move = dialogue.turn("오늘 얘기 다 지워", interrupted=False)
    assert move.forget == ForgetDay(for_good=True, whole_day=True) and move.hang_up
    assert not dialogue.unsettled


@pytest.mark.parametrize("stage", [writing, at_approval, correcting])
def test_a_wish_to_delete_that_names_no_day_means_this_call(stage: Stager) -> None:
    assert stage().turn("지워 줘", interrupted=False).forget == ForgetDay(for_good=True)


def test_the_day_can_be_discarded_over_a_goodbye_after_the_call_was() -> None:
    dialogue = at_goodbye()
    first = dialogue.removes("아니 지워 줘")
    assert first and first.forget == ForgetDay(for_good=True)
    assert dialogue.removes("지워 줘") is None
    day = dialogue.removes("오늘 거 다 지워 줘")
    assert day and day.forget == ForgetDay(for_good=True, whole_day=True)
    assert dialogue.removes("오늘 거 다 지워 줘") is None


@pytest.mark.parametrize("text", ["네", "안녕히 계세요", "영화도 봤어요", "잠깐만요", ""])
def test_what_removes_nothing_over_a_goodbye(text: str) -> None:
    assert at_goodbye().removes(text) is None


# ── over the goodbye ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_wait_cancels_a_goodbye_and_leaves_the_day_approved() -> None:
    dialogue = at_goodbye()
    assert dialogue.reopens("잠깐만요")
    assert dialogue.turn("잠깐만요", interrupted=False).patience_ms
    move = dialogue.turn("이제 끊을게요", interrupted=False)
    assert move.say == LINES.goodbye_plain and move.hang_up and not move.write
    assert not dialogue.unsettled


@pytest.mark.parametrize("text", ["뭐라고요", "잘 안 들려요", "천천히 말해 주세요"])
def test_a_goodbye_that_was_not_understood_is_said_again_and_is_still_one(text: str) -> None:
    dialogue = at_goodbye()
    assert dialogue.reopens(text)
    move = dialogue.turn(text, interrupted=False)
    assert move.again and move.hang_up == "approved"
    assert dialogue.stage is Stage.GOODBYE and not dialogue.unsettled


# ── what the bot talks over ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("stage", "text", "passes"),
    [
        (talking, "네", True),
        (talking, "음", True),
        (talking, "여보세요", True),
        (talking, "그게 아니고", False),
        (talking, "잠깐만", False),
        (talking, "네 근데요 오늘은", False),
        (at_approval, "네", True),
        (at_approval, "그렇구나", True),
        (at_approval, "맞아요", False),
        (at_approval, "고칠게", False),
        (at_goodbye, "네 안녕히 계세요", True),
        (at_goodbye, "네 안녕히", True),
        (at_goodbye, "감사합니다", True),
        (at_goodbye, "잠깐만요", False),
        (at_goodbye, "아 그리고", False),
        (talking, "감사합니다", True),
    ],
)
def test_what_is_no_turn(stage: Stager, text: str, passes: bool) -> None:
    dialogue = stage()
    assert dialogue.passes(text) is passes
    if dialogue.stage is not Stage.GOODBYE:
        assert dialogue.turn(text, interrupted=True).go_on is passes


# ── replies that may be prepared ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("stage", "text", "lead"),
    [
        (talking, "영화도 봤어요", ()),
        (talking, "오늘은 여기까지 할게", None),
        (talking, "다시 말해 줘", None),
        (talking, "회사에서 잘렸어요 이건 적지 마", None),
        (talking, "지워 줘", None),
        (writing, "영화도 봤어요", None),
        (at_approval, "맞아요", None),
        (at_approval, "고칠게 친구가 아니라 동생이야", None),
        (correcting, "친구가 아니라 동생이야", None),
    ],
)
def test_which_answers_the_model_gives(stage: Stager, text: str, lead: tuple[str, ...] | None) -> None:
    dialogue = stage()
    before = dialogue.copy()
    assert dialogue.speculates(text, interrupted=False) == lead
    assert dialogue == before
    assert dialogue.turn(text, interrupted=False).ask_model is (lead is not None)


def test_what_is_said_before_the_model_s_answer_is_known_ahead() -> None:
    dialogue = Dialogue()
    dialogue.begin(first_time=True)
    assert dialogue.speculates("친구를 만났어요", interrupted=False) == LINES.greeting_first[1:2]
    assert dialogue.speculates("네", interrupted=True) is None
    assert dialogue.said == []


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stage", [at_approval, correcting])
def test_finishing_by_key_leaves_the_entry_unconfirmed(stage: Stager) -> None:
    dialogue = stage()
    move = dialogue.key("#")
    assert move.hang_up and move.say == LINES.goodbye_unconfirmed and move.keep is None
    assert dialogue.unsettled and dialogue.entry_is_current


def test_finishing_a_talk_by_key() -> None:
    assert talking().key("#").write
    assert Dialogue().key("#").say == LINES.goodbye_nothing


def test_the_last_thing_again_by_key() -> None:
    assert talking().key("*") == Move(again=True)
