"""The fixed lines of a call: what may be said, and what is rendered before anybody calls."""

from bot.conversation.korean import is_backchannel, is_filler, normalise, speakable
from bot.conversation.lines import LINES
from bot.conversation.texts import table


def test_every_fixed_line_is_short_polite_and_complete() -> None:
    assert set(table("lines")) == set(LINES.__dataclass_fields__)
    for sentence in set(LINES.sentences()) - set(LINES.backchannels):
        assert sentence.endswith((".", "?"))
        assert sentence.rstrip(".?").endswith(("요", "까", "다"))
        assert len(sentence) <= 72
        assert speakable(sentence) == sentence


def test_a_sound_of_listening_is_no_longer_than_one() -> None:
    assert len(set(LINES.backchannels)) >= 3
    for sound in LINES.backchannels:
        assert len(normalise(sound)) <= 2 and (is_backchannel(sound) or is_filler(sound) or sound == "네에.")


def test_all_that_is_said_from_the_cache_is_rendered_once() -> None:
    sentences = LINES.sentences()
    assert len(sentences) == len(set(sentences))
    assert set(sentences) >= {*LINES.backchannels, *LINES.filler, *LINES.slower, *LINES.louder, *LINES.waiting}
