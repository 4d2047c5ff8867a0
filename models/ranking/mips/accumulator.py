"""The k best entries of each of many rows, gathered piece by piece as sortable integers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Leaders", "places"]

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]


class Leaders:
    """Keeps the k largest of what is offered for each row; of equal values the lower column.

    An entry is one int64, from the highest bit down: the row, the value as an integer of the same order, and
    the column counted from the end. All entries differ, so that one sort of plain integers settles what the
    best are and every tie among them; numpy sorts integers with vector instructions.
    """

    floors: Scores
    """float32 (n,): what a further entry of a higher column must exceed; -inf for less than k entries yet."""

    def __init__(self, n: int, columns: int, k: int) -> None:
        """For `n` rows, at most `rows_at_once(columns)`, whose columns are 0..columns-1."""
        if n > self.rows_at_once(columns):
            raise ValueError(
                f"{n} rows of {columns} columns; at most {self.rows_at_once(columns)} fit an entry"
            )
        self.n, self.k = n, k
        self._bits = _bits_of(columns)
        self._last = (1 << self._bits) - 1
        # the half of the range makes every integer of a value positive, so that none borrows from the row
        starts = np.arange(n + 1, dtype=np.int64) << (32 + self._bits)
        self._ends = starts[1:]
        self._base = starts[:-1] + (1 << (31 + self._bits)) + self._last
        self._entries: list[Rows] = []
        self.held = 0
        self.floors = np.full(n, -np.inf, dtype=np.float32)

    @staticmethod
    def rows_at_once(columns: int) -> int:
        """How many rows one object can hold: what 63 bits leave beside value and column."""
        return int(1 << max(0, 31 - _bits_of(columns)))

    def add(self, rows: Rows, columns: Rows, values: Scores) -> None:
        """Offer entries, each (row, column) at most once, values above -inf."""
        entries = _ordered(values).astype(np.int64)
        entries <<= self._bits
        entries += self._base.take(rows)
        entries -= columns
        self._entries.append(entries)
        self.held += entries.size

    def settle(self) -> None:
        """Forget all but the k best of each row, and raise `floors` to the least of them."""
        entries = np.concatenate(self._entries) if self._entries else np.empty(0, dtype=np.int64)
        entries.sort()
        ends = np.searchsorted(entries, self._ends)
        counts = np.diff(ends, prepend=0)
        full = counts >= self.k
        if full.all():
            kept = entries[(ends - self.k)[:, None] + np.arange(self.k)].ravel()
        else:
            kept = entries[np.arange(entries.size) >= np.repeat(ends - self.k, counts)]
        self.floors[full] = self._values(entries[ends[full] - self.k])
        self._entries, self.held = [kept], kept.size

    def best(self) -> tuple[Rows, Scores]:
        """Columns int64 (n, k) and values float32 (n, k), best first; -1 and -inf where there are no more."""
        self.settle()
        entries = self._entries[0]
        columns = np.full((self.n, self.k), -1, dtype=np.int64)
        values = np.full((self.n, self.k), -np.inf, dtype=np.float32)
        ends = np.searchsorted(entries, self._ends)
        counts = np.diff(ends, prepend=0)
        owner = np.repeat(np.arange(self.n), counts)
        place = np.repeat(ends, counts) - 1 - np.arange(entries.size)
        columns[owner, place] = self._last - (entries & self._last)
        values[owner, place] = self._values(entries)
        return columns, values

    def _values(self, entries: Rows) -> Scores:
        bits = ((entries >> self._bits) & 0xFFFF_FFFF) - (1 << 31)
        return _flipped(bits.astype(np.int32)).view(np.float32)


def places(marks: npt.NDArray[np.bool_]) -> Rows:
    """Where the few marks of a contiguous array are: `flatnonzero` at half its cost.

    Eight marks are looked at as one integer: what is empty is passed by at once.

    Returns
    -------
    int64, increasing
    """
    flat = marks.reshape(-1)
    even = flat.size // 8 * 8
    words = flat[:even].view(np.uint64)
    eights = np.flatnonzero(words != 0)
    among = np.flatnonzero(words.take(eights).view(np.bool_))
    found: Rows = (eights.take(among >> 3) << 3) + (among & 7)
    if even == flat.size:
        return found
    return np.concatenate([found, even + np.flatnonzero(flat[even:])])


def _bits_of(columns: int) -> int:
    return max(1, int(columns - 1).bit_length())


def _ordered(values: Scores) -> npt.NDArray[np.int32]:
    """The values as integers that compare alike; -0 is made 0, or it would rank below."""
    return _flipped((values + np.float32(0)).view(np.int32))


def _flipped(bits: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    # negative floats grow in magnitude as their bits grow: turn these round. It is its own inverse.
    result: npt.NDArray[np.int32] = bits ^ ((bits >> 31) & np.int32(0x7FFF_FFFF))
    return result
