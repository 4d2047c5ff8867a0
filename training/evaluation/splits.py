"""What a test asks: models learn what was known at T and are asked what each user took up after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.ids import IdMap
from features.interactions import MICROSECONDS_PER_DAY, Events, History
from features.splitting.holdout import HeldOut, Protocol, Question, choose_protocol, held_out
from features.splitting.windows import Window, holdout_windows
from features.target import Target
from recsys.domains.recommendations.types import INTERACTION_TYPES
from recsys.errors import Invalid
from training.evaluation.item_stats import ItemStatistics, describe
from training.evaluation.leaks import assert_history_first, assert_no_leak

__all__ = [
    "KINDS",
    "VIEWS",
    "Fold",
    "Kind",
    "Split",
    "View",
    "test_window",
    "time_split",
    "untested",
    "window_split",
    "with_target",
]

Kind = Literal["time", "rolling", "last-n", "cold-users", "cold-items"]
KINDS: tuple[Kind, ...] = ("time", "rolling", "last-n", "cold-users", "cold-items")

View = Literal["all", "new"]
VIEWS: tuple[View, ...] = ("all", "new")
"""`all`: every product counts, bought before or not; `new`: only products the user had never touched."""

QUESTIONS: dict[View, Question] = {"all": "any", "new": "new"}

NOTE = "models learn everything up to the cutoff and are asked what users took up after it"


PURCHASE = INTERACTION_TYPES.index("purchase")
REASONS = (
    "product_unknown_at_cutoff",
    "product_hidden",
    "not_the_next",
    "product_not_cold",
    "not_the_last",
    "given_as_history",
    "user_without_history",
    "user_without_later_events",
    "user_not_cold",
    "user_not_drawn",
    "user_with_too_few_events",
    "user_unknown_at_cutoff",
)
"""Why an event of a known user is not asked for, the most frequent first."""


@dataclass(frozen=True, eq=False)
class Fold:
    """What one view asks: for each user the products that would have been right.

    Attributes
    ----------
    users : int64, shape (n,)
        Ids; each user has at least one relevant product.
    relevant : csr of bool, shape (n, items of the training dataset)
        The right products; sorted indices.
    bought : csr of float32, shape as `relevant`
        How often what is relevant was bought in the test period.
    asked_at : int64, shape (n,)
        Time of the first event that is asked for, microseconds since 1970-01-01 UTC.
    histories
        What the users come with where the model has not seen it; None: the model's own training data.
    """

    view: View
    users: npt.NDArray[np.int64]
    relevant: sparse.csr_matrix
    bought: sparse.csr_matrix
    asked_at: npt.NDArray[np.int64]
    histories: tuple[History, ...] | None = None

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """How many products would have been right, per user; int64, shape (n,)."""
        return np.diff(self.relevant.indptr).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Split:
    """Training data up to `cutoff` and one fold per view after it.

    Attributes
    ----------
    cutoff, until
        Microseconds since 1970-01-01 UTC; the test period is (cutoff, until].
    events
        Counts of the test period's events by what became of them; they add up to `total`.
    users
        Counts of the users seen in the test period, the same way; `kept_in_view_new` is counted beside them.
    note
        What this kind of split asks and asserts, in words.
    costs : float64, shape (items of `train`,), or None
        Cost price in the shop's currency, NaN where unknown; None: nobody looked them up.

    Raises
    ------
    Invalid
        When the future leaks in.
    """

    train: Dataset
    folds: dict[View, Fold]
    cutoff: int
    until: int
    events: dict[str, int]
    users: dict[str, int]
    kind: Kind = "time"
    note: str = NOTE
    costs: npt.NDArray[np.float64] | None = None
    guests: Events | None = None
    """Events of guests in the test period, item rows of `train` (-1: unknown then)."""
    taken: sparse.csr_matrix | None = None
    """bool (users, items of `train`): every success of the test period; None where nothing was held out."""
    protocol: Protocol = "window"
    why: str = ""
    """Why this protocol, one sentence; empty for the kinds of split that have only one."""
    problem: str = ""
    """Why nobody can be asked; empty where somebody is."""

    def __post_init__(self) -> None:
        assert_no_leak(self.train, self.cutoff)
        for fold in self.folds.values():
            assert_history_first(fold.asked_at, fold.histories, self.cutoff)

    @cached_property
    def only(self) -> npt.NDArray[np.int64] | None:
        """The products that lists are made of, int64 ids; None where all of them can be shown."""
        active = self.train.item_features.active
        return None if active.all() else self.train.items.ids[active]

    @cached_property
    def facts(self) -> ItemStatistics:
        """What is known of each training item, for the figures beyond accuracy; computed once."""
        return describe(self.train, self.costs)


def time_split(
    dataset: Dataset,
    test_days: float | None = None,
    *,
    min_events: int = 1,
    positive: Sequence[str] | None = None,
    protocol: Protocol | None = None,
    most_users: int | None = None,
) -> Split:
    """Hold out the last window that can be evaluated, or the last `test_days`.

    `features.splitting.windows` chooses the window.

    Parameters
    ----------
    test_days
        Length of the test period; None: the window decides.
    min_events
        Events that a user needs before what is asked for.
    positive
        Interaction types that are a success, in place of the dataset's target.
    protocol
        How users are asked; None: as `features.splitting.protocol` chooses.
    most_users
        Of more users than that, so many are drawn and judged; None: all are.

    Raises
    ------
    Invalid
        When either side of the cutoff is empty, when no window can be judged, and when nothing of the window
        can be.
    """
    aimed = with_target(dataset, positive)
    window = test_window(aimed, test_days)
    return window_split(aimed, window, min_events=min_events, protocol=protocol, most_users=most_users)


def with_target(dataset: Dataset, positive: Sequence[str] | None) -> Dataset:
    """The dataset with other types as its target; None: its own."""
    if positive is None:
        return dataset
    reason = f"{', '.join(positive)} are the target by [split] positive."
    return replace(dataset, target=Target(dict.fromkeys(positive, 1.0), reason))


def test_window(dataset: Dataset, test_days: float | None) -> Window:
    """The last window that can be judged, or the last `test_days`. Raises Invalid where there is none."""
    if test_days is not None:
        return Window(dataset.moment - round(test_days * MICROSECONDS_PER_DAY), dataset.moment)
    windows = holdout_windows(dataset, 1)
    if not windows:
        raise Invalid(
            f"too few users come back for a success ({', '.join(dataset.target.types)}) at a later time, so "
            "no part of the data can be held out"
        )
    return windows[-1]


def window_split(
    dataset: Dataset,
    window: Window,
    *,
    min_events: int = 1,
    protocol: Protocol | None = None,
    most_users: int | None = None,
) -> Split:
    """Hold out one window, by `features.splitting.holdout`; arguments and errors as of `time_split`."""
    train = dataset.until(window.start)
    inside = (dataset.events.time > window.start) & (dataset.events.time <= window.end)
    later = dataset.events.take(inside)
    refuse_empty(dataset, train, later, window.start, (window.end - window.start) / MICROSECONDS_PER_DAY)
    chosen, why = choose_protocol(dataset)
    if protocol is not None and protocol != chosen:
        chosen, why = protocol, "The protocol was asked for."
    held = {view: held_out(train, dataset, window, chosen, QUESTIONS[view]) for view in VIEWS}
    drawn, others = _drawn([each.users for each in held.values()], most_users)
    folds = {view: _fold(view, held[view], train, dataset, later, min_events, drawn) for view in VIEWS}
    reason = _reasons_of(later, train, dataset, chosen, folds["all"], min_events, others)
    if not (reason == "kept").any():
        raise Invalid(f"no event of the test period can be judged ({counts_of(reason)})")
    item = train.items.index(dataset.items.ids)[later.item]
    guests = later.user < 0
    return Split(
        train,
        folds,
        window.start,
        window.end,
        counts_of(reason),
        count_users(dataset, later, reason, folds),
        guests=replace(later.take(guests), item=item[guests].astype(np.int32)),
        taken=_taken(train, dataset, later, item),
        protocol=chosen,
        why=why,
    )


def _taken(train: Dataset, dataset: Dataset, later: Events, item: npt.NDArray[np.int64]) -> sparse.csr_matrix:
    """Every success of known users with known products, csr bool (users, items of `train`)."""
    user = np.where(later.user >= 0, train.users.index(dataset.users.ids)[later.user], -1)
    success = dataset.target.mask(later) & (user >= 0) & (item >= 0)
    ones = np.ones(int(success.sum()), dtype=bool)
    shape = (len(train.users), len(train.items))
    return sparse.csr_matrix((ones, (user[success], item[success])), shape=shape, dtype=bool)


def untested(dataset: Dataset, why: str) -> Split:
    """All of the data to learn from and nobody to ask, where no test is possible; `why` says so in words."""
    train, nobody = dataset.until(dataset.moment), np.empty(0, dtype=np.int64)
    parts = (np.empty(0, np.float32), nobody, np.zeros(1, np.int64))
    nothing = sparse.csr_matrix(parts, shape=(0, len(train.items)))
    folds: dict[View, Fold] = {
        view: Fold(view, nobody, sparse.csr_matrix(nothing.astype(bool)), nothing, nobody) for view in VIEWS
    }
    counts = {"total": 0, "kept": 0}
    users = {**counts, "kept_in_view_new": 0}
    moment = dataset.moment
    return Split(train, folds, moment, moment, counts, users, note=why, problem=why)


def _drawn(
    asked: Sequence[npt.NDArray[np.int64]], most: int | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The ids of at most `most` of the users who are asked anything, and the ids of the others."""
    users = np.unique(np.concatenate(asked))
    if most is None or users.size <= most:
        return users, users[:0]
    # a permutation, so that fewer users are a part of more users
    order = np.random.default_rng(0).permutation(users.size)
    return np.sort(users[order[:most]]), np.sort(users[order[most:]])


