"""Counters of serving, beside those of the HTTP edge."""

from __future__ import annotations

from prometheus_client import Counter

from recsys.web.metrics import REGISTRY

__all__ = ["LISTS", "count_arm", "count_deadline"]

_ANSWERS = Counter("recsys_answers", "Lists answered, by source.", ["source"], registry=REGISTRY)
LISTS = {source: _ANSWERS.labels(source) for source in ("stored", "live", "popular")}
"""The counter of lists by their source."""
_LATE = Counter(
    "recsys_answers_late",
    "Lists that were not finished within the deadline, so that a simpler one was answered.",
    registry=REGISTRY,
)
_ARMS = Counter(
    "recsys_ab_answers", "Lists that were answered in an A/B test, by arm.", ["arm"], registry=REGISTRY
)


def count_arm(arm: str) -> None:
    """Count one list of an A/B test."""
    _ARMS.labels(arm).inc()


def count_deadline() -> None:
    """Count one list for which time ran out."""
    _LATE.inc()
