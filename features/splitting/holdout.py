"""What is held out of a window: for each user the products that would have been right, and what was known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.ids import distinct
from features.interactions import MICROSECONDS_PER_DAY, Events, History
from features.splitting.occasions import VISIT_GAP
from features.splitting.protocol import Protocol, choose_protocol
from features.splitting.windows import Window

__all__ = ["HeldOut", "Protocol", "Question", "choose_protocol", "held_out"]

Question = Literal["any", "new"]
"""`any`: all products; `new`: those that the user had not touched up to the start of the window."""

HOUR = MICROSECONDS_PER_DAY // 24
_LAST = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The users of a test and what is right for each.

    Attributes
    ----------
    question
    users : int64, shape (n,)
        Ids, ascending; each has at least one relevant product.
    relevant : csr bool, shape (n, items of the training dataset)
        Sorted indices.
    histories
        What the users come with, oldest event first; None: what the model learned of them.
    asked_at : int64, shape (n,)
        Microseconds since 1970: time of the first relevant success; without a window the moment of the
        training dataset.
    """

    question: Question
    users: npt.NDArray[np.int64]
    relevant: sparse.csr_matrix
    histories: tuple[History, ...] | None
    asked_at: npt.NDArray[np.int64]


def held_out(
    train: Dataset,
    dataset: Dataset,
    window: Window,
    protocol: Protocol,
    question: Question,
    most: int = 1,
) -> HeldOut:
    """What is asked of a model that was fitted on `train`, which is `dataset.until(window.start)`.

    A success (`dataset.target`) in the window is judged where `train` knows the product and it can be shown.

    With the protocol `window` users that `train` knows are asked about; right are all their successes in the
    window.

    With the protocol `next` all users with a success in the window are asked about, also those unknown to
    `train`; right are the products of the first success (at time t), and of the same session within an hour
    after it. The users come with their events before t, weighed as of the moment of `train`; who has none is
    left out. A view of the product just before its purchase would give the answer away, so what they did with
    right products in the visit of t is taken out.

    In the question `new`, products touched up to the start of the window are not relevant, and under `next`
    all later events on relevant products are taken out.

    Parameters
    ----------
    most
        Above 1, a user is asked about again under `next` for each later success, up to so many times, and
        stands in `users` as often; what was right before is not new again.
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
    asked_of = np.asarray(answers.user, dtype=np.int64)
    case, owner = (asked_of, np.arange(len(dataset.users)))
    if protocol == "next":
        case, owner = _cases(answers, most)
        answers, case = answers.take(case >= 0), case[case >= 0]
    item = column[answers.item]
    if question == "new":
        fresh = ~_in(answers.user.astype(np.int64) * wide + item, _touched(train, dataset, row))
        fresh &= ~_repeated(answers)
        answers, case, item = answers.take(fresh), case[fresh], item[fresh]
    first = np.full(owner.size, _LAST)
    np.minimum.at(first, case, answers.time)
    histories: list[History] = []
    if protocol == "next":
        hidden = distinct(case * len(dataset.items) + answers.item)
        only_visit = question == "any"
        histories = _histories(train, dataset, owner, first, window.start, hidden, only_visit=only_visit)
        first[[place for place, history in enumerate(histories) if not history.products.size]] = _LAST

    asked = np.flatnonzero(first < _LAST)
    place = np.full(first.size, -1, dtype=np.int64)
    place[asked] = np.arange(asked.size)
    kept = place[case] >= 0
    keys = distinct(place[case[kept]] * wide + item[kept])
    indptr = np.searchsorted(keys, np.arange(asked.size + 1) * wide)
    relevant = sparse.csr_matrix(
        (np.ones(keys.size, dtype=bool), keys % max(wide, 1), indptr), shape=(asked.size, wide)
    )
    come_with = tuple(histories[each] for each in asked.tolist()) if protocol == "next" else None
    return HeldOut(question, dataset.users.ids[owner[asked]], relevant, come_with, first[asked])


def _cases(answers: Events, most: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The questions that successes answer.

    A question begins with a success; others at the same time, or of its session within an hour, answer it
    too. A user has at most `most`.

    Returns
    -------
    case : int64, shape (successes,)
        Which question each success answers, -1 for none.
    owner : int64, shape (questions,)
        The user row of each question.
    """
    case = np.full(len(answers), -1, dtype=np.int64)
    owner: list[int] = []
    order = np.argsort(answers.user, kind="stable")  # in each user, in order of time
    user, began, sessions, count = -1, _LAST, set[int](), 0
    for at in order.tolist():
        who, time, session = int(answers.user[at]), int(answers.time[at]), int(answers.session[at])
        if who != user:
            user, began, count = who, -_LAST, 0
        same = time == began or (session != 0 and session in sessions and time - began <= HOUR)
        if not same:
            if count >= most:
                continue
            began, sessions, count = time, set(), count + 1
            owner.append(who)
        if time == began and session:
            sessions.add(session)
        if owner[-1] == who:
            case[at] = len(owner) - 1
    return case, np.array(owner, dtype=np.int64)


