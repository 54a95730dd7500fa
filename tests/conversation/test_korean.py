"""Sentence splitting, what may be spoken, fillers and backchannels."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.conversation.korean import (
    SentenceSplitter,
    is_backchannel,
    is_filler,
    normalise,
    speakable,
    split_sentences,
    strip_fillers,
)
from bot.conversation.splitting import COMMA_SYLLABLES, LONG_CHARS, LONGEST_CHARS
from bot.conversation.splitting import SentenceSplitter as _Splitter

KOREAN = st.text(alphabet=st.sampled_from(list("가나다요 .?!…,\n\"'“”()3.5시-*#해서고 ㅋ😀ab")), max_size=160)

SENTENCES = [
    ("안녕하세요. 반가워요.", ["안녕하세요.", "반가워요."]),
    ("오늘 3.5킬로를 걸었어요. 정말요?", ["오늘 3.5킬로를 걸었어요.", "정말요?"]),
    ("8시 30분에 일어났어요! 네.", ["여덟 시 30분에 일어났어요!", "네."]),
    ("그랬군요… 힘드셨겠어요.", ["그랬군요…", "힘드셨겠어요."]),
    (
        '친구가 "잘 잤어요? 네." 라고 했어요. 그래서 웃었어요.',
        ['친구가 "잘 잤어요? 네." 라고 했어요.', "그래서 웃었어요."],
    ),
    ("친구가 “가자! 어서.”라고 했어요. 네.", ["친구가 “가자! 어서.”라고 했어요.", "네."]),
    ("Dr. Kim을 만났어요. 네.", ["Dr. Kim을 만났어요.", "네."]),
    ("A. B. 선생님을 만났어요.", ["A. B. 선생님을 만났어요."]),
    ("2026. 11. 21. 오늘이에요.", ["2026. 11. 21.", "오늘이에요."]),
    ("- **첫째** 밥\n2. 둘째 밥\n# 제목\n끝 😀", ["첫째 밥", "둘째 밥", "제목", "끝"]),
    ("정말?그래요", ["정말?", "그래요"]),
    ("ㅋㅋㅋ 😀 **", []),
    ("", []),
]


@pytest.mark.parametrize(("text", "sentences"), SENTENCES)
def test_a_text_is_split_into_spoken_sentences(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


@pytest.mark.parametrize(("text", "sentences"), SENTENCES)
def test_letter_by_letter_gives_the_same(text: str, sentences: list[str]) -> None:
    splitter = SentenceSplitter()
    given_out = [sentence for char in text for sentence in splitter.push(char)]
    assert given_out + splitter.flush() == sentences


def test_a_sentence_comes_out_as_soon_as_the_next_begins() -> None:
    splitter = SentenceSplitter()
    assert splitter.push("오늘은 친구를 만난 하루였네요.") == []
    assert splitter.push(" ") == ["오늘은 친구를 만난 하루였네요."]
    assert splitter.push("어떤") == []
    assert splitter.flush() == ["어떤"]


def test_a_number_is_not_taken_for_an_end_before_its_fraction_is_seen() -> None:
    splitter = SentenceSplitter()
    assert splitter.push("오늘 3.") == []
    assert splitter.push("5킬로를 걸었어요. ") == ["오늘 3.5킬로를 걸었어요."]


def test_a_very_long_sentence_is_cut_at_a_clause() -> None:
    text = "오늘은 아침부터 회사에 가서 회의를 하고 점심을 먹고 다시 회의를 하고 저녁에는 친구를 만나서 영화를 봤어요."
    first, *rest = split_sentences(text)
    assert first.endswith(("고", "서"))
    assert rest
    assert normalise(first + "".join(rest)) == normalise(text)


@given(st.lists(KOREAN, max_size=6))
@settings(max_examples=150, deadline=None)
def test_how_the_text_is_dealt_does_not_matter(deltas: list[str]) -> None:
    splitter = SentenceSplitter()
    dealt = [sentence for delta in deltas for sentence in splitter.push(delta)] + splitter.flush()
    assert dealt == split_sentences("".join(deltas))


FIRST_CLAUSES = [
    ("할머니 댁에 다녀오셨군요, 오랜만에 뵈었네요.", ["할머니 댁에 다녀오셨군요,", "오랜만에 뵈었네요."]),
    ("그렇군요, 힘드셨겠어요. 정말요, 네.", ["그렇군요,", "힘드셨겠어요.", "정말요, 네."]),
    ("네, 친구를 만나셨군요, 좋네요.", ["네, 친구를 만나셨군요,", "좋네요."]),
    ("네, 그러셨군요. 더 들려주세요.", ["네, 그러셨군요.", "더 들려주세요."]),
    ("아, 오늘은 친구를 만난 하루였네요.", ["아, 오늘은 친구를 만난 하루였네요."]),
    ("맞아요, 더웠어요.", ["맞아요, 더웠어요."]),
    ("맞아요, 오늘은 아침부터 정말 더웠어요.", ["맞아요,", "오늘은 아침부터 정말 더웠어요."]),
    ("회의를 마치고 동료들과 저녁을 드셨군요.", ["회의를 마치고", "동료들과 저녁을 드셨군요."]),
    ("친구를 만나서 좋으셨겠어요.", ["친구를 만나서 좋으셨겠어요."]),
    ("할머니를 보고 싶으셔서 먼 길을 가셨네요.", ["할머니를 보고 싶으셔서", "먼 길을 가셨네요."]),
    ("책을 읽고 있는데 전화가 와서 놀라셨군요.", ["책을 읽고 있는데", "전화가 와서 놀라셨군요."]),
    ("여행이 최고 좋은 선물이 되셨다고 하셨군요.", ["여행이 최고 좋은 선물이 되셨다고 하셨군요."]),
    ("빵이 1,000원이었군요, 그 빵을 드셨네요.", ["빵이 1,000원이었군요,", "그 빵을 드셨네요."]),
    ('친구가 "가자, 어서 가자." 하고 말했군요, 네.', ['친구가 "가자, 어서 가자." 하고 말했군요, 네.']),
    ("**친구를** 만나셨군요, 그리고 쉬셨네요.", ["친구를 만나셨군요, 그리고 쉬셨네요."]),
    ("[친구네, 우리 집](https://a.b/c)에 가셨네요.", ["친구네, 우리 집에 가셨네요."]),
]


@pytest.mark.parametrize(("text", "pieces"), FIRST_CLAUSES)
def test_the_first_clause_of_a_reply_comes_alone(text: str, pieces: list[str]) -> None:
    splitter = SentenceSplitter(first_clause=True)
    assert splitter.push(text) + splitter.flush() == pieces


def test_the_first_clause_comes_with_its_comma() -> None:
    splitter = SentenceSplitter(first_clause=True)
    assert splitter.push("친구를 만나셨군요") == []
    assert splitter.push(",") == ["친구를 만나셨군요,"]
    splitter = SentenceSplitter(first_clause=True)
    assert splitter.push("오랜만에 친구를 만나고 ") == []
    assert splitter.push("나") == []
    assert splitter.push("니 좋으") == [], "만나고 나니: the verb goes on"
    splitter = SentenceSplitter(first_clause=True)
    splitter.push("오랜만에 회의를 마치고 ")
    assert splitter.push("저녁을") == ["오랜만에 회의를 마치고"]


def test_a_number_is_not_taken_for_a_clause_before_its_next_digits_are_seen() -> None:
    splitter = SentenceSplitter(first_clause=True)
    assert splitter.push("모두 합쳐서 1,") == []
    assert splitter.push("000원이었군요,") == ["모두 합쳐서 1,000원이었군요,"]


@given(st.lists(st.text(alphabet=st.sampled_from(list('가나다요고싶있 ,,.3\n"해서')), max_size=30), max_size=6))
@settings(max_examples=300, deadline=None)
def test_how_the_text_is_dealt_does_not_matter_for_first_clauses(deltas: list[str]) -> None:
    text = "".join(deltas)
    dealt, letters, whole = (_Splitter(first_clause=True) for _ in range(3))
    pieces = [piece for delta in deltas for piece in dealt.push(delta)] + dealt.flush()
    assert pieces == [piece for letter in text for piece in letters.push(letter)] + letters.flush()
    assert pieces == whole.push(text) + whole.flush()
    assert "".join("".join(pieces).split()) == "".join(text.split())


@given(KOREAN)
@settings(max_examples=150, deadline=None)
def test_only_the_first_sentence_is_cut_into_clauses(text: str) -> None:
    plain, clauses = _Splitter(), _Splitter(first_clause=True)
    sentences, pieces = plain.push(text) + plain.flush(), clauses.push(text) + clauses.flush()
    if pieces[:1] == sentences[:1]:
        assert pieces == sentences
    else:
        assert sentences[0].startswith(pieces[0]) or len(sentences[0]) < len(pieces[0]) <= LONG_CHARS
        assert sum(char.isalnum() for char in pieces[0]) >= COMMA_SYLLABLES
        assert speakable(pieces[0])


@given(st.text(max_size=300))
@settings(max_examples=150, deadline=None)
def test_nothing_unspeakable_gets_through(text: str) -> None:
    for sentence in split_sentences(text):
        assert sentence == sentence.strip() != ""
        assert not any(unicodedata.category(char) in {"Cc", "Cs", "So", "Sk"} for char in sentence)
        assert not any(char in "*#`~|<>{}[]_^" for char in sentence)
        assert "http" not in sentence or "://" not in sentence


@given(KOREAN)
@settings(max_examples=150, deadline=None)
def test_speakable_twice_is_speakable_once(text: str) -> None:
    assert speakable(speakable(text)) == speakable(text)


@given(st.text(alphabet="가나다라 ", min_size=200, max_size=600))
@settings(max_examples=50, deadline=None)
def test_no_piece_of_an_endless_sentence_is_endless(text: str) -> None:
    assert all(len(sentence) <= LONGEST_CHARS for sentence in split_sentences(text))


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("**오늘**은 `좋은` 날", "오늘은 좋은 날"),
        ("[여기](https://a.b/c?d=1)를 보세요", "여기를 보세요"),
        ("https://a.b/c 를 보세요", "를 보세요"),
        ("3시에 5명이 왔어요", "세 시에 다섯 명이 왔어요"),
        ("25살, 20살", "스물다섯 살, 스무 살"),
        ("15시 30분", "15시 30분"),
        ("3~4시", "세 시에서 네 시"),
        ("50%, 20℃", "50퍼센트, 20도"),
        ("네~ 좋아요ㅎㅎ^^", "네 좋아요"),
        ("좋아요\u200d👍🏽", "좋아요"),
        ("하나\x00둘\x1b", "하나둘"),
        ("<b>굵게</b>", "굵게"),
        ("｡｡｡", ""),
        ("친구를 만나셨군요, ", "친구를 만나셨군요,"),
        (", 그리고 -", "그리고"),
        ("가", "가"),
    ],
)
def test_speakable(text: str, spoken: str) -> None:
    assert speakable(text) == spoken


@pytest.mark.parametrize("text", ["음", "어...", "그 저기", "어어", "음음음", "뭐냐", "저기요", "으음…"])
def test_fillers(text: str) -> None:
    assert is_filler(text)


@pytest.mark.parametrize("text", ["네", "어제", "그 사람", "음식", "저녁", "", "...", "아침"])
def test_words_are_not_fillers(text: str) -> None:
    assert not is_filler(text)


@pytest.mark.parametrize("text", ["네", "응", "아, 그렇죠.", "네 네", "맞아요", "아하", "그러게요"])
def test_backchannels(text: str) -> None:
    assert is_backchannel(text)


@pytest.mark.parametrize("text", ["네 좋았어요", "아니요", "", "그래서요", "음악"])
def test_answers_are_not_backchannels(text: str) -> None:
    assert not is_backchannel(text)


@pytest.mark.parametrize(
    ("text", "stripped"),
    [
        ("음 저기 어제 어 밥을 먹었어요", "어제 밥을 먹었어요"),
        ("그 친구를 만났어요", "그 친구를 만났어요"),
        ("저 사람이 왔어요", "저 사람이 왔어요"),
        ("그, 어제 병원에", "어제 병원에"),
        ("음… 아 어어 네", "네"),
        ("음", ""),
    ],
)
def test_fillers_are_taken_out(text: str, stripped: str) -> None:
    assert strip_fillers(text) == stripped


def test_normalise_ignores_form_space_and_punctuation() -> None:
    assert normalise(unicodedata.normalize("NFD", "맞아요, ")) == normalise(" 맞아 요!") == "맞아요"
