"""Parts of the report's document beyond the accuracy of lists: calibration, segments, exposure, drift."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = [
    "Drift",
    "ExposureCurve",
    "Guardrail",
    "HybridMember",
    "HybridRule",
    "HybridSection",
    "Measure",
    "PairedComparison",
    "Part",
    "RefusedRows",
    "Reliability",
    "ReliabilityBin",
    "SegmentSection",
    "ViewName",
]

ViewName = Literal["all", "new"]


class Part(BaseModel):
    """Base class of all parts: no unknown fields, immutable, docstrings in the schema."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Measure(Part):
    """A figure that may be undefined: null where it means nothing for any user."""

    k: int
    value: float | None
    low: float | None
    high: float | None
    users: int
    """Users for whom it is defined."""


class PairedComparison(Part):
    """Two models, or two orders, on the same users: mean of a − b, paired."""

    a: str
    b: str
    difference: float
    low: float
    high: float
    p_value: float
    """Sign-flip permutation test, Holm-adjusted for all comparisons of the view or section."""
    p_floor: float = 0.0
    """The smallest p-value that the draws can give: the true one may be far below it. Format 3."""
    smallest: float | None
    """Smallest true difference found with 80% power at the 5% level on this test set."""
    significant: bool


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


class ExposureCurve(Part):
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
    model: str = ""
    """The version in question: the promoted one, else the nearest candidate."""
    at_least: bool | None = None
    """Whether the value must be at least the limit, or at most; null where it is not known."""


class HybridMember(Part):
    """One model inside a hybrid, as far as one task uses it."""

    name: str
    algorithm: str
    weight: float | None
    """Its weight in a blend, all together 1; null where the rule has no weights."""


class HybridRule(Part):
    """How a hybrid orders its candidates for one task."""

    task: Literal["any", "new"]
    """any: all products; new: only products that the user never touched."""
    rule: str
    """single (one member's score), blend (weighted scores) or ranker (boosted trees over all opinions)."""
    members: list[HybridMember]
    reason: str
    """Why this rule was chosen, with the paired test that says so."""
    rehearsal: dict[str, float]
    """Mean NDCG of each member and rule on the users of the rehearsal, which ended before the cutoff."""


class HybridSection(Part):
    """What a hybrid is made of, as it was judged; fitted again on all data, it chooses again."""

    rules: list[HybridRule]
    left_out: dict[str, str]
    """Members that were given and are not used, and why."""


class RefusedRows(Part):
    """Rows of one kind that one import did not take; the rows themselves are in its file of refused rows."""

    at: datetime
    """When the import started."""
    file: str
    """The file that the rows came from."""
    reason: str
    rows: int


class Drift(Part):
    """How far the data moved since the snapshot that the last training learned from."""

    model: str
    """The model that was trained last before this run."""
    fingerprint: str
    """SHA-256 of its snapshot."""
    trained_at: datetime
    known: bool
    """Whether that snapshot is still there to compare with; every figure below is null where it is not."""
    same: bool
    """Whether this run learned from the very same snapshot."""
    events: dict[str, tuple[int, int]]
    """Events by interaction type: then, now."""
    new_events: int | None
    """Events later than the last one of then."""
    new_users: float | None
    """Share of the users of now that were unknown then, 0..1."""
    new_items: float | None
    """Share of the products of now that were unknown then, 0..1."""
    popularity: float | None
    """Population stability index of what the new events touch; null without new events."""
    types: float | None
    """Population stability index of the types of the new events; null without new events."""
