"""What a team writes in an afternoon: popularity, `implicit` at usual settings, counted co-visitation.

Each peer gets the imported interactions and nothing else, and leaves out what the question leaves out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
import polars as pl
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender
from implicit.utils import ParameterWarning
from scipy import sparse
from threadpoolctl import threadpool_limits

__all__ = ["PEERS", "Log", "peer_lists"]

_BLOCK = 500
_AHEAD_SECONDS, _AHEAD_EVENTS = 7 * 86_400, 10
"""Of co-visitation: a later event of the same user counts so far ahead."""
_LAST_EVENTS = 20
_HALF_LIFE_SECONDS = 60 * 86_400

Scores = npt.NDArray[np.float64]


class Log:
    """Interactions as numbers.

    Attributes
    ----------
    users, products
        Names by number.
    matrix : csr, shape (users, products)
        1 for each pair.
    bought : csr, shape (users, products)
        The same of the target's type.
    steps : float64, shape (interactions, 4)
        User, product, second, and whether it is of the target's type, of each interaction, by user and time;
        without times in the order of the file.
    """

    def __init__(self, interactions: pl.DataFrame, target: str) -> None:
        self.users = interactions["user"].unique().sort()
        self.products = interactions["product"].unique().sort()
        is_dated = "created_at" in interactions.columns
        ordered = interactions.with_columns(
            u=pl.col("user").replace_strict(self.users, pl.int_range(len(self.users), eager=True)),
            p=pl.col("product").replace_strict(self.products, pl.int_range(len(self.products), eager=True)),
            second=pl.col("created_at").cast(pl.Float64) if is_dated else pl.lit(0.0),
            is_target=(pl.col("interaction_type") == target).cast(pl.Float64),
        ).sort("u", "second", maintain_order=True)
        self.steps = ordered.select("u", "p", "second", "is_target").to_numpy()
        self.matrix = self._pairs(ordered)
        self.bought = self._pairs(ordered.filter(pl.col("interaction_type") == target))

    def _pairs(self, ordered: pl.DataFrame) -> sparse.csr_matrix:
        pairs = ordered.select("u", "p").unique().to_numpy()
        shape = (len(self.users), len(self.products))
        return sparse.csr_matrix((np.ones(len(pairs), np.float32), pairs.T), shape=shape)


def _popularity(log: Log) -> Iterator[Scores]:
    counts = np.asarray(log.bought.sum(axis=0), dtype=np.float64)
    for start in range(0, len(log.users), _BLOCK):
        yield np.repeat(counts, min(_BLOCK, len(log.users) - start), axis=0)


def _own_counts(log: Log) -> Iterator[Scores]:
    """How often a user bought a product, those of the last weeks more; popular ones behind them."""
    user, product, second, is_target = (column[log.steps[:, 3] == 1.0] for column in log.steps.T)
    age = second.max(initial=0.0) - second
    shape = len(log.users), len(log.products)
    pairs = user.astype(np.int64), product.astype(np.int64)
    counts = sparse.csr_matrix((is_target * 0.5 ** (age / _HALF_LIFE_SECONDS), pairs), shape=shape)
    popular = np.asarray(log.bought.sum(axis=0), dtype=np.float64)
    popular /= popular.max() + 1
    for start in range(0, len(log.users), _BLOCK):
        block = counts[start : start + _BLOCK]
        yield np.asarray(block.todense(), dtype=np.float64) * 1e6 + popular


def _als(log: Log) -> Iterator[Scores]:
    with threadpool_limits(1, "blas"):  # its own threads share the work
        model = AlternatingLeastSquares(
            factors=64, regularization=0.05, alpha=10.0, iterations=15, random_state=1
        )
        model.fit(log.matrix, show_progress=False)
    for start in range(0, len(log.users), _BLOCK):
        yield (model.user_factors[start : start + _BLOCK] @ model.item_factors.T).astype(np.float64)


def _cosine(log: Log) -> Iterator[Scores]:
    model = CosineRecommender(K=100)
    with warnings.catch_warnings():  # of its own conversion
        warnings.simplefilter("ignore", ParameterWarning)
        model.fit(log.matrix, show_progress=False)
    for start in range(0, len(log.users), _BLOCK):
        yield np.asarray((log.matrix[start : start + _BLOCK] @ model.similarity).todense(), dtype=np.float64)


def _co_visitation(log: Log, *, to_target: bool = False) -> Iterator[Scores]:
    """How often users did something with j within a week and ten events after i, over √ popularity.

    Parameters
    ----------
    to_target
        Only what is of the target's type counts as j.
    """
    user, product, second, is_target = log.steps.T
    products = product.astype(np.int64)
    size = len(log.products)
    after = sparse.csr_matrix((size, size))
    for ahead in range(1, _AHEAD_EVENTS + 1):
        near = (user[ahead:] == user[:-ahead]) & (second[ahead:] - second[:-ahead] <= _AHEAD_SECONDS)
        if to_target:
            near &= is_target[ahead:] == 1.0
        pair = products[:-ahead][near], products[ahead:][near]
        after += sparse.csr_matrix((np.full(near.sum(), 1 / ahead), pair), shape=(size, size))
    scale = sparse.diags(1 / np.sqrt(np.maximum(np.bincount(products, minlength=size), 1)))
    after = (scale @ after @ scale).tocsr()
    ends = np.searchsorted(user, np.arange(len(log.users)), side="right")
    begins = np.searchsorted(user, np.arange(len(log.users)), side="left")
    for start in range(0, len(log.users), _BLOCK):
        rows = []
        for begin, end in zip(begins[start : start + _BLOCK], ends[start : start + _BLOCK], strict=True):
            last = products[max(begin, end - _LAST_EVENTS) : end][::-1]
            weights = 0.8 ** np.arange(last.size)
            rows.append(sparse.csr_matrix((weights, (np.zeros(last.size, int), last)), shape=(1, size)))
        yield np.asarray((sparse.vstack(rows) @ after).todense(), dtype=np.float64)


PEERS: dict[str, Callable[[Log], Iterator[Scores]]] = {
    "popularity": _popularity,
    "own counts": _own_counts,
    "implicit ALS": _als,
    "item cosine": _cosine,
    "co-visitation": _co_visitation,
    "co-visitation to purchases": partial(_co_visitation, to_target=True),
}
"""By name: the scores of blocks of users in order, (users of the block, products)."""


def peer_lists(log: Log, name: str, question: str, k: int) -> dict[str, list[str]]:
    """The first k products of each user. `new` leaves out all the user knows, `any` nothing."""
    lists: dict[str, list[str]] = {}
    start = 0
    for scores in PEERS[name](log):
        if question == "new":
            known = log.matrix[start : start + len(scores)].nonzero()
            scores[known] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        for row, places in enumerate(best):
            lists[log.users[start + row]] = [log.products[int(place)] for place in places]
        start += len(scores)
    return lists
