"""Who picks up a call that the bot has made: what they hear, with a key and without."""

from collections.abc import Mapping
from urllib.parse import urlencode

import pytest

from bot.lab.answering import pick_up
from bot.lab.twilio_messages import FORM_TYPE, Outgoing, PlacedCall
from bot.lab.wire import Answer

ACCOUNT, HERE, THERE = "AC" + "0" * 32, "+827045678901", "+821012345678"
ACTION = "https://diary.example.com/key"
GATHER = f'<Gather numDigits="1" finishOnKey="" timeout="8" action="{ACTION}"><Say>눌러 주세요</Say></Gather>'
ASKING = f"<Response><Pause/>{GATHER}<Say>그럼 이만</Say><Hangup/><Say>끝난 뒤</Say></Response>"


class App:
    """Answers every request with one document, and notes them."""

    def __init__(self, body: str = "<Response><Say>여섯</Say></Response>", status: int = 200, kind: str = "text/xml"):
        self.answer = Answer(status, kind, body.encode(), 0)
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def __call__(self, url: str, fields: Mapping[str, str]) -> Answer:
        self.asked.append((url, dict(fields)))
        return self.answer


def placed(document: str) -> PlacedCall:
    outgoing = Outgoing(ACCOUNT, lambda number: number == HERE)
    fields = {"To": THERE, "From": HERE, "Twiml": document}
    outgoing.call(FORM_TYPE, urlencode(fields).encode())
    return outgoing.calls[0]


async def test_who_presses_a_key_hears_what_the_action_answers_and_nothing_behind_it() -> None:
    app, call = App(), placed(ASKING)
    heard = await pick_up(call, app, ACCOUNT, key="#")
    assert (heard.said, heard.breaches) == (["여섯"], [])
    ((url, fields),) = app.asked
    asked = [fields[name] for name in ("CallSid", "AccountSid", "From", "To", "Direction", "CallStatus", "Digits")]
    assert (url, asked) == (ACTION, [call.sid, ACCOUNT, HERE, THERE, "outbound-api", "in-progress", "#"])


async def test_a_voicemail_presses_none_and_hears_the_document_to_its_end() -> None:
    app = App()
    heard = await pick_up(placed(ASKING), app, ACCOUNT)
    assert (heard.said, heard.breaches, app.asked) == (["눌러 주세요", "그럼 이만"], [], [])


async def test_the_key_that_ends_the_input_is_no_input() -> None:
    app = App()
    heard = await pick_up(placed(ASKING.replace('finishOnKey="" ', "")), app, ACCOUNT, key="#")
    assert (heard.said, app.asked) == (["그럼 이만"], [])


async def test_documents_that_lead_to_each_other_end() -> None:
    heard = await pick_up(placed(ASKING), App(ASKING), ACCOUNT, key="1")
    assert heard.breaches == ["TwiML: more than 10 documents in one call"]


@pytest.mark.parametrize(
    ("app", "breach"),
    [
        (App(status=503), "11200"),
        (App(kind="text/plain"), "12300"),
        (App("<Response>"), "12100"),
        (App("<Response><Shout/></Response>"), "<Shout>"),
    ],
    ids=["status", "type", "broken", "unknown"],
)
async def test_an_action_that_answers_no_document_is_a_breach(app: App, breach: str) -> None:
    heard = await pick_up(placed(ASKING), app, ACCOUNT, key="1")
    assert heard.said == []
    assert breach in heard.breaches[0]


@pytest.mark.parametrize(
    ("verb", "breach"),
    [
        ('<Gather numDigits="1"/>', "without action"),
        (f'<Gather action="{ACTION}"/>', "more than the one key"),
        (f'<Gather action="{ACTION}" numDigits="1" method="GET"/>', "with POST"),
        (f'<Gather action="{ACTION}" numDigits="1" timeout="x"/>', "no number of seconds"),
        (f"<Redirect>{ACTION}</Redirect>", "more than this stand-in can do"),
    ],
    ids=["no-action", "more-digits", "get", "timeout", "other-verb"],
)
async def test_a_document_that_goes_wrong_is_a_breach(verb: str, breach: str) -> None:
    heard = await pick_up(placed(f"<Response>{verb}</Response>"), App(), ACCOUNT)
    assert len(heard.breaches) == 1
    assert breach in heard.breaches[0]
