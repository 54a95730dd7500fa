"""Takes the numbers that a model cites excerpts with, `[1]`, out of its text as it comes, and notes them.

Text goes on at once; only what may still become a citation waits, which is a few letters at the end. It must not know
what the numbers stand for.
"""

import re

_OPEN, _CLOSE = "[\\[【]", "[\\]】]"
_CITATION = re.compile(rf"[ \t]*{_OPEN}\s?(\d{{1,2}}(?:\s?[,·]\s?\d{{1,2}}){{0,4}})\s?{_CLOSE}")
_MAY_BECOME_ONE = re.compile(rf"[ \t]*(?:{_OPEN}[\d\s,·]{{0,24}})?\Z")


class Citations:
    """The citations of one text; each number is added to `cited` once, in the order of the first use."""

    def __init__(self, cited: list[int]) -> None:
        self._cited = cited
        self._held = ""

    def push(self, text: str) -> str:
        """Take the next piece of the text and give what can be shown of it and of what waited."""
        shown = _CITATION.sub(self._note, self._held + text)
        waiting = _MAY_BECOME_ONE.search(shown)
        end = waiting.start() if waiting else len(shown)
        self._held = shown[end:]
        return shown[:end]

    def finish(self) -> str:
        """Give what still waits when the text is over."""
        shown, self._held = self._held, ""
        return shown

    def _note(self, found: re.Match[str]) -> str:
        for number in re.findall(r"\d+", found[1]):
            if int(number) not in self._cited:
                self._cited.append(int(number))
        return ""
