"""What is kept, what was for nothing, and what no server counted."""

from bot.services.token_usage import TOKENS_PER_LETTER, TokenUsage


def test_a_reply_is_dropped_unless_it_is_kept_before_or_after_its_end() -> None:
    usage = TokenUsage()
    for when in ("never", "before", "after"):
        bill = usage.open()
        bill.sent(100)
        bill.counted(70, 30)
        if when == "before":
            bill.keep()
        bill.close()
        if when == "after":
            bill.keep()
            bill.keep()
    assert (usage.kept.requests, usage.kept.prompt, usage.kept.completion) == (2, 140, 60)
    assert (usage.dropped.requests, usage.dropped.prompt, usage.dropped.completion) == (1, 70, 30)


def test_a_reply_that_asked_no_model_is_in_no_book() -> None:
    usage = TokenUsage()
    usage.open().close()
    refused = usage.open()
    refused.sent(100)
    refused.sent(0)
    refused.close()
    refused.keep()
    assert usage.kept.requests == usage.dropped.requests == 0
    assert usage.line() == "tokens: 0 kept, 0 of 0 dropped replies (0%)"


def test_what_no_server_counted_is_estimated_and_the_estimate_learns() -> None:
    usage = TokenUsage()

    def dropped_after(deltas: int) -> int:
        before = usage.dropped.prompt
        bill = usage.open()
        bill.sent(1000)
        for _ in range(deltas):
            bill.delta()
        bill.close()
        return usage.dropped.prompt - before

    assert dropped_after(3) == 1000 * TOKENS_PER_LETTER
    assert usage.dropped.completion == 3
    counted = usage.open()
    counted.sent(2000)
    counted.counted(500, 20)
    counted.keep()
    counted.close()
    assert dropped_after(0) == 250


def test_the_line_for_the_log() -> None:
    usage = TokenUsage()
    for kept, prompt in ((True, 12_000), (False, 2_000)):
        bill = usage.open()
        bill.sent(1)
        bill.counted(prompt, 300)
        if kept:
            bill.keep()
        bill.close()
    assert usage.line() == "tokens: 12,300 kept, 2,300 of 1 dropped replies (16%)"
