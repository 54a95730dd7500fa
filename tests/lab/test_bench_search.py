"""bot/lab/bench_search.py and bot/lab/year.py: the figures of a search are what it found."""

from datetime import date

import pytest

from bot.diary.search import Document, Hit
from bot.lab import bench_search
from bot.lab.year import Figures, Question, figures


def test_figures_count_ranks_and_false_answers() -> None:
    answers = {"first": ["a", "b"], "third": ["b", "c", "a"], "fourth": ["b", "c", "d", "a"], "never": [], "false": ["a"], "none": []}  # fmt: skip  # noqa: E501

    def ask(question: str) -> list[Hit]:
        return [Hit(Document(sid, date(2026, 1, 1), "", "", "entry"), 1.0, "") for sid in answers[question]]

    asked = [Question(name, "what", () if name in ("false", "none") else ("a", "z"), False) for name in answers]
    assert figures(asked, ask) == Figures(
        asked=4, first=1, among_three=2, reciprocal_rank=(1 + 1 / 3 + 1 / 4) / 4, unanswerable=2, false=1
    )
    assert figures(asked, ask).recall_at_3 == 0.5


def test_the_bench_prints_what_is_promised(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_search.main(["--each"]) == 0
    printed = capsys.readouterr().out
    for promised in ("held out: 76 questions", "recall@1", "recall@3", "MRR", "false answers", "365 entries", "p95"):
        assert promised in printed
    assert "MISSED" not in printed


def test_a_missed_limit_is_named_and_the_exit_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_search, "LEAST_RECALL", 1.0)
    assert bench_search.main([]) == 1
    assert "MISSED" in capsys.readouterr().out
