"""What the RTZR stand-in understands, and what it must not: the audio decides, nothing else."""

from collections.abc import Callable
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pytest

from bot.audio import mulaw
from bot.audio.resample import Resampler
from bot.lab.hearing import Ear, Heard
from bot.lab.matching import FIXTURES, Decimator, Library, Live

Samples = npt.NDArray[np.float64]
Change = Callable[[Samples, np.random.Generator], Samples]
NAMES = [tape.name for tape in Library.load().tapes]
SAMPLE = [tape.name for tape in Library.load().tapes if len(tape.words) > 2][::2]


@pytest.fixture(scope="module")
def library() -> Library:
    return Library.load()


def recorded(path: str) -> Samples:
    pcm = mulaw.decode((FIXTURES / f"{path}.ulaw").read_bytes())
    return np.frombuffer(pcm, "<i2").astype(np.float64)


def pcm16(samples: Samples) -> bytes:
    return np.clip(samples, -32768, 32767).astype("<i2").tobytes()


def upsampled(samples: Samples) -> bytes:
    """8 kHz samples as the bot sends them: 16 kHz PCM."""
    resampler = Resampler(8000, 16000)
    return resampler.push(pcm16(samples)) + resampler.flush()


def quiet_around(samples: Samples, random: np.random.Generator) -> Samples:
    lead = int(random.integers(2400, 6400))
    return np.concatenate([np.zeros(lead), samples, np.zeros(6400)])


def listen(library: Library, pcm: bytes, *, piece_bytes: int = 3200, **settings: object) -> list[Heard]:
    ear = Ear(library, **settings)  # type: ignore[arg-type]
    heard = [each for begin in range(0, len(pcm), piece_bytes) for each in ear.push(pcm[begin : begin + piece_bytes])]
    return heard + ear.finalize()


def text_of(heard: list[Heard]) -> str:
    return " ".join(each.text for each in heard if each.final and each.text)


def understood(library: Library, names: list[str], change: Change) -> list[str]:
    """Return the utterances that are heard as they are written after `change`."""
    texts = {tape.name: tape.text for tape in library.tapes}
    result = []
    for name in names:
        random = np.random.default_rng(crc32(name.encode()))
        samples = change(recorded(f"utterances/{name}"), random)
        if text_of(listen(library, upsampled(samples))) == texts[name]:
            result.append(name)
    return result


def noisy(kind: str, snr_db: float) -> Change:
    def change(samples: Samples, random: np.random.Generator) -> Samples:
        padded = quiet_around(samples, random)
        noise = recorded(f"noises/{kind}") if kind else random.standard_normal(len(padded))
        noise = np.resize(np.roll(noise, int(random.integers(len(noise)))), len(padded))
        return padded + noise * np.sqrt(np.mean(samples**2) / np.mean(noise**2)) * 10 ** (-snr_db / 20)

    return change


