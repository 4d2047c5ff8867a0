"""Between the shop's ids and the row numbers of a matrix."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["IdMap"]


class IdMap:
    """A sorted set of ids; the position of an id is its row (or column) in the matrices.

    Parameters
    ----------
    ids : array of int64, shape (n,), strictly increasing. Raises ValueError otherwise.
    """

    __slots__ = ("ids",)

    def __init__(self, ids: npt.ArrayLike) -> None:
        self.ids: npt.NDArray[np.int64] = np.asarray(ids, dtype=np.int64)
        if self.ids.ndim != 1 or (self.ids.size > 1 and not bool((np.diff(self.ids) > 0).all())):
            raise ValueError("an IdMap needs a one-dimensional, strictly increasing array of ids")

    @classmethod
    def of(cls, ids: npt.ArrayLike) -> IdMap:
        """The map of any ids, sorted and with repeats removed."""
        return cls(np.unique(np.asarray(ids, dtype=np.int64)))

    def __len__(self) -> int:
        return int(self.ids.size)

    def __contains__(self, wanted: int) -> bool:
        return bool(self.index([wanted])[0] >= 0)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdMap) and np.array_equal(self.ids, other.ids)

    __hash__ = None  # type: ignore[assignment]

    def index(self, ids: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Rows of `ids`, int64, same shape; -1 where an id is unknown."""
        wanted = np.asarray(ids, dtype=np.int64)
        if self.ids.size == 0:
            return np.full(wanted.shape, -1, dtype=np.int64)
        rows = np.searchsorted(self.ids, wanted)
        rows[rows == self.ids.size] = 0
        return np.where(self.ids[rows] == wanted, rows, -1)
