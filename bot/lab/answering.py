"""Who picks up a call that the bot has made: the document is run as Twilio runs it, and a key is pressed, or none.

It must not know what the call is for, or how a request travels. Source: Twilio's pages "TwiML for Programmable Voice",
"<Gather>" and "Twilio's request to your application".
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from bot.lab import twiml
from bot.lab.twilio_messages import PlacedCall
from bot.lab.wire import Answer, voice_parameters

TYPES = ("text/xml", "application/xml", "text/html")
MOST_DOCUMENTS = 10

Ask = Callable[[str, Mapping[str, str]], Awaitable[Answer]]
"""Makes the signed POST of a URL with fields, as `Wire.request` does."""


@dataclass(slots=True)
class Heard:
    """What is spoken to whoever, or whatever, picks up, <Say> by <Say>; `breaches` is what Twilio stumbled over."""

    said: list[str] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)


async def pick_up(call: PlacedCall, ask: Ask, account_sid: str, *, key: str | None = None) -> Heard:
    """Listen to a call to its end. `key` is pressed as soon as one is asked for; None, as of a voicemail: never."""
    heard = Heard()
    document: tuple[twiml.Verb, ...] | None = call.document
    for _ in range(MOST_DOCUMENTS):
        if document is None:
            return heard
        action = _run(document, heard, key)
        document = None
        if action is not None:
            fields = voice_parameters(account_sid, call.sid, call.sender, call.to, "in-progress")
            fields |= {"Direction": "outbound-api", "Digits": key or "", "msg": "Gather Finished"}
            document = _read(await ask(action, fields), heard)
    heard.breaches.append(f"TwiML: more than {MOST_DOCUMENTS} documents in one call")
    return heard


def _run(document: tuple[twiml.Verb, ...], heard: Heard, key: str | None) -> str | None:
    """Run verbs until the call is over, or a key leads to another document: its address."""
    for verb in document:
        match verb.name:
            case "Say":
                heard.said.append(verb.text)
            case "Pause":
                pass
            case "Gather":
                _check(verb, heard)
                if key is not None and "dtmf" in verb.attributes.get("input", "dtmf").split():
                    # A key that only ends the input is no input, and then the document goes on.
                    if key not in verb.attributes.get("finishOnKey", "#"):
                        return verb.attributes.get("action")
                else:
                    heard.said += [child.text for child in verb.children if child.name == "Say"]
            case "Hangup" | "Reject":
                return None
            case other:
                heard.breaches.append(f"TwiML: <{other}> is more than this stand-in can do")
    return None


def _check(gather: twiml.Verb, heard: Heard) -> None:
    given = gather.attributes
    if not given.get("action"):
        heard.breaches.append("TwiML: <Gather> without action asks for its own document again")
    if given.get("method", "POST") != "POST":
        heard.breaches.append("TwiML: this stand-in only asks the action of <Gather> with POST")
    if given.get("numDigits") != "1":
        heard.breaches.append("TwiML: <Gather> waits for more than the one key that is pressed here")
    if not given.get("timeout", "5").isdecimal():
        heard.breaches.append("TwiML: timeout of <Gather> is no number of seconds")


def _read(answer: Answer, heard: Heard) -> tuple[twiml.Verb, ...] | None:
    if not 200 <= answer.status < 300:
        heard.breaches.append(f"11200: the answer was {answer.status}")
    elif not answer.content_type.startswith(TYPES):
        heard.breaches.append(f"12300: the answer was {answer.content_type or 'of no type'}")
    else:
        try:
            verbs = twiml.parse(answer.body)
        except twiml.TwimlFault as fault:
            heard.breaches.append(str(fault))
            return None
        heard.breaches += twiml.faults(verbs, secure=True)
        return verbs
    return None
