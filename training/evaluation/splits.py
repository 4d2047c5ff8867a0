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
from features.interactions import MICROSECONDS_PER_DAY, Events, History
from recsys.domains.recommendations.vocabulary import INTERACTION_TYPES
from recsys.errors import Invalid
from training.evaluation.facts import Facts, describe

__all__ = [
    "KINDS",
    "VIEWS",
    "Fold",
    "Kind",
    "Split",
    "View",
    "assert_history_first",
    "assert_no_leak",
    "time_split",
]

Kind = Literal["time", "rolling", "last-n", "cold-users", "cold-items"]
KINDS: tuple[Kind, ...] = ("time", "rolling", "last-n", "cold-users", "cold-items")

View = Literal["all", "new"]
VIEWS: tuple[View, ...] = ("all", "new")
"""`all`: every product counts, bought before or not; `new`: only products the user had never touched."""

NOTE = "models learn everything up to the cutoff and are asked what users took up after it"


PURCHASE = INTERACTION_TYPES.index("purchase")
REASONS = (
    "product_unknown_at_cutoff",
    "product_not_cold",
    "not_the_last",
    "given_as_history",
    "user_without_history",
    "user_without_later_events",
    "user_not_cold",
    "user_with_too_few_events",
    "user_unknown_at_cutoff",
)
"""Why an event of a known user is not asked for, the one that came furthest first."""


@dataclass(frozen=True, eq=False)
class Fold:
    """What one view asks: for each user the products that would have been right.

    users      int64 ids, shape (n,); each has at least one relevant product
    relevant   csr bool, shape (n, items of the training dataset), sorted indices
    bought     csr float32, the same shape: how often what is relevant was bought in the test period
    asked_at   int64 (n,): time of the first event that is asked for, microseconds since 1970
    histories  what the users come with where the model has not seen it; None: the model's own training data
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
    """Training data up to `cutoff` and one fold per view after it. Raises Invalid when the future leaks in.

    cutoff, until  microseconds since 1970-01-01 UTC; the test period is (cutoff, until]
    events         counts of the test period's events by what became of them; they add up to `total`
    users          counts of the users seen in the test period, the same way
    note           what this kind of split asks and asserts, in words
    costs          float64 (items of `train`): cost price, NaN where unknown; None: nobody looked them up
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

    def __post_init__(self) -> None:
        assert_no_leak(self.train, self.cutoff)
        for fold in self.folds.values():
            assert_history_first(fold, self.cutoff)

    @cached_property
    def facts(self) -> Facts:
        """What is known of each training item, for the figures beyond accuracy; computed once."""
        return describe(self.train, self.costs)


def time_split(
    dataset: Dataset,
    test_days: float,
    *,
    min_events: int = 1,
    positive: Sequence[str] | None = None,
) -> Split:
    """Hold out the last `test_days` of `dataset`.

    A test event counts as evidence when its weight is positive, and its type is one of `positive` where
    that is given. A user needs `min_events` events before the cutoff. Raises Invalid when either side of
    the cutoff is empty.
    """
    cutoff = dataset.moment - round(test_days * MICROSECONDS_PER_DAY)
    train = dataset.until(cutoff)
    later = dataset.events.take(dataset.events.time > cutoff)
    refuse_empty(dataset, train, later, cutoff, test_days)

    # rows of the whole dataset → rows of the training dataset; -1 (guests) reads the last entry
    user = np.append(train.users.index(dataset.users.ids), -1)[later.user]
    item = train.items.index(dataset.items.ids)[later.item]
    before = np.bincount(train.events.user[train.events.user >= 0], minlength=len(train.users))
    enough = np.append(before >= min_events, False)

    reason = np.full(len(later), "kept", dtype=object)
    reason[item < 0] = "product_unknown_at_cutoff"
    reason[~enough[user]] = "user_with_too_few_events"
    reason[user < 0] = "user_unknown_at_cutoff"
    reason[later.user < 0] = "guest"
    reason[~is_evidence(later, dataset, positive)] = "no_positive_evidence"
    kept = reason == "kept"
    if not kept.any():
        raise Invalid(
            f"no event of the {test_days:g} test days can be judged ({counts_of(reason)}); "
            "use a longer [split] test_days"
        )
    folds = folds_of(train.users.ids, user[kept], item[kept], later.take(kept), train.touched)
    guests = later.user < 0
    return Split(
        train,
        folds,
        cutoff,
        dataset.moment,
        counts_of(reason),
        count_users(dataset, later, reason, folds),
        guests=replace(later.take(guests), item=item[guests].astype(np.int32)),
    )


