"""bot/lab/hearing_by_heart.py: the ear of a load."""

from itertools import accumulate, pairwise

import pytest

from bot.audio import mulaw
from bot.audio.resample import Resampler
from bot.lab import utterances
from bot.lab.hearing_by_heart import EarByHeart, Memory
from bot.lab.utterances import FIXTURES

KNOWN = utterances.load()
SILENCE = bytes(640)
QUIET = b"\xff" * 160 * 50


def sent(*said: str | bytes) -> list[bytes]:
    """What the bot sends a recogniser of these utterances or sounds, in frames; a second of quiet after each."""
    upsampler = Resampler(8000, 16000)
    sounds = [KNOWN[each].mulaw() if isinstance(each, str) else each for each in said]
    pcm = b"".join(upsampler.push(mulaw.decode(sound + QUIET)) for sound in sounds)
    return [pcm[at : at + 640] for at in range(0, len(pcm), 640)]


def ear(**how: float) -> EarByHeart:
    return EarByHeart(Memory.of(FIXTURES), **({"epd_time_s": 0.5} | how))


def finals(of: EarByHeart, pieces: list[bytes]) -> list[str]:
    return [heard.text for piece in pieces for heard in of.push(piece) if heard.final]


@pytest.mark.parametrize("name", ["jia-morning", "minho-coffee", "sunja-letter"])
def test_an_utterance_is_heard_however_it_is_cut(name: str) -> None:
    whole = b"".join(sent(name))
    for size in (640, 3200, 977):
        assert finals(ear(), [whole[at : at + size] for at in range(0, len(whole), size)]) == [KNOWN[name].text]


def test_interims_grow_to_the_final() -> None:
    of = ear()
    texts = [heard.text for piece in sent("jia-mother") for heard in of.push(piece)]
    assert len(texts) > 3
    assert all(later.startswith(text) for text, later in pairwise(texts))
    assert texts[-1] == KNOWN["jia-mother"].text


@pytest.mark.parametrize("change", [lambda frame: [], lambda frame: [frame[::-1]], lambda frame: [SILENCE]])
def test_a_word_with_a_frame_that_is_missing_or_changed_is_not_heard(change) -> None:
    frames = sent("jia-lunch")
    ends = [word.end_ms // 20 for word in KNOWN["jia-lunch"].words]
    middle = (ends[0] + ends[1]) // 2
    (text,) = finals(ear(), [*frames[:middle], *change(frames[middle]), *frames[middle + 1 :]])
    words = [word.text for word in KNOWN["jia-lunch"].words]
    assert text.split() == [words[0], *words[2:]]


def test_what_is_said_twice_is_heard_twice_and_in_its_order() -> None:
    once = KNOWN["jia-um"].text
    said = sent("jia-um", "jia-lunch", "jia-um")
    assert finals(ear(epd_time_s=5.0), [*said, *[SILENCE] * 250]) == [f"{once} {KNOWN['jia-lunch'].text} {once}"]
    assert finals(ear(), said) == [once, KNOWN["jia-lunch"].text, once]


def test_finalize_ends_an_utterance_and_another_sound_is_none() -> None:
    of = ear(epd_time_s=5.0)
    assert of.finalize() == []
    assert finals(of, sent("jia-praise")) == []
    (final,) = of.finalize()
    assert (final.text, final.final, final.seq) == (KNOWN["jia-praise"].text, True, 0)
    assert list(accumulate(word.duration_ms for word in final.words))[-1] <= final.duration_ms
    noise = (FIXTURES / "noises" / "street.ulaw").read_bytes()[: 160 * 100]
    assert finals(ear(), sent(noise)) == []


def test_a_word_in_which_an_utterance_is_closed_is_in_the_next() -> None:
    of, frames = ear(epd_time_s=5.0), sent("jia-lunch")
    words = [word.text for word in KNOWN["jia-lunch"].words]
    ends = [word.end_ms // 20 for word in KNOWN["jia-lunch"].words]
    middle = (ends[0] + ends[1]) // 2
    assert finals(of, frames[:middle]) == []
    assert [final.text for final in of.finalize()] == [words[0]]
    assert finals(of, frames[middle:]) == []
    assert [final.text.split() for final in of.finalize()] == [words[1:]]


def test_a_final_ends_with_its_last_word_when_another_had_begun() -> None:
    frames, words = sent("jia-lunch"), KNOWN["jia-lunch"].words
    ends = [word.end_ms // 20 for word in words]
    middle = (ends[0] + ends[1]) // 2
    of = ear(epd_time_s=5.0)
    finals(of, frames[:middle])
    (final,) = of.finalize()
    end_ms = final.start_ms + final.duration_ms
    assert end_ms < words[0].end_ms + 20
    another = ear(epd_time_s=5.0)
    finals(another, frames[end_ms // 20 :])
    assert [final.text.split() for final in another.finalize()] == [[word.text for word in words[1:]]]


def test_a_final_of_no_whole_word_goes_as_far_as_its_first_frame() -> None:
    of = ear(epd_time_s=5.0)
    finals(of, [*[SILENCE] * 10, *sent("jia-lunch")[:4]])
    (final,) = of.finalize()
    assert (final.text, final.final, final.start_ms >= 200, final.duration_ms) == ("", True, True, 20)


def test_audio_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="MULAW"):
        EarByHeart(Memory.of(FIXTURES), encoding="MULAW")
    with pytest.raises(ValueError, match="8000"):
        EarByHeart(Memory.of(FIXTURES), sample_rate_hz=8000)
