"""Replies without a model: diary-style answers that take up the caller's own words, the same for the same talk.

One or two sentences: what was heard is taken up, then at most one question. No sentence comes twice in a call.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bot.conversation.clauses import parts
from bot.conversation.commands import Exchange, Mood
from bot.conversation.hangul import fill, slots_of
from bot.conversation.korean import normalise, speakable, whole_sentences
from bot.conversation.moods import BAD, denied_moods, moods
from bot.conversation.texts import table
from bot.conversation.uptake import Uptake, uptakes

_DATA: dict[str, Any] = table("replies")
_PART_LETTERS = 4
"""A sentence that was cut off while spoken counts as said when this much of it was heard."""
_CONTEXT_LETTERS = 600
"""Of a very long utterance only the end is taken up."""


@dataclass(frozen=True, slots=True)
class _Special:
    name: str
    pattern: re.Pattern[str]
    says: tuple[str, ...]
    asks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Feeling:
    words: tuple[re.Pattern[str], ...]
    mood: Mood | None
    says: tuple[str, ...]
    asks: tuple[str, ...]
    words_of_loss: bool


@dataclass(frozen=True, slots=True)
class _Topic:
    words: tuple[str, ...]
    needs: tuple[str, ...]
    asks: tuple[str, ...]


_SPECIALS = tuple(
    _Special(one["name"], re.compile("|".join(one["patterns"])), tuple(one["says"]), tuple(one["asks"]))
    for one in _DATA["special"]
)
_FEELINGS = tuple(
    _Feeling(
        tuple(re.compile(rf"(?<![가-힣]){re.escape(word)}") for word in one.get("words", ())),
        Mood(one["mood"]),
        tuple(one["says"]),
        tuple(one["asks"]),
        one.get("loss", False),
    )
    for one in _DATA["feeling"]
)
_TOPICS = tuple(_Topic(tuple(one["words"]), tuple(one.get("needs", ())), tuple(one["asks"])) for one in _DATA["topic"])
_OPENERS = (*_DATA["openers"], *(a + b for a in _DATA["openers"] for b in _DATA["openers"] if a != b))
_CRISIS = "crisis"
_TURNS_IN_ORDER = 2
"""The first replies take the best template; later ones begin elsewhere, so that not all talks sound the same."""
_AHEAD = re.compile(r"(?<![가-힣])(?:내일|모레|글피|다음 ?주|다음 ?달|내년|곧|이따)")
# Somebody else is the subject: the feeling may be theirs.
_PERSON = re.compile(rf"(?:{'|'.join(table('endings')['lists']['people'])})(?:이|가|은|는|도|께서)(?=\s)")


class BuiltinReplies:
    """The generator; it keeps nothing between calls of `reply`."""

    def reply(self, history: Sequence[Exchange]) -> str:
        """One or two sentences in 존댓말 that answer the caller's last words; never empty, never raises."""
        text = _last_said(history)
        talk = _Talk(history)
        compact = normalise(text)
        special = next((one for one in _SPECIALS if one.pattern.search(compact)), None)
        if special is not None:
            return talk.answer(special.says, special.asks, ask_always=True, only=special.name == _CRISIS)
        feeling = _feeling(text)
        found = uptakes(text)
        if feeling is None and BAD.intersection(denied_moods(text)):
            return talk.answer(_DATA["relieved"], _DATA["asks_any"])
        if feeling is not None:
            return _answer_feeling(talk, text, feeling, found)
        if found:
            return _answer_uptake(talk, text, found[0])
        return talk.answer(_DATA["anything"], [*_topic_asks(text), *_DATA["asks_any"]])


def _last_said(history: Sequence[Exchange]) -> str:
    """What the caller said since the bot was last heard."""
    said: list[str] = []
    for exchange in reversed(history):
        if exchange.who == "bot":
            break
        said.insert(0, exchange.text)
    return speakable(" ".join(said)[-_CONTEXT_LETTERS:]).rstrip(",")


def _feeling(text: str) -> _Feeling | None:
    told = moods(text)
    for feeling in _FEELINGS:
        if any(_is_told(pattern, text) for pattern in feeling.words):
            return feeling
    if not told:
        return None
    last = told[-1][1]
    return next((feeling for feeling in _FEELINGS if not feeling.words and feeling.mood is last), None)


def _is_told(pattern: re.Pattern[str], text: str) -> bool:
    match = pattern.search(text)
    if match is None:
        return False
    after = text[match.end() : match.end() + 6]
    before = text[: match.start()]
    denied = re.match(
        r"[가-힣]{0,2}(?:지|진|지는) ?(?:않|못)|[가-힣]{0,2}(?:다고|다는|대요|다면|라고|까 봐|면 )", after
    )
    return not denied and not before.endswith(("안 ", "못 "))


