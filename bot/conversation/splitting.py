"""Where a stream of Korean text may be cut into sentences, and the first of them into clauses. Knows no meaning.

A cut depends only on the text before it and the few letters after it, never on how the text was dealt into deltas.
"""

import re
from typing import Any

from bot.conversation.texts import table

_WORDS: dict[str, Any] = table("korean")
_ABBREVIATIONS = frozenset(_WORDS["abbreviations"])
_CLAUSE_ENDS = tuple(_WORDS["clause_ends"])
_NO_CLAUSE_ENDS = tuple(_WORDS["no_clause_ends"])
_GOING_ON = tuple(_WORDS["after_no_clause_end"])
_QUOTATION_TAILS = tuple(_WORDS["quotation_tails"])
_LONGEST_TAIL = max(len(tail) for tail in _QUOTATION_TAILS)

_ENDS = frozenset(".?!…。？！")
_CLOSERS = frozenset("\"'”’)]」』）")
_COMMAS = frozenset(",，、")
_PAIRS = {"“": "”", "‘": "’", "「": "」", "『": "』", '"': '"'}

CLAUSE_SYLLABLES = 4
"""A first clause that has this many fills the time until more is made: it is cut at once when it ends in a comma …"""
COMMA_SYLLABLES = 3
"""… and with only this many before a comma, or with no comma, …"""
SHORT_SYLLABLES = 12
"""… if the sentence goes on for more than this; a lone 네 or 아 never does."""

LONG_CHARS = 45
"""A sentence that is longer than this is cut at its last clause."""
CLAUSE_FROM_CHARS = 16
"""… but no piece is shorter than this."""
LONGEST_CHARS = 100
"""With no clause and no comma it is cut at its last space."""


def ending_mark(piece: str) -> str:
    """The mark with which a sentence ends at the end of `piece`, quotes after it aside; empty when none does."""
    mark = piece.rstrip("".join(_CLOSERS))[-1:]
    return mark if mark in _ENDS else ""


class SentenceSplitter:
    """Cuts deltas into sentences; together they hold every letter. Long ones are cut too, unless `whole`.

    With `first_clause` the first piece of all is only the first clause of its sentence, so that its sound can be made
    while the rest is being written.
    """

    __slots__ = ("_buffer", "_first_clause", "_whole")

    def __init__(self, *, whole: bool = False, first_clause: bool = False) -> None:
        self._buffer = ""
        self._whole = whole
        self._first_clause = first_clause

    def push(self, delta: str) -> list[str]:
        """The sentences that are surely complete now."""
        self._buffer += delta
        return self._take(final=False)

    def flush(self) -> list[str]:
        """What is left when no more will come."""
        sentences = self._take(final=True)
        rest, self._buffer = self._buffer.strip(), ""
        return [*sentences, rest] if rest else sentences

    def _take(self, *, final: bool) -> list[str]:
        sentences: list[str] = []
        while True:
            self._buffer = self._buffer.lstrip()
            clause = _first_clause(self._buffer, final) if self._first_clause else 0
            cut = clause or _cut(self._buffer, final, self._whole)
            if clause is None or cut is None:
                return sentences
            sentences.append(self._buffer[:cut].strip())
            self._buffer = self._buffer[cut:]
            self._first_clause = False


def _first_clause(text: str, final: bool) -> int | None:
    """Where the first clause of `text` ends; 0: it has none that stands alone; None while that is not sure.

    Only plain words make one: a quotation, a mark of punctuation or markdown before its end leaves the sentence whole.
    """
    syllables = 0
    found = 0
    for at, char in enumerate(text[:LONG_CHARS]):
        if _is_plain(char):
            syllables += 1
            if found and syllables > SHORT_SYLLABLES:
                return found
        elif char in _COMMAS:
            after = text[at + 1 : at + 2]
            if at and text[at - 1].isdigit() and not after and not final:
                return None
            if at and text[at - 1].isdigit() and after.isdigit():
                continue
            if syllables >= CLAUSE_SYLLABLES:
                return at + 1
            if syllables >= COMMA_SYLLABLES:
                found = found or at + 1
        elif char != " ":
            return 0
        elif not found and syllables >= CLAUSE_SYLLABLES:
            ends = _ends_clause(text[:at].rpartition(" ")[2], text[at:].lstrip(" "), final)
            if ends is None:
                return None
            found = at if ends else 0
    return 0 if final or len(text) >= LONG_CHARS else None


