"""Next basket by users: what I take often, and what people with my habits take."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from models.algorithms.shared.item_item import GRAM_BYTES, scatter
from models.algorithms.shared.time_decay import Faded, own_entries
from models.base import Arrays, ColumnScorer, ModelKind, Rows, Scores
from models.ranking.explanations import Reasons
from models.ranking.filters import RankRequest, positive
from models.shared.computed_once import computed_once
from models.shared.sparse_products import dense_product, only_positive, scores_of_users
from models.shared.validation import check_float, check_int

__all__ = ["TIFUKNN", "TIFUKNNParameters"]

_SEARCH_BYTES = GRAM_BYTES // 4
"""Likenesses of a block of users to all references that are held at once, per thread."""
_DENSE_STEPS = 16
"""So many steps of a product with dense weights take no longer than one of a product of sparse matrices."""
_FEWEST_AMONG = 16
"""With fewer users their neighbours' rows are summed for all items: no column is left out."""


@dataclass(frozen=True)
class TIFUKNNParameters:
    """Parameters of `TIFUKNN`.

    Parameters
    ----------
    half_life_days
        Age in days at which an event counts half.
    neighbours
        How many of the nearest users speak beside the user.
    own
        Share of the user's own habits.
    references
        At most so many users can be neighbours, those who did most and latest; bounds time and memory.
    """

    half_life_days: float = 90.0
    neighbours: int = 300
    own: float = 0.6
    references: int = 20_000

    def __post_init__(self) -> None:
        check_float(self, "half_life_days", 0.0, 36_500.0, above_low=True)
        check_int(self, "neighbours", 1, 100_000)
        check_float(self, "own", 0.0, 1.0)
        check_int(self, "references", 1, 1_000_000)


