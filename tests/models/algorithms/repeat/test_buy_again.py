"""Buy again: sums and intervals by hand, and a guest who gets what the user got."""

from __future__ import annotations

import numpy as np
import pytest

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY, History, InteractionWeights
from models.algorithms.repeat.buy_again import BuyAgain, BuyAgainParameters
from recsys.errors import Invalid
from tests.models.data import Row, dataset, two_tastes

DATA = two_tastes()
PLAIN = BuyAgainParameters(half_life_days=10.0, early_power=0.0, late_power=0.0, repeat=0.0)
WEIGHTS = InteractionWeights({"view": 1.0, "purchase": 5.0, "dismissed": -1.0}, half_life_days=30.0)


def shop(rows: list[Row]) -> Dataset:
    return dataset(rows, users=2, items=4, weights=WEIGHTS)


def history_of(data: Dataset, user: int) -> History:
    """What features.user_history would read: each event with the weight of the dataset."""
    events = data.events.take(data.events.user == user)
    weights = data.weights.weigh(events.kind, events.value, events.time, data.moment)
    return History(data.items.ids[events.item], weights, events.time)


def test_the_sum_fades_by_its_own_half_life() -> None:
    rows: list[Row] = [(0, 0, "purchase", 0.0), (0, 0, "purchase", 10.0), (0, 1, "view", 20.0)]
    model = BuyAgain(PLAIN).fit(shop([*rows, (1, 2, "view", 0.0)]))
    products, scores = model.recommend([7], 4).row(0)
    assert products.tolist() == [100, 103]
    np.testing.assert_allclose(scores, [5.0 + 2.5, 0.25], rtol=1e-6)
    ((named, part),) = model.explain(7, 100).contributions
    assert named == 100
    assert part == pytest.approx(7.5)


def test_what_was_disliked_is_not_bought_again() -> None:
    rows: list[Row] = [(0, 0, "purchase", 1.0), (0, 1, "view", 5.0), (0, 1, "dismissed", 5.0)]
    model = BuyAgain(PLAIN).fit(shop(rows))
    assert model.recommend([7], 4).row(0)[0].tolist() == [100]
    assert model.history_.nnz == 2, "the touch is remembered"


def test_the_usual_interval_by_hand() -> None:
    # user 0 takes item 0 every 10 days, user 1 every 20; item 1 was taken twice at one moment: no gap
    rows: list[Row] = [(0, 0, "purchase", age) for age in (5.0, 15.0, 25.0)]
    rows += [(1, 0, "purchase", age) for age in (30.0, 50.0)]
    rows += [(1, 1, "purchase", 7.0), (1, 1, "view", 7.0)]
    smoothing, chosen = 2.0, 0.5
    model = BuyAgain(
        BuyAgainParameters(36_500.0, early_power=chosen, late_power=2.0, smoothing=smoothing, repeat=0.0)
    ).fit(shop(rows))
    overall = (20 + 20) / 3
    item = [(40 + 2 * overall) / (3 + 2), overall]
    np.testing.assert_allclose(model.interval_[:2], item, rtol=1e-6)
    early = 5.0 / ((20 + 2 * item[0]) / (2 + 2))
    late = 30.0 / ((20 + 2 * item[0]) / (1 + 2))
    single = 7.0 / item[1]
    assert early < 1 < late
    assert single < 1
    due = {
        (0, 0): 15.0 * (early * np.exp(1 - early)) ** chosen,
        (1, 0): 10.0 * (late * np.exp(1 - late)) ** 2.0,
        (1, 1): 6.0 * (single * np.exp(1 - single)) ** chosen,
    }
    for (user, item_row), expected in due.items():
        assert model.history_[user, item_row] == pytest.approx(expected, rel=2e-3)


def test_of_two_equal_habits_the_one_that_stopped_comes_last() -> None:
    rows: list[Row] = [(0, 0, "purchase", age) for age in (100.0, 105.0, 110.0)]
    rows += [(0, 1, "purchase", age) for age in (100.0, 200.0, 300.0)]
    model = BuyAgain(BuyAgainParameters(half_life_days=36_500.0, smoothing=0.1)).fit(shop(rows))
    assert model.recommend([7], 2).row(0)[0].tolist() == [103, 100]


