"""Numbers the repetitions of a value over a whole stream in 8 bytes per row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Occurrences"]

LARGEST_RUN = 1 << 23


class Occurrences:
    """A set of 64-bit hashes in sorted runs of up to 64 MiB that double in size.

    A log-structured merge tree (O'Neil et al. 1996, "The log-structured merge-tree").
    """

    def __init__(self) -> None:
        self._runs: list[npt.NDArray[np.uint64]] = []

    def number(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """How often each hash came before, in earlier calls or earlier in this array; int64, shape (n,)."""
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        positions = np.arange(ordered.size)
        is_first = np.ones(ordered.size, dtype=np.bool_)
        is_first[1:] = ordered[1:] != ordered[:-1]
        counts = positions - np.maximum.accumulate(np.where(is_first, positions, 0))
        for run in self._runs:
            counts += np.searchsorted(run, ordered, "right") - np.searchsorted(run, ordered, "left")
        self._remember(ordered)
        numbered = np.empty(ordered.size, dtype=np.int64)
        numbered[order] = counts
        return numbered

    def _remember(self, run: npt.NDArray[np.uint64]) -> None:
        while (
            self._runs and self._runs[-1].size <= run.size and self._runs[-1].size + run.size <= LARGEST_RUN
        ):
            run = np.concatenate([self._runs.pop(), run])
            run.sort(kind="stable")
        self._runs.append(run)
