"""The last successes of each user held out, where no window in time has enough users to learn from.

Users of some shops come once, in a burst, or the events have no times: hardly anybody was there before a
window and took something up in it. What such a user took up last is held out, all else is learned from.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.ids import distinct
from features.splitting.holdout import HeldOut, Question

__all__ = ["SHARE", "hold_out_last", "outgrown", "users_with_last"]

SHARE = 0.2
"""Of a user's successes that are held out, one at least; a user with fewer than FEWEST keeps all."""
FEWEST = 3
OUTGROWN = 4.0

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def hold_out_last(
    dataset: Dataset, questions: tuple[Question, ...], *, users: int, seed: int
) -> tuple[Dataset, list[HeldOut]]:
    """Hold out what each user took up last, and say what is right.

    Events of one moment have no order: a draw decides. Other events of the same user and product as a success
    that is held out are taken out too, unless they are successes themselves: they would give the answer away.
    In the question `new`, products that the user still has in what is learned from are not right.

    Parameters
    ----------
    users
        How many are asked about at most.
    seed
        Of the draws.

    Returns
    -------
    train
        `dataset` without what is held out.
    held
        What is right for the users, for each question.
    """
    events, wide = dataset.events, len(dataset.items)
    rng = np.random.default_rng([seed, 2])
    user = np.asarray(events.user, dtype=np.int64)
    success = _successes(dataset)
    rows = np.flatnonzero(success)
    order = rows[np.lexsort((rng.random(rows.size), events.time[rows], user[rows]))]
    count = np.bincount(user[order], minlength=len(dataset.users))
    start = np.cumsum(count) - count
    from_end = count[user[order]] - 1 - (np.arange(order.size) - start[user[order]])
    enough = np.flatnonzero(count >= FEWEST)
    asked = np.sort(rng.permutation(enough)[:users])
    wanted = np.zeros(len(dataset.users), dtype=np.int64)
    wanted[asked] = np.maximum(1, np.floor(SHARE * count[asked])).astype(np.int64)
    held = order[from_end < wanted[user[order]]]
    pair = user * wide + events.item
    gone = (user >= 0) & ~success & np.isin(pair, pair[held])
    gone[held] = True
    train = replace(dataset, events=events.take(~gone))
    return train, [_right(train, pair[held], question) for question in questions]


def users_with_last(dataset: Dataset) -> int:
    """How many users have enough successes for one to be held out."""
    count = np.bincount(np.asarray(dataset.events.user)[_successes(dataset)])
    return int(np.count_nonzero(count >= FEWEST))


def outgrown(teachers: int, before: int, wanted: int) -> bool:
    """Whether rules that were learned before a test should be learned again on everything.

    A shop whose users came lately, or a file whose last events are all of one day, has few users before a
    test: on Amazon Beauty 500 of 22,000, those with the longest histories.

    Parameters
    ----------
    teachers, before
        Users with enough successes to teach rules, on everything and before the test.
    wanted
        How many are learned from where there are enough.
    """
    return before < wanted and teachers >= OUTGROWN * max(1, before)


def _successes(dataset: Dataset) -> Mask:
    """bool (events,): successes of known users with products that can be shown."""
    events = dataset.events
    known = np.asarray(events.user) >= 0
    found: Mask = dataset.target.mask(events) & known & dataset.item_features.active[events.item]
    return found


def _right(train: Dataset, pairs: Rows, question: Question) -> HeldOut:
    """The held out successes that answer a question, by user.

    Parameters
    ----------
    train
        What is left without them.
    pairs : int64
        User row × items + item of what is held out.
    """
    wide = len(train.items)
    pairs = distinct(pairs)
    if question == "new":
        touched = train.touched
        owner = np.repeat(np.arange(touched.shape[0], dtype=np.int64), np.diff(touched.indptr))
        pairs = pairs[~np.isin(pairs, owner * wide + touched.indices)]
    users, place = np.unique(pairs // wide, return_inverse=True)
    entries = np.ones(pairs.size, dtype=bool), (place, pairs % wide)
    relevant = sparse.csr_matrix(entries, shape=(users.size, wide))
    relevant.sort_indices()
    return HeldOut(
        question, train.users.ids[users], relevant, None, np.full(users.size, train.moment, dtype=np.int64)
    )
