"""Where no window has enough users, rules are learned from what each user took up last."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY
from features.splitting.windows import holdout_windows
from models.algorithms.linear.ease import EASE
from models.algorithms.neighbourhood.co_visitation import CoVisitation
from models.algorithms.neighbourhood.normalised_knn import NormalisedKNN
from models.algorithms.popularity.popularity import Popularity
from models.hybrid import backtest as module
from models.hybrid.backtest import LEAST_USERS, BacktestPlan, backtest, suited
from models.hybrid.hybrid import Hybrid
from models.hybrid.last_successes import FEWEST, hold_out_last, outgrown
from models.hybrid.parameters import HybridParameters
from tests.models.data import Row, dataset
from tests.models.shops import durables, event_log, groceries

PLAN = BacktestPlan(
    days=None,
    windows=2,
    candidates=20,
    pool=1_000,
    users=1_000,
    enough_users=1_000,
    k=20,
    trees=0,
    seed=1,
)


def bursts(users: int = 90, items: int = 60, seed: int = 0) -> Dataset:
    """Everybody comes on one day of their own and takes ten products of a taste; no one comes back."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for user in range(users):
        day = float(1 + user)
        for place, item in enumerate(rng.choice(np.arange(user % 3, items, 3), size=10, replace=False)):
            rows.append((user, int(item), "purchase", day - place / 1_000))
    return dataset(rows, users=users, items=items)


def test_what_is_held_out_is_the_last_fifth_of_each_user() -> None:
    shop = bursts()
    train, (any_, new) = hold_out_last(shop, ("any", "new"), users=1_000, seed=1)
    assert len(shop.events) - len(train.events) == 2 * len(shop.users)
    for user in range(len(shop.users)):
        own = np.flatnonzero(shop.events.user == user)
        last = shop.events.item[own[np.argsort(shop.events.time[own])][-2:]]
        assert set(any_.relevant[user].indices) == set(last.tolist())
    assert np.array_equal(any_.users, shop.users.ids)
    assert (any_.relevant != new.relevant).nnz == 0


def test_a_view_of_what_is_held_out_does_not_give_it_away() -> None:
    shop = event_log(users=40)
    train, (any_, _) = hold_out_last(shop, ("any", "new"), users=1_000, seed=1)
    success = train.target.mask(train.events)
    rows = train.users.index(any_.users)
    held = {
        (int(row), int(item)) for row, line in zip(rows, any_.relevant, strict=True) for item in line.indices
    }
    assert held
    left = zip(train.events.user[~success].tolist(), train.events.item[~success].tolist(), strict=True)
    assert not held & set(left)


@given(st.integers(0, 1_000), st.sampled_from([groceries, durables, event_log]))
def test_nobody_loses_everything_and_new_is_new(seed: int, kind: object) -> None:
    assert callable(kind)
    shop: Dataset = kind(users=30, seed=seed % 3)
    train, (any_, new) = hold_out_last(shop, ("any", "new"), users=1_000, seed=seed)
    before, after = (
        np.bincount(each.events.user[each.target.mask(each.events)], minlength=len(shop.users))
        for each in (shop, train)
    )
    assert (after[before > 0] > 0).all()
    assert (before[before < FEWEST] == after[before < FEWEST]).all()
    assert not new.relevant.multiply(train.touched[train.users.index(new.users)].astype(bool)).nnz
    assert set(new.users.tolist()) <= set(any_.users.tolist())


def test_a_shop_of_bursts_learns_its_rules_from_last_successes() -> None:
    shop = bursts()
    judged = backtest({"ease": EASE, "popularity": Popularity}, shop, PLAN)
    assert set(judged.choices) == {"any", "new"}
    assert f"judged on {len(shop.users)} users" in judged.choices["new"].reason


