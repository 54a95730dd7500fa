"""bot/diary/told_after.py: what the talk took of a turn counts, and no word that it did not take is lost."""

import pytest

from bot.conversation.snapshot import Part, Snapshot
from bot.diary.records import TurnRecord
from bot.diary.told_after import told_after

WALK, PRIZE, BUS = "민수랑 공원에 갔어요", "상도 받았어요", "버스를 탔어요"
INSTEAD, ALSO = "민수 말고 민호랑 갔어요", "그리고 저녁에 산책했어요"
APPROVAL = "일기장에 잘 넣어 두시면 되겠네요"


def turns(*texts: str | None, stream: int = 1, first: int = 0) -> list[TurnRecord]:
    """The turns of a stream, from the number `first`; None: one that was forgotten."""
    times = [(None, None) if text is None else (at, at + 1) for at, text in enumerate(texts)]
    return [TurnRecord(first + at, text, None, *times[at], stream=stream) for at, text in enumerate(texts)]


def story(text: str) -> Part:
    return Part(text)


def correction(text: str) -> Part:
    return Part(text, corrects=True)


def at(turn: int, *parts: Part) -> Snapshot:
    """The talk behind a turn, when these were told."""
    return Snapshot(turn=turn, parts=parts, changes=len(parts))


def test_the_stage_says_what_corrects_and_what_tells() -> None:
    said = ["고칠게 버스가 아니라 지하철이야", WALK, INSTEAD, ALSO]
    parts = [story(said[0]), story(WALK), correction(INSTEAD), correction(ALSO)]
    assert told_after(turns(*said), at(3, *parts)) == ([said[0], WALK], [INSTEAD, ALSO])


def test_a_correction_is_the_end_of_its_turn() -> None:
    told = told_after(turns(WALK, f"네 그런데 {INSTEAD}", PRIZE), at(2, story(WALK), correction(INSTEAD), story(PRIZE)))
    assert told == ([WALK, PRIZE], [INSTEAD])


def test_what_the_talk_took_for_an_answer_is_nothing_for_a_diary() -> None:
    assert told_after(turns(WALK, APPROVAL, PRIZE), at(2, story(WALK), story(PRIZE))) == ([WALK, PRIZE], [])
    assert told_after(turns(APPROVAL), Snapshot(turn=0, changes=2)) == ([], []), "all that was told was taken back"


def test_what_only_sounds_like_a_story_of_another_turn_is_not_taken_for_it() -> None:
    talk = turns("고칠게", "민호 말고", "민호", ALSO)
    assert told_after(talk, at(3, correction("민호"), correction(ALSO))) == ([], ["민호", ALSO])
    talk = turns(f"친구가 그랬는데 {BUS}", BUS)
    assert told_after(talk, at(1, story(BUS))) == ([BUS], [])


def test_what_is_told_beside_a_wish_counts_as_the_talk_took_it() -> None:
    assert told_after(turns(f"{WALK}. 영화 얘기는 빼 줘."), at(0, story(f"{WALK}."))) == ([f"{WALK}."], [])
    assert told_after(turns(f"{WALK}. 이건 적지 마."), at(0, story(f"{WALK}."))) == ([], [])


def test_the_same_words_may_be_told_twice() -> None:
    talk = turns(BUS, APPROVAL, BUS, INSTEAD, BUS)
    parts = story(BUS), correction(BUS), correction(INSTEAD), story(BUS)
    assert told_after(talk, at(4, *parts)) == ([BUS, BUS], [BUS, INSTEAD])


@pytest.mark.parametrize(
    "snapshot",
    [None, Snapshot(), Snapshot(turn=3), at(-1, story(WALK)), at(3, story(WALK), story("없던 이야기예요"))],
    ids=["none", "empty", "without parts", "of no turn", "of other turns"],
)
def test_a_snapshot_that_does_not_account_for_the_talk_loses_no_story(snapshot: Snapshot | None) -> None:
    talk = turns(WALK, "네", PRIZE, "고칠게 버스가 아니라 지하철이야")
    assert told_after(talk, snapshot) == ([WALK, PRIZE], ["버스가 아니라 지하철이야"])


def test_later_turns_are_judged_by_their_words() -> None:
    talk = turns(WALK, INSTEAD, PRIZE, "맞아요", "고칠게 버스가 아니라 지하철이야")
    known = at(1, story(WALK), correction(INSTEAD))
    assert told_after(talk, known) == ([WALK, PRIZE], [INSTEAD, "버스가 아니라 지하철이야"])


def test_a_recording_is_later_whatever_its_number() -> None:
    recorded = [TurnRecord(0, PRIZE, None, None, None)]
    assert told_after(recorded, Snapshot(turn=4, changes=3)) == ([PRIZE], [])


@pytest.mark.parametrize(
    ("text", "part", "told"),
    [
        (f"{WALK} 정말 좋았어요", story(WALK), ([f"{WALK} 정말 좋았어요"], [])),
        (f"{WALK}. 네", story(WALK), ([WALK], [])),
        (f"{WALK} 고칠게 {INSTEAD}", story(WALK), ([WALK], [INSTEAD])),
        (f"{BUS} 정말 {BUS}", story(BUS), ([f"{BUS} 정말 {BUS}"], [])),
        ("어제는 " + WALK, story(WALK), (["어제는 " + WALK], [])),
        (f"{INSTEAD} 재밌었어요", correction(INSTEAD), ([], [f"{INSTEAD} 재밌었어요"])),
        (f"아니 {INSTEAD} 재밌었어요", correction(INSTEAD), ([], [f"{INSTEAD} 재밌었어요"])),
        (f"{INSTEAD} 저장해 주세요", correction(INSTEAD), ([], [INSTEAD])),
        (f"{WALK}. 이건 적지 마세요.", story(WALK), ([], [])),
        (f"{INSTEAD}. 이건 적지 마세요.", correction(INSTEAD), ([], [])),
    ],
)
def test_a_turn_that_has_grown_loses_nothing(text: str, part: Part, told: tuple[list[str], list[str]]) -> None:
    assert told_after(turns(text), at(0, part)) == told


def test_what_was_forgotten_is_not_told() -> None:
    known = at(2, story(WALK), story(PRIZE), correction(INSTEAD))
    assert told_after(turns(WALK, None, INSTEAD), known) == ([WALK], [INSTEAD])


def test_a_stream_that_was_overtaken_loses_nothing_under_a_number_that_is_used_twice() -> None:
    talk = [*turns(WALK, PRIZE), *turns(INSTEAD, stream=2, first=1)]
    assert told_after(talk, at(1, story(WALK), correction(INSTEAD))) == ([WALK, PRIZE], [INSTEAD])
