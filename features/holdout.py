"""What is held out of a window: for each user the products that would have been right, and what was known."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY, Events, History
from features.protocol import Protocol, choose_protocol
from features.windows import Window

__all__ = ["HeldOut", "Protocol", "Question", "choose_protocol", "held_out"]

Question = Literal["any", "new"]
"""`any`: all products; `new`: those that the user had not touched up to the start of the window."""

HOUR = MICROSECONDS_PER_DAY // 24
_LAST = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The users of a test and what is right for each.

    users      int64 ids, ascending, shape (n,); each has at least one relevant product
    relevant   csr bool, shape (n, items of the training dataset), sorted indices
    histories  what the users come with, oldest event first; None: what the model learned of them
    asked_at   int64 (n,): time of the first relevant success, microseconds since 1970
    """

    question: Question
    users: npt.NDArray[np.int64]
    relevant: sparse.csr_matrix
    histories: tuple[History, ...] | None
    asked_at: npt.NDArray[np.int64]


def held_out(
    train: Dataset, dataset: Dataset, window: Window, protocol: Protocol, question: Question
) -> HeldOut:
    """What is asked of a model that was fitted on `train`, which is `dataset.until(window.start)`.

    A success (`dataset.target`) in the window is judged where `train` knows the product and it can be shown.

    window : users that `train` knows; right are all their successes in the window.
    next : every user with a success in the window, also those unknown to `train`; right are the products of
        the first one (at time t), and of the same session within an hour after it. The users come with all
        their events before t, weighed as of the moment of `train`; who has none is left out.

    In the question `new`, products touched up to the start of the window are not relevant, and under `next`
    the later events on relevant products are taken out of the histories: a view of the product just before
    its purchase would give the answer away.
    """
    events, wide = dataset.events, len(train.items)
    column = train.items.index(dataset.items.ids)  # rows of `dataset` → rows of `train`, -1 for unknown ones
    row = train.users.index(dataset.users.ids)
    inside = np.flatnonzero((events.time > window.start) & (events.time <= window.end) & (events.user >= 0))
    judged = dataset.target.mask(events.take(inside))
    judged &= dataset.item_features.active[events.item[inside]] & (column[events.item[inside]] >= 0)
    if protocol == "window":
        judged &= row[events.user[inside]] >= 0
    answers = events.take(inside[judged])
    if protocol == "next":
        answers = answers.take(_first_of_each(answers, len(dataset.users)))

    user, item = answers.user.astype(np.int64), column[answers.item]
    if question == "new":
        known = _touched(train, dataset, row)
        keys = user * wide + item
        fresh = np.append(known, _LAST)[np.searchsorted(known, keys)] != keys
        answers, user, item = answers.take(fresh), user[fresh], item[fresh]
    first = np.full(len(dataset.users), _LAST)
    np.minimum.at(first, user, answers.time)
    histories: list[History] | None = None
    if protocol == "next":
        hidden = np.unique(user * len(dataset.items) + answers.item) if question == "new" else None
        past = _before(dataset, first, window.start, hidden)
        histories = _weighed(past, train, dataset)
        first[np.bincount(past.user, minlength=first.size) == 0] = _LAST

    asked = np.flatnonzero(first < _LAST)
    place = np.full(first.size, -1, dtype=np.int64)
    place[asked] = np.arange(asked.size)
    kept = place[user] >= 0
    keys = np.unique(place[user[kept]] * wide + item[kept])
    indptr = np.searchsorted(keys, np.arange(asked.size + 1) * wide)
    relevant = sparse.csr_matrix(
        (np.ones(keys.size, dtype=bool), keys % max(wide, 1), indptr), shape=(asked.size, wide)
    )
    come_with = None if histories is None else tuple(histories[each] for each in asked.tolist())
    return HeldOut(question, dataset.users.ids[asked], relevant, come_with, first[asked])


def _first_of_each(answers: Events, users: int) -> npt.NDArray[np.bool_]:
    """Which successes are the user's first, at the same time, or of its session within an hour."""
    first = np.full(users, _LAST)
    np.minimum.at(first, answers.user, answers.time)
    since = answers.time - first[answers.user]
    begins = since == 0
    pairs = np.stack([answers.user.astype(np.int64), answers.session])
    _, session = np.unique(pairs, axis=1, return_inverse=True)
    of_first = np.zeros(session.max(initial=-1) + 1, dtype=bool)
    of_first[session[begins & (answers.session != 0)]] = True
    chosen: npt.NDArray[np.bool_] = begins | (of_first[session] & (since <= HOUR))
    return chosen


def _touched(train: Dataset, dataset: Dataset, row: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """User row of `dataset` × items of `train` + item, ascending, of every pair that `train` has touched."""
    back = np.full(len(train.users) + 1, -1, dtype=np.int64)
    back[row] = np.arange(row.size)  # users unknown to `train` write the last entry
    touched = train.touched
    owner = np.repeat(back[:-1], np.diff(touched.indptr))
    keys: npt.NDArray[np.int64] = owner * len(train.items) + touched.indices
    return keys


def _before(
    dataset: Dataset, first: npt.NDArray[np.int64], start: int, hidden: npt.NDArray[np.int64] | None
) -> Events:
    """The events that each asked user comes with, in order of user and time.

    hidden : user × items + item, rows of `dataset`: pairs whose events after `start` are taken out.
    """
    events = dataset.events
    user = np.asarray(events.user)
    until = np.append(np.where(first == _LAST, np.iinfo(np.int64).min, first), np.iinfo(np.int64).min)
    rows = np.flatnonzero(events.time < until[user])  # a guest's -1 reads the last entry
    past = events.take(rows[np.argsort(user[rows], kind="stable")])
    if hidden is None:
        return past
    late = np.isin(past.user.astype(np.int64) * len(dataset.items) + past.item, hidden)
    return past.take(~(late & (past.time > start)))


def _weighed(past: Events, train: Dataset, dataset: Dataset) -> list[History]:
    """The history of each user row, ages counted from the moment of `train`; a later event has age zero."""
    weight = dataset.weights.weigh(past.kind, past.value, past.time, train.moment)
    products = dataset.items.ids[past.item]
    bounds = np.searchsorted(past.user, np.arange(len(dataset.users) + 1)).tolist()
    return [
        History(products[start:stop], weight[start:stop], past.time[start:stop])
        for start, stop in pairwise(bounds)
    ]
