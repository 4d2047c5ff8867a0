"""What may be shown: the rules of one call, applied to a block of scores before the best are taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.ids import IdMap
from features.interactions import History
from models.ranking.mips.exact import best_of_factors
from models.ranking.mips.factors import Factors
from models.ranking.mips.norm_sorted import Shelf
from models.ranking.top_k import top_k
from models.shared.score_blocks import DenseScores, ScoreBlock

__all__ = ["Exclude", "RankRequest", "Selection", "as_ids", "positive", "summed_histories"]

Exclude = Literal["seen"] | npt.ArrayLike | None
"""`"seen"`: what the user touched before; an array of product ids: those, for everybody."""


@dataclass(frozen=True, eq=False)
class Selection:
    """Filters of the items that may be recommended.

    Attributes
    ----------
    seen
        The user's own history is hidden.
    hidden : int64
        Item rows hidden from every user.
    open : int64, increasing
        The item rows to choose from; None: all of them but the hidden ones.
    """

    seen: bool
    hidden: npt.NDArray[np.int64]
    open: npt.NDArray[np.int64] | None

    @classmethod
    def all(cls) -> Self:
        """Nothing is hidden."""
        return cls(False, np.empty(0, dtype=np.int64), None)

    @classmethod
    def of(cls, items: IdMap, exclude: Exclude, only: npt.ArrayLike | None) -> Self:
        """The rules of `Recommender.recommend`; ids that the model does not know have no effect."""
        seen = isinstance(exclude, str)
        if seen and exclude != "seen":
            raise ValueError(f'exclude is "seen", an array of product ids or None, not {exclude!r}')
        barred = None if seen or exclude is None else exclude
        hidden = _rows(items, barred, "exclude") if barred is not None else np.empty(0, dtype=np.int64)
        if only is None:
            return cls(seen, hidden, None)
        # a mask over all items: sorting or hashing 100,000 ids takes longer than ranking them for one user
        open_ = np.zeros(len(items) + 1, dtype=bool)
        open_[items.index(as_ids(only, "only"))] = True  # the one more is what the -1 of an unknown id marks
        open_ = open_[:-1]
        open_[hidden] = False
        shown = np.flatnonzero(open_)
        if shown.size > len(items) // 2:
            # hiding the few others costs less than copying the many
            return cls(seen, np.flatnonzero(~open_), None)
        return cls(seen, hidden, shown)

    def best(
        self, scores: npt.NDArray[np.float32], k: int, history: sparse.csr_matrix | None = None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """`top_k` of what may be shown.

        Parameters
        ----------
        scores : float32, shape (n, items)
            Is written to.
        history : csr, shape (n, items)
            What the user of each row touched, stored zeros included; for `seen`.

        Returns
        -------
        rows : int64, shape (n, k)
            Item rows, -1 where there are fewer.
        scores : float32, shape (n, k)
        """
        if self.seen and history is not None:
            owner = np.repeat(np.arange(history.shape[0]), np.diff(history.indptr))
            scores[owner, history.indices] = -np.inf
        if self.open is None:
            if self.hidden.size:
                scores[:, self.hidden] = -np.inf
            return top_k(scores, k)
        columns, values = top_k(scores[:, self.open], k)
        # the appended -1 is what the -1 of a missing column points at
        return np.append(self.open, -1)[columns], values

    def best_of_block(
        self, block: ScoreBlock, k: int, history: sparse.csr_matrix
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """`best` of scores in whatever form a model has them; dense ones are written to."""
        if isinstance(block, DenseScores):
            return self.best(block.scores, k, history)
        return block.best(k, self.closed(history.shape[1]), history if self.seen else None)

    def closed(self, items: int) -> npt.NDArray[np.bool_] | None:
        """bool (items,): what nobody is shown; None where that is nothing."""
        if self.open is None and not self.hidden.size:
            return None
        closed = np.full(items, self.open is not None)
        if self.open is not None:
            closed[self.open] = False
        closed[self.hidden] = True
        return closed

    def best_of(
        self, factors: Factors, shelf: Shelf, k: int, history: sparse.csr_matrix
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """`best` of the scores of `factors`, which are never held all at once."""
        seen = history if self.seen else None
        if self.open is None:
            return best_of_factors(factors, k, hidden=self.hidden, seen=seen, shelf=shelf)
        nothing = np.empty(0, dtype=np.int64)
        return best_of_factors(factors, k, hidden=nothing, seen=seen, shelf=shelf.only(self.open))


@dataclass(frozen=True, eq=False)
class RankRequest:
    """A request to a model: the users of one block, and what may be in their lists.

    Attributes
    ----------
    history : csr float32, shape (n, items)
        What was touched, stored zeros included.
    rows : int64, shape (n,)
        Rows of known users, -1 for those who are folded in.
    shown
        What the lists will be chosen from; `shown.seen` says that they are to be new to the user.
    histories
        Those of the users who are folded in, one per row, or None: they hold times, too.
    """

    history: sparse.csr_matrix
    rows: npt.NDArray[np.int64]
    shown: Selection
    histories: Sequence[History] | None = None

    @classmethod
    def one(cls, history: sparse.csr_matrix, row: int) -> Self:
        """A known user; `history` is that of all users."""
        return cls(history[[row]], np.array([row], dtype=np.int64), Selection.all())


def as_ids(values: npt.ArrayLike, name: str) -> npt.NDArray[np.int64]:
    """`values` as int64 (n,). Raises ValueError, naming the argument, for anything but whole numbers."""
    array = np.asarray(values)
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must be a one-dimensional array of integer ids, not {array.dtype} {array.shape}"
        )
    return array.astype(np.int64)


def _rows(items: IdMap, ids: npt.ArrayLike, name: str) -> npt.NDArray[np.int64]:
    """Known rows of `ids`, increasing, each once."""
    rows = items.index(as_ids(ids, name))
    known = np.zeros(len(items), dtype=bool)
    known[rows[rows >= 0]] = True
    return np.flatnonzero(known)


def positive(history: sparse.csr_matrix) -> sparse.csr_matrix:
    """`history` without its stored zeros; itself where it has none."""
    if history.nnz and float(history.data.min()) > 0:
        return history
    positive = history.copy()
    positive.eliminate_zeros()
    return positive


def summed_histories(histories: Sequence[History], items: IdMap) -> sparse.csr_matrix:
    """csr float32 (n, items): summed weights, never below zero; a stored zero means touched, not liked."""
    sizes = [history.products.size for history in histories]
    owner = np.repeat(np.arange(len(histories)), sizes)
    products = np.concatenate([h.products for h in histories]) if histories else np.empty(0, np.int64)
    weights = np.concatenate([h.weights for h in histories]) if histories else np.empty(0, np.float32)
    columns = items.index(products)
    known = columns >= 0
    shape = (len(histories), len(items))
    summed = sparse.coo_matrix(
        (weights[known].astype(np.float64), (owner[known], columns[known])), shape=shape
    )
    matrix = summed.tocsr()
    matrix.sort_indices()
    matrix.data = np.maximum(matrix.data, 0.0)
    return matrix.astype(np.float32)