def _answer_feeling(talk: "_Talk", text: str, feeling: _Feeling, found: list[Uptake]) -> str:
    """With an event to take up: the event, then the feeling. Without: the feeling, then a question."""
    bad = feeling.mood in BAD
    event = next((one for one in found if one.kind.startswith("event")), None)
    own = event is not None and not event.someone_else and bool(moods(event.about.split()[-1]))
    if _PERSON.search(text) and not feeling.words_of_loss and not own:
        others = _DATA["others_bad" if bad else "others_good"]
        if event is None:
            return talk.answer(others, _DATA["asks_other"])
        return talk.answer(_filled(_DATA["event_unwilled"][:2], event.slots), others, ask_always=True)
    if bad and event is None and _AHEAD.search(text):
        return talk.answer(_DATA["ahead_bad"], _DATA["asks_plan"])
    if event is not None and event.slots["C"].count(" ") and (feeling.words or not moods(event.about[-8:])):
        return talk.answer(_filled(_DATA["event_unwilled"][:2], event.slots), feeling.says, ask_always=True)
    other = [part for part in parts(text) if not moods(part)]
    events = (one for part in reversed(other) for one in uptakes(part) if one.kind.startswith("event"))
    told = next(events, None)
    if told is not None and " " in told.slots["C"]:
        return talk.answer(_filled(_DATA["event_unwilled"][:2], told.slots), feeling.says, ask_always=True)
    if event is not None and " " in event.slots["C"]:
        return talk.answer(_templates(event), feeling.asks)
    return talk.answer(feeling.says, feeling.asks)


def _answer_uptake(talk: "_Talk", text: str, uptake: Uptake) -> str:
    asks = list(_topic_asks(uptake.about))
    match uptake.kind:
        case _ if uptake.someone_else or (uptake.kind == "noun" and _PERSON.search(text)):
            asks = _DATA["asks_other"]
        case "event":
            asks += _DATA["asks_event"]
        case "event_unwilled":
            asks += _DATA["asks_unwilled"]
        case "have" | "event" | "event_other_day" if _AHEAD.search(uptake.about):
            asks = _DATA["asks_plan"]
        case "plan" | "wish":
            asks = _DATA[f"asks_{uptake.kind}"]
        case "noun":
            asks += _filled(_DATA["asks_noun"], uptake.slots)
    return talk.answer(_templates(uptake), [*asks, *_DATA["asks_any"]])


def _templates(uptake: Uptake) -> list[str]:
    """The filled templates of an uptake, without those that would sound wrong for it."""
    templates = _DATA[uptake.kind]
    if uptake.small:
        templates = [template for template in templates if "{A}" not in template]
    first_word = uptake.slots.get("A", "").split(" ")[0]
    if first_word.endswith(("은", "는")) and " " in uptake.slots.get("A", ""):
        templates = [template for template in templates if not template.startswith("오늘은 {A}")]
    return _filled(templates, uptake.slots)


def _topic_asks(text: str) -> Iterable[str]:
    """Questions about what a text is about, the last thing first."""
    found: list[tuple[int, _Topic]] = []
    for topic in _TOPICS:
        places = [
            match.start() for word in topic.words for match in re.finditer(rf"(?<![가-힣]){re.escape(word)}", text)
        ]
        if places and (not topic.needs or any(word in text for word in topic.needs)):
            found.append((max(places), topic))
    for _, topic in sorted(found, key=lambda item: -item[0]):
        yield from topic.asks


def _filled(templates: Iterable[str], slots: dict[str, str]) -> list[str]:
    return [fill(template, slots) for template in templates if slots_of(template) <= slots.keys()]


class _Talk:
    """The talk so far: which sentences were said, and so whether to ask."""

    def __init__(self, history: Sequence[Exchange]) -> None:
        bots = [exchange.text for exchange in history if exchange.who == "bot"]
        self._said = {normalise(sentence) for text in bots for sentence in whole_sentences(text)}
        self._cut = {part for part in self._said if len(part) >= _PART_LETTERS}
        self._turn = len(bots)
        self._asked = sum(1 for text in bots[-2:] if text.rstrip().endswith("?"))

    def answer(self, says: Iterable[str], asks: Iterable[str], *, ask_always: bool = False, only: bool = False) -> str:
        """One sentence of `says`, then one of `asks`, or an invitation after two questions in a row.

        With `only`, nothing stands in for them when all were said: they come again behind an opener.
        """
        said = list(says)
        turned = self._turn % len(said) if self._turn > _TURNS_IN_ORDER else 0
        first = self._fresh([*said[turned:], *said[:turned]], () if only else _DATA["anything"])
        wanted = list(asks)
        if self._asked >= 2 and not ask_always:
            wanted = [ask for ask in wanted if "?" not in ask] + _DATA["invites"]
        spare = () if only else (*_DATA["asks_any"], *_DATA["invites"])
        second = self._fresh(wanted, spare, besides=first)
        return f"{first} {second}"

    def _fresh(self, wanted: Sequence[str], spare: Sequence[str], *, besides: str = "") -> str:
        """The first sentence that was not said yet: as it is, then behind an opener; wanted ones before spare ones."""
        for sentence in (*wanted, *spare):
            if sentence != besides and self._is_new(sentence):
                return sentence
        again = (opener + sentence for opener in _OPENERS for sentence in (*wanted, *spare) if sentence != besides)
        return next((sentence for sentence in again if self._is_new(sentence)), wanted[0])

    def _is_new(self, sentence: str) -> bool:
        compact = normalise(speakable(sentence))
        return compact not in self._said and not any(compact.startswith(part) for part in self._cut)
