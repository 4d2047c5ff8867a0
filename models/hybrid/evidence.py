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
from models.shared.compiled import compiled
from models.shared.parallel import even_parts, in_parallel

if TYPE_CHECKING:
    from models.hybrid.hybrid import Hybrid

__all__ = ["strongest_evidence"]

PEOPLE = 20_000
USERS_AT_ONCE = 256

Float = npt.NDArray[np.float32]
Indices = npt.NDArray[np.integer]
Rows = npt.NDArray[np.int64]


def strongest_evidence(
    model: Hybrid, ranking: Ranking, histories: Sequence[History] | None
) -> npt.NDArray[np.int64]:
    """`Recommender.evidence` of a hybrid: product ids, the shape of `ranking.products`, -1 for none."""
    listed = model.items_.index(ranking.products.ravel()).reshape(ranking.products.shape)
    if histories is None:
        rows = model.users_.index(ranking.queries)
        known = np.flatnonzero(rows >= 0)
        matrix = positive(model.history_[rows[known]])
    else:
        known = np.arange(len(ranking))
        matrix = positive(model._matrix_of(histories))
    weights, others = _witnesses(model)
    found = np.full(ranking.products.shape, -1, dtype=np.int64)

    def answer(part: Rows) -> None:
        own, items = matrix[part], listed[known[part]]
        best = np.full(items.shape, -1, dtype=np.int64)
        _themselves(own.indptr, own.indices, items, best)
        for witness in weights:
            _by_weights(
                own.indptr,
                own.indices,
                own.data,
                witness.indptr,
                witness.indices,
                witness.data,
                witness.shape[1],
                items,
                best,
            )
        for row in np.flatnonzero(((best < 0) & (items >= 0)).any(axis=1) & (np.diff(own.indptr) > 0)):
            inside = slice(own.indptr[row], own.indptr[row + 1])
            open_ = np.flatnonzero((best[row] < 0) & (items[row] >= 0))
            best[row, open_] = _of_one(
                items[row, open_], own.indices[inside], own.data[inside], others, model.category_
            )
        found[known[part]] = np.where(best >= 0, model.items_.ids[best], -1)

    in_parallel(answer, even_parts(known.size, USERS_AT_ONCE))
    return found


@compiled
def _themselves(indptr: Indices, indices: Indices, items: Rows, best: Rows) -> None:
    """Set `best` to the listed item itself where the user's history, columns increasing, has it."""
    for row in range(items.shape[0]):
        for at in range(items.shape[1]):
            low, high = indptr[row], indptr[row + 1]
            while low < high:
                middle = (low + high) // 2
                if indices[middle] < items[row, at]:
                    low = middle + 1
                else:
                    high = middle
            if low < indptr[row + 1] and indices[low] == items[row, at]:
                best[row, at] = items[row, at]


@compiled
def _by_weights(
    indptr: Indices,
    indices: Indices,
    data: Float,
    weight_indptr: Indices,
    weight_indices: Indices,
    weight_data: Float,
    width: int,
    items: Rows,
    best: Rows,
) -> None:
    """Fill `best`, where it is open, with the history entry of the largest positive weight × value.

    Parameters
    ----------
    indptr, indices, data : csr float32, shape (n, width)
        The histories; of equal products the first entry counts.
    weight_indptr, weight_indices, weight_data : csr float32, shape (width, width)
        A member's item-to-item weights.
    items : int64, shape (n, m)
        Listed item rows, -1 for none.
    best : int64, shape (n, m)
        What is known to speak for them, -1 where it is open.
    """
    place_of = np.full(width, -1, dtype=np.int32)
    largest = np.empty(items.shape[1], dtype=np.float32)
    entry_of = np.empty(items.shape[1], dtype=np.int64)
    for row in range(items.shape[0]):
        count = 0
        for at in range(items.shape[1]):
            item = items[row, at]
            if item >= 0 and best[row, at] < 0 and place_of[item] < 0:
                place_of[item] = count
                largest[count], entry_of[count] = 0, -1
                count += 1
        if count == 0:
            continue
        for entry in range(indptr[row], indptr[row + 1]):
            own, value = indices[entry], data[entry]
            for at in range(weight_indptr[own], weight_indptr[own + 1]):
                place = place_of[weight_indices[at]]
                if place >= 0 and weight_data[at] * value > largest[place]:
                    largest[place], entry_of[place] = weight_data[at] * value, own
        for at in range(items.shape[1]):
            item = items[row, at]
            if item >= 0 and best[row, at] < 0 and place_of[item] >= 0:
                best[row, at] = entry_of[place_of[item]]
        for at in range(items.shape[1]):
            if items[row, at] >= 0:
                place_of[items[row, at]] = -1


class _ByVectors:
    """Evidence by the item vectors of a member."""

    def __init__(self, member: DegreeSVD) -> None:
        self.member = member

    def parts(self, items: Rows, history: npt.NDArray[np.int32], value: Float) -> tuple[Rows, Float]:
        """The history entry whose vector adds most to each item's score, and what it adds."""
        added = self.member.decoder_[items] @ (self.member.encoder_of(history) * value[:, None]).T
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


Witness = _ByVectors | _ByPeople


def _witnesses(model: Hybrid) -> tuple[list[sparse.csr_matrix], list[Witness]]:
    """The item-to-item weights of the members, and what else speaks for a product, in their order."""
    kept: tuple[list[sparse.csr_matrix], list[Witness]] | None = model.__dict__.get("_evidence_witnesses")
    if kept is None:
        members: list[Recommender] = list(model.panel_.members.values())
        weights = [member.weights_ for member in members if isinstance(member, ItemItem)]
        others: list[Witness] = [_ByVectors(member) for member in members if isinstance(member, DegreeSVD)]
        kept = weights, [*others, _ByPeople(model.history_)]
        model.__dict__["_evidence_witnesses"] = kept
    return kept


def _of_one(
    items: Rows,
    history: npt.NDArray[np.int32],
    value: Float,
    witnesses: Sequence[Witness],
    category: npt.NDArray[np.int32],
) -> Rows:
    """What speaks for each of `items`, which the user did not have; item rows, -1 for none."""
    best = np.full(items.size, -1, dtype=np.int64)
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
