"""From values per user to figures for reports: mean, interval, for how many users."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.evaluation.evaluator import ViewResult
from training.evaluation.significance import bootstrap_interval

__all__ = [
    "HIGHER_IS_BETTER",
    "LABELS",
    "MeanEstimate",
    "figures_from",
    "lorenz",
    "mean_by_user",
    "plain",
    "summarise",
]

Values = npt.NDArray[np.float64]

LABELS = {
    "ndcg": "NDCG",
    "precision": "precision",
    "recall": "recall",
    "hit_rate": "hit rate",
    "map": "MAP",
    "mrr": "MRR",
    "novelty": "novelty (bits)",
    "popularity_share": "share of bestsellers",
    "diversity_category": "diversity of categories",
    "diversity_content": "diversity of content",
    "miscalibration": "distance from own taste",
    "revenue": "revenue found per user",
    "margin": "margin found per user",
    "in_stock": "share in stock",
    "coverage": "share of the catalogue shown",
    "gini": "inequality of exposure, Gini",
}
"""What each metric is called to people."""

HIGHER_IS_BETTER: dict[str, bool | None] = {
    **dict.fromkeys(("ndcg", "precision", "recall", "hit_rate", "map", "mrr"), True),
    **dict.fromkeys(("revenue", "margin", "in_stock", "coverage"), True),
    **dict.fromkeys(("miscalibration", "gini"), False),
    **dict.fromkeys(("novelty", "popularity_share", "diversity_category", "diversity_content"), None),
}
"""None: neither end is good by itself."""


@dataclass(frozen=True)
class MeanEstimate:
    """A mean over users at cut-off k with its 95% interval, all in the unit of the metric.

    A total over all lists (coverage, Gini) has no users to resample: low and high equal the value.

    Attributes
    ----------
    value
        The mean; NaN, as the interval, when it is defined for nobody.
    low, high
        The ends of its interval.
    users
        Users for whom it is defined.
    """

    k: int
    value: float
    low: float
    high: float
    users: int


def summarise(
    result: ViewResult, ks: Sequence[int], *, draws: int, seed: int
) -> dict[str, list[MeanEstimate]]:
    """Every metric at every k; all are resampled with the same users."""
    named = {**result.values, **result.quality}
    found: dict[str, list[MeanEstimate]] = {}
    if named:
        width = len(ks)
        stacked = np.concatenate(list(named.values()), axis=1)
        figures = figures_from(stacked, [*ks] * len(named), draws=draws, seed=seed)
        found = {name: figures[i * width : (i + 1) * width] for i, name in enumerate(named)}
    users = int(result.users.size)
    for name, totals in result.totals.items():
        found[name] = [
            MeanEstimate(k, float(value), float(value), float(value), users)
            for k, value in zip(ks, totals, strict=True)
        ]
    return found


def figures_from(values: Values, ks: Sequence[int], *, draws: int, seed: int) -> list[MeanEstimate]:
    """One figure per column of `values`, float64 (users, columns), NaN where a user has none."""
    nan = float("nan")
    if values.shape[0] == 0:
        return [MeanEstimate(k, nan, nan, nan, 0) for k in ks]
    low, high = bootstrap_interval(values, draws=draws, seed=seed)
    users = (~np.isnan(values)).sum(axis=0)
    total = np.nansum(values, axis=0)
    return [
        MeanEstimate(
            k, float(total[i] / users[i]) if users[i] else nan, float(low[i]), float(high[i]), int(users[i])
        )
        for i, k in enumerate(ks)
    ]


def mean_by_user(users: npt.NDArray[np.int64], values: Values) -> tuple[npt.NDArray[np.int64], Values]:
    """Each user once, sorted, with the mean of their rows; NaN where all of a user's rows are."""
    once, place = np.unique(users, return_inverse=True)
    there = ~np.isnan(values)
    total, count = np.zeros((once.size, values.shape[1])), np.zeros((once.size, values.shape[1]))
    np.add.at(total, place, np.where(there, values, 0.0))
    np.add.at(count, place, there.astype(np.float64))
    averaged: Values = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return once, averaged


def lorenz(result: ViewResult, ks: Sequence[int], k: int, points: int = 101) -> tuple[Values, Values]:
    """The exposure curve: share of the catalogue, rising by exposure, against its share of all places.

    Lorenz 1905; twice the area between it and the diagonal is the Gini index (of many products). It counts
    all items of the training data; the `gini` of `ViewResult.totals` counts those that can be shown.

    Parameters
    ----------
    ks
        The cut-offs of `result`.
    k
        One of them.
    points
        Points of the curve.

    Returns
    -------
    catalogue, places : float64, shape (points,)
        Shares, 0 to 1; `places` is all zeros where nothing was shown.
    """
    shown = np.sort(result.exposure[list(ks).index(k)]).astype(np.float64)
    x = np.linspace(0.0, 1.0, points)
    if shown.sum() == 0:
        return x, np.zeros(points)
    reached = np.append(0.0, np.cumsum(shown) / shown.sum())
    return x, np.interp(x, np.linspace(0.0, 1.0, reached.size), reached)


def plain(value: Any) -> Any:
    """Dataclasses, arrays and figures as JSON values; a number that is none becomes null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
