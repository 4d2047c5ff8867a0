"""The other tests: several periods, each user's last events, users and products that the model never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Cut, Dataset
from features.interactions import MICROSECONDS_PER_DAY, Events, History
from features.splitting.windows import Window, holdout_windows
from recsys.errors import Invalid
from training.evaluation.splits import (
    Kind,
    Split,
    count_users,
    counts_of,
    folds_of,
    refuse_empty,
    test_window,
    time_split,
    window_split,
    with_target,
)

__all__ = ["SplitPlan", "cold_items", "cold_users", "last_n", "make_splits", "rolling"]


@dataclass(frozen=True)
class SplitPlan:
    """What to hold out.

    Attributes
    ----------
    test_days
        Length of the test period (of each, for rolling ones); None: as `features.splitting.windows` chooses.
    folds
        How many periods, one after the other up to the end of the data (rolling).
    last
        How many of each user's last events are asked for (last-n).
    share
        Share of users or products that are hidden from training, above 0 and below 1 (cold-users,
        cold-items).
    given
        With how many events a cold user comes.
    min_events
        Events a user needs before the cutoff (time, rolling, cold-items).
    positive
        Interaction types that are a success; None: those of the dataset's target.
    seed
        Chooses who is hidden.
    most_users
        Of more users, so many are drawn and judged (time, rolling); None: all are.

    Raises
    ------
    Invalid
        For counts below 1, days of 0 or less, or another share.
    """

    test_days: float | None = None
    folds: int = 3
    last: int = 5
    share: float = 0.2
    given: int = 5
    min_events: int = 1
    positive: tuple[str, ...] | None = None
    seed: int = 0
    most_users: int | None = None

    def __post_init__(self) -> None:
        for name in ("folds", "last", "given", "min_events"):
            if getattr(self, name) < 1:
                raise Invalid(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.test_days is not None and not self.test_days > 0:
            raise Invalid(f"test_days must be more than 0, not {self.test_days:g}")
        if not 0 < self.share < 1:
            raise Invalid(f"share must lie between 0 and 1, not {self.share:g}")


def make_splits(kind: Kind, dataset: Dataset, plan: SplitPlan) -> list[Split]:
    """The splits of that kind: one, or up to `plan.folds` rolling ones, earliest first."""
    if kind == "rolling":
        return rolling(dataset, plan)
    dataset = with_target(dataset, plan.positive)
    if kind == "last-n":
        return [last_n(dataset, plan)]
    if kind == "cold-users":
        return [cold_users(dataset, plan)]
    if kind == "cold-items":
        return [cold_items(dataset, plan)]
    return [time_split(dataset, plan.test_days, min_events=plan.min_events, most_users=plan.most_users)]


def rolling(dataset: Dataset, plan: SplitPlan) -> list[Split]:
    """Time splits whose test periods follow one another; each model learns all that came before its own.

    Fewer than `plan.folds` where the data cannot give so many periods of a length that they choose.
    """
    dataset = with_target(dataset, plan.positive)
    if plan.test_days is None:
        windows = holdout_windows(dataset, plan.folds) or [test_window(dataset, None)]
    else:
        length = round(plan.test_days * MICROSECONDS_PER_DAY)
        ends = [dataset.moment - back * length for back in range(plan.folds - 1, -1, -1)]
        windows = [Window(end - length, end) for end in ends]
    splits = []
    for number, window in enumerate(windows, start=1):
        try:
            split = window_split(dataset, window, min_events=plan.min_events, most_users=plan.most_users)
        except Invalid as error:
            raise Invalid(
                f"rolling fold {number} of {len(windows)}: {error.message}; or ask for fewer folds"
            ) from error
        note = f"period {number} of {len(windows)}: {split.note}"
        splits.append(replace(split, kind="rolling", note=note))
    return splits


def last_n(dataset: Dataset, plan: SplitPlan) -> Split:
    """Each user's last `plan.last` pieces of evidence after the cutoff, from all they did before those.

    The usual leave-last-n-out trains on what others did later than a user's last events; here the model
    learns up to one cutoff for all, and a user's later events reach it as a history only.
    """
    later, window = _later(dataset, plan)
    cutoff = window.start
    train = dataset.until(cutoff)
    refuse_empty(dataset, train, later, cutoff, (window.end - cutoff) / MICROSECONDS_PER_DAY)
    item = train.items.index(dataset.items.ids)[later.item]
    reason = _reasons(dataset, later, item)
    fit = np.flatnonzero(reason == "kept")
    # events are in order of time: the last n of each user are the first n from behind
    order = fit[np.lexsort((-fit, later.user[fit]))]
    place = _place_in_run(later.user[order])
    reason[order[place >= plan.last]] = "not_the_last"
    first = _first_asked(later, reason, len(dataset.users))
    events = dataset.events.take(dataset.events.user >= 0)
    before = events.take(events.time < first[events.user])
    histories = _histories(dataset, before, cutoff)
    _without(reason, later, histories, "user_without_history")
    note = (
        f"models learn up to the cutoff and get each user's later events as a history; asked are the last "
        f"{plan.last} of each user, and nobody comes with an event as late as what is asked"
    )
    return _foldin(dataset, train, later, item, reason, histories, before, window, "last-n", note)


def cold_users(dataset: Dataset, plan: SplitPlan) -> Split:
    """Users whom training never saw come with their first `plan.given` events after the cutoff.

    Hidden are a share of all users, whole; users who are new after the cutoff are cold by themselves.
    """
    later, window = _later(dataset, plan)
    cutoff = window.start
    hidden = np.random.default_rng([plan.seed, 11]).random(len(dataset.users)) < plan.share
    train = _without_users(dataset, hidden).until(cutoff)
    refuse_empty(dataset, train, later, cutoff, (window.end - cutoff) / MICROSECONDS_PER_DAY)
    cold = train.users.index(dataset.users.ids) < 0
    item = train.items.index(dataset.items.ids)[later.item]
    reason = _reasons(dataset, later, item)
    known = later.user >= 0
    reason[known & ~np.append(cold, False)[later.user]] = "user_not_cold"
    mine = np.flatnonzero(known & np.append(cold, False)[later.user])
    order = mine[np.argsort(later.user[mine], kind="stable")]
    place = _place_in_run(later.user[order])
    boundary = np.full(len(dataset.users), np.iinfo(np.int64).max)
    reached = order[place == plan.given - 1]
    boundary[later.user[reached]] = later.time[reached]
    # events of one moment are one basket: it is given whole
    given = mine[later.time[mine] <= boundary[later.user[mine]]]
    reason[given] = "given_as_history"
    before = later.take(given)
    histories = _histories(dataset, before, cutoff)
    asked = np.zeros(len(dataset.users) + 1, dtype=bool)
    asked[later.user[reason == "kept"]] = True
    reason[known & (reason == "given_as_history") & ~asked[later.user]] = "user_without_later_events"
    note = (
        f"{plan.share:.0%} of all users are hidden from training, whole; they, and users new after the "
        f"cutoff, come with their first {plan.given} events and are asked for what follows those"
    )
    return _foldin(dataset, train, later, item, reason, histories, before, window, "cold-users", note)


def cold_items(dataset: Dataset, plan: SplitPlan) -> Split:
    """Products without any event in training: a share of all, their events removed, and those never touched.

    The whole catalogue is ranked all the same; right are only the cold ones, and models know of them what
    the catalogue says. A product that came into the catalogue after the cutoff cannot be asked for.
    """
    later, window = _later(dataset, plan)
    cutoff = window.start
    hidden = np.random.default_rng([plan.seed, 12]).random(len(dataset.items)) < plan.share
    shown = replace(
        dataset,
        events=dataset.events.take(~hidden[dataset.events.item]),
        cut=Cut(
            dataset.cut.events.take(~hidden[dataset.cut.events.item]),
            dataset.cut.reason[~hidden[dataset.cut.events.item]],
        ),
    )
    train = shown.until(cutoff)
    refuse_empty(dataset, train, later, cutoff, (window.end - cutoff) / MICROSECONDS_PER_DAY)
    item = train.items.index(dataset.items.ids)[later.item]
    user = np.append(train.users.index(dataset.users.ids), -1)[later.user]
    touched = np.zeros(len(train.items) + 1, dtype=bool)
    touched[train.events.item] = True
    enough = np.bincount(train.events.user[train.events.user >= 0], minlength=len(train.users))
    reason = _reasons(dataset, later, item)
    kept = reason == "kept"
    reason[kept & touched[item]] = "product_not_cold"
    reason[kept & (np.append(enough, 0)[user] < plan.min_events)] = "user_with_too_few_events"
    reason[kept & (user < 0)] = "user_unknown_at_cutoff"
    kept = reason == "kept"
    _refuse_none(reason)
    folds = folds_of(train.users.ids, user[kept], item[kept], later.take(kept), train.touched)
    note = (
        f"{plan.share:.0%} of all products lose every event in training; right are only products that "
        "nobody had touched, among the whole catalogue"
    )
    users = count_users(dataset, later, reason, folds)
    return Split(train, folds, window.start, window.end, counts_of(reason), users, "cold-items", note)


def _later(dataset: Dataset, plan: SplitPlan) -> tuple[Events, Window]:
    window = test_window(dataset, plan.test_days)
    times = dataset.events.time
    return dataset.events.take((times > window.start) & (times <= window.end)), window


def _reasons(dataset: Dataset, later: Events, item: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
    reason = np.full(len(later), "kept", dtype=object)
    reason[item < 0] = "product_unknown_at_cutoff"
    reason[later.user < 0] = "guest"
    reason[~dataset.item_features.active[later.item]] = "product_hidden"
    reason[~dataset.target.mask(later)] = "no_positive_evidence"
    return reason


def _refuse_none(reason: npt.NDArray[np.object_]) -> None:
    if not (reason == "kept").any():
        raise Invalid(
            f"no event of the test period can be judged ({counts_of(reason)}); "
            "use more test days, or another split"
        )


def _foldin(
    dataset: Dataset,
    train: Dataset,
    later: Events,
    item: npt.NDArray[np.int64],
    reason: npt.NDArray[np.object_],
    histories: Sequence[History],
    before: Events,
    window: Window,
    kind: Kind,
    note: str,
) -> Split:
    kept = reason == "kept"
    _refuse_none(reason)
    shape = (len(dataset.users), len(train.items))
    column = train.items.index(dataset.items.ids)[before.item]
    there = column >= 0
    seen = sparse.coo_matrix(
        (np.ones(int(there.sum()), np.float32), (before.user[there], column[there])), shape=shape
    ).tocsr()
    folds = folds_of(
        dataset.users.ids, later.user[kept].astype(np.int64), item[kept], later.take(kept), seen, histories
    )
    users = count_users(dataset, later, reason, folds)
    return Split(train, folds, window.start, window.end, counts_of(reason), users, kind, note)


def _histories(dataset: Dataset, events: Events, moment: int) -> list[History]:
    """What each user of the dataset comes with, in order of time; ages count from the cutoff."""
    order = np.argsort(events.user, kind="stable")
    events = events.take(order)
    weights = dataset.weights.weigh(events.kind, events.value, events.time, moment)
    bounds = np.searchsorted(events.user, np.arange(len(dataset.users) + 1))
    products = dataset.items.ids[events.item]
    return [
        History(products[start:stop], weights[start:stop], events.time[start:stop])
        for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    ]


def _without(reason: npt.NDArray[np.object_], later: Events, histories: Sequence[History], word: str) -> None:
    empty = np.append(np.array([history.products.size == 0 for history in histories], dtype=bool), False)
    reason[(reason == "kept") & empty[later.user]] = word


def _first_asked(later: Events, reason: npt.NDArray[np.object_], users: int) -> npt.NDArray[np.int64]:
    """When each user is first asked for something; the beginning of time for those who are not."""
    kept = reason == "kept"
    never = np.iinfo(np.int64).max
    first = np.full(users, never)
    np.minimum.at(first, later.user[kept], later.time[kept])
    return np.where(first == never, np.iinfo(np.int64).min, first)


def _place_in_run(values: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """0, 1, 2, … within each run of equal values."""
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1])) if values.size else np.empty(0, int)
    lengths = np.diff(np.append(starts, values.size))
    places: npt.NDArray[np.int64] = np.arange(values.size) - np.repeat(starts, lengths)
    return places


def _without_users(dataset: Dataset, hidden: npt.NDArray[np.bool_]) -> Dataset:
    """The dataset as if those users had never come: no event, no preference, no demographics."""
    gone = np.append(hidden, False)  # the last entry serves guests' -1
    preferences, demographics = dataset.preferences, dataset.demographics
    stays = ~gone[dataset.events.user]
    cut_stays = ~gone[dataset.cut.events.user]
    return replace(
        dataset,
        events=dataset.events.take(stays),
        cut=Cut(dataset.cut.events.take(cut_stays), dataset.cut.reason[cut_stays]),
        preferences=replace(preferences, updated=np.where(hidden, 0, preferences.updated)),
        demographics=replace(demographics, updated=np.where(hidden, 0, demographics.updated)),
    )
