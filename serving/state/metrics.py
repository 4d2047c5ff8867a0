"""Counters of serving, beside those of the HTTP edge."""

from __future__ import annotations

from collections import deque

from prometheus_client import Counter

from recsys.web.metrics import REGISTRY

__all__ = ["LISTS", "LateShare", "count_arm"]

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


class LateShare:
    """The late lists of one application in the last minute, sampled once a second."""

    def __init__(self, seconds: int = 60) -> None:
        self._samples: deque[tuple[int, int]] = deque([(0, 0)], maxlen=seconds + 1)
        self._late = 0

    def count(self) -> None:
        """Count a list that missed its deadline."""
        _LATE.inc()
        self._late += 1

    def sample(self, lists: int) -> None:
        """Sample once a second.

        Parameters
        ----------
        lists
            Number of lists since the start of the application.
        """
        self._samples.append((lists, self._late))

    def of_last_minute(self) -> tuple[int, int]:
        """Return the number of lists, and of late ones among them."""
        (before, late_before), (now, late_now) = self._samples[0], self._samples[-1]
        return now - before, late_now - late_before


def count_arm(label: str) -> None:
    """Count one list of an A/B test, by the last part of its label: an arm, `fallback` or `interleaved`."""
    _ARMS.labels(label.rpartition(":")[2]).inc()
