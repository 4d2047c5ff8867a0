"""What sells now: the same list for everybody, each event fading with its age."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.interactions import InteractionWeights
from models.base import Arrays, ModelKind, Recommender, Rows, Scores
from models.parameters import check_float
from models.selection import Asked
from models.shared.score_blocks import ScoreBlock, SharedScores

__all__ = ["Popularity", "PopularityParameters"]


@dataclass(frozen=True)
class PopularityParameters:
    """half_life_days : age at which an event counts half; in days, counted from the dataset's moment."""

    half_life_days: float = 14.0

    def __post_init__(self) -> None:
        check_float(self, "half_life_days", 0.0, 36_500.0, above_low=True)


class Popularity(Recommender):
    """score(i) = sum over the events of i, guests' included, of weight of the type × ½^(age / half-life).

    Products whose events add up to nothing are never shown. Similar items are the popular ones of the
    same category.
    """

    algorithm: ClassVar[str] = "popularity"
    kind: ClassVar[ModelKind] = ModelKind.COLLABORATIVE
    Parameters = PopularityParameters
    parameters: PopularityParameters

    popularity_: npt.NDArray[np.float32]
    """float32 (items,): decayed sums; -inf where there is nothing to sum."""
    category_: npt.NDArray[np.int32]

    def _fit(self, dataset: Dataset) -> None:
        events = dataset.events
        faded = InteractionWeights(dataset.weights.by_type, self.parameters.half_life_days)
        weights = faded.weigh(events.kind, events.value, events.time, dataset.moment)
        sums = np.bincount(events.item, weights=weights, minlength=len(dataset.items))
        self.popularity_ = np.where(sums > 0, sums, -np.inf).astype(np.float32)
        self.category_ = np.asarray(dataset.item_features.category, dtype=np.int32)

    def _score(self, history: sparse.csr_matrix, rows: Rows, out: Scores) -> None:
        out[:] = self.popularity_

    def _opinions(self, asked: Asked, out: Scores) -> ScoreBlock:
        return SharedScores(self.popularity_, asked.rows.size)

    def _score_similar(self, items: Rows, out: Scores) -> None:
        wanted = self.category_[items]
        same = (self.category_[None, :] == wanted[:, None]) & (wanted >= 0)[:, None]
        out[:] = np.where(same, self.popularity_, np.float32(-np.inf))

    def _contributions(
        self, history: sparse.csr_matrix, row: int, items: Rows
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        return np.zeros((items.size, history.nnz), dtype=np.float32), self.popularity_[items]

    def _arrays(self) -> Arrays:
        return {"popularity": self.popularity_, "category": self.category_}

    def _restore(self, arrays: Arrays) -> None:
        self.popularity_, self.category_ = arrays["popularity"], arrays["category"]
