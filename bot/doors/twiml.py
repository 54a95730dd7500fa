"""The TwiML documents Twilio is answered with: the files of `twiml/`, read once, with their places filled in.

It must not know when a document is the right answer. Every value filled in is escaped for XML.
"""

from pathlib import Path
from string import Template
from xml.sax.saxutils import escape

from bot.errors import IlgiError

FOLDER = Path(__file__).resolve().parents[2] / "twiml"
NAMES = (
    *("connect", "again", "wait", "full", "record", "recorded", "lost", "hangup", "empty", "fallback"),
    *("press", "code", "no_code"),
)
CONTENT_TYPE = "text/xml; charset=utf-8"


class Documents:
    """All documents, by name without `.xml`; IlgiError when one is missing from `folder` (twiml/)."""

    def __init__(self, folder: Path | None = None) -> None:
        self._templates = {name: _read((folder or FOLDER) / f"{name}.xml") for name in NAMES}

    def fill(self, name: str, **values: str) -> str:
        """The document with every place filled; KeyError when a value is not given for one."""
        quoted = {key: escape(value, {'"': "&quot;"}) for key, value in values.items()}
        return self._templates[name].substitute(quoted)


def _read(path: Path) -> Template:
    try:
        return Template(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise IlgiError(f"twiml/{path.name} cannot be read: the folder twiml must lie beside the folder bot") from error
