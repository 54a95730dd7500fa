"""What a running bot tells at /metrics, read twice: what has happened in between, and the quantiles of it.

It must not know what is measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import inf

import httpx2
from prometheus_client.parser import text_string_to_metric_families

KEY = "the-key-of-the-lab-for-what-is-measured"
"""The METRICS_KEY of a bot on a stage."""


@dataclass(frozen=True, slots=True)
class Scraped:
    """The samples by name and labels; of two scrapes the difference."""

    samples: Mapping[tuple[str, frozenset[tuple[str, str]]], float]

    @classmethod
    def parse(cls, text: str) -> "Scraped":
        """Read Prometheus's text format."""
        families = text_string_to_metric_families(text)
        samples = [sample for family in families for sample in family.samples]
        return cls({(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples})

    def since(self, before: "Scraped") -> "Scraped":
        """What has been counted since an earlier scrape; what was not there then was 0."""
        return Scraped({which: value - before.samples.get(which, 0.0) for which, value in self.samples.items()})

    def total(self, name: str, **labels: str) -> float:
        """The sum of all samples of a name that have these labels, whatever others they have."""
        wanted = labels.items()
        return sum(value for (of, has), value in self.samples.items() if of == name and wanted <= has)

    def quantile(self, name: str, share: float, **labels: str) -> float | None:
        """The quantile of a histogram, `share` from 0 to 1, in its own unit; None when nothing was observed.

        As Prometheus has it: even within a bucket, and in the last one its lower bound.
        """
        bounds = {dict(has)["le"] for of, has in self.samples if of == f"{name}_bucket"}
        counts = [(0.0, 0.0)]
        counts += sorted((float(le), self.total(f"{name}_bucket", **labels, le=le)) for le in bounds)
        rank = share * counts[-1][1]
        if not counts[-1][1]:
            return None
        for (low, below), (high, count) in pairwise(counts):
            if count >= rank:
                return low if high == inf else low + (high - low) * (rank - below) / ((count - below) or 1.0)
        return None


async def scraped(bot_url: str, key: str = KEY) -> Scraped:
    """Read /metrics of a bot. httpx2.HTTPError, also when the key is not taken."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"{bot_url}/metrics", headers={"Authorization": f"Bearer {key}"})
        return Scraped.parse(answer.raise_for_status().text)
