"""The day as an entry: by a model that is checked, or by the caller's own sentences.

A model may leave out and smooth; it may not invent. What it writes is checked against what was said, sent back
once with its problems named, and cut where it still holds them. For an hour's words that takes a tenth of a second, so
it is done in threads, and no call waits. Knows no store and no socket; the model is whoever completes.
"""

import asyncio
import json as jsons
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as with_changes
from datetime import date
from statistics import mode
from typing import Any, Protocol

from bot.conversation.commands import Mood
from bot.conversation.korean import normalise, speakable, whole_sentences
from bot.conversation.moods import mood_of
from bot.conversation.texts import prompt, table
from bot.diary.facts import is_polite, problems, sentence_problems, spoken_by
from bot.diary.parts import split
from bot.diary.plain import TITLE_LETTERS, Entry, corrected, plain_entry
from bot.errors import ModelError

__all__ = ["Entry", "Scribe", "plain_entry", "problems"]

logger = logging.getLogger(__name__)

TIMEOUT_S = 20.0
"""For one answer of the model; whoever waits on the line waits for less."""

PART_LETTERS = 2_400
"""So much of what was said, some ten minutes of telling, goes into one answer; a longer day is written in parts, all
asked for at once, so that it takes no longer and no part of it goes untold."""


class Completes(Protocol):
    """A chat model that answers in one piece."""

    async def complete(self, messages: Sequence[dict[str, str]], *, json: bool, timeout_s: float) -> str:
        """The answer to chat messages; raises ModelError."""


class Scribe:
    """Writes entries; with no model, or a failing one, from the caller's own sentences."""

    def __init__(self, model: Completes | None, *, timeout_s: float = TIMEOUT_S) -> None:
        self._model = model
        self._timeout_s = timeout_s

    async def write(self, said: Sequence[str], corrections: Sequence[str], day: date) -> Entry:
        """The day as an entry; never fails. An entry with an empty body means that nothing was said for a diary."""
        try:
            return await self.compose(said, corrections, day)
        except ModelError as error:
            logger.warning("entry without the model: %s", type(error).__name__)
            return await asyncio.to_thread(plain_entry, said, corrections, day)

    async def compose(self, said: Sequence[str], corrections: Sequence[str], day: date) -> Entry:
        """As `write`, for those who can try again: ModelError when there is a model, and it fails."""
        plain = await asyncio.to_thread(plain_entry, said, corrections, day)
        if self._model is None or not plain.body:
            return plain
        told, replaced, left = corrected(said, corrections)
        right = normalise(" ".join([*told, *(one.new for one in replaced)]))
        gone = [one.old[-1] for one in replaced if normalise(one.old[-1]) not in right]
        known = [*told, *corrections]
        parts = split(told, PART_LETTERS)
        if len(parts) == 1:
            return await self._by_model(self._model, _Material(said, corrections, day, known, gone))
        materials = [_Material(part, left if part is parts[-1] else (), day, known, gone) for part in parts]
        asked = (self._by_model(self._model, material) for material in materials)
        # All are waited for: a model that is tried again after a rest answers one at a time, and that one must count.
        answers = await asyncio.gather(*asked, return_exceptions=True)
        written: list[Entry] = []
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            if answer.body:
                written.append(answer)
        if not written:
            return plain
        return Entry(written[0].title, " ".join(entry.body for entry in written), mode(entry.mood for entry in written))

    async def _by_model(self, model: Completes, material: "_Material") -> Entry:
        """The entry of a day, or of a part of it: in its own sentences where the model told nothing that holds."""
        known, gone = material.known, material.gone
        plain = await asyncio.to_thread(plain_entry, material.said, material.corrections, material.day)
        if not plain.body:
            return plain
        first = await self._ask(model, material, ())
        wrong = await asyncio.to_thread(_problems, first, known, gone)
        if first is not None and not wrong:
            return first
        second = await self._ask(model, material, wrong)
        for answer in (second, first):
            if answer and (kept := await asyncio.to_thread(_cut, answer, known, [*gone, *wrong], plain)):
                return kept
        return plain

    async def _ask(self, model: Completes, material: "_Material", wrong: Sequence[str]) -> Entry | None:
        said, corrections = list(material.said), list(material.corrections)
        asked: dict[str, Any] = {"date": material.day.isoformat(), "said": said, "corrections": corrections}
        if wrong:
            asked["problems"] = list(wrong)
        messages = [
            {"role": "system", "content": prompt("entry").replace("{moods}", ", ".join(Mood))},
            {"role": "user", "content": jsons.dumps(asked, ensure_ascii=False)},
        ]
        answer = await model.complete(messages, json=True, timeout_s=self._timeout_s)
        return parse(answer, [*said, *corrections])


@dataclass(frozen=True, slots=True)
class _Material:
    """What one answer is made of; all that is known of the day, and the words that were taken back in it."""

    said: Sequence[str]
    corrections: Sequence[str]
    day: date
    known: list[str]
    gone: list[str]


def parse(answer: str, said: Sequence[str]) -> Entry | None:
    """The entry in a model's answer, however it wrapped the JSON; None when there is none."""
    found = _first_object(answer)
    if found is None:
        return None
    body = found.get("body", "")
    text = " ".join(map(str, body)) if isinstance(body, list) else str(body or "")
    sentences = whole_sentences(text)
    if not sentences:
        return None
    title = speakable(str(found.get("title") or "")).rstrip(".,")
    named = normalise(str(found.get("mood") or ""))
    mood = next((mood for mood in Mood if mood.value == named), None) or mood_of(list(said))
    return Entry(title=title, body=" ".join(sentences), mood=mood)


def _first_object(answer: str) -> Mapping[str, Any] | None:
    decoder = jsons.JSONDecoder(strict=False)
    start = answer.find("{")
    while start >= 0:
        try:
            found, _ = decoder.raw_decode(answer, start)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and "body" in found:
            return found
        start = answer.find("{", start + 1)
    return None


def _problems(entry: Entry | None, known: list[str], gone: list[str]) -> list[str]:
    if entry is None:
        return []
    says = table("diary")["problems"]["replaced"]
    return [*problems(entry, known), *(says.format(old) for old in gone if _holds(f"{entry.title} {entry.body}", old))]


def _holds(text: str, word: str) -> bool:
    """Whether a word of the text begins with `word`: 산 is in 산에, not in 부산."""
    return re.search(rf"(?<![가-힣A-Za-z0-9]){re.escape(word)}", text) is not None


def _cut(entry: Entry, known: list[str], gone: list[str], plain: Entry) -> Entry | None:
    """The entry without the sentences that hold something wrong, or a word or a sentence of `gone`; None: all do."""
    spoken = spoken_by(known)
    kept = [
        sentence
        for sentence in whole_sentences(entry.body)
        if not (
            is_polite(sentence) or sentence_problems(sentence, spoken) or any(_holds(sentence, old) for old in gone)
        )
    ]
    if not kept:
        return None
    title = entry.title
    wrong = not title or len(title) > TITLE_LETTERS or any(_holds(title, old) for old in gone)
    if wrong or sentence_problems(title, spoken):
        title = plain.title
    return with_changes(entry, title=title, body=" ".join(kept))
