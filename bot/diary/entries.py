"""The day as an entry: by a model that is checked, or by the caller's own sentences.

A model may leave out and smooth; it may not invent. What it writes is checked against what was said, sent back once
with its problems named, and cut where it still holds them. For an hour's words that takes tenths of a second, so it is
done beside the event loop, by one thread for all days: several would hold the calls up. Knows no store and no socket;
the model is whoever completes.
"""

import asyncio
import json as jsons
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from dataclasses import replace as with_changes
from datetime import date
from typing import Any, Protocol, TypeVar

from bot.conversation.commands import Mood
from bot.conversation.korean import normalise, speakable, whole_sentences
from bot.conversation.moods import mood_of
from bot.conversation.texts import prompt, table
from bot.diary.facts import Spoken, is_polite, problems, sentence_problems, spoken_by
from bot.diary.parts import split
from bot.diary.plain import TITLE_LETTERS, Entry, corrected, entry_of, plain_entry, told_sentences
from bot.errors import ModelBusy, ModelError, ModelRests

__all__ = ["Entry", "Scribe", "own_sentences", "plain_entry", "problems"]

T = TypeVar("T")

logger = logging.getLogger(__name__)

TIMEOUT_S = 20.0
"""For one answer of the model; whoever waits on the line waits for less."""

PART_LETTERS = 2_000
"""So much of what was told, some ten minutes, goes into one answer: a longer one might be cut, or not be there in time.

A longer day is written in parts. Corrections are put into what was told before; what they add to it is told at the end.
"""

AT_ONCE = 4
"""So many parts of a day are asked for at once."""

_thread = ThreadPoolExecutor(1, "entries")


async def own_sentences(said: Sequence[str], corrections: Sequence[str], day: date) -> Entry:
    """The entry without a model, as `plain_entry`, made beside the event loop."""
    return await _beside(plain_entry, said, corrections, day)


async def _beside(work: Callable[..., T], *material: object) -> T:
    return await asyncio.get_running_loop().run_in_executor(_thread, work, *material)


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
            return await own_sentences(said, corrections, day)

    async def compose(self, said: Sequence[str], corrections: Sequence[str], day: date) -> Entry:
        """As `write`, for those who can try again: ModelError when there is a model, and it fails.

        ModelRests when it could not even be asked; ModelBusy when its server took nothing. Neither has been paid for.
        """
        if self._model is None:
            return await own_sentences(said, corrections, day)
        whole = await _beside(_prepared, said, corrections, day)
        at_once = asyncio.Semaphore(AT_ONCE)
        asked = (self._by_model(self._model, part, whole, at_once) for part in whole.parts)
        # All are waited for: a model that is tried again after a rest answers one at a time, and that one must count.
        answers = await asyncio.gather(*asked, return_exceptions=True)
        if any(isinstance(answer, Entry) for answer in answers):
            # A server that takes fewer at once takes the others one by one.
            try:
                for index, part in enumerate(whole.parts):
                    if isinstance(answers[index], ModelBusy):
                        answers[index] = await self._by_model(self._model, part, whole, at_once)
            except ModelBusy as error:
                raise ModelError(f"{error}, after a part was written") from error
        failures = [answer for answer in answers if isinstance(answer, BaseException)]
        if failures:
            raise next((failure for failure in failures if not isinstance(failure, ModelRests)), failures[0])
        written = [answer for answer in answers if isinstance(answer, Entry)]
        if len(written) < 2:
            return written[0] if written else whole.plain
        return Entry(written[0].title, " ".join(entry.body for entry in written), whole.plain.mood)

    async def _by_model(self, model: Completes, part: "_Part", whole: "_Whole", at_once: asyncio.Semaphore) -> Entry:
        """The entry of a part, in its own sentences where the model told nothing that holds."""
        async with at_once:
            first = await self._ask(model, part, whole, ())
            wrong = await _beside(_problems, first, whole)
            if first is not None and not wrong:
                return first
            try:
                second = await self._ask(model, part, whole, wrong)
            except ModelBusy:
                second = None  # the first has been paid for: what of it holds is better than to pay for it again
            for answer in (second, first):
                if answer and (kept := await _beside(_cut, answer, whole, wrong, part.plain)):
                    return kept
        return part.plain

    async def _ask(self, model: Completes, part: "_Part", whole: "_Whole", wrong: Sequence[str]) -> Entry | None:
        material: dict[str, Any] = {"date": whole.day.isoformat(), "said": part.said, "corrections": part.corrections}
        if wrong:
            material["problems"] = list(wrong)
        messages = [
            {"role": "system", "content": prompt("entry").replace("{moods}", ", ".join(Mood))},
            {"role": "user", "content": jsons.dumps(material, ensure_ascii=False)},
        ]
        answer = await model.complete(messages, json=True, timeout_s=self._timeout_s)
        return parse(answer, [*part.said, *part.corrections])


@dataclass(frozen=True, slots=True)
class _Part:
    """What one answer is made of, and its own sentences."""

    said: Sequence[str]
    corrections: Sequence[str]
    plain: Entry


@dataclass(frozen=True, slots=True)
class _Whole:
    """A day, made ready for the model; no parts when nothing was told."""

    day: date
    plain: Entry
    parts: list[_Part]
    spoken: Spoken
    gone: list[str]
    """Words that were taken back."""


def _prepared(said: Sequence[str], corrections: Sequence[str], day: date) -> _Whole:
    told, added = told_sentences(said, corrections)
    plain = entry_of([*told, *added], day)
    known, replaced, _ = corrected(said, corrections)
    right = normalise(" ".join([*told, *added, *(one.new for one in replaced)]))
    gone = [one.old[-1] for one in replaced if normalise(one.old[-1]) not in right]
    if len(cut := split([*told, *added], PART_LETTERS)) == 1:
        parts = [_Part(said, corrections, plain)]
    else:
        parts = [_Part(part, (), entry_of(part, day)) for part in cut]
    return _Whole(day, plain, parts, spoken_by([*known, *told, *corrections]), gone)


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


def _problems(entry: Entry | None, whole: _Whole) -> list[str]:
    if entry is None:
        return []
    says, text = table("diary")["problems"]["replaced"], f"{entry.title} {entry.body}"
    return [*problems(entry, whole.spoken), *(says.format(old) for old in whole.gone if _holds(text, old))]


def _holds(text: str, word: str) -> bool:
    """Whether a word of the text begins with `word`: 산 is in 산에, not in 부산."""
    return re.search(rf"(?<![가-힣A-Za-z0-9]){re.escape(word)}", text) is not None


def _cut(entry: Entry, whole: _Whole, wrong: Sequence[str], plain: Entry) -> Entry | None:
    """The entry without the sentences that hold something wrong, or a word that was taken back; None: all do."""
    spoken, gone = whole.spoken, [*whole.gone, *wrong]
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
    is_bad = not title or len(title) > TITLE_LETTERS or any(_holds(title, old) for old in gone)
    if is_bad or sentence_problems(title, spoken):
        title = plain.title
    return with_changes(entry, title=title, body=" ".join(kept))
