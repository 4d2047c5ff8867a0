"""The best products of many users whose scores are products of vectors, without ever holding the scores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from models.ranking.mips.accumulator import Leaders, places
from models.ranking.mips.buffers import scratch
from models.ranking.mips.factors import Factors
from models.ranking.mips.norm_sorted import Shelf

__all__ = ["USERS_AT_ONCE", "best_of_factors"]

Rows = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]

USERS_AT_ONCE = 512
"""Users that share a pass over the items: with fewer, what is done once for each tile costs too much."""
TILE = 2**19
"""Scores computed at once: 2 MiB, most of which is still in the second-level cache when it is compared."""
CHUNK = 64
"""Users side by side: four vector registers wide. Whole chunks drop out of a pass when they are done."""
PRODUCT = 1_000_000
"""OpenBLAS multiplies up to so many terms without copying the operands first: at twice the speed."""
SPAN = 8_192
"""Numpy copies a smaller operand into a buffer of this size before it compares: 2-3 times slower."""
HEAD = 2.5
"""How many groups of the longest items the first floors are taken from, for each entry of a list."""
WIDE = 0.3
"""With more of the shelf ahead than this, floors are guessed from a sample besides."""
AT_ONCE = 8_192
"""So many kept scores are worth the calls that tell what they are of."""
SAMPLED = 4_096, 16_384
"""How many items floors are guessed from, at least and at most: one in SAMPLED_OF."""
SAMPLED_OF = 20
GROUP = 32


def best_of_factors(
    factors: Factors,
    k: int,
    *,
    hidden: Rows,
    seen: sparse.csr_matrix | None = None,
    shelf: Shelf | None = None,
) -> tuple[Rows, Matrix]:
    """What `top_k` gives of the scores.

    Parameters
    ----------
    hidden : int64
        Further items that nobody is shown.
    seen : csr, shape (n, items)
        What each user is not shown.
    shelf
        `Shelf.of(factors)`, or some of its items: the others are not shown then.

    Returns
    -------
    columns : int64, shape (n, k)
        Best first.
    values : float32, shape (n, k)
    """
    if shelf is None:
        shelf = Shelf.of(factors)
    n = factors.users.shape[0]
    columns = np.full((n, k), -1, dtype=np.int64)
    values = np.full((n, k), -np.inf, dtype=np.float32)
    speaks = np.ones(n, dtype=bool) if factors.silent is None else ~factors.silent
    step = min(USERS_AT_ONCE, Leaders.rows_at_once(shelf.total))
    for guess in (True, False):
        asked = np.flatnonzero(speaks & (columns[:, -1] < 0))
        for start in range(0, asked.size, step):
            rows = asked[start : start + step]
            own = None if seen is None else seen[rows]
            columns[rows], values[rows] = _Walk(shelf, factors.users[rows], k, hidden, own).best(guess)
    return columns, values


class _Walk:
    """Ranks the items of a shelf for some users.

    A tile of scores is compared with a floor for each user while it lies in the cache, and next to nothing of
    it is kept. The first floors are what the longest items guarantee. Where these leave most of the shelf to
    be walked, they are raised to a guess from a sample, so low that k scores will almost certainly exceed it.
    """

    def __init__(
        self, shelf: Shelf, users: Matrix, k: int, hidden: Rows, seen: sparse.csr_matrix | None
    ) -> None:
        """Prepare the vectors of the users.

        Parameters
        ----------
        users : float32, shape (n, factors)
            The users' vectors.
        hidden, seen
            As for `best_of_factors`.
        """
        self.shelf, self.k, self.vectors = shelf, k, users
        self.n, self.m = users.shape[0], len(shelf)
        self.lengths = np.sqrt(np.einsum("ij,ij->i", users, users, dtype=np.float64))
        self.chunks = -(-self.n // CHUNK)
        self.users = scratch.array("users", (self.chunks, users.shape[1], CHUNK), np.float32)
        self.lines = _lines(users.shape[1])
        self.step = max(self.lines, SPAN // CHUNK)
        self.tile = scratch.array("tile", (max(TILE, self.chunks * CHUNK * self.step),), np.float32)
        self.marks = scratch.array("marks", (self.tile.size,), np.bool_)
        barred = shelf.places[hidden]
        self.hidden = np.sort(barred[barred >= 0])
        self.open = np.delete(np.arange(self.m), self.hidden) if self.hidden.size else np.arange(self.m)
        self.seen_places, self.seen_users = _by_place(shelf, seen)
        self.found: list[tuple[Rows, Matrix]] = []
        self.waiting, self.shape, self.first = 0, (0, 0), 0
        self.user_at = np.arange(self.n)
        self._settle_users(np.full(self.n, -np.inf, dtype=np.float32))

    def best(self, guess: bool) -> tuple[Rows, Matrix]:
        """Columns and values, as `best_of_factors` gives them; with `guess` a row may lack some."""
        floors = np.full(self.n, -np.inf, dtype=np.float32)
        # with vectors of about one length, what the longest guarantee lets nobody stop
        if self.shelf.falls(WIDE):
            floors = self._first_floors()
        reach = self.shelf.reach(self.lengths, floors)
        if guess and reach.mean() > WIDE * self.m:
            floors = np.maximum(floors, self._guessed())
            reach = self.shelf.reach(self.lengths, floors)
        # those who have furthest to go first: the others drop out from the end
        self.user_at = np.argsort(-reach, kind="stable")
        low = floors[self.user_at]
        self._settle_users(low)
        leaders = Leaders(self.n, self.shelf.total, self.k)
        ends = self._ends(reach[self.user_at])
        start = 0
        while (active := int(np.count_nonzero(ends > start))) > 0:
            stop = min(self.m, start + self._height(active))
            self._keep(leaders, self._scores(start, stop, active), start)
            start = stop
            # for scores that rise with their place, or where there was no guess: everything passes then
            if leaders.held + self.waiting > TILE // 2 + 4 * self.n * self.k:
                self._hand_over(leaders)
                leaders.settle()
                # equal to a settled floor is enough: the columns do not come in their order
                raised = np.maximum(low, np.nextafter(leaders.floors, np.float32(-np.inf)))
                self._stand_on(raised)
                ends = self._ends(self.shelf.reach(self.lengths[self.user_at], raised))
        self._hand_over(leaders)
        columns, values = leaders.best()
        back = np.empty_like(self.user_at)
        back[self.user_at] = np.arange(self.n)
        return columns[back], values[back]

    # --- floors ----------------------------------------------------------------------------------

    def _first_floors(self) -> Matrix:
        """What at least k scores of each user exceed; -inf for all where there are too few items."""
        groups = int(HEAD * self.k)
        size = max(1, min(-(-1_024 // groups), self.open.size // groups, GROUP))
        floors = self._floors(self.open[: groups * size], size, self.k)
        return floors - self.shelf.rounding(self.lengths)

    def _guessed(self) -> Matrix:
        """What more than k scores of each user should exceed."""
        size = min(max(self.open.size // SAMPLED_OF, SAMPLED[0]), SAMPLED[1], self.open.size) // GROUP * GROUP
        sample = self.open[np.linspace(0, self.open.size, size, endpoint=False, dtype=np.int64)]
        # of the k best so many are in the sample on average, and by chance four deviations more
        share = self.k * size / max(1, self.open.size)
        rank = int(np.ceil(share + 4 * np.sqrt(share) + 1))
        if rank * 4 > size // GROUP:
            return np.full(self.n, -np.inf, dtype=np.float32)
        return self._floors(sample, GROUP, rank)

    def _floors(self, places_: Rows, group: int, rank: int) -> Matrix:
        """Just under the `rank`-th largest of the maxima of groups of items, in the order of the users."""
        count = places_.size // group
        if count < rank:
            return np.full(self.n, -np.inf, dtype=np.float32)
        maxima = np.empty((count, self.chunks, CHUNK), dtype=np.float32)
        step = self._height(self.chunks) // group * group
        for start in range(0, count * group, step):
            some = places_[start : min(start + step, count * group)]
            scores = self._product(self.shelf.items[some], self.chunks)
            if self.shelf.bias is not None:
                scores += self.shelf.bias[some][:, None]
            self._hide_seen(scores, some)
            first = start // group
            maxima[first : first + some.size // group] = (
                scores.reshape(self.chunks, -1, group, CHUNK).max(axis=2).transpose(1, 0, 2)
            )
        lines = maxima.reshape(count, -1).T[: self.n].copy()
        found: Matrix = np.partition(lines, -rank, axis=1)[:, -rank]
        return np.nextafter(found, np.float32(-np.inf))

    def _hide_seen(self, scores: Matrix, places_: Rows) -> None:
        at = np.searchsorted(places_, self.seen_places)
        there = np.flatnonzero(places_.take(at, mode="clip") == self.seen_places) if places_.size else at[:0]
        users = self.seen_users[there]
        scores[users // CHUNK, at[there], users % CHUNK] = -np.inf

    # --- tiles -----------------------------------------------------------------------------------

    def _settle_users(self, floors: Matrix) -> None:
        """Lay the vectors and the seen items of the users out in the order of `user_at`."""
        self.users[-1] = 0.0
        for chunk in range(self.chunks):
            some = self.user_at[chunk * CHUNK : (chunk + 1) * CHUNK]
            self.users[chunk, :, : some.size] = self.vectors[some].T
        if self.seen_users.size:
            now = np.empty_like(self.user_at)
            now[self.user_at] = np.arange(self.n)
            self.seen_at = now[self.seen_users]
        else:
            self.seen_at = self.seen_users
        self._stand_on(floors)

    def _stand_on(self, floors: Matrix) -> None:
        # nothing passes for those who only fill the last chunk up
        whole = np.full((self.chunks, 1, CHUNK), np.inf, dtype=np.float32)
        whole.reshape(-1)[: self.n] = floors
        self.floors = np.tile(whole, (1, 1, SPAN // CHUNK))

    def _ends(self, reach: Rows) -> Rows:
        """Where each chunk of users may stop, int64 (chunks,), falling."""
        padded = np.zeros(self.chunks * CHUNK, dtype=np.int64)
        padded[: self.n] = reach
        ends: Rows = padded.reshape(self.chunks, CHUNK).max(axis=1)
        return np.maximum.accumulate(ends[::-1])[::-1]

    def _height(self, chunks: int) -> int:
        """How many items of so many chunks of users a tile holds."""
        return self.tile.size // (chunks * CHUNK) // self.step * self.step

    def _product(self, items: Matrix, chunks: int) -> Matrix:
        """Scores of `items` (rows, factors) for the first chunks, float32 (chunks, rows, CHUNK)."""
        rows, factors = items.shape
        scores = self.tile[: chunks * rows * CHUNK].reshape(chunks, rows, CHUNK)
        even = rows // self.lines * self.lines
        if even:
            np.matmul(
                items[:even].reshape(-1, self.lines, factors),
                self.users[:chunks, None],
                out=scores[:, :even].reshape(chunks, -1, self.lines, CHUNK),
            )
        if even < rows:
            # filled up: a product of another shape may round otherwise, and equal items would not tie
            padded = np.zeros((self.lines, factors), dtype=np.float32)
            padded[: rows - even] = items[even:]
            scores[:, even:] = np.matmul(padded, self.users[:chunks])[:, : rows - even]
        return scores

    def _scores(self, start: int, stop: int, chunks: int) -> Matrix:
        scores = self._product(self.shelf.items[start:stop], chunks)
        if self.shelf.bias is not None:
            scores += self.shelf.bias[start:stop, None]
        if self.hidden.size:
            barred = self.hidden[slice(*np.searchsorted(self.hidden, (start, stop)))]
            if barred.size:
                scores[:, barred - start] = -np.inf
        if self.seen_places.size:
            own = slice(*np.searchsorted(self.seen_places, (start, stop)))
            users, lines = self.seen_at[own], self.seen_places[own] - start
            inside = users < chunks * CHUNK
            users, lines = users[inside], lines[inside]
            scores[users // CHUNK, lines, users % CHUNK] = -np.inf
        return scores

    def _keep(self, leaders: Leaders, scores: Matrix, start: int) -> None:
        chunks, rows, _ = scores.shape
        flat, marks = scores.reshape(-1), self.marks[: scores.size]
        height = SPAN // CHUNK
        even = rows // height * height
        lines = marks.reshape(scores.shape)
        if even:
            np.greater(
                scores[:, :even].reshape(chunks, -1, SPAN),
                self.floors[:chunks],
                out=lines[:, :even].reshape(chunks, -1, SPAN),
            )
        if even < rows:
            np.greater(scores[:, even:], self.floors[:chunks, :, :CHUNK], out=lines[:, even:])
        found = places(marks)
        if (chunks, rows) != self.shape:
            self._hand_over(leaders)
            self.shape, self.first = (chunks, rows), start
        values = flat.take(found)
        found += (start - self.first) * chunks * CHUNK
        self.found.append((found, values))
        self.waiting += found.size
        if self.waiting > AT_ONCE:
            self._hand_over(leaders)

    def _hand_over(self, leaders: Leaders) -> None:
        """Tell the leaders what was kept of the last tiles, all of one shape, that begin at `first`."""
        if self.waiting:
            chunks, rows = self.shape
            lines = np.concatenate([found for found, _ in self.found])
            values = np.concatenate([values for _, values in self.found])
            users = lines % CHUNK
            lines //= CHUNK
            # by tile, then chunk, then item of the tile
            blocks = lines // rows
            lines -= blocks * rows
            tiles = blocks // chunks
            users += (blocks - tiles * chunks) * CHUNK
            lines += tiles * rows
            lines += self.first
            leaders.add(users, self.shelf.rows.take(lines), values)
        self.found, self.waiting, self.shape = [], 0, (0, 0)


def _lines(factors: int) -> int:
    """How many items are multiplied with a chunk of users at once."""
    fit = PRODUCT // (CHUNK * max(1, factors))
    return max(16, min(64, fit // 16 * 16))


def _by_place(shelf: Shelf, seen: sparse.csr_matrix | None) -> tuple[Rows, Rows]:
    """The seen items' places on the shelf, increasing, and whose they are."""
    if seen is None or seen.nnz == 0:
        nothing = np.empty(0, dtype=np.int64)
        return nothing, nothing
    # one sort of plain integers, which numpy does with vector instructions
    bits = int(seen.shape[0]).bit_length()
    owner = np.repeat(np.arange(seen.shape[0]), np.diff(seen.indptr))
    at = shelf.places[seen.indices]
    there = at >= 0
    pairs = np.sort((at[there] << bits) + owner[there])
    return pairs >> bits, pairs & ((1 << bits) - 1)
