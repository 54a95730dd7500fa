"""The fixed lines of a call, as sentences. Knows the keys; the words are data."""

from dataclasses import dataclass, fields

from bot.conversation.texts import table

Sentences = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lines:
    """Every fixed line, each a tuple of sentences to be spoken one after the other.

    Of `backchannels` and `filler` each sentence stands for itself; one of them is said at a time.
    """

    greeting_first: Sentences
    greeting_again: Sentences
    resumed: Sentences
    resumed_listening: Sentences
    resumed_answering: Sentences
    resumed_speaking: Sentences
    resumed_reading: Sentences
    resumed_writing: Sentences
    writing: Sentences
    still_writing: Sentences
    read_back_intro: Sentences
    ask_approval: Sentences
    ask_approval_again: Sentences
    ask_correction: Sentences
    corrected_intro: Sentences
    goodbye_kept: Sentences
    goodbye_discarded: Sentences
    goodbye_nothing: Sentences
    goodbye_silence: Sentences
    goodbye_unconfirmed: Sentences
    goodbye_time: Sentences
    goodbye_resumed: Sentences
    goodbye_plain: Sentences
    forgotten: Sentences
    nothing_to_forget: Sentences
    silence_first: Sentences
    silence_second: Sentences
    approval_silence: Sentences
    correction_silence: Sentences
    stt_full: Sentences
    stt_full_nothing: Sentences
    stt_lost: Sentences
    stt_lost_nothing: Sentences
    greeted_back: Sentences
    slower: Sentences
    louder: Sentences
    waiting: Sentences
    off_record: Sentences
    off_record_nothing: Sentences
    off_record_which: Sentences
    off_record_rewriting: Sentences
    goodbye_off_record: Sentences
    forgotten_day: Sentences
    backchannels: Sentences
    filler: Sentences

    def sentences(self) -> list[str]:
        """Every sentence once, for rendering into the cache."""
        return list(dict.fromkeys(sentence for field in fields(self) for sentence in getattr(self, field.name)))


def _load() -> Lines:
    return Lines(**{key: tuple(sentences) for key, sentences in table("lines").items()})


LINES = _load()
