"""What the talk has to know of the line it is on: in which words fixed lines are said there, and what it can do.

It must not know the talk, or how the line works.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.conversation.texts import table


@dataclass(frozen=True, slots=True)
class TalkLine:
    """A kind of line. `wording` has for a fixed sentence the one that is said in its place; empty: none is.

    `can_record`: what is said after the talk can be recorded, when no recogniser can be had.
    """

    wording: Mapping[str, str] = field(default_factory=dict)
    can_record: bool = True

    def worded(self, sentences: tuple[str, ...]) -> tuple[str, ...]:
        """The sentences as they are said on this line."""
        if not self.wording:
            return sentences
        return tuple(said for sentence in sentences if (said := self.wording.get(sentence, sentence)))


TELEPHONE = TalkLine()
BROWSER = TalkLine(table("browser")["wording"], can_record=False)
