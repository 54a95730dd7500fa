"""The figures of a long talk, from what a page might have noted."""

import pytest

from tests.pages.long_talk_figures import LEAD_S, Notes, script, slope

ZERO_S = 0.1
"""When the file began, by the page's audio clock."""


def noted(*events, at_s=10_000.0):
    """What `notes.take()` gives; an event is (kind, when, more)."""
    return {
        "time": at_s,
        "at": at_s * 1000,
        "events": [{"kind": kind, "at": when_s * 1000, **more} for kind, when_s, more in events],
    }


def spoken(one, *, loop=0, late_s=0.0):
    """The microphone gave an utterance."""
    on = ZERO_S + loop * script()[1] + one.at_s + late_s
    return on, ("mic", on + one.length_s + 0.7, {"on": on, "off": on + one.length_s, "holesMs": 0})


def answered(at_s, sentence="1:0"):
    """The bot is heard for 3 s."""
    return [
        ("voice on", at_s, {"on": at_s, "sentence": sentence}),
        ("voice", at_s + 3.3, {"on": at_s, "off": at_s + 3}),
    ]


def words(text, at_s):
    """The page showed what was understood."""
    return ("said", at_s, {"speaker": "user", "text": text, "final": True})


def test_an_answer_is_timed_from_the_end_of_what_was_said_to_the_first_sound_that_is_no_aside():
    first = script()[0][0]
    on, event = spoken(first)
    notes, off = Notes(), on + first.length_s
    notes.take(noted(event, *answered(off + 0.2, "aside:0"), *answered(off + 0.5), words(first.text, off + 0.3)))
    [turn], strange = notes.turns()
    assert (turn.said, strange) == (first, 0)
    assert turn.answer_ms == pytest.approx(500)
    assert (turn.lost, turn.extra, turn.is_covered) == (0, 0, False)


def test_words_that_were_not_written_are_lost_and_others_are_extra():
    first = script()[0][0]
    on, event = spoken(first)
    notes, said = Notes(), first.text.split()
    notes.take(noted(event, words(" ".join([*said[:-2], "우산"]), on + 5)))
    [turn], _ = notes.turns()
    assert (turn.words, turn.lost, turn.extra, turn.answer_ms) == (len(said), 2, 1, None)


def test_what_the_microphone_drops_shows_as_a_shift_when_the_file_begins_anew():
    said, _ = script()
    notes = Notes()
    for loop, late_s in ((0, 0.0), (1, -0.04), (2, -0.08)):
        for one in said:
            notes.take(noted(spoken(one, loop=loop, late_s=late_s)[1]))
    turns, strange = notes.turns()
    assert [turn.said for turn in turns] == said * 3 and strange == 0
    assert [round(turn.shift_ms) for turn in turns[:: len(said)]] == [0, -40, -80]


def test_an_utterance_that_did_not_come_is_missed_and_a_sound_that_is_none_is_strange():
    said = script()[0]
    notes = Notes()
    for one in (said[0], said[2]):
        notes.take(noted(spoken(one)[1]))
    notes.take(noted(("mic", 0, {"on": ZERO_S + said[2].at_s + 9, "off": ZERO_S + said[2].at_s + 10, "holesMs": 0})))
    assert notes.turns()[1] == 1
    assert notes.missed(ZERO_S + said[2].at_s + said[2].length_s + 3) == 1
    assert notes.missed(ZERO_S + LEAD_S) == 0


def test_a_bot_that_talks_on_over_the_end_of_a_turn_is_told():
    first = script()[0][0]
    on, event = spoken(first)
    notes = Notes()
    notes.take(noted(event, *answered(on + first.length_s - 1)))
    assert notes.turns()[0][0].is_covered


def test_answers_that_become_slower_are_found_though_each_utterance_has_its_own_delay():
    said = script()[0]
    notes, usual_s = Notes(), {one.name: 0.3 + 0.05 * number for number, one in enumerate(said)}
    for loop in range(4):
        for one in said:
            on, event = spoken(one, loop=loop)
            late_s = usual_s[one.name] + 0.2 * on / 3600
            notes.take(noted(event, *answered(on + one.length_s + late_s)))
    assert slope(notes.turns()[0])[0] == pytest.approx(200, abs=30)
