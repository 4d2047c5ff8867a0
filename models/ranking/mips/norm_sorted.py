"""The items of a factor model in falling length of their vectors, so that a pass over them can end early."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Self

import numpy as np
import numpy.typing as npt

from models.ranking.mips.factors import Factors

__all__ = ["LastShelf", "Shelf"]

Rows = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]

STEP = 512
"""The lengths ahead are known at every so many places."""


@dataclass(frozen=True, eq=False)
class Shelf:
    """Items of which a model can say something, those with the longest vectors first.

    No score of an item further on exceeds |user| times the length of the item here (Cauchy and Schwarz), so
    that a user's pass ends where this falls below the worst score of the list: the LENGTH bound of LEMP
    (Teflioudi, Gemulla and Mykytiuk: LEMP: Fast Retrieval of Large Entries in a Matrix Product, SIGMOD 2015).

    Attributes
    ----------
    rows : int64, shape (m,)
        The items' rows in the model.
    items : float32, shape (m, factors)
        Their vectors, in this order.
    bias : float32, shape (m,), or None
        Theirs, in this order.
    total
        The number of all rows in the model.
    """

    rows: Rows
    items: Matrix
    bias: Matrix | None
    total: int

    @classmethod
    def of(cls, factors: Factors) -> Self:
        """All items of `factors` but those that are hidden; a copy of their vectors."""
        lengths = np.einsum("ij,ij->i", factors.items, factors.items)
        order = np.argsort(-lengths, kind="stable")
        if factors.hidden is not None:
            there = np.ones(lengths.size, dtype=bool)
            there[factors.hidden] = False
            order = order[there[order]]
        bias = None if factors.bias is None else factors.bias[order]
        return cls(order, factors.items[order], bias, lengths.size)

    def only(self, rows: Rows) -> Shelf:
        """Those of some items, by their rows in the model."""
        there = np.zeros(self.total, dtype=bool)
        there[rows] = True
        kept = np.flatnonzero(there[self.rows])
        bias = None if self.bias is None else self.bias[kept]
        return Shelf(self.rows[kept], self.items[kept], bias, self.total)

    def __len__(self) -> int:
        return self.rows.size

    @cached_property
    def places(self) -> Rows:
        """Where each row of the model stands, int64 (total,); -1 for those that are not here."""
        places = np.full(self.total, -1, dtype=np.int64)
        places[self.rows] = np.arange(self.rows.size)
        return places

    @cached_property
    def _ahead(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], float]:
        """At each STEP-th place, the largest length and bias from there on; and the largest absolute bias."""
        here = np.arange(0, len(self), STEP)
        wide = self.items[here].astype(np.float64)
        lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))
        if self.bias is None or here.size == 0:
            return lengths, np.zeros(here.size), 0.0
        largest = np.maximum.reduceat(self.bias, here).astype(np.float64)
        return lengths, np.maximum.accumulate(largest[::-1])[::-1], float(np.abs(self.bias).max())

    def reach(self, lengths: npt.NDArray[np.float64], floors: Matrix) -> Rows:
        """How many items from the start may have a score above `floors`, for each user.

        Parameters
        ----------
        lengths : float64, shape (n,)
            Of the users' vectors.
        floors : float32, shape (n,)

        Returns
        -------
        int64, shape (n,)
        """
        ahead, bias, _ = self._ahead
        bound = lengths[:, None] * ahead
        bound += self.rounding(lengths)[:, None]
        bound += bias
        steps: Rows = (bound > floors[:, None]).sum(axis=1)
        return np.minimum(steps * STEP, len(self))

    def falls(self, share: float) -> bool:
        """Whether so many items from the start on the vectors are much shorter than the longest.

        The longest of all are not asked: one product that everybody buys says nothing of the others.
        """
        ahead, _, bias = self._ahead
        if bias > 0 or ahead.size < 2:
            return True
        return bool(
            ahead[min(int(share * ahead.size), ahead.size - 1)] < ahead[max(1, ahead.size // 100)] / 2
        )

    def rounding(self, lengths: npt.NDArray[np.float64]) -> Matrix:
        """By how much a computed score may differ from the true one, at most, float32 (n,), for each user."""
        ahead, _, bias = self._ahead
        largest = lengths * (ahead[0] if ahead.size else 0.0) + bias
        # at most one rounding of 2^-24 for each factor, and so again for the lengths
        rounding: Matrix = ((self.items.shape[1] + 4) * 2.0**-22 * largest).astype(np.float32)
        return rounding


class LastShelf:
    """The shelf of the vectors that a model ranked last: laid out once for each fit."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: tuple[tuple[object, ...], Shelf] | None = None

    def of(self, factors: Factors) -> Shelf:
        """`Shelf.of(factors)`, made at the first call with these arrays of items."""
        asked = (factors.items, factors.bias, factors.hidden)
        with self._lock:
            if self._kept is None or any(a is not b for a, b in zip(asked, self._kept[0], strict=True)):
                self._kept = asked, Shelf.of(factors)
            return self._kept[1]
