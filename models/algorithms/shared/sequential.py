"""What models of order share: the steps of users and guests, and a history that fades by steps back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.interactions import Events, History
from models.algorithms.shared.item_item import ItemItem, valued

__all__ = ["STEPS_AT_ONCE", "Sequential", "StepSequence", "degree_power", "scaled_steps"]

STEPS_AT_ONCE = 65_536
"""Steps whose pairs with others are computed together: bounds the memory beyond the result."""


@dataclass(frozen=True, eq=False)
class StepSequence:
    """The moments at which each walker (a user, or a guest's session) did something, in order.

    Attributes
    ----------
    walker : int64, shape (steps,)
    time : int64, shape (steps,)
        Microseconds since 1970.
    step : int64, shape (events,)
        Of each event, increasing.
    item : int32, shape (events,)
    shape
        Number of steps and of items.
    """

    walker: npt.NDArray[np.int64]
    time: npt.NDArray[np.int64]
    step: npt.NDArray[np.int64]
    item: npt.NDArray[np.int32]
    shape: tuple[int, int]

    def summed(self, weight: npt.NDArray[np.float32]) -> sparse.csr_matrix:
        """The weights of the events, csr float32 (steps, items)."""
        entries = weight.astype(np.float64), (self.step, self.item)
        return sparse.coo_matrix(entries, shape=self.shape).tocsr().astype(np.float32)

    def band(
        self, window: int, decay: float, reverse: float, at_once: int = STEPS_AT_ONCE
    ) -> sparse.csr_matrix:
        """The weight of each of a walker's steps at most `window` away.

        It is decay^(d - 1) for the one d steps later, `reverse` of it for the earlier one, and the mean of
        both for the step itself.

        Parameters
        ----------
        at_once
            Rows that are computed at a time: the result takes 8 bytes an entry, what leads to it 30.

        Returns
        -------
        csr float32, shape (steps, steps)
        """
        size = self.walker.size
        distance = np.arange(-window, window + 1)
        powers = [decay ** (abs(each) - 1) if each else (1.0 + reverse) / 2.0 for each in distance.tolist()]
        weights = (np.where(distance < 0, reverse, 1.0) * powers).astype(np.float32)
        starts = np.flatnonzero(np.diff(self.walker, prepend=-1))
        lengths = np.diff(starts, append=size)
        place = np.arange(size) - np.repeat(starts, lengths)
        near = np.minimum(place, window) + np.minimum(np.repeat(lengths, lengths) - 1 - place, window) + 1
        del place
        indptr = np.concatenate([[0], np.cumsum(near)])
        # filled in place: to join the blocks afterwards would take as much again
        columns = np.empty(indptr[-1], dtype=np.int32)
        entries = np.empty(indptr[-1], dtype=np.float32)
        for start in range(0, size, at_once):
            rows = np.arange(start, min(start + at_once, size))
            other = rows[:, None] + distance
            own = self.walker[rows, None] == self.walker[np.clip(other, 0, size - 1)]
            own &= (other >= 0) & (other < size)
            part = slice(indptr[start], indptr[rows[-1] + 1])
            columns[part] = other[own]
            entries[part] = np.broadcast_to(weights, own.shape)[own]
        return sparse.csr_matrix((entries, columns, indptr), shape=(size, size))


class Sequential(ItemItem):
    """A model whose score is the history, turned down by steps back, times an item-to-item matrix.

    A step is one moment of one user (or of one guest's session). `history_` and the folded-in matrix hold
    value(weight) × history_decay^(steps back), so fold-in and refit give the same scores.
    """

    @abstractmethod
    def _transitions(
        self, dataset: Dataset, steps: StepSequence, events: Events, weight: npt.NDArray[np.float32]
    ) -> sparse.csr_matrix:
        """The weights from item to item, `weights_`.

        Parameters
        ----------
        events
            In the order of `steps`.
        weight : float32, shape (events,)
            Of each event.

        Returns
        -------
        csr float32, shape (items, items)
        """

    def _history_decay(self) -> float:
        return float(getattr(self.parameters, "history_decay"))  # noqa: B009 - each subclass has the field

    def _values(self) -> str:
        return "linear"  # `history_` holds the values already, faded

    def _fit(self, dataset: Dataset) -> None:
        events = dataset.events
        weight = dataset.weights.weigh(events.kind, events.value, events.time, dataset.moment)
        liked = (weight > 0) & ((events.user >= 0) | (events.session != 0))
        taken = events.take(liked)
        # users and guests' sessions both walk; the two kinds of number must not meet
        guest = taken.user < 0
        _, session = np.unique(np.where(guest, taken.session, 0), return_inverse=True)
        walker = np.where(guest, len(dataset.users) + session, taken.user).astype(np.int64)
        order = np.lexsort((taken.time, walker))
        walker, time, item = walker[order], taken.time[order], taken.item[order]
        new = np.ones(walker.size, dtype=bool)
        new[1:] = (walker[1:] != walker[:-1]) | (time[1:] != time[:-1])
        shape = (int(new.sum()), len(dataset.items))
        steps = StepSequence(walker[new], time[new], np.cumsum(new) - 1, item, shape)
        taken, weight = taken.take(order), weight[liked][order]
        # as long as all events, and of no use to what follows, which takes most of the memory
        del guest, session, order, walker, time, new, liked
        self.weights_ = self._transitions(dataset, steps, taken, weight)
        self.history_ = self._by_recency(dataset)

    def _by_recency(self, dataset: Dataset) -> sparse.csr_matrix:
        """`touched` with each user's weights turned down by how many steps ago the item was last liked."""
        events, touched = dataset.events, dataset.touched
        weight = dataset.weights.weigh(events.kind, events.value, events.time, dataset.moment)
        liked = (weight > 0) & (events.user >= 0)
        return self._faded(touched, events.user[liked], events.item[liked], events.time[liked])

    def _matrix_of(self, histories: Sequence[History]) -> sparse.csr_matrix:
        summed = super()._matrix_of(histories)
        user = np.repeat(np.arange(len(histories)), [history.products.size for history in histories])
        item = self.items_.index(np.concatenate([h.products for h in histories] or [np.empty(0, np.int64)]))
        time = np.concatenate([h.times for h in histories] or [np.empty(0, np.int64)])
        weight = np.concatenate([h.weights for h in histories] or [np.empty(0, np.float32)])
        liked = (weight > 0) & (item >= 0)
        return self._faded(summed, user[liked], item[liked], time[liked])

    def _faded(
        self,
        weights: sparse.csr_matrix,
        user: npt.NDArray[Any],
        item: npt.NDArray[Any],
        time: npt.NDArray[Any],
    ) -> sparse.csr_matrix:
        """`weights` × history_decay^steps.

        Steps are the later moments at which the user last liked some other item. An entry of weight zero
        stays zero and makes no step.

        Parameters
        ----------
        weights : csr, shape (users, items)
        user, item, time : shape (n,)
            The liking events; time in microseconds since 1970.
        """
        last = np.full(weights.nnz, np.iinfo(np.int64).min)
        width = weights.shape[1]
        owner = np.repeat(np.arange(weights.shape[0], dtype=np.int64), np.diff(weights.indptr))
        # both are sorted by user, then item: the place of an event's entry is found by one search
        place = np.searchsorted(owner * width + weights.indices, user.astype(np.int64) * width + item)
        np.maximum.at(last, place, time)
        counted = np.flatnonzero(weights.data > 0)
        order = counted[np.lexsort((-last[counted], owner[counted]))]
        later = np.zeros(order.size, dtype=np.int64)
        same_user = owner[order][1:] == owner[order][:-1]
        later[1:] = same_user & (last[order][1:] != last[order][:-1])
        total = np.cumsum(later)
        start = np.ones(order.size, dtype=bool)
        start[1:] = ~same_user
        steps = total - np.repeat(total[start], np.diff(np.append(np.flatnonzero(start), order.size)))
        # a weight of zero says "touched, not liked", whatever `values` makes of the others
        counts = getattr(self.parameters, "values", "linear")
        data = np.where(weights.data > 0, valued(weights, counts).data, np.float32(0))
        # a weight must not fade to zero, which would say "touched, not liked"
        data[order] *= np.maximum(self._history_decay() ** steps, 1e-12).astype(np.float32)
        return sparse.csr_matrix((data, weights.indices, weights.indptr), shape=weights.shape)


def degree_power(counts: sparse.csr_matrix, power: float) -> npt.NDArray[np.float32]:
    """(sum of the column)^-power, 0 for an empty column."""
    total = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()
    return np.where(total > 0, np.power(np.maximum(total, 1e-300), -power), 0.0).astype(np.float32)


def scaled_steps(
    between: sparse.csr_matrix,
    source: sparse.csr_matrix,
    target: sparse.csr_matrix,
    source_scale: npt.NDArray[np.float32],
    target_scale: npt.NDArray[np.float32],
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """The factors of an item-to-item matrix: each item's steps, and what lies around each step.

    Parameters
    ----------
    between : csr float32, shape (steps, steps)
        As `StepSequence.band` gives it.
    source, target : csr float32, shape (steps, items)
        The weights of the events as earlier and as later ones of a pair.
    source_scale, target_scale : float32, shape (items,)

    Returns
    -------
    before : csr float32, shape (items, steps)
    after : csr float32, shape (steps, items)
    """
    before, scaled = source.T.tocsr(), target.copy()
    before.data *= np.repeat(source_scale, np.diff(before.indptr))
    # before the product, which has eleven times as many entries with a window of 5
    scaled.data *= target_scale[scaled.indices]
    return before, sparse.csr_matrix(between @ scaled)
