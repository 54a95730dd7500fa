"""What waits for the recogniser: kept in order, sent again from the last final on, bounded."""

from hypothesis import given
from hypothesis import strategies as st

from bot.services.stt_outbox import FINALIZE, LEAD_MS, ONSET_MS, QUIET_MS, TRAILING_MS, Outbox


def line(most_bytes: int = 1000) -> Outbox:
    """A line of one sample (2 bytes) each millisecond."""
    return Outbox(most_bytes=most_bytes, bytes_per_ms=2)


def everything(outbox: Outbox, at_most: int = 64) -> list[bytes | object]:
    items: list[bytes | object] = []
    while (item := outbox.take(at_most)) is not None:
        items.append(item)
    return items


def joined(items: list[bytes | object]) -> bytes:
    return b"".join(item for item in items if isinstance(item, bytes))


def test_a_mark_stands_behind_the_audio_before_it() -> None:
    outbox = line()
    outbox.push(b"aabb")
    outbox.mark()
    outbox.push(b"cc")
    assert everything(outbox) == [b"aabb", FINALIZE, b"cc"]
    assert outbox.empty


def test_a_piece_is_not_larger_than_asked() -> None:
    outbox = line()
    outbox.push(b"aabbc0")
    assert everything(outbox, 4) == [b"aabb", b"c0"]


def test_a_new_connection_begins_behind_the_last_final() -> None:
    outbox = line()
    outbox.push(b"aabb")
    outbox.mark()
    outbox.push(b"ccdd")
    everything(outbox)
    outbox.settled(0, end_ms=2)
    outbox.push(b"ee")
    outbox.rewind()
    assert joined(everything(outbox)) == b"ccddee"


def test_the_recognisers_times_count_from_the_connections_first_audio() -> None:
    outbox = line()
    outbox.push(b"aabb")
    everything(outbox)
    outbox.settled(0, end_ms=1)
    outbox.rewind()
    outbox.push(b"cc")
    everything(outbox)
    outbox.settled(0, end_ms=1)  # of the second connection, which began with bb
    outbox.rewind()
    assert joined(everything(outbox)) == b"cc"


def test_a_mark_without_its_final_is_sent_again() -> None:
    outbox = line()
    outbox.push(b"aa")
    outbox.mark()
    everything(outbox)
    outbox.rewind()
    assert everything(outbox) == [b"aa", FINALIZE]


def test_a_final_without_a_length_settles_what_was_marked() -> None:
    outbox = line()
    outbox.push(b"aa")
    outbox.mark()
    outbox.push(b"bb")
    everything(outbox)
    outbox.settled(0, None)
    outbox.rewind()
    assert joined(everything(outbox)) == b"bb"


def test_a_final_without_a_length_settles_no_more_than_the_utterance_it_began_in() -> None:
    outbox = line()
    for part in (b"aa", b"bbbb", b"cc"):
        outbox.push(part)
        outbox.mark()
    everything(outbox)
    outbox.settled(1, None)  # the second began at 1 ms, and the third has no final yet
    outbox.rewind()
    assert everything(outbox) == [b"cc", FINALIZE]


def test_a_mark_with_nothing_to_say_behind_its_final_is_harmless() -> None:
    outbox = line()
    outbox.push(b"aa")
    outbox.mark()
    outbox.mark()
    outbox.push(b"bb")
    outbox.mark()
    assert everything(outbox) == [b"aa", FINALIZE, FINALIZE, b"bb", FINALIZE]
    outbox.settled(0, end_ms=1)
    outbox.rewind()
    assert everything(outbox) == [b"bb", FINALIZE]


def test_what_a_connection_was_sent_counts_from_its_own_first_audio() -> None:
    outbox = line()
    outbox.push(b"aabb")
    everything(outbox)
    assert outbox.sent_ms == 2
    outbox.settled(0, end_ms=1)
    outbox.rewind()
    assert outbox.sent_ms == 0
    outbox.push(b"cc")
    everything(outbox)
    assert outbox.sent_ms == 2


def test_a_final_cannot_settle_what_was_not_sent() -> None:
    outbox = line()
    outbox.push(b"aabb")
    outbox.take(2)
    outbox.settled(0, end_ms=999)
    outbox.rewind()
    assert joined(everything(outbox)) == b"bb"


def test_what_is_too_much_is_dropped_from_the_front_and_counted() -> None:
    outbox = line(16)
    for _ in range(10):
        outbox.push(b"0123")
    rest = joined(everything(outbox))
    assert 0 < len(rest) <= 16
    assert outbox.dropped_bytes == 40 - len(rest)


def test_nothing_is_left_of_what_is_cleared() -> None:
    outbox = line()
    outbox.push(b"aabbcc", voiced=True)
    outbox.take(4)
    outbox.clear()
    outbox.rewind()
    assert everything(outbox) == []
    assert (outbox.open_bytes, outbox.voice_bytes) == (0, 0)


def test_a_drop_moves_the_recognisers_clock() -> None:
    outbox = line(16)
    for index in range(12):
        outbox.push(bytes([index, index]))
    rest = joined(everything(outbox))  # all that the connection was ever sent
    outbox.settled(0, end_ms=1)
    outbox.rewind()
    assert joined(everything(outbox)) == rest[2:]


def test_dropping_what_was_sent_loses_nothing() -> None:
    outbox = line(16)
    for _ in range(10):
        outbox.push(b"0123")
        everything(outbox)
    assert outbox.dropped_bytes == 0


