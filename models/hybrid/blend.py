"""One list out of several models' lists, by weights that are learned on a validation fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from models.ranking.top_k import top_k
from models.results import Ranking

__all__ = ["Blend", "Pool", "ndcg_of", "pool"]


GAIN = 1e-3
"""By which share NDCG must rise for weights to be changed: less is chance, and takes a third of the time."""


@dataclass(frozen=True, eq=False)
class Pool:
    """The candidates of several models side by side; row i belongs to query i.

    Attributes
    ----------
    queries : int64, shape (n,)
    products : int64, shape (n, c)
        Each row's distinct products, increasing, -1 where there are fewer.
    features : float32, shape (n, c, models)
        Scaled scores, 0 where a model did not list the product.
    """

    queries: npt.NDArray[np.int64]
    products: npt.NDArray[np.int64]
    features: npt.NDArray[np.float32]

    def take(self, rows: npt.NDArray[np.int64]) -> Pool:
        """The queries of these rows."""
        return Pool(self.queries[rows], self.products[rows], self.features[rows])


def pool(rankings: Sequence[Ranking]) -> Pool:
    """Join lists of the same queries and of one length; raises ValueError where they differ."""
    first = rankings[0]
    for other in rankings[1:]:
        if not np.array_equal(first.queries, other.queries) or first.products.shape != other.products.shape:
            raise ValueError("the lists to blend must answer the same queries and be of one length")
    every = np.concatenate([ranking.products for ranking in rankings], axis=1)
    scores = np.concatenate([scaled(ranking.scores) for ranking in rankings], axis=1)
    source = np.repeat(np.arange(len(rankings)), first.products.shape[1])
    # padding sorts behind every product
    keys = np.where(every >= 0, every, np.iinfo(np.int64).max)
    order = np.argsort(keys, axis=1, kind="stable")
    keys = np.take_along_axis(keys, order, axis=1)
    fresh = np.ones(keys.shape, dtype=bool)
    fresh[:, 1:] = keys[:, 1:] != keys[:, :-1]
    fresh &= keys != np.iinfo(np.int64).max
    place = np.maximum(np.cumsum(fresh, axis=1) - 1, 0)
    width = int(fresh.sum(axis=1).max(initial=1))
    products = np.full((len(first), width), -1, dtype=np.int64)
    features = np.zeros((len(first), width, len(rankings)), dtype=np.float32)
    row, column = np.nonzero(keys != np.iinfo(np.int64).max)
    products[row, place[row, column]] = keys[row, column]
    features[row, place[row, column], source[order[row, column]]] = scores[row, order[row, column]]
    return Pool(first.queries, products, features)


def scaled(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(score - lowest score of the list) / mean of these, per row; 0 for padding and for a list of one value.

    Models of any scale become comparable, and a model that is sure of its first places keeps its say.
    """
    filled = np.isfinite(scores)
    count = filled.sum(axis=1, keepdims=True)
    lowest = np.where(filled, scores, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    above = np.where(filled, scores - np.where(np.isfinite(lowest), lowest, 0.0), 0.0)
    mean = above.sum(axis=1, keepdims=True) / np.maximum(count, 1)
    result = np.divide(above, mean, out=np.zeros(scores.shape, np.float32), where=mean > 0)
    return np.asarray(result, dtype=np.float32)


@dataclass(frozen=True)
class Blend:
    """score = Σ weight(model) × scaled score, over the union of the models' lists; weights add up to 1."""

    weights: Mapping[str, float]

    def rank(self, candidates: Pool, k: int) -> Ranking:
        """The k best of each row; `features` of the pool are in the order of `weights`."""
        return _ranked(candidates, np.array(list(self.weights.values()), dtype=np.float32), k)

    @classmethod
    def learn(
        cls,
        names: Sequence[str],
        candidates: Pool,
        relevant: npt.NDArray[np.bool_],
        sizes: npt.NDArray[np.int64],
        *,
        k: int = 20,
        rounds: int = 3,
    ) -> Self:
        """Weights that maximise the mean NDCG@k of the validation fold: coordinate search from equal weights.

        NDCG is no smooth function of the weights; with a handful of models a search with halving steps finds
        the top directly and, unlike a surrogate loss, maximises what is reported. A model whose weight ends
        at 0 is left out of the blend by the caller.

        Parameters
        ----------
        names
            Of the models, in the order of the pool's features.
        relevant : bool, shape (n, c)
            Which candidates of the pool were right.
        sizes : int64, shape (n,)
            How many right ones each query has in all.
        rounds
            Of the search; after each the step is halved.
        """
        weights = np.full(len(names), 1.0 / len(names))
        best = _mean_ndcg(candidates, weights, relevant, sizes, k)
        step = 0.5
        for _ in range(rounds):
            improved = True
            while improved:
                improved = False
                for model in range(len(names)):
                    for change in (1.0 + step, 1.0 / (1.0 + step), 0.0):
                        tried = weights.copy()
                        # a model that was left out too early may come back
                        tried[model] = weights[model] * change if weights[model] else weights.max() * step
                        if tried.sum() <= 0 or np.array_equal(tried, weights):
                            continue
                        tried /= tried.sum()
                        value = _mean_ndcg(candidates, tried, relevant, sizes, k)
                        if value > best * (1.0 + GAIN):
                            best, weights, improved = value, tried, True
            step /= 2.0
        return cls({name: round(float(weight), 4) for name, weight in zip(names, weights, strict=True)})

    def as_json(self) -> dict[str, Any]:
        """Plain values, for artifacts and settings files."""
        return {"weights": dict(self.weights)}


def _ranked(candidates: Pool, weights: npt.NDArray[np.float32], k: int) -> Ranking:
    scores = candidates.features @ weights
    scores[candidates.products < 0] = -np.inf
    columns, values = top_k(scores, k)
    found = np.take_along_axis(candidates.products, np.maximum(columns, 0), axis=1)
    return Ranking(candidates.queries, np.where(columns >= 0, found, -1), values)


def _mean_ndcg(
    candidates: Pool,
    weights: npt.NDArray[np.float64],
    relevant: npt.NDArray[np.bool_],
    sizes: npt.NDArray[np.int64],
    k: int,
) -> float:
    scores = candidates.features @ weights.astype(np.float32)
    scores[candidates.products < 0] = -np.inf
    return float(np.mean(ndcg_of(scores, relevant, sizes, k)))


def ndcg_of(
    scores: npt.NDArray[np.float32],
    relevant: npt.NDArray[np.bool_],
    sizes: npt.NDArray[np.int64],
    k: int,
) -> npt.NDArray[np.float64]:
    """NDCG@k (Järvelin & Kekäläinen 2002) of each query with anything right.

    Parameters
    ----------
    scores : float32, shape (n, c)
        -inf for what is not to be listed.
    relevant, sizes
        As in `Blend.learn`.

    Returns
    -------
    float64, shape (queries with any,)
    """
    kept = min(k, scores.shape[1])
    top = np.argpartition(-scores, kept - 1, axis=1)[:, :kept]
    found = np.take_along_axis(scores, top, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    hits = np.take_along_axis(relevant & (scores > -np.inf), np.take_along_axis(top, order, axis=1), axis=1)
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.append(0.0, np.cumsum(discount))[np.minimum(sizes, k)]
    asked = sizes > 0
    values: npt.NDArray[np.float64] = (hits[asked] @ discount[:kept]) / ideal[asked]
    return values