def _fold(
    view: View,
    asked: HeldOut,
    train: Dataset,
    dataset: Dataset,
    later: Events,
    min_events: int,
    drawn: npt.NDArray[np.int64],
) -> Fold:
    if asked.histories is None:
        known = np.bincount(train.events.user[train.events.user >= 0], minlength=len(train.users))
        events = known[train.users.index(asked.users)]
    else:
        events = np.array([history.products.size for history in asked.histories], dtype=np.int64)
    keep = np.flatnonzero((events >= min_events) & np.isin(asked.users, drawn))
    users, relevant = asked.users[keep], sparse.csr_matrix(asked.relevant[keep])
    paid = later.take((later.kind == PURCHASE) & (later.user >= 0))
    row = IdMap(users).index(dataset.users.ids)[paid.user]
    item = train.items.index(dataset.items.ids)[paid.item]
    there = (row >= 0) & (item >= 0)
    pairs = (np.ones(int(there.sum()), np.float32), (row[there], item[there]))
    bought = sparse.coo_matrix(pairs, shape=relevant.shape).tocsr().multiply(relevant).tocsr()
    bought.sort_indices()
    histories = None if asked.histories is None else tuple(asked.histories[each] for each in keep.tolist())
    return Fold(view, users, relevant, bought.astype(np.float32), asked.asked_at[keep], histories)


