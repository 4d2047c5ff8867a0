"""Which of a user's own products speaks most for each product of a hybrid's list, for many users at a time.

The first of these that has something to say names the product:

1. the product itself, where the user had it before;
2. the members that score by item-to-item weights: the largest weight × value over the history;
3. the members with item vectors: the history entry that adds most to the product's score;
4. the people: the product of the history that most of those have who have the listed one;
5. the catalogue: the strongest product of the history in the same category.

A full explanation of one product is `Recommender.explain`; this is what a list of a hundred can afford.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.interactions import History
from models.algorithms.factorization.degree_svd import DegreeSVD
from models.algorithms.shared.item_item import ItemItem
from models.base import Recommender
from models.ranking.filters import positive
from models.results import Ranking
from models.shared.parallel import in_parallel

if TYPE_CHECKING:
    from models.hybrid.hybrid import Hybrid

__all__ = ["strongest_evidence"]

PEOPLE = 20_000

Float = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


def strongest_evidence(
    model: Hybrid, ranking: Ranking, histories: Sequence[History] | None
) -> npt.NDArray[np.int64]:
    """`Recommender.evidence` of a hybrid: product ids, the shape of `ranking.products`, -1 for none."""
    found = np.full(ranking.products.shape, -1, dtype=np.int64)
    listed = model.items_.index(ranking.products.ravel()).reshape(ranking.products.shape)
    if histories is None:
        rows = model.users_.index(ranking.queries)
        known = np.flatnonzero(rows >= 0)
        matrix = positive(model.history_[rows[known]])
    else:
        known = np.arange(len(ranking))
        matrix = positive(model._matrix_of(histories))
    witnesses = _witnesses(model)
    category = model.category_

    def answer(place: int) -> None:
        part = slice(matrix.indptr[place], matrix.indptr[place + 1])
        history, value = matrix.indices[part], matrix.data[part]
        row = int(known[place])
        items = listed[row][listed[row] >= 0]
        if items.size and history.size:
            best = _of_one(items, history, value, witnesses, category)
            found[row, listed[row] >= 0] = np.where(best >= 0, model.items_.ids[best], -1)

    in_parallel(answer, range(known.size))
    return found


class _ByWeights:
    """Evidence by the item-to-item weights of a member; csr float32 (items, items)."""

    def __init__(self, weights: sparse.csr_matrix) -> None:
        self.weights = weights

    def parts(self, items: Rows, history: npt.NDArray[np.int32], value: Float) -> tuple[Rows, Float]:
        """The history entry with the largest weight × value for each item, and that product; 0: none."""
        place_of = np.full(self.weights.shape[1], -1, dtype=np.int32)
        place_of[items] = np.arange(items.size, dtype=np.int32)
        near = self.weights[history]
        place = place_of[near.indices]
        of_list = np.flatnonzero(place >= 0)
        row = np.searchsorted(near.indptr, of_list, side="right") - 1
        products = np.zeros((items.size, history.size), dtype=np.float32)
        products[place[of_list], row] = near.data[of_list] * value[row]
        # of equal products the first, of the lowest item row
        top = products.argmax(axis=1)
        best = products[np.arange(items.size), top]
        return np.where(best > 0, history[top], -1), np.maximum(best, 0)


class _ByVectors:
    """Evidence by the item vectors of a member."""

    def __init__(self, encoder: Float, decoder: Float) -> None:
        self.encoder, self.decoder = encoder, decoder

    def parts(self, items: Rows, history: npt.NDArray[np.int32], value: Float) -> tuple[Rows, Float]:
        """The history entry whose vector adds most to each item's score, and what it adds."""
        added = self.decoder[items] @ (self.encoder[history] * value[:, None]).T
        top = added.argmax(axis=1)
        best = added[np.arange(items.size), top]
        return np.where(best > 0, history[top], -1), best


class _ByPeople:
    """Evidence by the people who have both products, at most PEOPLE of them, evenly spread."""

    def __init__(self, history: sparse.csr_matrix) -> None:
        some = positive(sparse.csr_matrix(history[:: max(1, -(-history.shape[0] // PEOPLE))]))
        self.by_item = sparse.csr_matrix(some.astype(bool).astype(np.float32).T)

    def parts(self, items: Rows, history: npt.NDArray[np.int32], value: Float) -> tuple[Rows, Float]:
        """The history entry with the largest count of people × value for each item, and that product."""
        shared = (self.by_item[items] @ self.by_item[history].T).toarray() * value
        top = shared.argmax(axis=1)
        best = shared[np.arange(items.size), top]
        return np.where(best > 0, history[top], -1), best


Witness = _ByWeights | _ByVectors | _ByPeople


def _witnesses(model: Hybrid) -> list[Witness]:
    kept: list[Witness] | None = model.__dict__.get("_evidence_witnesses")
    if kept is None:
        kept = []
        members: list[Recommender] = list(model.panel_.members.values())
        for member in members:
            if isinstance(member, ItemItem):
                kept.append(_ByWeights(member.weights_))
        for member in members:
            if isinstance(member, DegreeSVD):
                kept.append(_ByVectors(member.encoder_, member.decoder_))
        kept.append(_ByPeople(model.history_))
        model.__dict__["_evidence_witnesses"] = kept
    return kept


def _of_one(
    items: Rows,
    history: npt.NDArray[np.int32],
    value: Float,
    witnesses: Sequence[Witness],
    category: npt.NDArray[np.int32],
) -> Rows:
    place = np.minimum(np.searchsorted(history, items), history.size - 1)
    best = np.where(history[place] == items, items, -1)
    for witness in witnesses:
        open_ = np.flatnonzero(best < 0)
        if not open_.size:
            return best
        best[open_], _ = witness.parts(items[open_], history, value)
    open_ = np.flatnonzero(best < 0)
    order = np.argsort(value, kind="stable")
    strongest = dict(zip(category[history[order]].tolist(), history[order].tolist(), strict=True))
    strongest.pop(-1, None)
    best[open_] = [strongest.get(code, -1) for code in category[items[open_]].tolist()]
    return best