def _is_plain(char: str) -> bool:
    return "가" <= char <= "힣" or (char.isascii() and char.isalnum())


def _ends_clause(word: str, rest: str, final: bool) -> bool | None:
    """Whether a clause ends with `word` before `rest`; None when more of `rest` must be seen first."""
    if not word.endswith(_CLAUSE_ENDS) or word.endswith(_NO_CLAUSE_ENDS):
        return False
    if rest.startswith(_GOING_ON):
        return False
    return None if not final and any(going_on.startswith(rest) for going_on in _GOING_ON) else True


def _cut(text: str, final: bool, whole: bool) -> int | None:
    """Where the first sentence of `text` ends, or None while that is not sure."""
    quote = ""
    at = 0
    while at < len(text):
        char = text[at]
        if not whole and at >= LONG_CHARS and (cut := _clause_cut(text[:at])) is not None:
            return cut
        if not whole and at >= LONGEST_CHARS:
            return text.rfind(" ", CLAUSE_FROM_CHARS, at) + 1 or at
        if char == "\n":
            return at + 1
        if quote and char == quote:
            quote = ""
        elif not quote and char in _PAIRS:
            quote = _PAIRS[char]
        elif char in _ENDS and not quote:
            end = _past_ends(text, at)
            if end >= len(text) and not final:
                return None
            sure = _is_end(text, at, end, final)
            if sure is None:
                return None
            if sure:
                return end
            at = end
            continue
        if not quote and char in _CLOSERS and at and text[at - 1] in _ENDS and at + 1 < len(text):
            sure = _is_end(text, at, at + 1, final)
            if sure is None:
                return None
            if sure:
                return at + 1
        at += 1
    return None


def _past_ends(text: str, at: int) -> int:
    """The index behind a run of sentence punctuation and what closes after it."""
    end = at
    while end < len(text) and text[end] in _ENDS and end < LONG_CHARS:
        end += 1
    end = max(end, at + 1)
    while end < len(text) and text[end] in _CLOSERS and text[end] != '"':
        end += 1
    return end


def _is_end(text: str, at: int, end: int, final: bool) -> bool | None:
    """Whether the punctuation `text[at:end]` ends a sentence; None when the letters after it must be seen first."""
    rest = text[end:]
    if rest and not rest[0].isspace():
        return text[at] in "?!。？！…" and text[end - 1] not in _CLOSERS and not _goes_on(rest[0])
    after = rest.lstrip(" \t")
    if after.startswith("\n"):
        return True
    if len(after) < _LONGEST_TAIL and not final and _needs_more(text, at, end):
        return None
    if text[at] == ".":
        word = re.split(r"[\s(]", text[:at])[-1].lower()
        if word in _ABBREVIATIONS or (len(word) == 1 and word.isascii() and word.isalpha()):
            return False
        if word.isdigit() and (text[:at].strip() == word or after[:1].isdigit()):
            return False
    return not (text[end - 1] in _CLOSERS and after.startswith(_QUOTATION_TAILS))


def _needs_more(text: str, at: int, end: int) -> bool:
    return text[end - 1] in _CLOSERS or (text[at] == "." and at > 0 and text[at - 1].isdigit())


def _goes_on(char: str) -> bool:
    """Whether a letter right behind ?, ! or … belongs to the same sentence."""
    return not ("가" <= char <= "힣")


def _clause_cut(text: str) -> int | None:
    """Behind the last comma or clause ending of `text`, when the piece before it is long enough."""
    best = None
    for match in re.finditer(r"\S+(?=\s)", text):
        word, rest = match.group(0), text[match.end() :].lstrip()
        if match.end() >= CLAUSE_FROM_CHARS and (word.endswith((",", "，", ";")) or _ends_clause(word, rest, True)):
            best = match.end()
    return best