def _reasons_of(
    later: Events,
    train: Dataset,
    dataset: Dataset,
    protocol: Protocol,
    fold: Fold,
    min_events: int,
    not_drawn: npt.NDArray[np.int64],
) -> npt.NDArray[np.object_]:
    """What became of each event of the test period: kept, or why it is not asked for."""
    item = train.items.index(dataset.items.ids)[later.item]
    user = np.append(train.users.index(dataset.users.ids), -1)[later.user]
    before = np.bincount(train.events.user[train.events.user >= 0], minlength=len(train.users))
    asked = np.append(IdMap(fold.users).index(dataset.users.ids), -1)[later.user]
    reason = np.full(len(later), "not_the_next", dtype=object)
    if protocol == "window":
        reason[np.append(before, 0)[user] < min_events] = "user_with_too_few_events"
        reason[user < 0] = "user_unknown_at_cutoff"
    else:
        reason[asked < 0] = "user_without_history"
    reason[np.append(np.isin(dataset.users.ids, not_drawn), False)[later.user]] = "user_not_drawn"
    reason[item < 0] = "product_unknown_at_cutoff"
    reason[~dataset.item_features.active[later.item]] = "product_hidden"
    reason[later.user < 0] = "guest"
    success = dataset.target.mask(later)
    reason[~success] = "no_positive_evidence"
    owner = np.repeat(np.arange(fold.users.size, dtype=np.int64), np.diff(fold.relevant.indptr))
    right = owner * len(train.items) + fold.relevant.indices
    reason[success & (asked >= 0) & (item >= 0) & np.isin(asked * len(train.items) + item, right)] = "kept"
    return reason


