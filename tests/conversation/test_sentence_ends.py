"""How a text ends, against kiwipiepy's morphological analysis, which knows nothing of our table."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from kiwipiepy import Kiwi, Token

from bot.conversation.sentence_ends import Ending, ending
from bot.conversation.texts import table

LINES = Path(__file__).with_name("sentence_ends.txt").read_text(encoding="utf-8").splitlines()
"""Sentences of a diary told by phone, whole and cut off."""

OPEN = {Ending.CONNECTIVE, Ending.PARTICLE, Ending.FILLER}

# What kiwi's tags do not tell: which interjections answer, and which words only hold the floor.
ANSWERS = {"네", "예", "응", "넵", "아니", "아니요", "아뇨", "그래", "그럼", "그럼요", "그러니까요"}
HOLDS = {"그", "저", "저기", "뭐냐", "뭐더라", "뭐랄까", "막", "이제", "인제", "그러니까", "그니까", "글쎄"}

# Endings that kiwi calls final or connective by what it guesses of the sentence: these wait for a verb …
QUOTES_OR_ASKS = re.compile(r"([다라자냐]고|[는은을던ᆫᆯ]지|[는은ᆫ]데|게|니까|며)$")
# … and these do not.
TELLS = re.compile(r"(더라고|ᆯ게|[다랍습]니까)$")
PLAIN = ("어", "아", "어야지")
"""The plain style: 먹어, 가야지. Kiwi takes it for connective when the verb often stands before another."""
PLAIN_AFTER_TENSE = ("나", "니", "지")


def said_by(tokens: list[Token]) -> Ending:
    """The ending that kiwi's tags make of a text."""
    tags = [(token.form, token.tag.split("-")[0]) for token in tokens if not token.tag.startswith(("SF", "SP", "Z"))]
    (form, tag), (_, tag_before) = tags[-1], (tags[-2] if len(tags) > 1 else ("", ""))
    match tag:
        case _ if form == "요" and tag in ("JX", "MM"):
            return said_politely(tag_before)
        case _ if form == "뭐":
            return Ending.FINAL if tag_before == "EF" else Ending.FILLER
        case "IC":
            return Ending.FILLER
        case "EF" if QUOTES_OR_ASKS.search(form) and not TELLS.search(form):
            return Ending.CONNECTIVE
        case "EF" | "JKV":
            return Ending.FINAL
        case "EC":
            plain = form in PLAIN or (tag_before == "EP" and form in PLAIN_AFTER_TENSE)
            return Ending.FINAL if plain else Ending.CONNECTIVE
        case "MAJ" | "JKQ":
            return Ending.CONNECTIVE
        case "NNB" if form == "데" and tag_before == "ETM" and tokens[-1].start == tokens[-2].end:
            return Ending.CONNECTIVE
        case _:
            return Ending.PARTICLE if tag.startswith("J") else Ending.BARE


def said_politely(tag_before: str) -> Ending:
    """요 completes anything but a subject, an object, a topic and a conjunction: 저는요, 근데요."""
    if tag_before in ("JX", "JKS", "JKO"):
        return Ending.PARTICLE
    return Ending.CONNECTIVE if tag_before == "MAJ" else Ending.FINAL


@pytest.fixture(scope="session")
def oracle() -> Callable[[str], Ending]:
    kiwi = Kiwi(num_workers=1)

    def judge(text: str) -> Ending:
        last_word = text.rstrip(".,?").split()[-1]
        if last_word in ANSWERS | HOLDS:
            judged = Ending.FINAL if last_word in ANSWERS else Ending.FILLER
        else:
            judged = said_by(kiwi.tokenize(text))
        marked = {("?", Ending.BARE): Ending.FINAL, (",", Ending.FINAL): Ending.BARE}
        return marked.get((text[-1], judged), judged)

    return judge


