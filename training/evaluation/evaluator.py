"""Ask a fitted model for every test user's list, the whole catalogue ranked, and count what was right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import process_time
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.ids import IdMap
from features.interactions import History
from models.ranking.novelty_lists import recommend_both
from models.results import Ranking
from recsys.errors import Invalid
from training.evaluation.beyond_accuracy import exposures, gini, per_user_quality
from training.evaluation.metrics import find_hits, per_user
from training.evaluation.splits import VIEWS, Fold, Split, View

if TYPE_CHECKING:
    from models.base import Recommender

__all__ = ["Evaluation", "ViewResult", "evaluate", "figures_of", "refuse_leak"]

BATCH = 256
"""Users asked for at once: enough for the matrix products to be fast, few enough for progress to move."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ViewResult:
    """One model in one view.

    Attributes
    ----------
    users : int64, shape (users,)
        Ids of the users who were asked about.
    sizes : int64, shape (users,)
        How many products would have been right for each, at least 1.
    values : float64, shape (users, len(ks)), by metric
        Accuracy: one value per user and cut-off.
    coverage : float64, shape (len(ks),)
        Share of the products that can be shown that anybody was shown, 0 to 1 (Ge, Delgado-Battenfeld &
        Jannach 2010, "Beyond accuracy", section 3.2.1).
    scores : float32, shape (users, K)
        The model's own scores of its lists, -inf in empty places.
    products : int64, shape (users, K)
        Ids of products, -1 in empty places.
    hits : bool, shape (users, K)
        Whether the product at each place was right.
    quality : float64, shape (users, len(ks)), by metric
        The same as `values` for what is beyond accuracy; NaN where it means nothing for a user.
    totals : float64, shape (len(ks),), by name
        Figures of all lists together (coverage, gini).
    unknown
        Why a metric could not be computed, by metric.
    exposure : int64, shape (len(ks), items of the training data)
        How often each product was shown in the first k.
    seconds
        Of processor time that the model took to make the lists, nothing else, so that other work on the
        machine holds no model; half of it where the lists of both views come of one set of scores.
    """

    users: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    values: dict[str, Values]
    coverage: Values
    scores: npt.NDArray[np.float32]
    products: npt.NDArray[np.int64]
    hits: npt.NDArray[np.bool_]
    quality: dict[str, Values] = field(default_factory=dict)
    totals: dict[str, Values] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    exposure: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    seconds: float = 0.0

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
    """Judge a model that was fitted on `split.train`.

    In the view `all` nothing is excluded; in `new` what the user touched before is. Lists are made of what
    can be shown.

    Parameters
    ----------
    model
        Fitted on `split.train`.
    split
        Whom to ask, and what is right.
    ks
        Cut-offs, rising; lists are as long as the largest.
    advance
        Called with how many lists were just made.

    Returns
    -------
    Evaluation
        The figures of both views.

    Raises
    ------
    Invalid
        For a model that learned from what this split tests on.
    """
    refuse_leak(model, split)
    longest = max(ks)
    if any(fold.histories is not None for fold in split.folds.values()):
        made = {view: _lists(model, split, fold, longest, advance) for view, fold in split.folds.items()}
    else:
        made = _lists_of_both(model, split, longest, advance)
    views = {
        view: replace(
            figures_of(split.folds[view], split, lists.products, lists.scores, tuple(ks)), seconds=s
        )
        for view, (lists, s) in made.items()
    }
    return Evaluation(tuple(ks), views)


def refuse_leak(model: Recommender, split: Split) -> None:
    """Raise Invalid when `model` may have learned from the test: figures would be of what it memorised."""
    if model.moment_ > split.cutoff:
        raise Invalid(
            f"this {model.algorithm} model learned from data up to {_minute(model.moment_)}, but the test "
            f"begins at {_minute(split.cutoff)}: it has seen the answers. Fit it on "
            "the training part of the split"
        )
    if split.kind.startswith("cold") and model.dataset_fingerprint_ != split.train.fingerprint:
        raise Invalid(
            f"this {model.algorithm} model did not learn from the training part of this {split.kind} split, "
            "so it may know who and what is meant to be cold. Fit it on the training part of the split"
        )


