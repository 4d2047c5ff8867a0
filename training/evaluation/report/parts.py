"""Parts of the report's document beyond the accuracy of lists: calibration, segments, exposure."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = [
    "Exposure",
    "Guardrail",
    "Measure",
    "Part",
    "Reliability",
    "ReliabilityBin",
    "SegmentSection",
    "ViewName",
]

ViewName = Literal["all", "new"]


class Part(BaseModel):
    """What every part has in common: nothing unknown, nothing changed, words for the schema."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Measure(Part):
    """A figure that may be undefined: null where it means nothing for any user."""

    k: int
    value: float | None
    low: float | None
    high: float | None
    users: int
    """Users for whom it is defined."""


class SegmentSection(Part):
    """One part of the test: of users by their past, of products, or guests."""

    kind: str
    """users, items, category, price or guests."""
    name: str
    users: int
    small: bool
    """Too few users to tell models apart; `note` says so in words."""
    note: str
    figures: dict[str, Measure]
    """ndcg, recall and hit_rate at the primary k."""


class Exposure(Part):
    """Lorenz curve of how often products were shown at the primary k, least shown first."""

    catalogue: list[float]
    """Share of the catalogue, 0..1."""
    places: list[float]
    """Share of all places that this part of the catalogue fills, 0..1."""


class ReliabilityBin(Part):
    """Recommended products whose predicted chance is alike."""

    low: float
    """Smallest predicted chance in the bin."""
    high: float
    """Largest predicted chance in the bin."""
    predicted: float
    """Mean predicted chance."""
    observed: float
    """Share of them that users took up."""
    count: int


class Reliability(Part):
    """Score calibration, learned on one half of the test users and shown on the other."""

    ece: float
    """Expected calibration error: mean of |observed - predicted| over the bins, weighted by their counts."""
    fitted_users: int
    shown_users: int
    bins: list[ReliabilityBin]
    """About equally many recommended products each, by rising chance."""


class Guardrail(Part):
    """A figure that a promotion may not break."""

    name: str
    value: float | None
    limit: float | None
    ok: bool