def assert_agrees(oracle: Callable[[str], Ending], texts: list[str], most_apart: float, most_cut_off: float) -> None:
    apart = [(text, ending(text), judged) for text in texts if ending(text) != (judged := oracle(text))]
    cut_off = [text for text, ours, judged in apart if ours is Ending.FINAL and judged in OPEN]
    shown = "\n".join(f"{text}: {ours}, by kiwi {judged}" for text, ours, judged in apart)
    assert len(apart) <= most_apart * len(texts), shown
    assert len(cut_off) <= most_cut_off * len(texts), "\n".join(cut_off)


def test_there_is_enough_to_agree_on(oracle: Callable[[str], Ending]) -> None:
    assert len(LINES) == len(set(LINES)) >= 1_000
    kinds = Counter(map(oracle, LINES))
    assert all(kinds[kind] >= 20 for kind in Ending if kind is not Ending.NOTHING), kinds


def test_sentences_agree_with_the_analysis(oracle: Callable[[str], Ending]) -> None:
    assert_agrees(oracle, LINES, most_apart=0.03, most_cut_off=0.01)


def test_sentences_cut_behind_any_word_agree_too(oracle: Callable[[str], Ending]) -> None:
    words = [line.split() for line in LINES]
    cut = sorted({" ".join(said[:size]) for said in words for size in range(1, len(said) + 1)})
    assert len(cut) > len(LINES)
    assert_agrees(oracle, cut, most_apart=0.03, most_cut_off=0.01)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("갔는데", Ending.CONNECTIVE),
        ("갔는데요", Ending.FINAL),
        ("먹고", Ending.CONNECTIVE),
        ("먹고요", Ending.FINAL),
        ("오니까", Ending.CONNECTIVE),
        ("먹었습니까", Ending.FINAL),
        ("가십니까", Ending.FINAL),
        ("갔지", Ending.FINAL),
        ("갔지만", Ending.CONNECTIVE),
        ("갔지 뭐", Ending.FINAL),
        ("집에 가", Ending.FINAL),
        ("친구가", Ending.PARTICLE),
        ("밥은", Ending.PARTICLE),
        ("좋은", Ending.BARE),
        ("친구는", Ending.PARTICLE),
        ("먹는", Ending.BARE),
        ("갈게", Ending.FINAL),
        ("예쁘게", Ending.CONNECTIVE),
        ("그러더라고", Ending.FINAL),
        ("온다고", Ending.CONNECTIVE),
        ("온대", Ending.FINAL),
        ("침대", Ending.BARE),
        ("갔는지", Ending.CONNECTIVE),
        ("네", Ending.FINAL),
        ("동네", Ending.BARE),
        ("제가요", Ending.PARTICLE),
        ("집을 나가요", Ending.FINAL),
        ("10분", Ending.BARE),
        ("OK", Ending.BARE),
        ("", Ending.NOTHING),
        (" …", Ending.NOTHING),
    ],
)
def test_typical_ambiguities(text: str, expected: Ending) -> None:
    assert ending(text) is expected


@pytest.mark.parametrize(
    "text", ["밥 먹었심더", "내가 왔데이", "집이 좋아유", "안 간당께", "좋쥬", "좋아용", "갔당", "재밌었지롱"]
)
def test_dialects_and_chat_end_sentences_too(text: str) -> None:
    assert ending(text) is Ending.FINAL


@pytest.mark.parametrize("text", ["오늘 시장에 갔어요", "비가 와서", "친구가", "그게 음", "우리 동네"])
def test_a_full_stop_changes_nothing_and_neither_do_quotation_marks(text: str) -> None:
    assert ending(f"{text}.") is ending(f"“{text}.”") is ending(f"  {text} … ") is ending(text)


def test_a_question_mark_completes_a_bare_word_and_a_comma_completes_nothing() -> None:
    assert ending("내일 아침?") is Ending.FINAL
    assert ending("비가 와서?") is Ending.CONNECTIVE
    assert ending("갔어요,") is Ending.BARE
    assert ending("“갔어요,” ") is Ending.BARE


def test_the_table_holds_no_entry_twice() -> None:
    data = table("sentence_ends")
    entries = [entry for kind in Ending for entry in data.get(kind, ())]
    assert not [entry for entry, count in Counter(entries).items() if count > 1]
