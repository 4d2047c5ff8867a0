"""What a hybrid learns from: earlier moments of the same shop, and what users took up after them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY
from models import base
from models.base import Recommender
from models.hybrid.candidate_generation import Candidates, Panel, joined
from models.hybrid.ranking_features import Facts
from models.hybrid.strategy_selection import Examples
from models.selection import Asked, Selection
from models.threads import in_parallel
from recsys.errors import Invalid

__all__ = ["TASKS", "Creators", "Task", "Window", "fitted", "observe", "windows"]

Task = Literal["any", "new"]
TASKS: tuple[Task, ...] = ("any", "new")
"""`any`: all products; `new`: those the user never touched before."""


Creators = Mapping[str, Callable[[], Recommender]]
"""Member name → an unfitted model."""


@dataclass(frozen=True)
class Window:
    """Models know what happened up to `start`; right is what users took up after it, up to `end`.

    Both in microseconds since 1970.
    """

    start: int
    end: int


def windows(dataset: Dataset, days: float | None) -> list[Window]:
    """The last window of the data and the one before it, earlier first; fewer where the data are too short.

    days : length of a window; None: 28, or the time of the last tenth of the events where that is shorter.
    """
    times = dataset.events.time
    if days is None:
        tenth = int(dataset.moment - times[int(0.9 * (times.size - 1))])
        length = min(28 * MICROSECONDS_PER_DAY, tenth)
    else:
        length = round(days * MICROSECONDS_PER_DAY)
    if length < 1:
        return []
    ends = [dataset.moment - length, dataset.moment]
    # a model needs a past at least twice as long as what it is to foresee
    return [Window(end - length, end) for end in ends if times[0] <= end - 3 * length]


def fitted(members: Creators, dataset: Dataset) -> tuple[Panel, dict[str, str]]:
    """The members that could be fitted, one after the other, and why others could not."""
    models, refused = {}, {}
    for name, create in members.items():
        try:
            models[name] = create().fit(dataset)
        except Invalid as error:
            refused[name] = error.message
    return Panel(models), refused


def observe(
    panel: Panel, train: Dataset, dataset: Dataset, window: Window, *, length: int, users: int, seed: int
) -> dict[Task, Examples]:
    """Each task's candidates for at most `users` of those who took up something in the window."""
    taken = _taken(train, dataset, window)
    touched = train.touched
    rows = np.flatnonzero(np.diff(taken.indptr))
    if rows.size > users:
        rows = np.sort(np.random.default_rng([seed, 0]).permutation(rows)[:users])
    facts = Facts.learn(train, (window.end - window.start) / MICROSECONDS_PER_DAY)
    size = max(1, base.BLOCK_BYTES // (4 * len(train.items) * len(panel.members)))
    blocks = [rows[start : start + size] for start in range(0, rows.size, size)]
    new = Selection(True, np.empty(0, np.int64), None)

    def look(part: npt.NDArray[np.int64]) -> tuple[Candidates, Candidates]:
        lines = np.empty((len(panel.members), part.size, len(train.items)), dtype=np.float32)
        everything = Asked(touched[part], part, Selection.all())
        panel.ask(everything, lines)
        first = panel.candidates(lines, everything, length)
        return first, panel.candidates(lines, Asked(touched[part], part, new), length)

    found = in_parallel(look, blocks)
    fresh = _without(taken, touched)
    wanted = {"any": taken[rows], "new": fresh[rows]}
    examples: dict[Task, Examples] = {}
    habits = facts.habits.take(rows)
    for place, task in enumerate(TASKS):
        if not found:
            break
        candidates = joined([pair[place] for pair in found])
        right = wanted[task]
        sizes = np.diff(right.indptr).astype(np.int64)
        all_of_them = Examples(candidates, _listed(candidates, right), sizes, facts, habits)
        examples[task] = all_of_them.take(np.flatnonzero(sizes))
    return examples


def _taken(train: Dataset, dataset: Dataset, window: Window) -> sparse.csr_matrix:
    """csr bool (users, items of `train`): what each user took up in the window."""
    events = dataset.events
    weight = dataset.weights.weigh(events.kind, events.value, events.time, window.end)
    inside = (events.time > window.start) & (events.time <= window.end) & (weight > 0) & (events.user >= 0)
    user = train.users.index(dataset.users.ids)[events.user[inside]]
    item = train.items.index(dataset.items.ids)[events.item[inside]]
    known = (user >= 0) & (item >= 0)
    pairs = (np.ones(int(known.sum()), dtype=bool), (user[known], item[known]))
    taken = sparse.coo_matrix(pairs, shape=(len(train.users), len(train.items))).tocsr()
    taken.sort_indices()
    return taken


def _without(taken: sparse.csr_matrix, touched: sparse.csr_matrix) -> sparse.csr_matrix:
    keys, known = _keys(taken), _keys(touched)
    keep = ~np.isin(keys, known)
    owner = keys[keep] // taken.shape[1]
    indptr = np.searchsorted(owner, np.arange(taken.shape[0] + 1))
    return sparse.csr_matrix((taken.data[keep], taken.indices[keep], indptr), shape=taken.shape)


def _listed(candidates: Candidates, right: sparse.csr_matrix) -> npt.NDArray[np.bool_]:
    listed: npt.NDArray[np.bool_] = np.isin(candidates.owner * right.shape[1] + candidates.item, _keys(right))
    return listed


def _keys(matrix: sparse.csr_matrix) -> npt.NDArray[Any]:
    owner = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    return owner * matrix.shape[1] + matrix.indices
