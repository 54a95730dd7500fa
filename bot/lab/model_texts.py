"""What the stand-in model says: diary-style replies and entries, made of nothing but the messages it was sent.

Pure. A small grammar of plain endings (-다), its own on purpose: with the bot's a mistake there would not show.
"""

import json
import re
from collections.abc import Iterator, Sequence

from bot.conversation.commands import Mood

INVENTIONS = (
    "김철수 부장님과 37층에서",
    "김철수 만나 커피 41잔을 두고",
    "부산 스타벅스 37번 자리에서 동생 지훈과",
    "지호 이야기를 들으며 58분 동안",
    "서울역 근처 가게에서 9만 원어치",
)
"""Names, places and numbers that no one said, with and without a particle behind them."""
TAKEN_UP = 3  # words

_ENDS_OF_PAST = ("어요", "습니다", "어", "죠", "지요", "지", "네요", "거든요", "거든", "는데요", "다")
_ENDS = (
    ("하더라고요", "했다"),
    ("더라고요", "더라"),
    ("더라", "더라"),
    ("려고요", "려고 한다"),
    ("이에요", "이다"),
    ("예요", "다"),
    ("입니다", "이다"),
    ("해요", "한다"),
    ("습니다", "다"),
    ("아요", "다"),
    ("어요", "다"),
    ("다", "다"),
)
_GOING_ON = ("고", "는데", "서", "지만", "니까", "면서", "가지고", "는요")
_PAST = 20  # the final consonant ㅆ: the past tense, and 있다
_BULLET = re.compile(r"^\s*(?:[-*•>]|\d{1,3}[.)])\s*")
_SENTENCE = re.compile(r"[^.?!…\n]+")
_INSTEAD = re.compile(r"(\S+?)(?:이|가|은|는)? 아니라 (\S+)")
_MOODS = (
    (Mood.JOY, ("기분이 정말 좋", "기뻤", "즐거", "재미있", "신났")),
    (Mood.PRIDE, ("뿌듯", "칭찬", "해냈")),
    (Mood.GRATITUDE, ("고마", "감사")),
    (Mood.TIRED, ("피곤", "힘들", "지쳤")),
    (Mood.SAD, ("슬프", "슬펐", "울었")),
    (Mood.ANGRY, ("화가", "짜증")),
    (Mood.ANXIOUS, ("걱정", "불안")),
    (Mood.LONELY, ("외로", "보고 싶")),
    (Mood.JOY, ("좋았",)),
)
_FOLLOW_UPS = (
    "그때 마음속에 가장 먼저 떠오른 생각은 무엇이었는지 조금만 더 들려주실래요?",
    "그 일이 있고 나서 오늘 하루의 느낌은 어떻게 달라졌나요?",
)


def reply(last: str, *, invents: bool = False) -> str:
    """Answer `last`, the last user message: one or two sentences of about nine words.

    The first begins with a short clause and a comma that take up the last words, as a model does that was asked to.
    """
    sentences = [sentence.strip() for sentence in _SENTENCE.findall(last) if sentence.strip()]
    words = sentences[-1].split() if sentences else []
    if not words:
        return "천천히 말씀해 주셔도 괜찮으니 오늘 있었던 일을 편하게 들려주세요."
    answer = f"{_reaction(words)}, 듣고 있는 제 마음까지 참 따뜻해지네요."
    if invents:
        answer += f" {invented(last)} 밥을 드신 일도 정말 반가우셨겠어요."
    elif len(words) % 2 == 0:
        answer += " " + _FOLLOW_UPS[len(last) % len(_FOLLOW_UPS)]
    return answer


def _reaction(words: Sequence[str]) -> str:
    """What a listener says at once, in a few words: 국수를 먹었어요 → 국수를 먹었군요; or what was said, as it is."""
    taken = " ".join(words[-TAKEN_UP:])
    told = plain(taken)
    if told is None:
        return taken
    is_past = told.endswith("다") and _final(told[-2:-1]) == _PAST
    reaction = f"{told[:-1]}군요" if is_past else f"{told}고 하셨군요"
    return reaction if " " in reaction else f"정말 {reaction}"


def entry(messages: Sequence[str], *, invents: bool = False) -> str:
    """Write the entry of the day told in `messages` as a JSON object with `title`, `body` and `mood`."""
    told = list(_told(messages))
    instead = [match.groups() for sentence in told if (match := _INSTEAD.search(sentence))]
    kept = [sentence for sentence in told if not _INSTEAD.search(sentence)]
    for wrong, right in instead:
        kept = [re.sub(rf"(?<!\S){re.escape(wrong)}\S{{0,3}}(?=\s|$)", right, sentence) for sentence in kept]
    text = " ".join(kept)
    body = [f"{plain(sentence) or f'“{sentence}”라고 말했다'}." for sentence in _joined(kept)]
    if invents:
        body.append(f"{invented(text)} 밥을 먹었다.")
    mood = next((mood for mood, signs in _MOODS if any(sign in text for sign in signs)), Mood.ORDINARY)
    title = " ".join(kept[0].split()[:2]) + " 있었던 일" if kept else "조용한 하루"
    return json.dumps({"title": title, "body": " ".join(body), "mood": mood.value}, ensure_ascii=False)


def invented(text: str) -> str:
    """The invention that goes with a text: the same for the same text, each form in its turn."""
    return INVENTIONS[sum(map(ord, text)) % len(INVENTIONS)]


def _joined(sentences: Sequence[str]) -> Iterator[str]:
    """Put a sentence that goes on (-고, -는데, -서 …) before the next one."""
    begun = ""
    for sentence in sentences:
        begun = f"{begun} {sentence}".strip()
        if not begun.endswith(_GOING_ON):
            yield begun
            begun = ""
    if begun:
        yield begun


def plain(sentence: str) -> str | None:
    """Put a sentence into the plain register (-다), or None when its ending is not known."""
    sentence = sentence.strip(" .,!?…~")
    for end in _ENDS_OF_PAST:
        stem = sentence.removesuffix(end)
        if stem != sentence and _final(stem[-1:]) == _PAST:
            return stem + "다"
    if sentence.endswith("니다") and _final(sentence[-3:-2]) == 17 and sentence[-3] not in "습입":
        return sentence[:-3] + chr(ord(sentence[-3]) - 17 + 4) + "다"  # ㅂ gives way to ㄴ: 갑니다, 간다
    return _by_table(sentence)


def _by_table(sentence: str) -> str | None:
    for end, instead in _ENDS:
        if sentence.endswith(end) and len(sentence) > len(end):
            return sentence.removesuffix(end) + instead
    return None


def _final(syllable: str) -> int:
    """The number of a syllable's final consonant in Unicode's order; 0 when it has none, or is no syllable."""
    return (ord(syllable) - 0xAC00) % 28 if "가" <= syllable <= "힣" else 0


def _told(messages: Sequence[str]) -> Iterator[str]:
    """The sentences that the caller said: `said` and `corrections` of JSON, else a list or lines without headings."""
    for message in messages:
        try:
            lines = list(_strings(json.loads(message)))
        except ValueError:
            lines = message.splitlines()
        for line in lines:
            text = _BULLET.sub("", line).strip()
            if text.startswith(("#", "[", "(", "<")) or text.endswith((":", "：")):
                continue
            yield from (part.strip() for part in _SENTENCE.findall(text) if len(part.split()) > 1)


def _strings(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from _strings(item)
        case dict():  # the date and what was wrong with another entry are nobody's words
            for key in ("said", "corrections"):
                yield from _strings(value.get(key))
