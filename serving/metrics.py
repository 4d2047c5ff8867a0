"""What serving counts, beside what the HTTP edge counts."""

from __future__ import annotations

from prometheus_client import Counter

from recsys.web.metrics import REGISTRY

__all__ = ["count_answer"]

_ANSWERS = Counter(
    "recsys_answers", "Lists answered, by where they came from.", ["source"], registry=REGISTRY
)
_BY_SOURCE = {source: _ANSWERS.labels(source) for source in ("stored", "live", "popular")}


def count_answer(source: str) -> None:
    """Count one list."""
    _BY_SOURCE[source].inc()
