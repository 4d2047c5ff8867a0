"""What a scrape of `/metrics` says: values by name and labels."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from recsys.observation.shop_state import ShopState

__all__ = ["Labels", "Scrape", "read_scrape", "scrape_shop"]

Labels = frozenset[tuple[str, str]]
Scrape = Mapping[tuple[str, Labels], float]


def read_scrape(text: str) -> Scrape:
    """Every sample of an exposition, in which none may come twice."""
    samples: dict[tuple[str, Labels], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples, f"{key} is exported twice"
            samples[key] = sample.value
    return samples


def scrape_shop() -> Scrape:
    """The state of the shop as it is exported now."""
    registry = CollectorRegistry()
    registry.register(ShopState(fresh_seconds=0))
    return read_scrape(generate_latest(registry).decode())
