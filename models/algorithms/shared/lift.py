"""How much more often than chance two products occur together, with a lower bound where counts are thin."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from models.shared.compiled import compiled
from models.shared.sparse_products import sparse_product

__all__ = ["Occasions", "lower_lift", "nearest", "strengths_of", "unit_scores"]

_HIGHEST = 0.98
"""A score of which the strength is still a float32."""

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Occasions:
    """Which products occurred on which occasion (a basket, a visit, a person).

    Attributes
    ----------
    held : csr float32, shape (occasions, items)
        Ones.
    single : float64, shape (items,)
        On how many of the `total` an item occurred.
    total
        How many occasions there are.
    """

    held: sparse.csr_matrix
    single: Floats
    total: float

    @classmethod
    def of(
        cls, occasion: Rows, item: npt.NDArray[Any], time: Rows, items: int, largest: int, total: float = 0.0
    ) -> Self:
        """From events; occasions of -1 do not count.

        Parameters
        ----------
        occasion, item, time : shape (events,)
            Time in microseconds since 1970.
        items
            How many items there are.
        largest
            Of a larger occasion so many products stay, the latest.
        total
            How many occasions there are; by default those with a product.
        """
        known = occasion >= 0
        occasion, item, time = occasion[known], item[known].astype(np.int64), time[known]
        order = np.lexsort((-time, item, occasion))
        first = np.ones(order.size, dtype=bool)
        first[1:] = (occasion[order][1:] != occasion[order][:-1]) | (item[order][1:] != item[order][:-1])
        kept = order[first]
        kept = kept[np.lexsort((item[kept], -time[kept], occasion[kept]))]
        starts = np.ones(kept.size, dtype=bool)
        starts[1:] = occasion[kept][1:] != occasion[kept][:-1]
        begin = np.flatnonzero(starts)
        rank = np.arange(kept.size) - np.repeat(begin, np.diff(np.append(begin, kept.size)))
        row = np.cumsum(starts) - 1
        kept, row = kept[rank < largest], row[rank < largest]
        ones = np.ones(kept.size, dtype=np.float32)
        held = sparse.csr_matrix((ones, (row, item[kept])), shape=(begin.size, items))
        return cls(
            held, np.bincount(item[kept], minlength=items).astype(np.float64), total or float(begin.size)
        )

    def together(self, rows: Rows) -> sparse.csr_matrix:
        """csr float32 (rows.size, items): on how many occasions each of `rows` met every item."""
        return sparse_product(self._by_item[rows], self.held)

    @cached_property
    def _by_item(self) -> sparse.csr_matrix:
        return sparse.csr_matrix(self.held.T.tocsr())

    def expected(self, left: Rows, right: Rows) -> Floats:
        """How often chance would let the pairs meet: n_i n_j / N."""
        return self.single[left] * self.single[right] / max(self.total, 1.0)


def lower_lift(both: Floats, expected: Floats, prior: Floats, strength: float, bound: float) -> Floats:
    """A lower bound of observed / expected, drawn to `prior` where little was seen.

    The count of a pair is Poisson with mean λ·expected; λ has a gamma prior with mean `prior` that weighs as
    much as `strength` expected occurrences (DuMouchel 1999, "Bayesian data mining in large frequency tables,
    with an application to the FDA spontaneous reporting system", The American Statistician 53(3), section 3).
    The posterior is gamma with shape a = both + strength·prior and rate expected + strength; its bound is
    mean · exp(-bound / √a), the normal bound of ln λ, whose standard deviation is about 1/√a.
    """
    shape = both + strength * prior
    bounded: Floats = shape / (expected + strength) * np.exp(-bound / np.sqrt(shape))
    return bounded


def unit_scores(strength: Floats, middle: float) -> npt.NDArray[np.float32]:
    """Positive numbers as scores between 0 and 1, `middle` at one half; the order stays, strictly."""
    high = np.log1p(strength / middle)
    return np.asarray(high / (high + np.log(2.0)), dtype=np.float32)


def strengths_of(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What `unit_scores` was given, divided by its middle: numbers that add up, as scores below 1 do not."""
    unit = np.minimum(scores.astype(np.float64), _HIGHEST)
    return np.asarray(np.expm1(np.log(2.0) * unit / (1.0 - unit)), dtype=np.float32)


def nearest(row: Rows, column: Rows, weight: npt.NDArray[np.floating], k: int) -> Rows:
    """Places of the k heaviest of each row, row by row, heaviest first; ties to the lower column."""
    if not row.size:
        return np.empty(0, dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(np.bincount(row))])
    found = np.empty(int(np.minimum(np.diff(starts), k).sum()), dtype=np.int64)
    _nearest(row, column, weight, k, starts, found)
    return found


@compiled
def _nearest(
    row: Rows, column: Rows, weight: npt.NDArray[np.floating], k: int, starts: Rows, found: Rows
) -> None:
    """Fill `found` with what `nearest` returns.

    Parameters
    ----------
    starts : int64, shape (rows + 1,)
        Where the entries of each row begin once they are in the order of rows.
    found : int64, shape (places,)
        Output: at most k places for each row.
    """
    place, after = np.empty(row.size, dtype=np.int64), starts.copy()
    for entry in range(row.size):
        place[after[row[entry]]] = entry
        after[row[entry]] += 1
    filled = 0
    for line in range(starts.size - 1):
        own = place[starts[line] : starts[line + 1]]
        best = found[filled : filled + min(k, own.size)]
        filled += best.size
        size = 0
        for entry in own:  # the best so far stay in order: an entry goes before the first that it beats
            if size == best.size:
                if not _is_before(column, weight, entry, best[size - 1]):
                    continue
                size -= 1
            low, high = 0, size
            while low < high:
                middle = (low + high) // 2
                if _is_before(column, weight, entry, best[middle]):
                    high = middle
                else:
                    low = middle + 1
            for after_it in range(size, low, -1):
                best[after_it] = best[after_it - 1]
            best[low] = entry
            size += 1


@compiled
def _is_before(column: Rows, weight: npt.NDArray[np.floating], one: int, other: int) -> bool:
    if weight[one] != weight[other]:
        return bool(weight[one] > weight[other])
    return bool(column[one] < column[other])