def test_weekly_milk_bought_yesterday_comes_after_weekly_milk_that_is_due() -> None:
    rows: list[Row] = [(0, 0, "purchase", 1.0 + 7 * week) for week in range(6)]
    rows += [(0, 1, "purchase", 7.0 + 7 * week) for week in range(6)]
    model = BuyAgain().fit(shop(rows))
    assert model.recommend([7], 2).row(0)[0].tolist() == [103, 100]


def test_the_repeat_rate_by_hand() -> None:
    # item 0: three times by user 0, once by user 1; item 1: once by each; both categories differ
    rows: list[Row] = [(0, 0, "purchase", age) for age in (5.0, 15.0, 25.0)]
    rows += [(1, 0, "purchase", 30.0), (0, 1, "purchase", 7.0), (1, 1, "purchase", 8.0)]
    chosen = BuyAgainParameters(repeat_shape=0.5, repeat_strength=2.0)
    model = BuyAgain(chosen).fit(shop(rows))
    overall = np.sqrt(2) / 4
    category = [(np.sqrt(2) + 2 * overall) / (2 + 2), 2 * overall / (2 + 2), overall, overall]
    item = [(np.sqrt(2) + 2 * category[0]) / (2 + 2), 2 * category[1] / (2 + 2), overall, overall]
    np.testing.assert_allclose(model.repeat_, np.array(item) / overall, rtol=1e-6)


def test_of_two_products_bought_once_the_one_that_others_come_back_to_is_first() -> None:
    rows: list[Row] = [(1, 0, "purchase", age) for age in (5.0, 15.0, 25.0)]
    rows += [(1, 1, "purchase", 5.0), (0, 0, "purchase", 12.0), (0, 1, "purchase", 12.0)]
    model = BuyAgain(BuyAgainParameters(early_power=0.0, late_power=0.0)).fit(shop(rows))
    assert model.recommend([7], 2).row(0)[0].tolist() == [100, 103]


@pytest.mark.parametrize("powers", [(0.0, 0.0), (0.5, 1.5)])
def test_a_guest_who_did_what_a_user_did_gets_the_users_list(powers: tuple[float, float]) -> None:
    model = BuyAgain(BuyAgainParameters(40.0, *powers)).fit(DATA)
    for user in range(len(DATA.users)):
        known = model.recommend([DATA.users.ids[user]], 10)
        folded = model.recommend_from([history_of(DATA, user)], 10)
        np.testing.assert_array_equal(known.products[0], folded.products[0])
        np.testing.assert_allclose(known.scores[0], folded.scores[0], rtol=1e-5)


def test_a_history_read_later_differs_by_one_factor() -> None:
    model = BuyAgain(PLAIN).fit(DATA)
    events = DATA.events.take(DATA.events.user == 3)
    later = DATA.moment + 30 * MICROSECONDS_PER_DAY
    weights = DATA.weights.weigh(events.kind, events.value, events.time, later)
    history = History(DATA.items.ids[events.item], weights, events.time)
    now, then = model.recommend([DATA.users.ids[3]], 8), model.recommend_from([history], 8)
    np.testing.assert_array_equal(now.products[0], then.products[0])
    faded = np.exp2(-30.0 / DATA.weights.half_life_days)
    np.testing.assert_allclose(then.scores[0], now.scores[0] * faded, rtol=1e-5)


def test_a_history_without_times_keeps_its_weights() -> None:
    model = BuyAgain(BuyAgainParameters(repeat=0.0)).fit(DATA)
    ranking = model.recommend_from([History.of(DATA.items.ids[[4, 2]], [1.0, 3.0])], 3)
    assert ranking.products[0].tolist() == [DATA.items.ids[2], DATA.items.ids[4], -1]
    np.testing.assert_allclose(ranking.scores[0, :2], [3.0, 1.0])


def test_nothing_is_like_anything() -> None:
    assert (BuyAgain().fit(DATA).similar_items(DATA.items.ids, 5).products == -1).all()


@pytest.mark.parametrize(
    "wrong", [{"half_life_days": 0.0}, {"late_power": -1.0}, {"smoothing": 0.0}, {"repeat_shape": 2.0}]
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(Invalid, match=next(iter(wrong))):
        BuyAgainParameters(**wrong)
