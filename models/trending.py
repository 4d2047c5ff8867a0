"""What is taken up faster lately than it used to be: the same list for everybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY
from models.base import Arrays, ModelKind, Recommender, Rows, Scores
from models.parameters import check_float

__all__ = ["Trending", "TrendingParameters"]


@dataclass(frozen=True)
class TrendingParameters:
    """recent_days: what counts as lately; long_days: the run before it that it is compared with.
    prior: how much weight of evidence at the expected rate each product is given (smoothing)."""

    recent_days: float = 7.0
    long_days: float = 56.0
    prior: float = 20.0

    def __post_init__(self) -> None:
        check_float(self, "recent_days", 0.0, 36_500.0, above_low=True)
        check_float(self, "long_days", 0.0, 36_500.0, above_low=True)
        check_float(self, "prior", 0.0, 1e9, above_low=True)


class Trending(Recommender):
    """score(i) = log((recent(i) + prior) / (expected(i) + prior)).

    recent(i) sums the weights of the last `recent_days`, guests included; expected(i) is the long run's daily
    rate × recent_days, scaled by how the whole shop moved, so that a busy week makes nothing trend. The prior
    is a gamma prior on the ratio of the two Poisson rates with mean 1 (DuMouchel 1999, "Bayesian data mining
    in large frequency tables", section 2): two sales against one expected are no trend. Products without a
    sign of life in either run have no score, and similarity says nothing here.
    """

    algorithm: ClassVar[str] = "trending"
    kind: ClassVar[ModelKind] = ModelKind.COLLABORATIVE
    Parameters = TrendingParameters
    parameters: TrendingParameters

    trend_: npt.NDArray[np.float32]
    """float32 (items,): the score; -inf where nothing happened in either run."""

    def _fit(self, dataset: Dataset) -> None:
        chosen, events = self.parameters, dataset.events
        age = (dataset.moment - np.asarray(events.time)) / MICROSECONDS_PER_DAY
        # the two runs are the decay here: seen from their first moment, no event has an age
        first = int(np.min(events.time))
        weight = dataset.weights.weigh(events.kind, events.value, events.time, first).astype(np.float64)
        recent = age < chosen.recent_days
        long = ~recent & (age < chosen.recent_days + chosen.long_days)
        counts = [
            np.maximum(np.bincount(events.item[part], weight[part], minlength=len(dataset.items)), 0.0)
            for part in (recent, long)
        ]
        total_recent, total_long = counts[0].sum(), counts[1].sum()
        # the shop's own growth between the runs; without a long run every product is as new as the shop
        scale = total_recent / total_long if total_long > 0 else 0.0
        trend = np.log(counts[0] + chosen.prior) - np.log(counts[1] * scale + chosen.prior)
        self.trend_ = np.where((counts[0] > 0) | (counts[1] > 0), trend, -np.inf).astype(np.float32)

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
