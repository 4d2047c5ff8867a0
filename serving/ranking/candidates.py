"""Candidate generation: products ranked by a model, as list entries with scores and evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from features.interactions import History
from models.algorithms.shared.item_lists import ItemLists
from models.algorithms.shared.lift import unit_scores
from models.base import Recommender
from models.results import Ranking
from recsys.domains.recommendations.reasons import Kind, ReasonCode, evidence_reasons
from recsys.domains.recommendations.stored_lists.codec import (
    SCORE_UNIT,
    Entry,
    encode,
    entries_of_records,
    strictly_decreasing,
)
from recsys.observation.spans import span
from serving.ranking.eligibility import Novelty
from serving.state.active_model import LoadedModel

__all__ = ["MAX_EXPLAINED", "Neighbours", "from_history", "from_model", "similar", "trained_products"]

MAX_EXPLAINED = 100
"""Entries of a list whose evidence is computed; later entries have the reason `chosen`."""

IsProduct = Callable[[int], bool]


class Neighbours:
    """The similar products of many products, ranked together ahead of the lists that need them."""

    def __init__(self) -> None:
        self._k = 0
        self._ranked: dict[int, tuple[Recommender, Ranking, dict[int, int]]] = {}

    def prepare(self, model: LoadedModel, products: Sequence[int], k: int) -> None:
        """Rank for those of `products` that the model knows, in place of what was ranked by it before.

        Parameters
        ----------
        k
            As of the calls of `similar` that follow.
        """
        self._k = _width(k + 1)
        known = [product for product in products if product in model.model.items_]
        with model.lock:
            ranking = model.model.similar_items(known, self._k)
        rows = {product: row for row, product in enumerate(known)}
        self._ranked[id(model.model)] = model.model, ranking, rows

    def of(self, model: Recommender, products: Sequence[int], k: int) -> Ranking | None:
        """Return the `k` most similar products to one product; None where that was not prepared."""
        _, ranking, rows = self._ranked.get(id(model), (None, None, {}))
        if ranking is None or len(products) != 1 or k != self._k or products[0] not in rows:
            return None
        row = slice(rows[products[0]], rows[products[0]] + 1)
        return Ranking(ranking.queries[row], ranking.products[row], ranking.scores[row])


def from_history(
    model: LoadedModel,
    history: History,
    k: int,
    only: npt.NDArray[np.int64],
    touched: IsProduct,
    bought: IsProduct,
    novelty: Novelty = Novelty.ANY,
) -> list[Entry]:
    """Return the k best products of `only` for a history, in the model's order for this novelty.

    Parameters
    ----------
    only : int64, shape (n,)
        Ids of products.
    touched, bought
        Whether the user of the history has an interaction with, or bought, a product.
    """
    with span("model", algorithm=model.registered.algorithm), model.lock:
        ranking = model.model.recommend_from([history], k, exclude=novelty.excluded, only=only)
        evidence = _evidence(model, ranking, [history])
    return _entries_of(model, ranking, evidence, touched, bought, novelty)


def from_model(
    model: LoadedModel, user: int, k: int, only: npt.NDArray[np.int64], novelty: Novelty = Novelty.ANY
) -> list[Entry]:
    """The same for a user of the training data, when no newer history can be read."""
    with span("model", algorithm=model.registered.algorithm), model.lock:
        ranking = model.model.recommend([user], k, exclude=novelty.excluded, only=only)
        evidence = _evidence(model, ranking, None)
    touched = trained_products(model, user).__contains__
    return _entries_of(model, ranking, evidence, touched, lambda _: False, novelty)


def trained_products(model: LoadedModel, user: int) -> frozenset[int]:
    """Return the user's products in the training data; empty for a user that the model does not know."""
    fitted = model.model
    row = int(fitted.users_.index([user])[0])
    if row < 0:
        return frozenset()
    indptr = fitted.history_.indptr
    return frozenset(fitted.items_.ids[fitted.history_.indices[indptr[row] : indptr[row + 1]]].tolist())


