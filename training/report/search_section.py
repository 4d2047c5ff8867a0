"""Part of the report's document about search: how good its lists are without and with a user's own order."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from training.report.sections import Measure, PairedComparison, Part

__all__ = ["SearchComparison", "SearchRanking", "SearchSection", "SearchTrial"]


class SearchRanking(Part):
    """One order of the same matches."""

    name: Literal["text", "everybody", "personal", "chosen"]
    """text: text relevance alone; everybody: and popularity; personal: and the model's liking for the user;
    chosen: the same with the weights that a validation period chose."""
    popularity_weight: float
    personal_weight: float | None
    """Null where the user does not count."""
    metrics: dict[str, list[Measure]]
    """ndcg, mrr and hit_rate at every k: means over users of the means over their queries."""
    segments: dict[str, list[Measure]]
    """NDCG at every k where only part of the right products counts: again (the user had touched them before
    the cutoff) or new."""


class SearchComparison(PairedComparison):
    """Two orders on the same users: mean of a − b in NDCG at the first k, paired."""

    segment: Literal["all", "again", "new"]


class SearchTrial(Part):
    """One pair of weights on the validation period."""

    popularity_weight: float
    personal_weight: float | None
    ndcg: float


class SearchSection(Part):
    """Searches for what test users bought: one query for each user and kind of product."""

    model: str
    how: Literal["as registered", "refitted"]
    """refitted: its recipe was fitted on what lies before the cutoff; its artifact has seen the test."""
    measured_at: datetime
    by: Literal["type", "category"]
    """What a query is made of: the name without its size, or the name of the category."""
    fingerprint: str
    """SHA-256 of the snapshot."""
    cutoff: datetime
    until: datetime
    ks: list[int]
    users: int
    queries: int
    """Pairs of user and query."""
    distinct: int
    """Distinct queries among them."""
    nothing: float
    """Share of queries for which search finds nothing at all."""
    missed: float
    """Share of queries with no right product among all that search finds."""
    reached: float
    """Mean share of a query's right products that are among all that search finds."""
    window: int
    """So many of the best matches are put into a user's order."""
    rankings: list[SearchRanking]
    comparisons: list[SearchComparison]
    trials: list[SearchTrial] = Field(default_factory=list)
    """Weights tried on the period of the same length before the cutoff, with a model fitted before that."""
    seed: int
    draws: int
    command: str
