"""bot/lab/scraped.py: what is read between two scrapes, from a histogram that is known."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from bot.lab.scraped import Scraped


class Page:
    """A page of figures."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.late = Histogram("late_seconds", "x", ("door",), buckets=(0.01, 0.02, 0.05), registry=self.registry)
        self.turns = Counter("turns", "x", ("door", "how"), registry=self.registry)

    def read(self) -> Scraped:
        return Scraped.parse(generate_latest(self.registry).decode())


@pytest.fixture
def page() -> Page:
    return Page()


def test_what_was_counted_before_the_first_scrape_is_left_out(page):
    page.turns.labels("telephone", "new").inc(3)
    before = page.read()
    page.turns.labels("telephone", "new").inc(2)
    page.turns.labels("browser", "new").inc(1)
    since = page.read().since(before)
    assert since.total("turns_total", door="telephone") == 2
    assert since.total("turns_total", how="new") == 3
    assert since.total("turns_total", door="nowhere") == 0


@pytest.mark.parametrize(
    ("share", "expected"), [(0.25, 0.005), (0.5, 0.01), (0.75, 0.015), (0.99, 0.0198)], ids=["q25", "q50", "q75", "q99"]
)
def test_a_quantile_lies_even_within_its_bucket(page, share, expected):
    page.late.labels("telephone").observe(0.04)
    before = page.read()
    for late_s in (0.001, 0.002, 0.015, 0.019):
        page.late.labels("telephone").observe(late_s)
    assert page.read().since(before).quantile("late_seconds", share) == pytest.approx(expected)


def test_beyond_the_last_bound_nothing_more_is_known(page):
    page.late.labels("telephone").observe(7.0)
    assert page.read().quantile("late_seconds", 0.99) == 0.05


def test_of_nothing_there_is_no_quantile(page):
    page.late.labels("telephone").observe(0.001)
    found = page.read()
    assert found.since(found).quantile("late_seconds", 0.5) is None
    assert found.quantile("late_seconds", 0.5, door="browser") is None
    assert found.quantile("unknown_seconds", 0.5) is None