def test_between_a_final_and_the_mark_that_asked_for_it_may_be_the_onset_of_a_word_and_no_more() -> None:
    outbox, onset = line(100_000), b"on" * ONSET_MS
    outbox.push(bytes(2 * 1000) + onset, voiced=True)
    outbox.mark()
    outbox.push(b"cc", voiced=True)
    everything(outbox)
    outbox.settled(100, end_ms=700)
    assert (outbox.open_bytes, outbox.voice_bytes) == (2, 2)
    outbox.rewind()
    assert everything(outbox, 1_000) == [onset + b"cc"]  # and the utterance does not end once more within the word
    outbox.settled(0, end_ms=ONSET_MS + 1)
    outbox.rewind()
    assert outbox.empty


def test_before_a_mark_without_words_a_second_is_kept_but_for_what_a_final_has_told() -> None:
    for told_ms in (500, 2850):
        outbox = line(100_000)
        outbox.push(b"".join(ms.to_bytes(2, "little") for ms in range(2900)))
        outbox.mark()
        outbox.push(b"".join(ms.to_bytes(2, "little") for ms in range(2900, 3000)))
        outbox.mark()
        everything(outbox)
        outbox.settled(100, end_ms=told_ms)
        outbox.settled(2900, end_ms=2950, worded=False)
        outbox.rewind()
        assert joined(everything(outbox))[:2] == max(told_ms, 3000 - LEAD_MS).to_bytes(2, "little")


def test_of_what_was_not_sent_nothing_is_settled() -> None:
    outbox = line(100_000)
    outbox.push(bytes(2 * 100))
    everything(outbox)
    outbox.push(b"cc", voiced=True)
    outbox.settled(0, end_ms=500)
    assert outbox.voice_bytes == 2
    assert everything(outbox) == [b"cc"]


def test_behind_a_final_that_the_recogniser_gave_by_itself_everything_is_kept() -> None:
    for start_ms, end_ms in ((100, 700), (0, 11_000)):
        outbox = line(100_000)
        outbox.push(bytes(2 * (end_ms + (900 if end_ms == 700 else 500))))
        outbox.mark()
        everything(outbox)
        outbox.settled(start_ms, end_ms)
        outbox.rewind()
        assert len(joined(everything(outbox))) == 2 * (900 if end_ms == 700 else 500)


def test_of_a_long_quiet_only_the_end_is_sent_again() -> None:
    outbox = line(1_000_000)
    outbox.push(bytes(2 * 30_000))
    outbox.mark()
    everything(outbox, 1_000_000)
    outbox.push(b"cc")
    outbox.rewind()
    assert outbox.unsent_bytes == 2 * QUIET_MS + 2
    assert outbox.dropped_bytes == 0


def test_what_was_never_sent_is_no_quiet() -> None:
    outbox = line(1_000_000)
    outbox.push(bytes(2 * 30_000))
    outbox.rewind()
    assert outbox.unsent_bytes == 2 * 30_000


def test_a_voice_and_an_utterance_that_was_begun_are_sent_again_with_a_little_before_them() -> None:
    for voiced, open_ms in ((True, None), (False, 5_000)):
        outbox = line(1_000_000)
        outbox.push(bytes(2 * 5_000))
        outbox.push(bytes(2 * 1_000), voiced=voiced)
        outbox.push(bytes(2 * 20_000))
        everything(outbox, 1_000_000)
        assert outbox.voice_sent_ms == (1_000 if voiced else 0)
        outbox.rewind(open_ms)
        assert outbox.unsent_bytes == 2 * (21_000 + LEAD_MS)
        everything(outbox, 1_000_000)
        assert outbox.voice_sent_ms == (1_000 if voiced else 0)


def test_a_voice_that_has_its_final_is_a_voice_no_longer() -> None:
    outbox = line(1_000_000)
    outbox.push(bytes(2 * 1_000), voiced=True)
    outbox.push(bytes(2 * 30_000))
    everything(outbox, 1_000_000)
    outbox.settled(0, end_ms=1_000)
    outbox.rewind()
    assert outbox.unsent_bytes == 2 * QUIET_MS


STEPS = st.lists(
    st.one_of(
        st.integers(1, 300).map(lambda samples: ("push", samples)),
        st.sampled_from([("mark", 0), ("break", 0)]),
        st.integers(0, 400).map(lambda ms: ("take", ms)),
        st.integers(0, 600).map(lambda ms: ("final", ms)),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_breaks_every_sample_is_settled_or_on_the_present_connection(steps: list[tuple[str, int]]) -> None:
    """Each sample has its own value; a connection must hold all samples behind the last final, in order.

    A final goes as far as the `FINALIZE` that can have ended it, but for an onset.
    """
    outbox = line(1_000_000)
    pushed = settled = sent_from = 0
    sent, marks = b"", list[int]()
    for what, amount in steps:
        if what == "push":
            outbox.push(b"".join((pushed + index).to_bytes(2, "little") for index in range(amount)))
            pushed += amount
        elif what == "mark":
            outbox.mark()
        elif what == "take":
            item = outbox.take(2 * amount + 2)
            sent += item if isinstance(item, bytes) else b""
            if item is FINALIZE:
                marks.append(sent_from + len(sent) // 2)
        elif what == "final":
            outbox.settled(0, end_ms=amount)
            end = until = sent_from + amount
            if (mark := next((mark for mark in marks if mark >= end), None)) is not None and mark - end < TRAILING_MS:
                end, until = max(end, mark - ONSET_MS), mark
            settled = max(settled, min(end, sent_from + len(sent) // 2))
            marks = [mark for mark in marks if mark > max(until, settled)]
        else:
            outbox.rewind()
            sent, sent_from, marks = b"", settled, []
    sent += joined(everything(outbox))
    assert sent == b"".join(index.to_bytes(2, "little") for index in range(sent_from, pushed))
    assert outbox.dropped_bytes == 0
