"""What a score means: learned, for each question, from that question's own lists, of all active users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.interactions import MICROSECONDS_PER_DAY
from models.base import Recommender
from models.ranking.calibration import BuyingChances, Calibration
from models.ranking.novelty_lists import recommend_both
from models.results import Ranking
from models.shared.pair_values import values_at
from training.evaluation.evaluator import Evaluation
from training.evaluation.splits import VIEWS, Split, View

__all__ = ["Outcomes", "buying_chances", "calibrate", "outcomes"]

IDLE = 5_000
"""Lists of at most so many users are made who took up nothing in the test period."""
BATCH = 256
DEPTH = 100
"""Products of each list from which buying chances are learned; segments reach far below a first page."""


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Recommended products of a question and what became of them; one entry each.

    Attributes
    ----------
    users : int64, shape (n,)
        Whose list each is of.
    scores : float32, shape (n,)
        The model's own scores.
    taken : bool, shape (n,)
        Whether the user took the product up.
    weights : float64, shape (n,)
        How many places of lists each stands for.
    """

    users: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    taken: npt.NDArray[np.bool_]
    weights: npt.NDArray[np.float64]

    def of(self, some: npt.NDArray[np.bool_]) -> Outcomes:
        """Those entries."""
        return Outcomes(self.users[some], self.scores[some], self.taken[some], self.weights[some])


def calibrate(found: Outcomes) -> Calibration | None:
    """From scores to the share of recommended products that users take up within the test period.

    Returns
    -------
    Calibration or None
        None where no list was judged.
    """
    if not found.scores.size:
        return None
    return Calibration.fit(found.scores, found.taken, found.weights)


def outcomes(model: Recommender, evaluation: Evaluation, split: Split, seed: int) -> dict[View, Outcomes]:
    """What all active users took up of their lists: those who did anything before the test period.

    The test users' lists are those of `evaluation`. A user who took up nothing that was asked for in the test
    period has a list too when the shop is scored, so theirs count as well, nothing of them taken: of a sample
    of IDLE, which stands for all of them.

    Parameters
    ----------
    model
        Fitted on the split's past.
    evaluation
        Of this model on `split`.
    seed
        Draws the sample.
    """
    active = split.train.users.ids[np.diff(split.train.touched.indptr) > 0]
    idle = {
        view: np.setdiff1d(active, evaluation.views[view].users)
        for view, fold in split.folds.items()
        if fold.histories is None
    }
    samples = {view: _sample(users, seed) for view, users in idle.items()}
    k = evaluation.views["all"].products.shape[1]
    lists = _lists(model, np.unique(np.concatenate(list(samples.values()))), k) if samples else {}
    found = {}
    for view in split.folds:
        result = evaluation.views[view]
        users, scores, places = _filled(Ranking(result.users, result.products, result.scores))
        taken, weights = result.hits[places], np.ones(scores.size)
        if view in lists:
            owner, more, _ = _filled(lists[view])
            sampled = np.isin(owner, samples[view])
            owner, more = owner[sampled], more[sampled]
            users, scores = np.concatenate([users, owner]), np.concatenate([scores, more])
            taken = np.concatenate([taken, np.zeros(more.size, dtype=bool)])
            share = idle[view].size / max(1, samples[view].size)
            weights = np.concatenate([weights, np.full(more.size, share)])
        found[view] = Outcomes(users, scores, taken, weights)
    return found


def buying_chances(model: Recommender, split: Split, seed: int) -> BuyingChances | None:
    """What users took up of their lists in the test period, of a sample of all who did anything before it.

    Unlike `outcomes`, whatever the protocol: the model knows the users up to the cutoff, and those who took
    up nothing count as well.

    Parameters
    ----------
    model
        Fitted on the split's past.
    seed
        Draws the sample.

    Returns
    -------
    BuyingChances or None
        None where nothing was held out, nobody was active, or no list has a product.
    """
    active = split.train.users.ids[np.diff(split.train.touched.indptr) > 0]
    if split.taken is None or not active.size:
        return None
    users = _sample(active, seed)
    taken, touched = split.taken[split.train.users.index(users)], split.train.touched
    touched = touched[split.train.users.index(users)].astype(bool)
    touched.data[:] = True
    found: dict[View, Calibration] = {}
    for view, ranking in _lists(model, users, DEPTH, split.only).items():
        relevant = taken if view == "all" else sparse.csr_matrix(taken > touched.multiply(taken))
        owner, scores, places = _filled(ranking)
        if not scores.size:
            return None
        item = split.train.items.index(ranking.products[places])
        hits = values_at(relevant, np.searchsorted(users, owner), item)
        found[view] = Calibration.fit(scores, hits)
    days = (split.until - split.cutoff) / MICROSECONDS_PER_DAY
    return BuyingChances(found["all"], found["new"], days)


def _sample(users: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    if users.size <= IDLE:
        return users
    return np.sort(np.random.default_rng(seed).choice(users, IDLE, replace=False))


def _lists(
    model: Recommender, users: npt.NDArray[np.int64], k: int, only: npt.NDArray[np.int64] | None = None
) -> dict[View, Ranking]:
    """The k best of each of these users in each view, over all products or `only` these."""
    parts = [
        recommend_both(model, users[start : start + BATCH], k, k, only=only)
        for start in range(0, max(1, users.size), BATCH)
    ]
    return {
        view: Ranking(
            users,
            np.concatenate([part[place].products for part in parts]),
            np.concatenate([part[place].scores for part in parts]),
        )
        for place, view in enumerate(VIEWS)
    }


def _filled(
    ranking: Ranking,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Whose, and with which score, each place with a product is, and which places these are."""
    there = (ranking.products >= 0) & np.isfinite(ranking.scores)
    owner = np.broadcast_to(ranking.queries[:, None], there.shape)
    return owner[there], ranking.scores[there], there
