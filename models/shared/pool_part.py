"""The part of a model's arrays that belongs to the products which are ranked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["PoolPart"]

T = TypeVar("T")


class PoolPart(Generic[T]):
    """What was taken of an array for the last pool of products.

    Taking the rows of a pool costs more than one user's scores of them. A hybrid passes the same array of
    rows for each live list, so that it is recognised by identity.
    """

    def __init__(self) -> None:
        self._last: tuple[object, npt.NDArray[np.int64], T] | None = None

    def of(self, array: object, rows: npt.NDArray[np.int64], take: Callable[[], T]) -> T:
        """Return `take()`, of the last call if `array` and `rows` are the same objects."""
        last = self._last
        if last is not None and last[0] is array and last[1] is rows:
            return last[2]
        taken = take()
        self._last = array, rows, taken
        return taken
