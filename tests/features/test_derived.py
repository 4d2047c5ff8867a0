"""Habits of users and the standing of products: by hand, and as plain loops compute them."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.dataset import Dataset
from features.derived import product_behaviour, user_behaviour
from features.interactions import InteractionWeights
from tests.support.random_logs import MOMENTS, SHOPS, Shop

DAY = 86_400_000_000
NAN = math.nan
VIEW, PURCHASE = 0, 3
FREE = InteractionWeights()


def test_users_by_hand() -> None:
    shop = Shop(
        [
            (1, 1, PURCHASE, 2.0, 5, 0),  # one session, two moments: one basket
            (1, 2, PURCHASE, NAN, 5, DAY // 24),
            (1, 1, PURCHASE, NAN, 0, 10 * DAY),  # no session: one moment is one basket
            (1, 4, PURCHASE, 3.0, 0, 10 * DAY),
            (1, 1, PURCHASE, NAN, 0, 14 * DAY),
            (2, 1, VIEW, NAN, 5, 14 * DAY),
            (3, 2, PURCHASE, -1.0, 5, 4 * DAY),
        ],
        {1: (0, 2, 1), 2: (0, 3, 2), 4: (0, -1, -1)},
        {},
    )
    found = user_behaviour(shop.dataset(weights=FREE))
    np.testing.assert_allclose(found.recency, [0, NAN, 10], rtol=1e-6)
    assert found.frequency.tolist() == [3, 0, 1]
    np.testing.assert_allclose(found.interval, [(4 + 10 - 1 / 24) / 2, NAN, NAN], rtol=1e-6)
    assert found.money.tolist() == [2 * 0.5 + 1 + 0.5 + 3 * 2 + 0.5, 0, 1]
    np.testing.assert_allclose(found.basket_size, [5 / 3, NAN, 1], rtol=1e-6)
    np.testing.assert_allclose(found.repeat_rate, [2 / 5, NAN, 0], rtol=1e-6)
    assert found.shares[1].toarray().tolist() == [[1, 0]]
    assert np.asarray(found.shares.sum(axis=1)).ravel().tolist() == pytest.approx([1, 1, 1])


def test_products_by_hand() -> None:
    recent = [(user, 1, VIEW, NAN, 0, 399 * DAY) for user in (1, 2, 3)]
    old = [(1, 2, VIEW, NAN, 0, (45 + i) * DAY) for i in range(14)]
    shop = Shop(
        [*recent, *old, (1, 3, VIEW, NAN, 0, 0), (1, 3, VIEW, NAN, 0, 400 * DAY)],
        {
            **dict.fromkeys((1, 2, 3, 6), (0, 1, -1)),
            4: (390 * DAY, 2, -1),
        },
        {},
    )
    found = product_behaviour(shop.dataset(weights=FREE), bands=4)
    assert found.popularity.tolist() == [3, 1, 1, 0, 0]
    assert found.age.tolist() == [400, 400, 400, 10, 400]
    assert found.price_band.tolist() == [0, 1, 2, 2, 3]  # prices are half the id; alone is in the middle
    expected = [(3 + 1) / (3 * 28 / 365 + 1), 1 / (14 * 28 / 365 + 1), 2 / (28 / 365 + 1), 1, 1]
    np.testing.assert_allclose(found.trend, np.log2(expected), rtol=1e-5)
    np.testing.assert_allclose(found.season.sum(axis=1), 1, rtol=1e-5)
    # day 399 lies in February 1971, days 45 to 58 in February 1970, day 0 in January
    assert (found.season.argmax(axis=1)[:2] == 1).all()
    assert found.season[0, 0] == pytest.approx(12 * (1 / 19) / 15, rel=1e-5)


def _plainly(dataset: Dataset) -> dict[int, tuple[int, float, float]]:
    """Of each user with purchases: baskets, products a basket, share bought before."""
    events = dataset.events
    rows = list(
        zip(
            *(getattr(events, name).tolist() for name in ("user", "item", "kind", "session", "time")),
            strict=True,
        )
    )
    bought = [row for row in rows if row[0] >= 0 and row[2] == PURCHASE] or [
        row for row in rows if row[0] >= 0
    ]
    baskets: dict[int, dict[object, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for user, item, _, session, time in bought:
        baskets[user][("session", session) if session else ("time", time)].append((time, item))
    found = {}
    for user, own in baskets.items():
        contents = [{item for _, item in basket} for basket in own.values()]
        pairs = sum(map(len, contents))
        different = len(set().union(*contents))
        found[user] = (len(own), pairs / len(own), (pairs - different) / pairs)
    return found


@given(SHOPS)
def test_baskets_as_plain_loops(shop: Shop) -> None:
    dataset = shop.dataset(weights=FREE)
    found, expected = user_behaviour(dataset), _plainly(dataset)
    for user in range(len(dataset.users)):
        baskets, size, repeats = expected.get(user, (0, NAN, NAN))
        assert found.frequency[user] == baskets
        np.testing.assert_allclose(
            [found.basket_size[user], found.repeat_rate[user]], [size, repeats], rtol=1e-5
        )


@given(SHOPS, MOMENTS, st.integers(1, 5))
def test_the_past_is_what_it_was(shop: Shop, moment: int, bands: int) -> None:
    now, then = shop.dataset().until(moment), shop.dataset(until=moment)
    for name, values in vars(user_behaviour(now)).items():
        other = getattr(user_behaviour(then), name)
        dense = [each.toarray() if name == "shares" else each for each in (values, other)]
        np.testing.assert_array_equal(*dense)
    found = product_behaviour(now, bands=bands)
    for name, values in vars(found).items():
        np.testing.assert_array_equal(values, getattr(product_behaviour(then, bands=bands), name))
    assert ((found.price_band >= -1) & (found.price_band < bands)).all()
    assert np.isfinite(found.trend).all()