class TIFUKNN(Faded):
    """score(u) = own · p(u) + (1 − own) · mean of p(v) over the nearest v, p = habits(u) / their sum.

    Hu, He, Gao & Zhang 2020, "Modeling personalized item frequency information for next-basket
    recommendation", SIGIR, sections 4.2 and 4.3: the personal frequencies fade, the nearest users' mean is
    mixed in. Where the paper fades by place among baskets in two levels, events here fade by age in days,
    which needs no baskets; nearness is the cosine of the faded vectors, not their distance, so that someone
    who buys little finds people of the same taste; and vectors are divided by their sums before they are
    mixed.

    Neighbours are looked for when a user is scored, in blocks: no users × users matrix is ever kept. A guest
    is compared with the stored users by the same formula; a stored user is no neighbour of itself. Someone
    without a like neighbour has only the own part.
    """

    algorithm: ClassVar[str] = "tifu_knn"
    kind: ClassVar[ModelKind] = ModelKind.COLLABORATIVE
    Parameters = TIFUKNNParameters
    parameters: TIFUKNNParameters

    references_: Rows
    """int64: rows of the users who can be neighbours, increasing."""
    shares_: sparse.csr_matrix
    """csr float32 (references, items): habits that add up to one."""
    directions_: sparse.csr_matrix
    """csr float32 (items, references): habits of length one, a column for each reference."""

    def _fit(self, dataset: Dataset) -> None:
        self._remember(dataset)
        weight = np.asarray(self.history_.sum(axis=1), dtype=np.float64).ravel()
        # the strongest first, ties to the lower row
        strongest = np.lexsort((np.arange(weight.size), -weight))[: self.parameters.references]
        self._refer_to(np.sort(strongest[weight[strongest] > 0]).astype(np.int64))

    def _refer_to(self, references: Rows) -> None:
        self.references_ = references
        habits = self.history_[references]
        habits.eliminate_zeros()
        self.shares_ = _divided(habits, _sums(habits))
        self.directions_ = _divided(habits, _lengths(habits)).T.tocsr()

    def forecast(self, users: int, items: int, nnz: int) -> int:
        """Peak bytes of a fit: the faded history and the references' two matrices."""
        return super().forecast(users, items, nnz) + 40 * nnz

    def _score(self, history: sparse.csr_matrix, rows: Rows, out: Scores) -> None:
        self._tell(self._neighbours(history, rows), out)
        self._add_own(history, out, np.arange(history.shape[1]))

    def _column_scorer(self, request: RankRequest) -> ColumnScorer | None:
        if request.rows.size < _FEWEST_AMONG:
            return None
        history = positive(request.history)
        near = self._neighbours(history, request.rows)

        def score(columns: Rows, out: Scores, *, is_pool: bool = False) -> None:
            self._tell_densely(near, out, self.directions_[columns])
            place = np.full(history.shape[1], -1, dtype=np.int64)
            place[columns] = np.arange(columns.size)
            self._add_own(history, out, place)

        return score

    def _add_own(self, history: sparse.csr_matrix, out: Scores, column: Rows) -> None:
        """Add the users' own part.

        Parameters
        ----------
        column : int64, shape (items,)
            Where each item is in `out`; -1 is nowhere.
        """
        own = _divided(history, _sums(history)) * np.float32(self.parameters.own)
        own.eliminate_zeros()
        at = column[own.indices]
        there = at >= 0
        place = np.repeat(np.arange(own.shape[0]), np.diff(own.indptr))[there], at[there]
        others = out[place]
        out[place] = own.data[there] + np.where(others > -np.inf, others, np.float32(0))

    def _tell(self, near: sparse.csr_matrix, out: Scores) -> None:
        """Fill `out` with what the neighbours add, -inf where they have nothing to say."""
        if near.shape[0] == 1:  # their rows alone: of one user's, all others are most of the way
            found = self.shares_[near.indices].T @ near.data
            out[0] = np.where(found > 0, found, np.float32(-np.inf))
            return
        steps = int(np.diff(self.shares_.indptr)[near.indices].sum())
        if near.shape[0] * self.shares_.nnz > _DENSE_STEPS * steps:
            products = sparse.csr_matrix(near @ self.shares_)
            products.eliminate_zeros()
            scatter(products, out)
            return
        # an item of a product of sparse matrices has to be found again for every neighbour who has it
        self._tell_densely(near, out, self.directions_)

    def _tell_densely(self, near: sparse.csr_matrix, out: Scores, directions: sparse.csr_matrix) -> None:
        """`_tell` by all references with weights, most of them 0.

        Parameters
        ----------
        directions
            Rows of `directions_`, one for each column of `out`.
        """
        # a share is a direction times length / sum
        scale = np.divide(1.0, self._totals, out=np.zeros_like(self._totals), where=self._totals > 0)
        weights = (near.toarray() * scale).astype(np.float32, copy=False)
        scores_of_users(directions, weights, out, only_positive)

    @property
    def _totals(self) -> npt.NDArray[np.float32]:
        """The sum of each reference's direction, float32 (references,)."""

        def compute() -> npt.NDArray[np.float32]:
            return np.asarray(self.directions_.sum(axis=0), dtype=np.float32).ravel()

        return computed_once(self, "totals", self.directions_, compute)

    def _others(self, history: sparse.csr_matrix, rows: Rows) -> sparse.csr_matrix:
        """csr float32 (n, items): what the neighbours add to the scores."""
        return sparse.csr_matrix(self._neighbours(history, rows) @ self.shares_)

    def _neighbours(self, history: sparse.csr_matrix, rows: Rows) -> sparse.csr_matrix:
        """csr float32 (n, references): in each row (1 − own) / m at each of the m nearest."""
        unit = _divided(history, _lengths(history))
        itself = self._places(rows)
        size = max(1, _SEARCH_BYTES // (16 * max(1, self.references_.size)))
        found: list[Rows] = []
        for start, end in pairwise([*range(0, history.shape[0], size), history.shape[0]]):
            likeness = np.empty((end - start, self.references_.size), dtype=np.float32)
            dense_product(unit[start:end], self.directions_, likeness)
            own = np.flatnonzero(itself[start:end] >= 0)
            likeness[own, itself[start:end][own]] = 0.0
            found += [_nearest(line, self.parameters.neighbours) for line in likeness]
        count = np.array([near.size for near in found], dtype=np.int64)
        share = np.divide(1.0 - self.parameters.own, count, out=np.zeros(count.size), where=count > 0)
        parts = (
            np.repeat(share, count).astype(np.float32),
            np.concatenate(found or [np.empty(0, np.int64)]),
            np.concatenate([[0], np.cumsum(count)]),
        )
        return sparse.csr_matrix(parts, shape=(history.shape[0], self.references_.size))

    def _places(self, rows: Rows) -> Rows:
        """Where these users are among the references, -1 for one who is not."""
        places = np.searchsorted(self.references_, rows)
        known = np.append(self.references_, -1)[places] == rows
        return np.where(known & (rows >= 0), places, -1)

    def _score_similar(self, items: Rows, out: Scores) -> None:
        """Cosine of the items' columns of references: taken by the same people equally often."""
        columns, of_references = self._columns
        scatter(sparse.csr_matrix(columns[items] @ of_references), out)

    @property
    def _columns(self) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        """The items' columns of references, of length one, and the same by reference.

        To divide and to turn them for each list takes a hundred times as long as the list itself.
        """

        def compute() -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
            columns = _divided(self.directions_, _lengths(self.directions_))
            return columns, columns.T.tocsr()

        return computed_once(self, "columns", self.directions_, compute)

    def _contributions(
        self, history: sparse.csr_matrix, row: int, items: Rows
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """The own part is the user's; what the neighbours add is the baseline."""
        own = own_entries(_divided(history, _sums(history)), items) * np.float32(self.parameters.own)
        others = self._others(history, np.array([row], dtype=np.int64))
        return own, others[:, items].toarray().ravel().astype(np.float32)

    def _reasons_for(self, items: Rows) -> Reasons:
        """The own parts alone, baselines of zero: to find the neighbours takes as long as a whole list."""

        def own(request: RankRequest, items: Rows) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
            history = positive(request.history)
            part = own_entries(_divided(history, _sums(history)), items) * np.float32(self.parameters.own)
            return part, np.zeros(items.size, dtype=np.float32)

        return own

    def _arrays(self) -> Arrays:
        # what follows from the references is stored too: mapped, several processes share it
        matrices = {"shares": self.shares_, "directions": self.directions_}
        return {
            "references": self.references_,
            "source_half_life": np.array([self.source_half_life_]),
            **{f"{name}_indptr": matrix.indptr.astype(np.int64) for name, matrix in matrices.items()},
            **{f"{name}_indices": matrix.indices.astype(np.int32) for name, matrix in matrices.items()},
            **{f"{name}_data": matrix.data for name, matrix in matrices.items()},
        }

    def _restore(self, arrays: Arrays) -> None:
        self.source_half_life_ = float(arrays["source_half_life"][0])
        references = np.asarray(arrays["references"])
        if "shares_data" not in arrays:  # an older artifact, which does not store them
            self._refer_to(references)
            return
        self.references_ = references
        self.shares_ = _stored(arrays, "shares", (references.size, len(self.items_)))
        self.directions_ = _stored(arrays, "directions", (len(self.items_), references.size))


def _stored(arrays: Arrays, name: str, shape: tuple[int, int]) -> sparse.csr_matrix:
    parts = (arrays[f"{name}_data"], arrays[f"{name}_indices"], arrays[f"{name}_indptr"])
    return sparse.csr_matrix(parts, shape=shape)


def _nearest(likeness: npt.NDArray[np.float32], k: int) -> Rows:
    """Places of the k largest positive numbers, increasing; ties at the k-th go to the lower place."""
    floor = np.float32(0)
    if likeness.size > k:
        floor = max(floor, np.partition(likeness, likeness.size - k)[likeness.size - k])
    above = np.flatnonzero(likeness > floor)
    if floor > 0:
        above = np.sort(np.concatenate([above, np.flatnonzero(likeness == floor)[: k - above.size]]))
    return above.astype(np.int64)


def _sums(matrix: sparse.csr_matrix) -> npt.NDArray[np.float64]:
    return np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel()


def _lengths(matrix: sparse.csr_matrix) -> npt.NDArray[np.float64]:
    squares = matrix.astype(np.float64)
    squares.data **= 2
    return np.sqrt(_sums(squares))


def _divided(matrix: sparse.csr_matrix, by: npt.NDArray[np.float64]) -> sparse.csr_matrix:
    """Each row divided by its number; an empty row stays empty."""
    scale = np.divide(1.0, by, out=np.zeros_like(by), where=by > 0)
    data = (matrix.data * np.repeat(scale, np.diff(matrix.indptr))).astype(np.float32)
    return sparse.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)
