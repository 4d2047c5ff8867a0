"""Where the heavy blocks of a fit are computed: in threads of this process, or on several machines.

A kernel is a function of a module that takes named arrays and returns named arrays, and depends on nothing
else: an engine may run it anywhere, and twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

__all__ = [
    "ArrayEngine",
    "Arrays",
    "Kernel",
    "compact_product",
    "computing_on",
    "current_engine",
    "packed",
    "unpacked",
]

Arrays = dict[str, npt.NDArray[Any]]
Kernel = Callable[[Arrays], Arrays]


class ArrayEngine(Protocol):
    """Runs a kernel on many parts."""

    def map(self, kernel: Kernel, parts: Iterable[Arrays]) -> list[Arrays]:
        """The results in the order of the parts."""


_engine: list[ArrayEngine] = []


def current_engine() -> ArrayEngine | None:
    """The engine of this process; None: its own threads."""
    return _engine[-1] if _engine else None


@contextmanager
def computing_on(engine: ArrayEngine) -> Iterator[None]:
    """Fits inside the block compute their heavy blocks on this engine, in all threads of the process."""
    _engine.append(engine)
    try:
        yield
    finally:
        _engine.remove(engine)


def packed(name: str, matrix: sparse.csr_matrix) -> Arrays:
    """The arrays of a csr matrix, named after it."""
    return {
        f"{name}_data": matrix.data,
        f"{name}_indices": matrix.indices,
        f"{name}_indptr": matrix.indptr,
        f"{name}_shape": np.array(matrix.shape, dtype=np.int64),
    }


def unpacked(name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> sparse.csr_matrix:
    """What `packed` took apart."""
    parts = (arrays[f"{name}_data"], arrays[f"{name}_indices"], arrays[f"{name}_indptr"])
    return sparse.csr_matrix(parts, shape=tuple(arrays[f"{name}_shape"].tolist()))


def compact_product(left: sparse.csr_matrix) -> tuple[sparse.csr_matrix, npt.NDArray[np.int64]]:
    """`left` with its used columns only, and which these are.

    With those rows of a right-hand side alone the product is the same, to the bit: the entries of a row stay
    in their order.

    Returns
    -------
    block : csr, shape (rows, used columns)
    used : int64
        The columns, increasing.
    """
    used, place = np.unique(left.indices, return_inverse=True)
    parts = (left.data, place.astype(left.indices.dtype), left.indptr)
    return sparse.csr_matrix(parts, shape=(left.shape[0], used.size)), used.astype(np.int64)
