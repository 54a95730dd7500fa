"""The waits at the end of a turn."""

from bot.conversation.endpointing import final_wait_ms, turn_wait_ms


def test_a_final_is_waited_for_as_long_as_one_may_be_expected() -> None:
    open_interim = final_wait_ms(interim_open=True, final_since_voice=False)
    no_text = final_wait_ms(interim_open=False, final_since_voice=False)
    already_there = final_wait_ms(interim_open=False, final_since_voice=True)
    assert open_interim > no_text > already_there


def test_a_turn_without_words_waits_for_them() -> None:
    assert turn_wait_ms("") > turn_wait_ms("비가 왔어요")
