"""The global time split: models learn what was known at T and are asked what each user took up after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY, Events
from recsys.domains.recommendations.vocabulary import INTERACTION_TYPES
from recsys.errors import Invalid

__all__ = ["VIEWS", "Fold", "Split", "View", "assert_no_leak", "time_split"]

View = Literal["all", "new"]
VIEWS: tuple[View, ...] = ("all", "new")
"""`all`: every product counts, bought before or not; `new`: only products the user had never touched."""


@dataclass(frozen=True, eq=False)
class Fold:
    """What one view asks: for each user the products that would have been right.

    users     int64 ids, shape (n,); each has at least one relevant product
    relevant  csr bool, shape (n, items of the training dataset), sorted indices
    """

    view: View
    users: npt.NDArray[np.int64]
    relevant: sparse.csr_matrix

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """How many products would have been right, per user; int64, shape (n,)."""
        return np.diff(self.relevant.indptr).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Split:
    """Training data up to `cutoff` and one fold per view after it.

    cutoff, until  microseconds since 1970-01-01 UTC; the test period is (cutoff, until]
    events         counts of the test period's events by what became of them; they add up to `total`
    users          counts of the users seen in the test period, the same way
    """

    train: Dataset
    folds: dict[View, Fold]
    cutoff: int
    until: int
    events: dict[str, int]
    users: dict[str, int]


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
    _refuse_empty(dataset, train, later, cutoff, test_days)
    assert_no_leak(train, cutoff)

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
    reason[~_is_evidence(later, dataset, positive)] = "no_positive_evidence"
    kept = reason == "kept"
    if not kept.any():
        raise Invalid(
            f"no event of the {test_days:g} test days can be judged ({_counts(reason)}); "
            "use a longer [split] test_days"
        )
    shape = (len(train.users), len(train.items))
    pairs = sparse.coo_matrix(
        (np.ones(int(kept.sum()), np.int8), (user[kept], item[kept])), shape=shape
    ).tocsr()
    pairs.data[:] = 1  # an item bought twice is one right answer
    touched = train.touched.copy()
    touched.data = np.ones_like(touched.data)
    fresh = pairs - pairs.multiply(touched.astype(np.int8))
    folds: dict[View, Fold] = {"all": _fold("all", train, pairs), "new": _fold("new", train, fresh.tocsr())}
    return Split(
        train, folds, cutoff, dataset.moment, _counts(reason), _count_users(dataset, later, reason, folds)
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


def _is_evidence(events: Events, dataset: Dataset, positive: Sequence[str] | None) -> npt.NDArray[np.bool_]:
    weight = dataset.weights.weigh(events.kind, events.value, events.time, dataset.moment)
    evidence: npt.NDArray[np.bool_] = weight > 0
    if positive is not None:
        evidence &= np.isin(events.kind, [INTERACTION_TYPES.index(word) for word in positive])
    return evidence


def _fold(view: View, train: Dataset, pairs: sparse.csr_matrix) -> Fold:
    pairs.eliminate_zeros()
    pairs.sort_indices()
    rows = np.flatnonzero(np.diff(pairs.indptr))
    return Fold(view, train.users.ids[rows], sparse.csr_matrix(pairs[rows].astype(bool)))


def _refuse_empty(dataset: Dataset, train: Dataset, later: Events, cutoff: int, test_days: float) -> None:
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


def _counts(reason: npt.NDArray[np.object_]) -> dict[str, int]:
    words, counts = np.unique(reason.astype(str), return_counts=True)
    named = {str(word): int(count) for word, count in zip(words, counts, strict=True)}
    return {"total": int(reason.size), "kept": named.pop("kept", 0), **named}


def _count_users(
    dataset: Dataset, later: Events, reason: npt.NDArray[np.object_], folds: dict[View, Fold]
) -> dict[str, int]:
    """Each user once, by the reason that came furthest: kept before anything else."""
    known = later.user >= 0
    ranked = ("kept", "product_unknown_at_cutoff", "user_with_too_few_events", "user_unknown_at_cutoff")
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
