"""What sells now: the same list for everybody, each event fading with its age."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.splitting.person_days import end_of_days, person_days
from models.base import Arrays, ModelKind, Recommender, Rows, Scores
from models.ranking.filters import RankRequest
from models.shared.score_blocks import ScoreBlock, SharedScores
from models.shared.validation import check_float

__all__ = ["Popularity", "PopularityParameters"]

_BEGINNING = np.iinfo(np.int64).min


@dataclass(frozen=True)
class PopularityParameters:
    """Parameters of `Popularity`.

    Parameters
    ----------
    half_life_days
        Age in days at which a choice counts half, from where the events are dense.
    """

    half_life_days: float = 14.0

    def __post_init__(self) -> None:
        check_float(self, "half_life_days", 0.0, 36_500.0, above_low=True)


class Popularity(Recommender):
    """score(i) = sum over the people and days on which they chose i of weight × ½^(age / half-life).

    A person, guests' sessions included, counts once a day with the strongest event: up to 1 for a success, a
    tenth for what leads to one (`features.splitting.person_days`), so five hundred views by one visitor are
    one, and sales come first. A few events long after all others are left out. Products whose sum is nothing
    are never shown. Similar items are the popular ones of the same category.
    """

    algorithm: ClassVar[str] = "popularity"
    kind: ClassVar[ModelKind] = ModelKind.COLLABORATIVE
    Parameters = PopularityParameters
    parameters: PopularityParameters

    popularity_: npt.NDArray[np.float32]
    """float32 (items,): decayed sums; -inf where there is nothing to sum."""
    category_: npt.NDArray[np.int32]

    def _fit(self, dataset: Dataset) -> None:
        sums = np.zeros(len(dataset.items))
        for block in person_days(dataset, _BEGINNING, end_of_days(dataset)):
            weight = block.weight * np.exp2(-block.age / self.parameters.half_life_days)
            sums += np.bincount(block.item, weights=weight, minlength=sums.size)
        self.popularity_ = np.where(sums > 0, sums, -np.inf).astype(np.float32)
        self.category_ = np.asarray(dataset.item_features.category, dtype=np.int32)

    def _score(self, history: sparse.csr_matrix, rows: Rows, out: Scores) -> None:
        out[:] = self.popularity_

    def _opinions(self, request: RankRequest, out: Scores) -> ScoreBlock:
        return SharedScores(self.popularity_, request.rows.size)

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
