"""Between the shop's ids and the row numbers of a matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["IdMap", "distinct"]

_TABLE_FROM = 4096
"""From so many questions at once a direct table is worth making."""


class IdMap:
    """A sorted set of ids; the position of an id is its row (or column) in the matrices.

    Attributes
    ----------
    ids : int64, shape (n,)
        Strictly increasing.

    Raises
    ------
    ValueError
        When they are not, or are no integers.
    """

    __slots__ = ("ids",)

    def __init__(self, ids: npt.ArrayLike) -> None:
        kept = _integers(ids).view()
        if kept.ndim != 1 or (kept.size > 1 and not bool((kept[1:] > kept[:-1]).all())):
            raise ValueError("an IdMap needs a one-dimensional, strictly increasing array of ids")
        kept.flags.writeable = False
        self.ids: npt.NDArray[np.int64] = kept

    @classmethod
    def of(cls, ids: npt.ArrayLike) -> IdMap:
        """The map of any ids, sorted and with repeats removed."""
        return cls(_integers(_distinct(np.asarray(ids).reshape(-1))))

    def __len__(self) -> int:
        return int(self.ids.size)

    def __contains__(self, wanted: int) -> bool:
        return bool(self.index([wanted])[0] >= 0)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdMap) and np.array_equal(self.ids, other.ids)

    __hash__ = None  # type: ignore[assignment]

    def index(self, ids: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Rows of `ids`, int64, same shape; -1 where unknown. Raises ValueError for what is no integer."""
        wanted = np.asarray(ids)
        if wanted.size and wanted.dtype.kind not in "iu":
            raise ValueError(f"ids are integers, not {wanted.dtype}")
        if self.ids.size == 0 or wanted.size == 0:
            return np.full(wanted.shape, -1, dtype=np.int64)
        first, last = int(self.ids[0]), int(self.ids[-1])
        span = last - first + 1
        if wanted.size >= _TABLE_FROM and span <= 4 * wanted.size:
            return self._by_table(wanted, first, last)
        rows = np.minimum(np.searchsorted(self.ids, wanted), self.ids.size - 1)
        return np.where(self.ids[rows] == wanted, rows, -1)

    def _by_table(self, wanted: npt.NDArray[np.integer], first: int, last: int) -> npt.NDArray[np.int64]:
        # ids from a sequence lie close together: one look-up each instead of a binary search
        table = np.full(last - first + 2, -1, dtype=np.int64)
        table[self.ids - first] = np.arange(self.ids.size)
        inside = (wanted >= first) & (wanted <= last)
        return table[np.where(inside, wanted.astype(np.int64) - first, -1)]


def _distinct(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.size >= _TABLE_FROM and values.dtype.kind in "iu":
        first, last = int(values.min()), int(values.max())
        if last - first <= 4 * values.size:
            # close together: ticking them off costs a fraction of sorting or hashing
            there = np.zeros(last - first + 1, dtype=bool)
            there[values - first] = True
            return np.flatnonzero(there) + first
    return distinct(values)


def distinct(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return each of some integers once, ascending, as `numpy.unique` does.

    That hashes integers before it sorts them, which takes forty times as long where most are different.
    """
    ordered = np.sort(values, axis=None)
    is_first = np.ones(ordered.size, dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    return ordered[is_first]


def _integers(ids: npt.ArrayLike) -> npt.NDArray[np.int64]:
    array = np.asarray(ids)
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"ids are integers, not {array.dtype}")
    return array.astype(np.int64, copy=False)
