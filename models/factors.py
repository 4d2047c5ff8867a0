"""The best products of many users whose scores are products of vectors, without ever holding the scores."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from models.leaders import Leaders, places

__all__ = ["USERS_AT_ONCE", "Factors", "best_of_factors"]

Rows = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]

USERS_AT_ONCE = 512
"""Users that share a pass over the products: with fewer, the multiplication runs below its speed."""
TILE = 2**18
"""Scores computed at once: 1 MiB, which stays in the second-level cache until it is compared."""
SAMPLED = 4_096, 16_384
"""How many products floors are guessed from, at least and at most: one in SAMPLED_OF."""
SAMPLED_OF = 20
GROUP = 32
SPAN = 8_192
"""Numpy copies a smaller operand into a buffer of this size before it compares: 2-3 times slower."""


@dataclass(frozen=True, eq=False)
class Factors:
    """score(u, i) = users[u] · items[i] + bias[i].

    users   float32 (n, factors)
    items   float32 (m, factors)
    bias    float32 (m,) or None
    hidden  int64, increasing: rows of items that the model can say nothing of
    silent  bool (n,) or None: users of whom it can say nothing
    """

    users: Matrix
    items: Matrix
    bias: Matrix | None = None
    hidden: Rows | None = None
    silent: npt.NDArray[np.bool_] | None = None

    def score(self, out: Matrix) -> None:
        """Fill `out` (n, m) with all scores, -inf where the model can say nothing."""
        np.matmul(self.users, self.items.T, out=out)
        if self.bias is not None:
            out += self.bias
        if self.hidden is not None:
            out[:, self.hidden] = -np.inf
        if self.silent is not None:
            out[self.silent] = -np.inf

    def only(self, rows: Rows) -> Factors:
        """Those of some items, whose rows are then 0..len(rows)-1. rows : int64, increasing."""
        hidden = None if self.hidden is None else np.flatnonzero(np.isin(rows, self.hidden))
        bias = None if self.bias is None else self.bias[rows]
        return Factors(self.users, self.items[rows], bias, hidden, self.silent)


def best_of_factors(
    factors: Factors, k: int, *, hidden: Rows, seen: sparse.csr_matrix | None = None
) -> tuple[Rows, Matrix]:
    """What `top_k` gives of the scores: columns int64 (n, k) and values float32 (n, k), best first.

    Scores are computed in tiles of some products for all users. A tile is compared with a floor for each user
    while it lies in the cache, and next to nothing of it is kept. The floor is guessed from a sample of the
    products, so low that k scores will almost certainly exceed it; a user with fewer is ranked again without.

    hidden : int64, further items that nobody is shown. seen : csr (n, items), what each is not shown.
    """
    n, m = factors.users.shape[0], factors.items.shape[0]
    columns = np.full((n, k), -1, dtype=np.int64)
    values = np.full((n, k), -np.inf, dtype=np.float32)
    barred = hidden if factors.hidden is None else np.union1d(hidden, factors.hidden)
    speaks = np.ones(n, dtype=bool) if factors.silent is None else ~factors.silent
    step = min(USERS_AT_ONCE, Leaders.rows_at_once(m))
    for guess in (True, False):
        asked = np.flatnonzero(speaks & (columns[:, -1] < 0))
        for start in range(0, asked.size, step):
            rows = asked[start : start + step]
            own = None if seen is None else seen[rows]
            walk = _Walk(factors, factors.users[rows], k, barred, own)
            columns[rows], values[rows] = walk.best(guess)
    return columns, values


class _Walk:
    """One pass over all products for some users."""

    def __init__(
        self, factors: Factors, users: Matrix, k: int, hidden: Rows, seen: sparse.csr_matrix | None
    ) -> None:
        self.items, self.bias, self.hidden, self.k = factors.items, factors.bias, hidden, k
        self.n, self.m = users.shape[0], factors.items.shape[0]
        # one column per user: a hidden product is a line then, and the multiplication is 5% faster
        self.users = _space.array("users", (users.shape[1], self.n), np.float32)
        self.users[:] = users.T
        self.leaders = Leaders(self.n, self.m, k)
        self.repeats = -(-SPAN // self.n)
        self.size = max(GROUP, TILE // self.n // self.repeats * self.repeats)
        self.tile = _space.array("tile", (self.size, self.n), np.float32)
        self.marks = _space.array("marks", (self.size * self.n,), np.bool_)
        self.seen_items = self.seen_users = np.empty(0, dtype=np.int64)
        if seen is not None:
            order = np.argsort(seen.indices, kind="stable")
            self.seen_items = seen.indices[order].astype(np.int64)
            self.seen_users = np.repeat(np.arange(self.n), np.diff(seen.indptr))[order]

    def best(self, guess: bool) -> tuple[Rows, Matrix]:
        """Columns and values; with `guess` a row may lack some."""
        low = self._guessed() if guess else np.full(self.n, -np.inf, dtype=np.float32)
        self._stand_on(low)
        for start in range(0, self.m, self.size):
            stop = min(self.m, start + self.size)
            scores = self.tile[: stop - start]
            self._fill(scores, start, stop)
            self._keep(scores, start)
            # for scores that rise with their place, or where there was no guess: everything passes then
            if self.leaders.held > TILE // 2 + 4 * self.n * self.k:
                self.leaders.settle()
                self._stand_on(np.maximum(low, self.leaders.floors))
        return self.leaders.best()

    def _guessed(self) -> Matrix:
        """What more than k scores of each user should exceed, float32 (n,)."""
        open_ = np.delete(np.arange(self.m), self.hidden) if self.hidden.size else np.arange(self.m)
        size = min(max(open_.size // SAMPLED_OF, SAMPLED[0]), SAMPLED[1], open_.size) // GROUP * GROUP
        sample = open_[np.linspace(0, open_.size, size, endpoint=False, dtype=np.int64)]
        # of the k best so many are in the sample on average, and by chance four deviations more
        share = self.k * size / max(1, open_.size)
        rank = int(np.ceil(share + 4 * np.sqrt(share) + 1))
        if rank * 4 > size // GROUP:
            return np.full(self.n, -np.inf, dtype=np.float32)
        maxima = np.empty((size // GROUP, self.n), dtype=np.float32)
        step = self.size // GROUP * GROUP
        for start in range(0, size, step):
            rows = sample[start : start + step]
            scores = self.tile[: rows.size]
            self._score(scores, self.items[rows], None if self.bias is None else self.bias[rows])
            self._hide_seen(scores, rows)
            maxima[start // GROUP : (start + rows.size) // GROUP] = scores.reshape(-1, GROUP, self.n).max(
                axis=1
            )
        found: Matrix = np.partition(maxima.T.copy(), -rank, axis=1)[:, -rank]
        return np.nextafter(found, np.float32(-np.inf))

    def _fill(self, scores: Matrix, start: int, stop: int) -> None:
        self._score(scores, self.items[start:stop], None if self.bias is None else self.bias[start:stop])
        barred = self.hidden[slice(*np.searchsorted(self.hidden, (start, stop)))]
        if barred.size:
            scores[barred - start] = -np.inf
        own = slice(*np.searchsorted(self.seen_items, (start, stop)))
        scores[self.seen_items[own] - start, self.seen_users[own]] = -np.inf

    def _score(self, scores: Matrix, items: Matrix, bias: Matrix | None) -> None:
        np.matmul(items, self.users, out=scores)
        if bias is not None:
            scores += bias[:, None]

    def _hide_seen(self, scores: Matrix, rows: Rows) -> None:
        place = np.searchsorted(rows, self.seen_items)
        there = np.flatnonzero(rows.take(place, mode="clip") == self.seen_items)
        scores[place[there], self.seen_users[there]] = -np.inf

    def _stand_on(self, floors: Matrix) -> None:
        self.floors = np.tile(floors, self.repeats)

    def _keep(self, scores: Matrix, start: int) -> None:
        flat, marks = scores.reshape(-1), self.marks[: scores.size]
        whole = flat.size // self.floors.size * self.floors.size
        # equal to a settled floor is not enough: k entries of lower columns are there already
        np.greater(
            flat[:whole].reshape(-1, self.floors.size),
            self.floors,
            out=marks[:whole].reshape(-1, self.floors.size),
        )
        rest = flat.size - whole
        np.greater(flat[whole:], self.floors[:rest], out=marks[whole:])
        found = places(marks)
        columns = found // self.n
        users = found - columns * self.n
        columns += start
        self.leaders.add(users, columns, flat.take(found))


class _Space(threading.local):
    """Arrays that a thread uses again: a fresh one costs several times what fills it (page faults)."""

    def __init__(self) -> None:
        self._kept: dict[str, npt.NDArray[np.uint8]] = {}

    def array(self, name: str, shape: tuple[int, ...], kind: type[np.generic]) -> npt.NDArray[Any]:
        """Uninitialised; it begins on a cache line, as vector loads across lines cost a third more."""
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        kept = self._kept.get(name)
        if kept is None or kept.size < size + 64:
            kept = self._kept[name] = np.empty(size + 64, dtype=np.uint8)
        start = -kept.ctypes.data % 64
        return kept[start : start + size].view(kind).reshape(shape)


_space = _Space()
