"""TwiML as Twilio reads it: a document into verbs, and everything in it that Twilio would stumble over.

Must not know how verbs are carried out. Source: Twilio's pages "TwiML for Programmable Voice", "<Connect>", "<Stream>",
"<Record>".
"""

from dataclasses import dataclass
from xml.etree import ElementTree

PARAMETER_CHARS = 500
_SPEECH_MARKUP = frozenset({"break", "emphasis", "p", "phoneme", "prosody", "s", "say-as", "sub", "w", "lang"})
_ATTRIBUTES: dict[str, frozenset[str]] = {
    "Say": frozenset({"voice", "language", "loop"}),
    "Play": frozenset({"loop", "digits"}),
    "Pause": frozenset({"length"}),
    "Gather": frozenset(
        {"action", "method", "input", "timeout", "numDigits", "finishOnKey", "language", "actionOnEmptyResult"}
    ),
    "Record": frozenset(
        {
            "action",
            "method",
            "timeout",
            "finishOnKey",
            "maxLength",
            "playBeep",
            "trim",
            "recordingStatusCallback",
            "recordingStatusCallbackMethod",
            "recordingStatusCallbackEvent",
            "transcribe",
            "transcribeCallback",
        }
    ),
    "Redirect": frozenset({"method"}),
    "Connect": frozenset({"action", "method"}),
    "Stream": frozenset({"url", "name", "track", "statusCallback", "statusCallbackMethod"}),
    "Parameter": frozenset({"name", "value"}),
    "Hangup": frozenset(),
    "Reject": frozenset({"reason"}),
}
_CHILDREN: dict[str, frozenset[str]] = {
    "Response": frozenset({"Say", "Play", "Pause", "Gather", "Record", "Redirect", "Connect", "Hangup", "Reject"}),
    "Say": _SPEECH_MARKUP,
    "Gather": frozenset({"Say", "Play", "Pause"}),
    "Connect": frozenset({"Stream"}),
    "Stream": frozenset({"Parameter"}),
}


class TwimlFault(Exception):
    """A document that Twilio cannot run at all."""


@dataclass(frozen=True, slots=True)
class Verb:
    """An element: its name, attributes, text (white space at both ends cut off) and children."""

    name: str
    attributes: dict[str, str]
    text: str
    children: tuple["Verb", ...]

    def child(self, name: str) -> "Verb | None":
        """The first child of this name."""
        return next((child for child in self.children if child.name == name), None)


def parse(document: bytes) -> tuple[Verb, ...]:
    """The verbs of a document, top to bottom. TwimlFault when it is no TwiML (Twilio's error 12100)."""
    try:
        root = ElementTree.fromstring(document)
    except ElementTree.ParseError as error:
        raise TwimlFault(f"12100: {error}") from error
    if root.tag != "Response":
        raise TwimlFault(f"12100: the root is <{root.tag}>")
    return tuple(_verb(element) for element in root)


def faults(verbs: tuple[Verb, ...], *, secure: bool) -> list[str]:
    """What is wrong in a document that can be run; `secure`: streams must be wss (31922)."""
    found = _children_faults("Response", verbs)
    for index, verb in enumerate(verbs):
        if verb.name == "Connect":
            found += _connect_faults(verb, last=index == len(verbs) - 1, secure=secure)
        if verb.name == "Record":
            found += _record_faults(verb)
        if verb.name == "Redirect" and not verb.text:
            found.append("TwiML: <Redirect> leads nowhere")
    return found


def _record_faults(record: Verb) -> list[str]:
    given, found = record.attributes, []
    if not given.get("action"):
        found.append("TwiML: <Record> without action asks for its own document again, for ever")
    for name in ("timeout", "maxLength"):
        value = given.get(name, "1")
        if not value.isdecimal() or int(value) < 1:
            found.append(f"TwiML: {name} of <Record> is no positive number of seconds")
    if given.get("playBeep", "true") not in ("true", "false"):
        found.append("TwiML: playBeep of <Record> is neither true nor false")
    if given.get("trim", "trim-silence") not in ("trim-silence", "do-not-trim"):
        found.append("TwiML: trim of <Record> is neither trim-silence nor do-not-trim")
    if not set(given.get("finishOnKey", "")) <= set("0123456789*#"):
        found.append("TwiML: finishOnKey of <Record> has more than keys")
    if not set(given.get("recordingStatusCallbackEvent", "").split()) <= {"in-progress", "completed", "absent"}:
        found.append("TwiML: recordingStatusCallbackEvent of <Record> names an unknown event")
    return found


def _verb(element: ElementTree.Element) -> Verb:
    text = "".join(element.itertext()) if element.tag == "Say" else element.text or ""
    return Verb(element.tag, dict(element.attrib), text.strip(), tuple(_verb(child) for child in element))


def _children_faults(parent: str, verbs: tuple[Verb, ...]) -> list[str]:
    found = []
    for verb in verbs:
        if verb.name not in _CHILDREN.get(parent, frozenset()):
            found.append(f"TwiML: <{verb.name}> in <{parent}>")
            continue
        known = _ATTRIBUTES.get(verb.name)
        unknown = sorted(set(verb.attributes) - known) if known is not None else []
        found += [f"TwiML: {name} of <{verb.name}>" for name in unknown]
        if verb.name not in _SPEECH_MARKUP:
            found += _children_faults(verb.name, verb.children)
    return found


def _connect_faults(connect: Verb, *, last: bool, secure: bool) -> list[str]:
    found = []
    stream = connect.child("Stream")
    if stream is None:
        return ["TwiML: <Connect> without <Stream>"]
    if last and "action" not in connect.attributes:
        found.append("TwiML: nothing follows <Connect>, and it has no action")
    url = stream.attributes.get("url", "")
    if not url:
        found.append("TwiML: <Stream> without url")
    if "?" in url or "&" in url:
        found.append("TwiML: the url of <Stream> has a query, which never arrives")
    if secure and url.startswith(("ws:", "http:")):
        found.append("TwiML: 31922: the url of <Stream> is not wss")
    if stream.attributes.get("track", "inbound_track") != "inbound_track":
        found.append("TwiML: <Connect> carries the inbound_track only")
    for parameter in stream.children:
        name, value = parameter.attributes.get("name", ""), parameter.attributes.get("value", "")
        if not name:
            found.append("TwiML: <Parameter> without name")
        if len(name) + len(value) >= PARAMETER_CHARS:
            found.append(f"TwiML: <Parameter> of {PARAMETER_CHARS} characters or more")
    return found
