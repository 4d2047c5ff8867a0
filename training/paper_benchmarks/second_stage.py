"""The second stage of a hybrid over the models of a benchmark, learned on a fold of train."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.splitting.holdout import HeldOut
from models.base import Recommender
from models.hybrid.backtest import LATELY_DAYS
from models.hybrid.candidate_generation import Panel
from models.hybrid.ranker import SecondStage
from models.hybrid.strategy_selection import Examples, Stage, column_names
from models.hybrid.training_windows import observe_last
from models.ranking.top_k import top_k
from models.results import Ranking

__all__ = ["learn_second_stage", "rank_by"]

USERS_AT_ONCE = 2_000
"""Bounds the memory: some 200 candidates of each user, with 60 features."""


def learn_second_stage(
    models: Mapping[str, Recommender],
    train: Dataset,
    relevant: sparse.csr_matrix,
    *,
    length: int,
    k: int,
    trees: int,
    seed: int,
) -> Stage:
    """Learn to order what the models name for the users of a validation fold.

    Parameters
    ----------
    models
        By name, fitted on `train`.
    train
        Without the fold.
    relevant : csr bool, shape (users, items)
        What the fold holds out; users without anything teach nothing.
    length
        Candidates of each model, per user.
    k
        Length of the list whose NDCG is maximised.
    trees, seed
        Of the trees.
    """
    taught = np.flatnonzero(np.diff(relevant.indptr) > 0)
    examples = _candidates(models, train, taught, sparse.csr_matrix(relevant[taught], dtype=bool), length)
    features, is_right, owner = examples.lessons()
    names = column_names(tuple(models))
    ranker = SecondStage.learn(features, is_right, owner, names, trees=trees, seed=seed, k=k)
    return Stage("ranker", tuple(models), ranker=ranker)


def rank_by(
    stage: Stage, models: Mapping[str, Recommender], train: Dataset, *, length: int, k: int
) -> Ranking:
    """The k best unseen products of every user of `train`.

    Parameters
    ----------
    models
        Those of the stage, fitted on `train`.
    length
        Candidates of each model, per user.
    """
    users = len(train.users)
    products = np.full((users, k), -1, dtype=np.int64)
    scores = np.full((users, k), -np.inf, dtype=np.float32)
    for start in range(0, users, USERS_AT_ONCE):
        rows = np.arange(start, min(users, start + USERS_AT_ONCE))
        nothing = sparse.csr_matrix((rows.size, len(train.items)), dtype=bool)
        found = _candidates(models, train, rows, nothing, length)
        candidates = found.candidates
        ordered = candidates.padded(stage.score(candidates, found.facts, found.habits), -np.inf)
        columns, values = top_k(ordered, min(k, ordered.shape[1]))
        ids = candidates.padded(train.items.ids[candidates.item], -1)
        best = np.take_along_axis(ids, np.maximum(columns, 0), axis=1)
        products[rows, : columns.shape[1]] = np.where(columns >= 0, best, -1)
        scores[rows, : columns.shape[1]] = values
    return Ranking(train.users.ids, products, scores)


def _candidates(
    models: Mapping[str, Recommender],
    train: Dataset,
    rows: npt.NDArray[np.int64],
    relevant: sparse.csr_matrix,
    length: int,
) -> Examples:
    moment = np.full(rows.size, train.moment, dtype=np.int64)
    held = HeldOut("new", train.users.ids[rows], relevant, None, moment)
    return observe_last(Panel(models), train, [held], LATELY_DAYS, length=length)["new"]
