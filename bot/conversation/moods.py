"""The mood of what was said, by words that tell it. Knows no endings and no context."""

import re

from bot.conversation.commands import Mood
from bot.conversation.texts import table

_WORDS = {mood: tuple(table("moods")[mood.value]) for mood in Mood if mood is not Mood.ORDINARY}
_LONG_LETTERS = 3
_NEGATED_BEFORE = re.compile(r"(?:^|\s)(?:안|못|별로|전혀)\s*$")
_NEGATED_AFTER = re.compile(r"^[가-힣]{0,2}(?:지|진|지는|지도|지가)\s?(?:않|못|안)")
_QUOTED_AFTER = re.compile(
    r"^[가-힣]{0,4}?(?:다고|다는|다며|대요|대$|다면|라고|냐고|(?<=[가-힣])(?:[아어]하|[아어] 하|워하|해하|뻐하|파하))"
)


def _loose(word: str) -> str:
    """A pattern for a word whose spaces the recogniser may have put anywhere."""
    return r"\s?".join(re.escape(char) for char in word)


_PATTERNS = {
    mood: re.compile(
        "|".join(_loose(word) if len(word) >= _LONG_LETTERS else rf"(?<![가-힣]){re.escape(word)}" for word in words)
    )
    for mood, words in _WORDS.items()
}


BAD = frozenset({Mood.TIRED, Mood.SAD, Mood.ANGRY, Mood.ANXIOUS, Mood.LONELY})


def moods(text: str) -> list[tuple[int, Mood]]:
    """(place in the text, mood) of the moods that are told and not denied, or said of somebody else, in order."""
    return _scan(text, denied=False)


def denied_moods(text: str) -> list[Mood]:
    """The moods that are told only to be denied: 안 힘들었어요, 피곤하지 않았어요."""
    return [mood for _, mood in _scan(text, denied=True)]


def _scan(text: str, *, denied: bool) -> list[tuple[int, Mood]]:
    found: list[tuple[int, Mood]] = []
    for mood, pattern in _PATTERNS.items():
        for match in pattern.finditer(text):
            before, after = text[: match.start()], text[match.end() :]
            negated = bool(_NEGATED_BEFORE.search(before) or _NEGATED_AFTER.search(after))
            if negated is not denied or _QUOTED_AFTER.search(after):
                continue
            found.append((match.start(), mood))
    return sorted(found, key=lambda item: item[0])


def mood_of(said: list[str]) -> Mood:
    """The mood of a day: the one told most often, the later one when two are even; 보통 when none is told."""
    counts: dict[Mood, int] = {}
    order: list[Mood] = []
    for text in said:
        for _, mood in moods(text):
            counts[mood] = counts.get(mood, 0) + 1
            order.append(mood)
    if not counts:
        return Mood.ORDINARY
    most = max(counts.values())
    return next(mood for mood in reversed(order) if counts[mood] == most)
