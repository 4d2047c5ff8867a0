"""What models of habits share: a history whose events fade with a half-life of the model's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY, History
from models.base import Recommender

__all__ = ["Faded", "Liked", "own_entries"]

_FAINTEST = np.float32(1e-30)
"""A liking must not fade to zero, which would say "touched, not liked"."""


@dataclass(frozen=True, eq=False)
class Liked:
    """The events that count for something, as columns; row i of each belongs together.

    Attributes
    ----------
    entry : int64
        Place of the event's (user, item) in the matrix.
    time : int64
        Microseconds since 1970.
    """

    entry: npt.NDArray[np.int64]
    time: npt.NDArray[np.int64]


class Faded(Recommender):
    """A model of which `history_` holds, per (user, item), Σ weight of the type × ½^(age / half_life_days).

    `parameters.half_life_days` replaces the half-life of the dataset's weights. A fold-in gets there from
    `History.weights`, which fade as the dataset's do, and `History.times`; so folding in and refitting give
    the same. A time of zero means that none is known (`History.of`): such an event keeps its weight. If
    weights were faded as of a later moment than the fit's, all of them differ by the same factor.
    """

    source_half_life_: float
    """Half-life in days of the weights that come in, from `dataset.weights`."""

    def _own_half_life(self) -> float:
        return float(self.parameters.half_life_days)  # type: ignore[attr-defined]

    def _remember(self, dataset: Dataset) -> Liked:
        """Set `history_`, and say which events it is made of; to be called first by `_fit`."""
        events = dataset.events
        self.source_half_life_ = dataset.weights.half_life_days
        weight = dataset.weights.weigh(events.kind, events.value, events.time, dataset.moment)
        known = np.flatnonzero(np.asarray(events.user) >= 0)
        columns = (events.user[known], events.item[known], weight[known], events.time[known])
        self.history_, liked = self._summed(len(dataset.users), *columns)
        return liked

    def _matrix_of(self, histories: Sequence[History]) -> sparse.csr_matrix:
        owner = np.repeat(np.arange(len(histories)), [history.products.size for history in histories])
        item = self.items_.index(np.concatenate([h.products for h in histories] or [np.empty(0, np.int64)]))
        weight = np.concatenate([h.weights for h in histories] or [np.empty(0, np.float32)])
        time = np.concatenate([h.times for h in histories] or [np.empty(0, np.int64)])
        known = item >= 0
        matrix, liked = self._summed(len(histories), owner[known], item[known], weight[known], time[known])
        return self._weighed(matrix, liked)

    def _weighed(self, matrix: sparse.csr_matrix, liked: Liked) -> sparse.csr_matrix:
        """What a fold-in makes of the faded sums; `_fit` does the same to `history_`."""
        return matrix

    def _summed(
        self,
        rows: int,
        user: npt.NDArray[Any],
        item: npt.NDArray[Any],
        weight: npt.NDArray[np.float32],
        time: npt.NDArray[np.int64],
    ) -> tuple[sparse.csr_matrix, Liked]:
        """csr float32 (rows, items), columns of a row increasing, and the events with a positive weight."""
        width = len(self.items_)
        faded = weight.astype(np.float64) * self._refade(time)
        matrix = sparse.coo_matrix((faded, (user, item)), shape=(rows, width)).tocsr()
        matrix.sort_indices()
        data = np.maximum(matrix.data, 0.0).astype(np.float32)
        data[matrix.data > 0] = np.maximum(data[matrix.data > 0], _FAINTEST)
        liked = np.flatnonzero(weight > 0)
        owner = np.repeat(np.arange(rows, dtype=np.int64), np.diff(matrix.indptr))
        # both are sorted by user, then item: the place of an event's entry is found by one search
        keys = user[liked].astype(np.int64) * width + item[liked]
        entry = np.searchsorted(owner * width + matrix.indices, keys)
        parts = (data, matrix.indices, matrix.indptr)
        return sparse.csr_matrix(parts, shape=(rows, width)), Liked(entry, np.asarray(time)[liked])

    def _refade(self, time: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        rate = 1.0 / self.source_half_life_ - 1.0 / self._own_half_life()
        age = np.where(time != 0, (self.moment_ - time) / MICROSECONDS_PER_DAY, 0.0)
        return np.exp2(np.clip(age * rate, -1000.0, 1000.0))

    def forecast(self, users: int, items: int, nnz: int) -> int:
        """Peak bytes of a fit: the events as columns beside the summed matrix, some four to a pair."""
        return 240 * nnz + 8 * (users + items)


def own_entries(history: sparse.csr_matrix, items: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """float32 (m, history.nnz): the weight of history entry j where it is of item i, else 0."""
    same = np.asarray(history.indices)[None, :] == items[:, None]
    return np.where(same, history.data[None, :], np.float32(0)).astype(np.float32)