def test_events_without_times_are_learned_from_too() -> None:
    shop = durables(users=120)
    timeless = replace(shop, events=replace(shop.events, time=np.full(len(shop.events), shop.moment)))
    assert not holdout_windows(timeless, 1)
    judged = backtest({"ease": EASE, "popularity": Popularity}, timeless, PLAN)
    assert judged.choices["new"].figures["ease"] > judged.choices["new"].figures["popularity"]


def heavy_and_many() -> Dataset:
    """All end on the same day, so that an earlier moment knows the longest histories alone."""
    rng = np.random.default_rng(0)
    lengths = np.repeat([60, 4], [70, 900])
    rows: list[Row] = [
        (user, int((start + step) % 300), "purchase", float(length - step))
        for user, (length, start) in enumerate(
            zip(lengths.tolist(), rng.integers(0, 300, lengths.size), strict=True)
        )
        for step in range(length)
    ]
    return dataset(rows, users=lengths.size, items=300)


def test_a_few_heavy_users_do_not_decide_for_everybody() -> None:
    shop = heavy_and_many()
    creators = {"co_visitation": CoVisitation, "popularity": Popularity}
    judged = backtest(creators, shop, PLAN)
    assert f"judged on {len(shop.users)} users" in judged.choices["new"].reason
    # a window is kept where it judges enough
    enough = backtest(creators, shop, replace(PLAN, users=LEAST_USERS, enough_users=LEAST_USERS))
    assert f"judged on {LEAST_USERS} users" in enough.choices["new"].reason


def test_rules_of_a_few_users_are_learned_again_on_everything() -> None:
    shop = heavy_and_many()
    members = {"co_visitation": {"algorithm": "co_visitation"}, "popularity": {"algorithm": "popularity"}}
    past = shop.until(shop.moment - 5 * MICROSECONDS_PER_DAY)
    before = Hybrid(HybridParameters(members=members, trees=0)).fit(past)
    heir = before.successor().fit(shop)
    assert isinstance(heir, Hybrid)
    expected = "learned on everything, where 970 users can teach it and not 70: "
    assert all(heir.reasons_[question].startswith(expected) for question in heir.stages_)
    assert heir.figures_ != before.figures_
    # the same data has not outgrown its rules
    again = heir.successor().fit(shop)
    assert isinstance(again, Hybrid)
    assert (again.reasons_, again.stages_) == (heir.reasons_, heir.stages_)


@pytest.mark.parametrize(
    ("teachers", "before", "expected"),
    [(400, 100, True), (399, 100, False), (9_000, 1_800, False), (3, 0, False), (4, 0, True), (0, 0, False)],
)
def test_data_outgrows_rules_of_too_few_users(teachers: int, before: int, expected: bool) -> None:
    assert outgrown(teachers, before, 1_800) is expected


def test_the_order_is_left_out_where_people_come_back() -> None:
    creators = {"co_visitation": CoVisitation, "ease": EASE}
    kept, why = suited(creators, groceries(users=60))
    assert (list(kept), list(why)) == (["ease"], ["co_visitation"])
    assert suited(creators, durables(users=60)) == (creators, {})


def test_neighbourhoods_are_left_out_where_they_are_dear_and_people_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    creators = {"normalised_knn": NormalisedKNN, "ease": EASE}
    assert suited(creators, groceries(users=60)) == (creators, {})
    monkeypatch.setattr(module, "MOST_STEPS", 10)
    kept, why = suited(creators, groceries(users=60))
    assert (list(kept), list(why)) == (["ease"], ["normalised_knn"])
    assert suited(creators, durables(users=60)) == (creators, {})
    assert suited({"normalised_knn": NormalisedKNN}, groceries(users=60))[1] == {}


@pytest.mark.parametrize(("users", "sufficient"), [(6_000, 1_800), (500, 500)])
def test_no_more_users_than_are_learned_from_are_waited_for(users: int, sufficient: int) -> None:
    assert HybridParameters(users=users).sufficient_users == sufficient