def folds_of(
    ids: npt.NDArray[np.int64],
    user: npt.NDArray[np.int64],
    item: npt.NDArray[np.int64],
    events: Events,
    seen: sparse.csr_matrix,
    histories: Sequence[History] | None = None,
) -> dict[View, Fold]:
    """One fold per view from the events that are asked for.

    Parameters
    ----------
    ids : int64, shape (n,)
        Ids of the users.
    user, item : int64, shape (events,)
        The place in `ids` and the item row of each event.
    events
        What is asked for.
    seen : csr, shape (n, items)
        A stored entry, be it zero, for whatever the user touched before.
    histories
        Of each of `ids`; None: what the model learned of them.
    """
    shape = (ids.size, seen.shape[1])
    paid = (events.kind == PURCHASE).astype(np.float32)
    bought = sparse.coo_matrix((paid, (user, item)), shape=shape).tocsr()
    pairs = sparse.coo_matrix((np.ones(user.size, np.int8), (user, item)), shape=shape).tocsr()
    pairs.data[:] = 1  # an item bought twice is one right answer
    touched = seen.copy()
    touched.data = np.ones_like(touched.data)
    fresh = (pairs - pairs.multiply(touched.astype(np.int8))).tocsr()
    asked_at = np.full(ids.size, np.iinfo(np.int64).max)
    np.minimum.at(asked_at, user, events.time)
    found: dict[View, Fold] = {}
    views: tuple[tuple[View, sparse.csr_matrix], ...] = (("all", pairs), ("new", fresh))
    for view, wanted in views:
        wanted.eliminate_zeros()
        wanted.sort_indices()
        rows = np.flatnonzero(np.diff(wanted.indptr))
        right = sparse.csr_matrix(wanted[rows].astype(bool))
        amount = sparse.csr_matrix(bought[rows].multiply(right)).astype(np.float32)
        amount.eliminate_zeros()
        amount.sort_indices()
        of_rows = None if histories is None else tuple(histories[row] for row in rows.tolist())
        found[view] = Fold(view, ids[rows], right, amount, asked_at[rows], of_rows)
    return found


def refuse_empty(dataset: Dataset, train: Dataset, later: Events, cutoff: int, test_days: float) -> None:
    if len(train.events) and len(later):
        return
    times = dataset.events.time
    days = (times[-1] - times[0]) / MICROSECONDS_PER_DAY if len(times) else 0.0
    side = "after" if len(train.events) else "before"
    when = f"{datetime.fromtimestamp(cutoff / 1e6, UTC):%Y-%m-%d %H:%M}"
    raise Invalid(
        f"no event lies {side} the cutoff {when}: the data spans "
        f"{days:.1f} days and the test period is {test_days:g}; choose a test period inside the data"
    )


def counts_of(reason: npt.NDArray[np.object_]) -> dict[str, int]:
    words, counts = np.unique(reason.astype(str), return_counts=True)
    named = {str(word): int(count) for word, count in zip(words, counts, strict=True)}
    return {"total": int(reason.size), "kept": named.pop("kept", 0), **named}


def count_users(
    dataset: Dataset, later: Events, reason: npt.NDArray[np.object_], folds: dict[View, Fold]
) -> dict[str, int]:
    """Each user once, by the reason that came furthest: kept before anything else."""
    known = later.user >= 0
    ranked = ("kept", *REASONS)
    best = np.full(len(dataset.users), len(ranked) + 1, dtype=np.int64)
    order = np.full(len(later), len(ranked), dtype=np.int64)
    for place, word in enumerate(ranked):
        order[reason == word] = place
    np.minimum.at(best, later.user[known], order[known])
    counts = {
        word: int((best == place).sum()) for place, word in enumerate((*ranked, "no_positive_evidence"))
    }
    kept = {"kept": counts.pop("kept"), "kept_in_view_new": int(folds["new"].users.size)}
    return {"total": int((best <= len(ranked)).sum()), **kept, **{word: n for word, n in counts.items() if n}}
