"""Ask a fitted model for every test user's list, the whole catalogue ranked, and count what was right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from models.results import Ranking
from training.evaluation.metrics import catalogue_coverage, find_hits, per_user
from training.evaluation.splits import Fold, Split, View

if TYPE_CHECKING:
    from models.base import Recommender

__all__ = ["Evaluation", "ViewResult", "evaluate"]

BATCH = 256
"""Users asked for at once: enough for the matrix products to be fast, few enough for progress to move."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ViewResult:
    """One model in one view.

    values    metric → float64 (users, len(ks)), one value per user and cut-off
    coverage  float64 (len(ks),): share of the catalogue that was shown to anybody
    scores    float32 (users, K): the model's own scores of its lists, -inf in empty places
    products  int64 (users, K) ids, -1 in empty places
    hits      bool (users, K)
    """

    users: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    values: dict[str, Values]
    coverage: Values
    scores: npt.NDArray[np.float32]
    products: npt.NDArray[np.int64]
    hits: npt.NDArray[np.bool_]

    @property
    def empty_share(self) -> float:
        """Share of users who got no product at all."""
        return float((self.products[:, 0] < 0).mean()) if self.users.size else 0.0


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One model in both views, at the list lengths `ks`."""

    ks: tuple[int, ...]
    views: dict[View, ViewResult]


def evaluate(
    model: Recommender,
    split: Split,
    ks: Sequence[int],
    *,
    advance: Callable[[int], None] = lambda users: None,
) -> Evaluation:
    """Judge a model that was fitted on `split.train`; `advance` hears how many lists were just made.

    In the view `all` nothing is excluded; in `new` what the user touched before the cutoff is.
    """
    views = {view: _judge(model, split, fold, tuple(ks), advance) for view, fold in split.folds.items()}
    return Evaluation(tuple(ks), views)


def _judge(
    model: Recommender, split: Split, fold: Fold, ks: tuple[int, ...], advance: Callable[[int], None]
) -> ViewResult:
    longest = max(ks)
    products = np.full((fold.users.size, longest), -1, dtype=np.int64)
    scores = np.full((fold.users.size, longest), -np.inf, dtype=np.float32)
    for start in range(0, fold.users.size, BATCH):
        part = slice(start, start + BATCH)
        asked = fold.users[part]
        ranking: Ranking = model.recommend(asked, longest, exclude="seen" if fold.view == "new" else None)
        products[part], scores[part] = ranking.products, ranking.scores
        advance(asked.size)
    columns = split.train.items.index(products)
    hits = find_hits(columns, fold.relevant)
    values = per_user(hits, fold.sizes, ks)
    coverage = catalogue_coverage(columns, len(split.train.items), ks)
    return ViewResult(fold.users, fold.sizes, values, coverage, scores, products, hits)