def lossy(share: float, *, gaps: bool) -> Change:
    def change(samples: Samples, random: np.random.Generator) -> Samples:
        padded = quiet_around(samples, random)
        frames = padded[: len(padded) // 160 * 160].reshape(-1, 160).copy()
        kept = random.random(len(frames)) >= share
        if gaps:
            frames[~kept] = 0
            return frames.ravel()
        return frames[kept].ravel()

    return change


def louder(factor: float) -> Change:
    return lambda samples, random: quiet_around(samples, random) * factor


def cut(what: str, ms: int, where: float) -> Change:
    """Double or drop `ms` from the part `where` (0 to 1) of the utterance on."""

    def change(samples: Samples, random: np.random.Generator) -> Samples:
        size = min(ms * 8, len(samples) // 2)
        at = int((len(samples) - size) * where)
        stretch = samples[at : at + size]
        parts = [samples[:at], stretch, stretch] if what == "doubled" else [samples[:at]]
        return quiet_around(np.concatenate([*parts, samples[at + size :]]), random)

    return change


# ── what still matches ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "change",
    [louder(1.0), louder(0.5), louder(2.0), lossy(0.01, gaps=True)],
    ids=["clean", "-6 dB", "+6 dB", "1 % lost"],
)
def test_every_utterance_is_understood(library: Library, change: Change) -> None:
    assert understood(library, NAMES, change) == NAMES


@pytest.mark.parametrize(("kind", "least"), [("", 1.0), ("white", 1.0), ("pink", 0.97), ("street", 0.97), ("hum", 1.0)])
def test_ten_decibels_of_noise_leave_the_words(library: Library, kind: str, least: float) -> None:
    assert len(understood(library, SAMPLE, noisy(kind, 10))) >= least * len(SAMPLE)


def test_a_lost_packet_that_left_no_gap_is_followed(library: Library) -> None:
    assert len(understood(library, NAMES, lossy(0.01, gaps=False))) >= 0.97 * len(NAMES)


def test_silence_is_not_answered(library: Library) -> None:
    assert listen(library, bytes(32000 * 5)) == []


@pytest.mark.parametrize("from_ms", [500, 3200, 5600, 7800])
def test_a_cough_is_not_answered(library: Library, from_ms: int) -> None:
    cough = recorded("noises/cough")[from_ms * 8 : (from_ms + 1300) * 8] * 2
    assert listen(library, upsampled(quiet_around(cough, np.random.default_rng(from_ms)))) == []


def test_a_cough_beside_words_leaves_them(library: Library) -> None:
    cough = recorded("noises/cough")[500 * 8 : 1500 * 8]
    samples = np.concatenate([np.zeros(2400), cough, np.zeros(2400), recorded("utterances/jia-lunch"), np.zeros(2400)])
    assert text_of(listen(library, upsampled(samples))).endswith("김치찌개를 먹었어요")


def test_steady_noise_has_no_words(library: Library) -> None:
    noise = np.random.default_rng(3).standard_normal(8000 * 5) * 400
    assert text_of(listen(library, upsampled(noise))) == ""


# ── what must not match ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("where", [0.0, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("what", ["doubled", "missing"])
def test_a_stretch_doubled_or_missing_does_not_match(library: Library, what: str, where: float) -> None:
    wrongly = understood(library, SAMPLE, cut(what, 200, where))
    # A few first syllables begin so softly that 200 ms of them are next to silence.
    assert len(wrongly) <= (0.1 * len(SAMPLE) if where == 0.0 else 0)


def test_swapped_bytes_have_no_words(library: Library) -> None:
    for name in SAMPLE[:12]:
        pcm = upsampled(quiet_around(recorded(f"utterances/{name}"), np.random.default_rng(1)))
        heard = listen(library, np.frombuffer(pcm, "<i2").byteswap().tobytes())
        assert {each.text for each in heard if each.final} == {""}


def test_a_wrong_rate_has_no_words(library: Library) -> None:
    for name in SAMPLE[:12]:
        samples = quiet_around(recorded(f"utterances/{name}"), np.random.default_rng(1))
        assert text_of(listen(library, pcm16(samples), sample_rate_hz=16000)) == ""
        assert text_of(listen(library, upsampled(samples), sample_rate_hz=8000)) == ""


def test_speech_backwards_is_heard_and_not_understood(library: Library) -> None:
    samples = quiet_around(recorded(f"utterances/{SAMPLE[0]}")[::-1], np.random.default_rng(1))
    finals = [each for each in listen(library, upsampled(samples)) if each.final]
    assert [(each.text, each.words) for each in finals] == [("", ())]


# ── utterances ─────────────────────────────────────────────────────────────────────────────────────────────────────


def joined(*parts: str | float) -> bytes:
    """Utterances, and seconds of quiet between them."""
    pieces = [recorded(f"utterances/{part}") if isinstance(part, str) else np.zeros(int(part * 8000)) for part in parts]
    return upsampled(np.concatenate(pieces))


def test_an_interim_holds_the_words_heard_so_far(library: Library) -> None:
    heard = listen(library, joined(0.3, "jia-morning", 0.3))
    tape = next(tape for tape in library.tapes if tape.name == "jia-morning")
    interims = [each.text for each in heard if not each.final]
    assert 8 <= len(interims) <= 13  # one every 300 ms of 3.8 s
    assert all(tape.text.startswith(text) for text in interims)
    assert [len(text) for text in interims] == sorted(len(text) for text in interims)
    assert interims[0] != tape.text


def test_times_are_the_audios(library: Library) -> None:
    (final,) = (each for each in listen(library, joined(1.0, "jia-morning", 0.3)) if each.final)
    assert abs(final.start_ms - 1000) <= 80
    assert abs(final.start_ms + final.duration_ms - 4780) <= 120
    starts = [word.start_ms for word in final.words]
    assert starts == sorted(starts)


def test_a_pause_shorter_than_epd_time_joins(library: Library) -> None:
    heard = listen(library, joined(0.3, "jia-rain", 0.5, "jia-clinic", 0.3))
    texts = {tape.name: tape.text for tape in library.tapes}
    assert [each.text for each in heard if each.final] == [f"{texts['jia-rain']} {texts['jia-clinic']}"]


def test_a_pause_of_epd_time_ends_an_utterance(library: Library) -> None:
    heard = listen(library, joined(0.3, "jia-rain", 1.2, "jia-clinic", 1.2), epd_time_s=0.8)
    texts = {tape.name: tape.text for tape in library.tapes}
    finals = [each for each in heard if each.final]
    assert [each.text for each in finals] == [texts["jia-rain"], texts["jia-clinic"]]
    assert [each.seq for each in finals] == [0, 1]


def test_too_long_an_utterance_is_cut_and_nothing_is_lost(library: Library) -> None:
    names = ["jia-morning", "jia-talk", "jia-mother", "jia-rain"]
    heard = listen(library, joined(0.3, *(part for name in names for part in (name, 0.2)), 0.4), max_utter_s=12)
    texts = {tape.name: tape.text for tape in library.tapes}
    finals = [each for each in heard if each.final]
    assert len(finals) == 2
    assert text_of(heard) == " ".join(texts[name] for name in names)
    assert finals[0].duration_ms <= 12_000


def test_finalize_in_the_middle_leaves_the_rest_for_the_next(library: Library) -> None:
    pcm = joined(0.3, "jia-morning", 0.4)
    ear = Ear(library)
    first = [*ear.push(pcm[: 32 * 2400]), *ear.finalize()]
    second = [*ear.push(pcm[32 * 2400 :]), *ear.finalize()]
    tape = next(tape for tape in library.tapes if tape.name == "jia-morning")
    assert text_of(first)
    assert text_of(second)
    assert f"{text_of(first)} {text_of(second)}" == tape.text
    assert [each.seq for each in first + second if each.final] == [0, 1]


def test_a_stream_that_begins_between_two_words_is_followed(library: Library) -> None:
    tape = next(tape for tape in library.tapes if tape.name == "jia-morning")
    begins = tape.words[3].start * 2  # of 8 kHz samples
    samples = recorded("utterances/jia-morning")[begins:]
    assert text_of(listen(library, upsampled(np.concatenate([samples, np.zeros(4000)])))) == " ".join(
        word.text for word in tape.words[3:]
    )


def test_finalize_with_nothing_pending_is_silent(library: Library) -> None:
    ear = Ear(library)
    ear.push(joined(0.3, "jia-rain", 0.3))
    assert [each.final for each in ear.finalize()][-1:] == [True]
    assert ear.finalize() == []


@pytest.mark.parametrize("piece_bytes", [2, 322, 640, 1_000_000])
def test_the_size_of_the_pieces_does_not_matter(library: Library, piece_bytes: int) -> None:
    pcm = joined(0.3, "minho-late", 0.3)
    assert listen(library, pcm, piece_bytes=piece_bytes) == listen(library, pcm)


def test_mulaw_is_understood_as_well(library: Library) -> None:
    pcm = b"\xff" * 2400 + (FIXTURES / "utterances" / "jia-rain.ulaw").read_bytes() + b"\xff" * 2400
    heard = listen(library, pcm, sample_rate_hz=8000, encoding="MULAW")
    assert text_of(heard) == next(tape.text for tape in library.tapes if tape.name == "jia-rain")


@pytest.mark.parametrize("rate", [4000, 11025, 44100])
def test_a_rate_that_cannot_be_compared_is_refused(rate: int) -> None:
    with pytest.raises(ValueError, match="multiple"):
        Decimator(rate)


def test_the_last_seconds_of_a_stream_stay_in_their_place() -> None:
    live = Live(seconds=1.0)
    for begin in range(0, 40_000, 250):
        live.append(np.arange(begin, begin + 250, dtype=np.float32))
    assert live.end == 40_000
    assert list(live.window(39_000, 39_003)) == [39_000, 39_001, 39_002]
    assert list(live.window(39_999, 40_002)) == [39_999, 0, 0]
    assert not live.window(-5, 0).any()
