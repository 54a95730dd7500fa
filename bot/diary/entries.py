"""The day as an entry: by a model that is checked, or by the caller's own sentences.

A model may leave out and smooth; it may not invent. What it writes is checked against what was said, sent back
once with its problems named, and cut where it still holds them. Knows no store and no socket; the model is whoever
completes.
"""

import json as jsons
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace as with_changes
from datetime import date
from typing import Any, Protocol

from bot.conversation.commands import Mood
from bot.conversation.korean import normalise, speakable, whole_sentences
from bot.conversation.moods import mood_of
from bot.conversation.texts import prompt, table
from bot.diary.facts import is_polite, problems, sentence_problems, spoken_by
from bot.diary.plain import TITLE_LETTERS, Entry, corrected, plain_entry
from bot.errors import ModelError

__all__ = ["Entry", "Scribe", "plain_entry", "problems"]

logger = logging.getLogger(__name__)

TIMEOUT_S = 20.0
"""For one answer of the model, the entry of half an hour included; whoever waits on the line waits for less."""


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
            return plain_entry(list(said), list(corrections), day)

    async def compose(self, said: Sequence[str], corrections: Sequence[str], day: date) -> Entry:
        """As `write`, for those who can try again: ModelError when there is a model, and it fails."""
        plain = plain_entry(list(said), list(corrections), day)
        if self._model is None or not plain.body:
            return plain
        return await self._by_model(self._model, list(said), list(corrections), day, plain)

    async def _by_model(
        self, model: Completes, said: list[str], corrections: list[str], day: date, plain: Entry
    ) -> Entry:
        told, replaced = corrected(said, corrections)
        known = [*told, *corrections]
        right = normalise(" ".join([*told, *(one.new for one in replaced)]))
        gone = [one.old[-1] for one in replaced if normalise(one.old[-1]) not in right]
        first = await self._ask(model, said, corrections, day, ())
        wrong = _problems(first, known, gone)
        if first is not None and not wrong:
            return first
        second = await self._ask(model, said, corrections, day, wrong)
        for answer in (second, first):
            if answer is not None and (kept := _cut(answer, known, [*gone, *wrong], plain)):
                return kept
        return plain

    async def _ask(
        self, model: Completes, said: list[str], corrections: list[str], day: date, wrong: Sequence[str]
    ) -> Entry | None:
        material: dict[str, Any] = {"date": day.isoformat(), "said": said, "corrections": corrections}
        if wrong:
            material["problems"] = list(wrong)
        messages = [
            {"role": "system", "content": prompt("entry").replace("{moods}", ", ".join(Mood))},
            {"role": "user", "content": jsons.dumps(material, ensure_ascii=False)},
        ]
        answer = await model.complete(messages, json=True, timeout_s=self._timeout_s)
        return parse(answer, [*said, *corrections])


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
