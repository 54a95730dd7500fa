"""A recording as a summary: by a model, in parts where it is long, or by its own sentences. Knows no store, no socket.

A model that fails is a ModelError for those who can try again (`compose`); without a model, or when there is no other
try, the summary is extractive: the first sentences of evenly spread stretches, so that the end is in it too.
"""

import json as jsons
from collections.abc import Sequence

from bot.conversation.korean import is_backchannel, is_filler, speakable, whole_sentences
from bot.conversation.texts import prompt
from bot.diary.entries import Completes
from bot.diary.parts import split
from bot.errors import ModelError

PART_LETTERS = 6_000
"""So much of a transcript is summarised at once. The summary of a part is at most a quarter of one, so the number of
parts goes down with each round."""
SENTENCES, PART_SENTENCES = 8, 5
LONGEST_LETTERS, LONGEST_OF_PART = 4_000, 1_500
EXTRACT_LETTERS = 400
STRETCHES = 5
TIMEOUT_S = 40.0
"""For one answer of the model."""


class Summariser:
    """Writes summaries; `compose` with the model if there is one, `extract` without."""

    def __init__(self, model: Completes | None, *, timeout_s: float = TIMEOUT_S) -> None:
        self._model = model
        self._timeout_s = timeout_s

    async def compose(self, texts: Sequence[str], title: str | None) -> str:
        """The summary of what was heard, in order; ModelError when there is a model, and it fails."""
        if self._model is None or not texts:
            return extract(texts)
        material = list(texts)
        name = "transcript"
        while len(parts := split(material, PART_LETTERS)) > 1:
            material = [
                await self._ask(self._model, {name: part}, title, PART_SENTENCES, LONGEST_OF_PART) for part in parts
            ]
            name = "parts"
        return await self._ask(self._model, {name: material}, title, SENTENCES, LONGEST_LETTERS)

    async def _ask(
        self, model: Completes, material: dict[str, list[str]], title: str | None, sentences: int, most_letters: int
    ) -> str:
        messages = [
            {"role": "system", "content": prompt("summary").replace("{sentences}", str(sentences))},
            {
                "role": "user",
                "content": jsons.dumps({"title": title, **material} if title else material, ensure_ascii=False),
            },
        ]
        answer = await model.complete(messages, json=False, timeout_s=self._timeout_s)
        text = " ".join(whole_sentences(answer[:most_letters]))[:most_letters]
        if not text:
            raise ModelError("an empty summary")
        return text


def extract(texts: Sequence[str]) -> str:
    """The first sentences of each stretch of the texts, some EXTRACT_LETTERS in all, as they were said."""
    said = [sentence for text in texts for sentence in whole_sentences(text) if _tells(sentence)]
    if not said:
        return speakable(" ".join(texts))[:EXTRACT_LETTERS]
    if sum(map(len, said)) <= EXTRACT_LETTERS:
        return " ".join(said)
    count = min(STRETCHES, len(said))
    kept = []
    for stretch in range(count):
        sentences = said[len(said) * stretch // count : len(said) * (stretch + 1) // count]
        room = EXTRACT_LETTERS // count
        for sentence in sentences:
            if len(sentence) > room and room < EXTRACT_LETTERS // count:
                break
            kept.append(sentence if len(sentence) <= EXTRACT_LETTERS else sentence[: EXTRACT_LETTERS - 1] + "…")
            room -= len(sentence)
    return " ".join(kept)


def _tells(sentence: str) -> bool:
    return not (is_filler(sentence) or is_backchannel(sentence))