def folds_of(
    ids: npt.NDArray[np.int64],
    user: npt.NDArray[np.int64],
    item: npt.NDArray[np.int64],
    events: Events,
    seen: sparse.csr_matrix,
    histories: Sequence[History] | None = None,
) -> dict[View, Fold]:
    """One fold per view from the events that are asked for, which belong to places `user` of `ids`.

    seen : csr (ids, items), a stored entry, be it zero, for whatever the user touched before.
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
        told = None if histories is None else tuple(histories[row] for row in rows.tolist())
        found[view] = Fold(view, ids[rows], right, amount, asked_at[rows], told)
    return found


def assert_history_first(fold: Fold, cutoff: int) -> None:
    """Raise Invalid when a user is asked for what came before the cutoff, or comes with what came later."""
    early = int((fold.asked_at <= cutoff).sum())
    if early:
        raise Invalid(f"{early} users of the test are asked for what happened before the cutoff")
    if fold.histories is None:
        return
    latest = np.array([told.times.max(initial=0) for told in fold.histories], dtype=np.int64)
    if late := int((latest >= fold.asked_at).sum()):
        raise Invalid(
            f"the histories of {late} users leak the future: they hold events not earlier than what is asked"
        )


def assert_no_leak(train: Dataset, cutoff: int) -> None:
    """Raise Invalid when anything in `train` is later than `cutoff` (microseconds since 1970)."""
    features, preferences = train.item_features, train.preferences
    late: dict[str, int] = {
        "events": int((train.events.time > cutoff).sum()),
        "preferences": int((preferences.updated > cutoff).sum()),
        # a product may carry a later creation date than its first sale; then the sale proves that it existed
        "products": int(((features.created > cutoff) & ~_sold(train)).sum()),
        "moment": int(train.moment > cutoff),
    }
    if found := {name: count for name, count in late.items() if count}:
        when = datetime.fromtimestamp(cutoff / 1e6, UTC).isoformat()
        listed = ", ".join(f"{count} {name}" for name, count in found.items())
        raise Invalid(f"the training data leaks the future: {listed} later than the cutoff {when}")


def _sold(train: Dataset) -> npt.NDArray[np.bool_]:
    sold = np.zeros(len(train.items), dtype=bool)
    sold[train.events.item] = True
    return sold


def is_evidence(events: Events, dataset: Dataset, positive: Sequence[str] | None) -> npt.NDArray[np.bool_]:
    weight = dataset.weights.weigh(events.kind, events.value, events.time, dataset.moment)
    evidence: npt.NDArray[np.bool_] = weight > 0
    if positive is not None:
        evidence &= np.isin(events.kind, [INTERACTION_TYPES.index(word) for word in positive])
    return evidence


def refuse_empty(dataset: Dataset, train: Dataset, later: Events, cutoff: int, test_days: float) -> None:
    if len(train.events) and len(later):
        return
    times = dataset.events.time
    days = (times[-1] - times[0]) / MICROSECONDS_PER_DAY if len(times) else 0.0
    side = "after" if len(train.events) else "before"
    when = f"{datetime.fromtimestamp(cutoff / 1e6, UTC):%Y-%m-%d %H:%M}"
    raise Invalid(
        f"no event lies {side} the cutoff {when}: the data spans "
        f"{days:.1f} days and [split] test_days is {test_days:g}; choose a test period inside the data"
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
