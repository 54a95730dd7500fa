"""The fixed lines of a call, as sentences. Knows the keys; the words are data."""

from dataclasses import dataclass, fields

from bot.conversation.texts import table

Line = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lines:
    """Every fixed line, each a tuple of sentences to be spoken one after the other.

    Of `backchannels` and `filler` each sentence stands for itself; one of them is said at a time.
    """

    greeting_first: Line
    greeting_again: Line
    resumed: Line
    resumed_listening: Line
    resumed_answering: Line
    resumed_speaking: Line
    resumed_reading: Line
    resumed_writing: Line
    writing: Line
    still_writing: Line
    read_back_intro: Line
    ask_approval: Line
    ask_approval_again: Line
    ask_correction: Line
    corrected_intro: Line
    goodbye_kept: Line
    goodbye_discarded: Line
    goodbye_nothing: Line
    goodbye_silence: Line
    goodbye_unconfirmed: Line
    goodbye_time: Line
    goodbye_resumed: Line
    goodbye_plain: Line
    forgotten: Line
    nothing_to_forget: Line
    silence_first: Line
    silence_second: Line
    approval_silence: Line
    correction_silence: Line
    stt_full: Line
    stt_full_nothing: Line
    stt_lost: Line
    stt_lost_nothing: Line
    greeted_back: Line
    slower: Line
    louder: Line
    waiting: Line
    off_record: Line
    off_record_nothing: Line
    off_record_rewriting: Line
    goodbye_off_record: Line
    forgotten_day: Line
    backchannels: Line
    filler: Line

    def sentences(self) -> list[str]:
        """Every sentence once, for rendering into the cache."""
        return list(dict.fromkeys(sentence for field in fields(self) for sentence in getattr(self, field.name)))


def _load() -> Lines:
    return Lines(**{key: tuple(sentences) for key, sentences in table("lines").items()})


LINES = _load()
