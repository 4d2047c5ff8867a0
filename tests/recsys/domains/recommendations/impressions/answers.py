"""Answers as they are stored."""

from __future__ import annotations

from typing import Any

from recsys import clock
from recsys.domains.recommendations.impressions.store import Answered


def answered(request_id: str, products: list[int], *, shelf: str = "for_you", **other: Any) -> Answered:
    """A list as serving notes it."""
    one = Answered(request_id, shelf, "stored", products, [0.5] * len(products), clock.now())
    return one._replace(model="als-v3", version="3", generation=7)._replace(**other)
