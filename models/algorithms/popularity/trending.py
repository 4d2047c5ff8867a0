"""What is taken up faster lately than it used to be: the same list for everybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.ids import distinct
from features.interactions import MICROSECONDS_PER_DAY
from features.splitting.person_days import end_of_days, person_days
from models.base import Arrays, ModelKind, Recommender, Rows, Scores
from models.shared.validation import check_float, check_int

__all__ = ["Trending", "TrendingParameters", "lower_rise"]

Z95 = 1.645
"""Quantile of the normal distribution: one in twenty lies above it."""


@dataclass(frozen=True)
class TrendingParameters:
    """Parameters of `Trending`.

    Parameters
    ----------
    recent_days
        What counts as lately.
    long_days
        The run before it that it is compared with.
    prior
        How much evidence at the expected rate each product is given (smoothing), in people and days.
    min_people
        A product that fewer people chose lately is not on the rise, whatever the ratio.
    """

    recent_days: float = 7.0
    long_days: float = 56.0
    prior: float = 5.0
    min_people: int = 5

    def __post_init__(self) -> None:
        check_float(self, "recent_days", 0.0, 36_500.0, above_low=True)
        check_float(self, "long_days", 0.0, 36_500.0, above_low=True)
        check_float(self, "prior", 0.0, 1e9, above_low=True)
        check_int(self, "min_people", 1, 1_000_000)


class Trending(Recommender):
    """score(i) = log((recent(i) + prior) / (expected(i) + prior)) − 1.645 × its standard error.

    recent(i) counts people and the days on which they chose i in the last `recent_days` (each once a day,
    successes first: `features.splitting.person_days`); expected(i) is the long run's daily rate ×
    recent_days, scaled by how the whole shop moved, so that a busy week makes nothing trend. The prior is a
    gamma prior on the ratio of the two Poisson rates with mean 1 (DuMouchel 1999, "Bayesian data mining in
    large frequency tables", section 2). The standard error is that of the logarithm of such a ratio by the
    delta method, so the score is a lower 95% bound: a rise that may be chance is none. A product of fewer
    than `min_people` people gets at most the score of one without any evidence. Both runs end where the
    events are dense: a few that came long after all others are left out. Products without a sign of life in
    either run have no score, and similarity says nothing here.
    """

    algorithm: ClassVar[str] = "trending"
    kind: ClassVar[ModelKind] = ModelKind.COLLABORATIVE
    Parameters = TrendingParameters
    parameters: TrendingParameters

    trend_: npt.NDArray[np.float32]
    """float32 (items,): the score; -inf where nothing happened in either run."""

    def _fit(self, dataset: Dataset) -> None:
        chosen, end, items = self.parameters, end_of_days(dataset), len(dataset.items)
        recent, long = np.zeros(items), np.zeros(items)
        choosers = np.zeros(items, dtype=np.int64)
        span = round((chosen.recent_days + chosen.long_days) * MICROSECONDS_PER_DAY)
        taken: list[npt.NDArray[np.int64]] = []
        chosen_by: list[npt.NDArray[np.int64]] = []
        for block in person_days(dataset, end - span, end):
            lately = block.age < chosen.recent_days
            recent += np.bincount(block.item[lately], block.weight[lately], minlength=items)
            long += np.bincount(block.item[~lately], block.weight[~lately], minlength=items)
            chosen_by.append(block.person[lately])
            taken.append(block.item[lately])
        if taken:
            people, person = np.unique(np.concatenate(chosen_by), return_inverse=True)
            pairs = distinct(np.concatenate(taken) * people.size + person)
            choosers = np.bincount(pairs // max(1, people.size), minlength=items)
        # the shop's own growth between the runs; without a long run every product is as new as the shop
        scale = recent.sum() / long.sum() if long.sum() > 0 else 0.0
        bound = lower_rise(recent, long, scale, chosen.prior)
        nothing = lower_rise(np.zeros(1), np.zeros(1), scale, chosen.prior)[0]
        trend = np.where(choosers >= chosen.min_people, bound, np.minimum(bound, nothing))
        self.trend_ = np.where((recent > 0) | (long > 0), trend, -np.inf).astype(np.float32)

    def forecast(self, users: int, items: int, nnz: int) -> int:
        """Peak bytes of a fit: a few numbers per event and item."""
        return 48 * nnz + 40 * items

    def _score(self, history: sparse.csr_matrix, rows: Rows, out: Scores) -> None:
        out[:] = self.trend_

    def _score_similar(self, items: Rows, out: Scores) -> None:
        out.fill(-np.inf)

    def _contributions(
        self, history: sparse.csr_matrix, row: int, items: Rows
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        return np.zeros((items.size, history.nnz), dtype=np.float32), self.trend_[items]

    def _arrays(self) -> Arrays:
        return {"trend": self.trend_}

    def _restore(self, arrays: Arrays) -> None:
        self.trend_ = arrays["trend"]


def lower_rise(
    recent: npt.NDArray[np.float64], long: npt.NDArray[np.float64], scale: float, prior: float
) -> npt.NDArray[np.float64]:
    """Lower 95% bound of log((recent + prior) / (long × scale + prior)).

    Delta method: the variance of log(X + c) for a Poisson X is about X / (X + c)²; the recent prior counts as
    so many people of its own.

    Returns
    -------
    float64, shape of the inputs
    """
    now, before = recent + prior, long * scale + prior
    error = np.sqrt(1.0 / now + scale * long * scale / before**2)
    bound: npt.NDArray[np.float64] = np.log(now / before) - Z95 * error
    return bound
