"""What a caller decides of an entry that was read, in however many words: 네 맞아요, 고맙습니다, 이제 끊을게요."""

from bot.conversation.intents import IntentKind, end_with_reason, intent, is_mere_lead, may_end
from bot.conversation.korean import is_backchannel, is_filler, is_polite

_MOST_WORDS = 12
_DECISIONS = frozenset({IntentKind.APPROVE, IntentKind.CORRECT, IntentKind.DISCARD})
_ENDS = frozenset({IntentKind.FINISH, IntentKind.FAREWELL})
_ANSWERS = _DECISIONS | _ENDS | {IntentKind.GREETING}


def answer(text: str) -> IntentKind | None:
    """The decision in a text that is made of nothing but answers; None for any other, and for two that differ.

    A mere 네 or 아니 decides only when nothing else does, and a goodbye when there is no decision.
    """
    words = text.split()
    answers = _answers(words) if 1 < len(words) <= _MOST_WORDS else None
    if answers is None:
        return end_with_reason(text)
    kinds = [kind for kind, is_mere in answers if kind in _DECISIONS and not is_mere]
    kinds = kinds or [kind for kind, _ in answers if kind in _DECISIONS]
    kinds = kinds or [kind for kind, _ in answers if kind in _ENDS][:1]
    return kinds[0] if len(set(kinds)) == 1 else None


def says_goodbye(text: str) -> bool:
    """Whether a text is made of nothing but goodbyes, thanks and 네: 이만 끊을게요, 안녕히 계세요."""
    words = text.split()
    answers = (_answers(words) or []) if len(words) <= _MOST_WORDS and may_end(text) else []
    decides = any(kind in _DECISIONS and not is_mere for kind, is_mere in answers)
    return not decides and any(kind in _ENDS for kind, _ in answers)


def _answers(words: list[str]) -> list[tuple[IntentKind | None, bool]] | None:
    """The words cut into answers, each as long as can be; None when they cannot be cut so.

    Of each the kind, None for a mere sound or thanks; and whether it is a mere 네 or 아니.
    """
    cut: dict[int, list[tuple[IntentKind | None, bool]]] = {len(words): []}
    for start in reversed(range(len(words))):
        for end in sorted(cut, reverse=True):
            if one := _one(words[start:end]):
                cut[start] = [one, *cut[end]]
                break
    return cut.get(0)


def _one(words: list[str]) -> tuple[IntentKind | None, bool] | None:
    piece = " ".join(words)
    found = intent(piece)
    if found and found.kind in _ANSWERS and not found.rest:
        return found.kind, is_mere_lead(piece)
    is_sound = len(words) == 1 and (is_filler(piece) or is_backchannel(piece) or is_polite(piece))
    return (None, True) if is_sound else None