def figures_of(
    fold: Fold,
    split: Split,
    products: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    ks: tuple[int, ...],
) -> ViewResult:
    """All figures of lists that were made already: ids, int64 (users of the fold, K), -1 in empty places."""
    facts = split.facts
    columns = split.train.items.index(products)
    hits = find_hits(columns, fold.relevant)
    quality, unknown = per_user_quality(columns, hits, fold.bought, _tastes(fold, split), facts, ks)
    shown = exposures(columns, facts.items, ks)
    possible = shown[:, facts.active]
    totals = {
        "coverage": (possible > 0).mean(axis=1) if facts.active.any() else np.zeros(len(ks)),
        "gini": np.array([gini(counts) for counts in possible]),
    }
    values = per_user(hits, fold.sizes, ks)
    return ViewResult(
        fold.users,
        fold.sizes,
        values,
        totals["coverage"],
        scores,
        products,
        hits,
        quality,
        totals,
        unknown,
        shown,
    )


def _lists(
    model: Recommender, split: Split, fold: Fold, k: int, advance: Callable[[int], None]
) -> tuple[Ranking, float]:
    """The k best of each user of the fold, who comes with a history, and the seconds of processor time."""
    lists = _no_lists(fold.users, k)
    seconds = 0.0
    exclude = "seen" if fold.view == "new" else None
    for start in range(0, fold.users.size, BATCH):
        part = slice(start, start + BATCH)
        users = fold.users[part]
        begun = process_time()
        ranking: Ranking = (
            model.recommend(users, k, exclude=exclude, only=split.only)
            if fold.histories is None
            else model.recommend_from(fold.histories[part], k, exclude=exclude, only=split.only)
        )
        seconds += process_time() - begun
        lists.products[part], lists.scores[part] = ranking.products, ranking.scores
        advance(users.size)
    return lists, seconds


def _lists_of_both(
    model: Recommender, split: Split, k: int, advance: Callable[[int], None]
) -> dict[View, tuple[Ranking, float]]:
    """The k best of each user in each view, of one set of scores where the model has one for both."""
    lists = {view: _no_lists(fold.users, k) for view, fold in split.folds.items()}
    everybody = np.unique(np.concatenate([fold.users for fold in split.folds.values()]))
    seconds = 0.0
    for start in range(0, everybody.size, BATCH):
        begun = process_time()
        both = recommend_both(model, everybody[start : start + BATCH], k, k, only=split.only)
        seconds += process_time() - begun
        for view, ranking in zip(VIEWS, both, strict=True):
            rows = np.flatnonzero(np.isin(lists[view].queries, ranking.queries))
            place = np.searchsorted(ranking.queries, lists[view].queries[rows])
            lists[view].products[rows] = ranking.products[place]
            lists[view].scores[rows] = ranking.scores[place]
            advance(rows.size)
    return {view: (ranking, seconds / len(lists)) for view, ranking in lists.items()}


def _no_lists(users: npt.NDArray[np.int64], k: int) -> Ranking:
    shape = users.size, k
    return Ranking(users, np.full(shape, -1, dtype=np.int64), np.full(shape, -np.inf, dtype=np.float32))


def _tastes(fold: Fold, split: Split) -> sparse.csr_matrix:
    """What the users of the fold did before, csr (users, items of the training data), by weight."""
    if fold.histories is None:
        known = split.train.matrix[split.train.users.index(fold.users)]
        return sparse.csr_matrix(known)
    return _matrix_of(fold.histories, split.train.items)


def _matrix_of(histories: Sequence[History], items: IdMap) -> sparse.csr_matrix:
    rows = np.repeat(np.arange(len(histories)), [history.products.size for history in histories])
    nothing = np.empty(0, dtype=np.int64)
    columns = items.index(np.concatenate([*(history.products for history in histories), nothing]))
    weights = np.concatenate([*(history.weights for history in histories), np.empty(0, np.float32)])
    liked = (columns >= 0) & (weights > 0)
    shape = (len(histories), len(items))
    return sparse.coo_matrix((weights[liked], (rows[liked], columns[liked])), shape=shape).tocsr()


def _minute(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment / 1e6, UTC):%Y-%m-%d %H:%M}"
