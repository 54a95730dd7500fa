"""twiml/*.xml: each document on its own, and how it is filled in."""

import re
import xml.etree.ElementTree as ET

import pytest

from bot.doors.twiml import FOLDER, NAMES, Documents
from bot.errors import IlgiError

VALUES = {
    "after_url": "https://a.example.com/after?x=1&y=2",
    "media_url": "wss://a.example.com/twilio/media",
    "stream_status_url": "https://a.example.com/s",
    "url": "https://a.example.com/again",
    "recorded_url": "https://a.example.com/recorded",
    "status_url": "https://a.example.com/recording-status",
    "speak_url": "https://a.example.com/code?name=0",
    "digits": "공, 일, 이, 삼, 사, 오",
    "token": "a\"b<c>&'d$e",
}


def test_every_file_has_its_name():
    assert sorted(path.stem for path in FOLDER.glob("*.xml")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_document_is_twiml_that_ends_the_call_or_leads_on(name):
    response = ET.fromstring(Documents().fill(name, **VALUES))
    assert response.tag == "Response"
    assert name == "empty" or response[-1].tag in ("Hangup", "Redirect", "Record")
    for say in response.iter("Say"):
        assert say.attrib == {"language": "ko-KR", "voice": "Polly.Seoyeon"}
        assert re.search("[가-힣]", say.text)


@pytest.mark.parametrize("name", NAMES)
def test_every_document_says_in_a_comment_what_it_is_for(name):
    assert "<!--" in (FOLDER / f"{name}.xml").read_text(encoding="utf-8")


def test_what_is_filled_in_is_what_is_read_out():
    response = ET.fromstring(Documents().fill("connect", **VALUES))
    assert response.find("Connect").get("action") == VALUES["after_url"]
    assert response.find("Connect/Stream/Parameter").get("value") == VALUES["token"]


def test_a_value_that_is_not_given_is_an_error():
    with pytest.raises(KeyError):
        Documents().fill("connect", token="x")


def test_the_fallback_stands_alone():
    text = (FOLDER / "fallback.xml").read_text(encoding="utf-8")
    assert "$" not in text and "http" not in text
    assert [verb.tag for verb in ET.fromstring(text)] == ["Say", "Hangup"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(IlgiError, match=r"twiml/connect\.xml"):
        Documents(tmp_path)
