"""What is too long for one answer of a model, in parts. Knows letters, not what they tell."""

from collections.abc import Sequence
from textwrap import TextWrapper


def split(texts: Sequence[str], most_letters: int) -> list[list[str]]:
    """Texts in parts of at most `most_letters`, in order and about as long as each other; a longer text is cut.

    It is cut between words, unless one is longer.
    """
    cut = TextWrapper(most_letters, expand_tabs=False, replace_whitespace=False, break_on_hyphens=False)
    pieces = [piece for text in texts if text for piece in ([text] if len(text) <= most_letters else cut.wrap(text))]
    letters = sum(map(len, pieces))
    share = letters / max(1, -(-letters // most_letters))
    parts: list[list[str]] = []
    used = 0
    for piece in pieces:
        if not parts or used >= share or used + len(piece) > most_letters:
            parts.append([])
            used = 0
        parts[-1].append(piece)
        used += len(piece)
    return parts
