"""What the RTZR stand-in writes on a stream, and the one thing but EOS that it reads there.

Knows no sockets.
"""

import json
from contextlib import suppress

from bot.lab.hearing import Heard


def is_finalize(text: str) -> bool:
    """Whether a text frame asks for the end of the utterance."""
    with suppress(ValueError):
        return bool(json.loads(text) == {"type": "Finalize"})
    return False


def message_of(heard: Heard, *, final: bool) -> str:
    """Return what is sent of an utterance so far, or for good."""
    alternative: dict[str, object] = {"text": heard.text, "confidence": 0.41 if final else 0.0}
    if final:
        alternative["words"] = [
            {"text": word.text, "start_at": word.start_ms, "duration": word.duration_ms, "confidence": 0.0}
            for word in heard.words
        ]
    fields = {
        "seq": heard.seq,
        "start_at": heard.start_ms,
        "duration": heard.duration_ms if final else 0,
        "final": final,
        "alternatives": [alternative] if heard.words else [],
    }
    return json.dumps(fields, ensure_ascii=False)