def _in(keys: npt.NDArray[np.int64], known: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = np.append(known, _LAST)[np.searchsorted(known, keys)] == keys
    return found


def _repeated(answers: Events) -> npt.NDArray[np.bool_]:
    """Successes of a user with a product that an earlier one, at another time, was about already."""
    pairs = np.stack([answers.user.astype(np.int64), answers.item.astype(np.int64)])
    _, pair = np.unique(pairs, axis=1, return_inverse=True)
    first = np.full(pair.max(initial=-1) + 1, _LAST)
    np.minimum.at(first, pair, answers.time)
    repeated: npt.NDArray[np.bool_] = answers.time > first[pair]
    return repeated


def _touched(train: Dataset, dataset: Dataset, row: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """User row of `dataset` × items of `train` + item, ascending, of every pair that `train` has touched."""
    back = np.full(len(train.users) + 1, -1, dtype=np.int64)
    back[row] = np.arange(row.size)  # users unknown to `train` write the last entry
    touched = train.touched
    owner = np.repeat(back[:-1], np.diff(touched.indptr))
    keys: npt.NDArray[np.int64] = owner * len(train.items) + touched.indices
    return keys


def _histories(
    train: Dataset,
    dataset: Dataset,
    owner: npt.NDArray[np.int64],
    first: npt.NDArray[np.int64],
    start: int,
    hidden: npt.NDArray[np.int64],
    *,
    only_visit: bool,
) -> list[History]:
    """The history that each question comes with: its user's events before it, ages as of `train`'s moment.

    Parameters
    ----------
    owner, first : int64, shape (questions,)
        User row and time of each question, _LAST for a question that is not evaluated.
    start
        Start of the window.
    hidden : int64, increasing
        question × items + item, rows of `dataset`: pairs whose events after `start` are taken out.
    only_visit
        Only those in the visit of the question's success are.
    """
    events, wide = dataset.events, len(dataset.items)
    needed = np.zeros(len(dataset.users) + 1, dtype=bool)
    needed[owner[first < _LAST]] = True
    rows = np.flatnonzero(needed[np.asarray(events.user)])  # a guest's -1 reads the last entry
    rows = rows[np.argsort(np.asarray(events.user)[rows], kind="stable")]
    past = events.take(rows)
    weight = dataset.weights.weigh(past.kind, past.value, past.time, train.moment)
    products, bounds = dataset.items.ids[past.item], np.searchsorted(past.user, [owner, owner + 1])
    found: list[History] = []
    for place, (low, high) in enumerate(bounds.T.tolist()):
        if first[place] == _LAST:
            found.append(History.of(np.empty(0, np.int64)))
            continue
        stop = low + int(np.searchsorted(past.time[low:high], first[place]))
        keep = np.arange(low, stop)
        late = past.time[keep] > start
        if only_visit:
            # by time as well as by session: orders often come without the session of the views before them
            pauses = np.flatnonzero(np.diff(past.time[low : stop + 1]) > VISIT_GAP)
            begins = low + int(pauses[-1]) + 1 if pauses.size else low
            session = past.session[stop]
            late &= (keep >= begins) | ((past.session[keep] == session) & (session != 0))
        keep = keep[~(late & _in(place * wide + past.item[keep].astype(np.int64), hidden))]
        found.append(History(products[keep], weight[keep], past.time[keep]))
    return found