def similar(
    model: LoadedModel,
    products: Sequence[int],
    k: int,
    only: npt.NDArray[np.int64],
    reason: ReasonCode = ReasonCode.SIMILAR_TO,
    neighbours: Neighbours | None = None,
) -> list[Entry]:
    """Return the k products of `only` that are most similar to `products`, without `products` themselves.

    For several products, a model of item lists ranks as it was judged on carts: by the sum of strengths, of
    which the score is the unit score. Of other models the score is the mean similarity to all of `products`,
    which the model must know. A list with a mean above 1 (sums of weights, not shares) gets
    mean / (1 + mean), so that no score is cut off. The evidence is the most similar of `products`. Scores
    decrease strictly, so that sorting by score keeps the order of the list.

    Parameters
    ----------
    neighbours
        What was ranked ahead.
    """
    if len(products) > 1 and isinstance(model.model, ItemLists):
        return _completing(model, products, k, only, reason)
    with span("model", algorithm=model.registered.algorithm), model.lock:
        ranking = _nearest(model.model, products, k + len(products), only, neighbours)
    listed_products = ranking.products
    values = np.where(
        listed_products >= 0, np.clip(np.nan_to_num(ranking.scores, neginf=0.0), 0.0, None), 0.0
    )
    is_listed = listed_products >= 0
    if not is_listed.any():
        return []
    distinct, group = np.unique(listed_products[is_listed], return_inverse=True)
    seed = np.broadcast_to(ranking.queries[:, None], listed_products.shape)[is_listed]
    total = np.bincount(group, weights=values[is_listed])
    order = np.argsort(values[is_listed], kind="stable")
    nearest = np.zeros(distinct.size, dtype=np.int64)
    nearest[group[order]] = seed[order]  # the last value written is the most similar
    is_seed = np.isin(distinct, list(products))
    best = [row for row in np.argsort(-total, kind="stable").tolist() if not is_seed[row]][:k]
    mean = total[best] / len(products)
    if mean.size and mean[0] > 1.0:
        mean = mean / (1.0 + mean)
    return [
        Entry(int(distinct[row]), units, Kind.SIMILAR, reason, int(nearest[row]), True)
        for row, units in zip(best, strictly_decreasing(np.rint(mean * SCORE_UNIT)).tolist(), strict=True)
    ]


def _completing(
    model: LoadedModel, products: Sequence[int], k: int, only: npt.NDArray[np.int64], reason: ReasonCode
) -> list[Entry]:
    """Return the k products that go with all of `products` by the sum of their strengths."""
    cart = History.of(np.array(products, dtype=np.int64))
    with span("model", algorithm=model.registered.algorithm), model.lock:
        ranking = model.model.recommend_from([cart], k, exclude="seen", only=only)
        evidence = _evidence(model, ranking, [cart])
    listed, strengths = ranking.row(0)
    units = np.rint(unit_scores(strengths.astype(np.float64), 1.0) * SCORE_UNIT)
    return [
        Entry(product, score, Kind.SIMILAR, reason, strongest, True)
        for product, score, strongest in zip(
            listed.tolist(), strictly_decreasing(units).tolist(), evidence[0].tolist(), strict=False
        )
    ]


def _width(k: int) -> int:
    """Of k products of a list that are looked for among these."""
    return 2 * k


def _nearest(
    model: Recommender,
    products: Sequence[int],
    k: int,
    only: npt.NDArray[np.int64],
    neighbours: Neighbours | None,
) -> Ranking:
    """Return the k of `only`, ascending ids, that are most similar to each product; -1 where there are fewer.

    They are taken from a list of twice the length where that has enough of them: to find all of `only` among
    the products of a model takes longer than to rank.
    """
    if not only.size:
        return model.similar_items(list(products), k, only=only)
    wide = None if neighbours is None else neighbours.of(model, products, _width(k))
    if wide is None:
        wide = model.similar_items(list(products), _width(k))
    is_listed = wide.products >= 0
    places = np.searchsorted(only, wide.products)
    places[places == only.size] = 0
    passing = is_listed & (only[places] == wide.products)
    if not (~is_listed.all(axis=1) | (passing.sum(axis=1) >= k)).all():
        return model.similar_items(list(products), k, only=only)
    passing &= np.cumsum(passing, axis=1) <= k
    return Ranking(wide.queries, np.where(passing, wide.products, -1), wide.scores)


def _entries_of(
    model: LoadedModel,
    ranking: Ranking,
    evidence: npt.NDArray[np.int64],
    touched: IsProduct,
    bought: IsProduct,
    novelty: Novelty,
) -> list[Entry]:
    """Return the only row of a ranking as entries, with the reason for its evidence."""
    products, scores = ranking.row(0)
    evidence_products = evidence[0, : products.size]

    def flags(is_product: IsProduct, products: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        return np.fromiter(map(is_product, products.tolist()), np.bool_, products.size)

    records = encode(
        products,
        model.units(scores, novelty),
        np.full(products.size, model.kind),
        evidence_reasons(products, evidence_products, flags(bought, evidence_products), model.kind),
        evidence_products,
        ~flags(touched, products),
        flags(bought, products),
    )
    return list(entries_of_records(records))


def _evidence(
    model: LoadedModel, ranking: Ranking, histories: Sequence[History] | None
) -> npt.NDArray[np.int64]:
    head = Ranking(ranking.queries, ranking.products[:, :MAX_EXPLAINED], ranking.scores[:, :MAX_EXPLAINED])
    evidence = model.model.evidence(head, histories)
    missing = ranking.products.shape[1] - evidence.shape[1]
    return np.pad(evidence, ((0, 0), (0, missing)), constant_values=-1)
