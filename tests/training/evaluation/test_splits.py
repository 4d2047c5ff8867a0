"""The time split: nothing of the future gets in, and everything left out is counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from features.interactions import MICROSECONDS_PER_DAY
from features.splitting.holdout import Protocol
from models.algorithms.popularity.popularity import Popularity
from recsys.errors import Invalid
from tests.training.shops import dataset_of, purchases
from training.evaluation.evaluator import evaluate
from training.evaluation.leaks import assert_no_leak
from training.evaluation.splits import Fold, time_split, untested


def _asked(fold: Fold, items: np.ndarray) -> dict[int, set[int]]:
    return {int(user): set(items[fold.relevant[[i]].indices].tolist()) for i, user in enumerate(fold.users)}


ROWS = [
    (1, 10, 0.0, "purchase"),
    (1, 11, 1.0, "view"),
    (2, 10, 2.0, "purchase"),
    (-1, 12, 3.0, "view"),
    # the cutoff: day 10
    (1, 10, 11.0, "purchase"),  # again
    (1, 11, 12.0, "purchase"),  # seen before, so not new
    (1, 12, 13.0, "purchase"),
    (1, 12, 14.0, "view"),  # no success: the shop sells
    (2, 99, 15.0, "purchase"),  # did not exist
    (3, 10, 16.0, "purchase"),  # came later
    (-1, 10, 17.0, "purchase"),
    (2, 11, 20.0, "dismissed"),
]


def test_two_views_and_every_reason() -> None:
    split = time_split(dataset_of(ROWS, created={99: 14.0}), 10)
    assert split.cutoff == split.until - 10 * MICROSECONDS_PER_DAY
    items = split.train.items.ids
    assert 99 not in items
    assert _asked(split.folds["all"], items) == {1: {10, 11, 12}}
    assert _asked(split.folds["new"], items) == {1: {12}}
    assert split.events == {
        "total": 8,
        "kept": 3,
        "guest": 1,
        "no_positive_evidence": 2,
        "product_unknown_at_cutoff": 1,
        "user_unknown_at_cutoff": 1,
    }
    assert split.users == {
        "total": 3,
        "kept": 1,
        "kept_in_view_new": 1,
        "product_unknown_at_cutoff": 1,
        "user_unknown_at_cutoff": 1,
    }


def test_only_the_types_asked_for_and_users_with_enough_events() -> None:
    split = time_split(dataset_of(ROWS, created={99: 14.0}), 10, positive=["view"])
    assert _asked(split.folds["all"], split.train.items.ids) == {1: {12}}
    with pytest.raises(Invalid, match="user_with_too_few_events"):
        time_split(dataset_of(ROWS), 10, min_events=3)


def test_an_event_at_the_cutoff_is_past() -> None:
    rows = [(1, 10, 0.0, "purchase"), (1, 11, 5.0, "purchase"), (1, 12, 10.0, "purchase")]
    split = time_split(dataset_of(rows), 5)
    assert len(split.train.events) == 2
    assert _asked(split.folds["all"], split.train.items.ids) == {1: {12}}


def test_counts_add_up_and_folds_are_as_sparse_as_the_events() -> None:
    rows = [(user, product, day, "purchase") for user, product, day in purchases()]
    split = time_split(dataset_of(rows), 12)
    assert split.events["total"] == sum(n for word, n in split.events.items() if word != "total")
    assert split.events["total"] + len(split.train.events) == len(rows)
    every, fresh = split.folds["all"], split.folds["new"]
    assert (every.sizes > 0).all()
    touched = split.train.touched[split.train.users.index(fresh.users)]
    assert touched.multiply(fresh.relevant).nnz == 0
    assert fresh.relevant.nnz < every.relevant.nnz <= split.events["kept"]


def test_a_planted_leak_is_caught() -> None:
    rows = [(user, product, day, "purchase") for user, product, day in purchases()]
    whole = dataset_of(rows)
    split = time_split(whole, 12)
    assert_no_leak(split.train, split.cutoff)
    with pytest.raises(Invalid, match=r"leaks the future: \d+ events, 1 moment"):
        assert_no_leak(whole, split.cutoff)
    events = split.train.events
    late = events.time.copy()
    late[-1] = split.cutoff + 1
    with pytest.raises(Invalid, match="1 events later"):
        assert_no_leak(replace(split.train, events=replace(events, time=late)), split.cutoff)
    updated = split.train.preferences.updated.copy()
    updated[0] = split.cutoff + 1
    preferences = replace(split.train.preferences, updated=updated)
    with pytest.raises(Invalid, match="1 preferences"):
        assert_no_leak(replace(split.train, preferences=preferences), split.cutoff)


@pytest.mark.parametrize(("days", "message"), [(1000.0, "before the cutoff"), (1e-12, "after the cutoff")])
def test_a_test_period_outside_the_data_is_refused(days: float, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        time_split(dataset_of([(1, 10, 0.0, "purchase"), (1, 11, 20.0, "purchase")]), days)


def test_without_test_days_the_window_follows_the_data_and_a_hidden_product_is_never_right() -> None:
    rows = [(user, product, day, "purchase") for user, product, day in purchases()]
    whole = dataset_of([*rows, (1, 1, 400.0, "view")])
    split = time_split(whole)
    assert (split.until - split.cutoff) / MICROSECONDS_PER_DAY == 10
    assert split.users["kept"] == 60
    assert split.protocol == "window"
    assert "2,400 successes" in split.why
    active = whole.items.ids != 2
    shown = time_split(replace(whole, item_features=replace(whole.item_features, active=active)))
    assert shown.only is not None
    assert 2 not in shown.only
    hidden = int(shown.train.items.index([2])[0])
    assert all(fold.relevant[:, [hidden]].nnz == 0 for fold in shown.folds.values())
    assert shown.events["product_hidden"] > 0
    for fold in shown.folds.values():
        lists = evaluate(Popularity().fit(shown.train), shown, (40,)).views[fold.view]
        assert not (lists.products == 2).any()
        assert lists.coverage[0] == 1.0  # all that can be shown was


def test_a_shop_with_lead_in_events_is_asked_for_the_next_success() -> None:
    rows = [(user, product, day, "purchase") for user, product, day in purchases()]
    views = [(user, product, day - 0.01, "view") for user, product, day, _ in rows if day > 1]
    carts = [(user, product, day - 0.005, "add_to_cart") for user, product, day, _ in rows if day > 1]
    split = time_split(dataset_of([*rows, *views, *carts, (99, 3, 58.0, "view"), (99, 3, 59.0, "purchase")]))
    assert split.protocol == "next"
    every = split.folds["all"]
    assert 99 in every.users  # unknown to training, comes with a view
    assert every.histories is not None
    assert (every.sizes == 1).all()
    assert split.events["kept"] + split.events["not_the_next"] > 0
    assert split.events["total"] == sum(n for word, n in split.events.items() if word != "total")


@pytest.mark.parametrize("protocol", ["window", "next"])
def test_of_more_users_some_are_drawn_and_judged_as_before(protocol: Protocol) -> None:
    data = dataset_of([(user, product, day, "purchase") for user, product, day in purchases()])
    whole = time_split(data, 10, protocol=protocol)
    most = whole.folds["all"].users.size // 3
    split = time_split(data, 10, protocol=protocol, most_users=most)
    asked = {view: fold.users.tolist() for view, fold in split.folds.items()}
    drawn = set(asked["all"]) | set(asked["new"])
    assert len(drawn) == most
    for view, fold in whole.folds.items():
        # each view asks the users it asked before, those of them who were drawn, for the same products
        assert asked[view] == [user for user in fold.users.tolist() if user in drawn]
        rows = np.flatnonzero(np.isin(fold.users, asked[view]))
        assert (fold.relevant[rows] != split.folds[view].relevant).nnz == 0
        assert (fold.asked_at[rows] == split.folds[view].asked_at).all()
    assert split.events["user_not_drawn"] > 0
    assert split.events["total"] == sum(n for word, n in split.events.items() if word != "total")
    assert split.users["kept"] == len(asked["all"])
    assert split.users["kept"] + split.users["user_not_drawn"] == whole.users["kept"]
    # fewer users are a part of more users, and who is drawn does not change
    fewer = time_split(data, 10, protocol=protocol, most_users=most // 2)
    assert set(fewer.folds["all"].users.tolist()) <= set(asked["all"])
    assert time_split(data, 10, protocol=protocol, most_users=10**6).users == whole.users


def test_data_that_cannot_be_tested_are_learned_from_whole() -> None:
    same = dataset_of([(user, product, 3.0, "purchase") for user in range(40) for product in range(9)])
    with pytest.raises(Invalid, match="too few users come back"):
        time_split(same)
    split = untested(same, "no times")
    assert len(split.train.events) == 360
    assert split.problem == "no times"
    result = evaluate(Popularity().fit(split.train), split, (5,))
    assert all(view.users.size == 0 for view in result.views.values())
