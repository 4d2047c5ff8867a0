"""Histories at request time weigh what the matrix weighs: no skew between training and serving."""

from __future__ import annotations

import random

import numpy as np
import pytest

from features.build.builder import as_microseconds, build
from features.interactions import InteractionWeights
from features.user_history import guest_history, histories
from recsys.database.session import unit_of_work
from tests.support.database_rows import DAY, NOON, Event, Rows
from tests.support.shop import Shop

USERS = [1, 2, 3]
MOMENT = as_microseconds(NOON)


@pytest.fixture
def rows(shop: Shop) -> Rows:
    found = Rows(shop.database_url)
    found.users(*USERS)
    return found


def test_a_row_of_the_matrix_is_the_summed_history(shop: Shop, rows: Rows) -> None:
    chance = random.Random(3)
    rows.events(
        *(
            Event(
                chance.choice([*USERS, None]),
                chance.randrange(10),
                chance.choice(["view", "like", "add_to_cart", "purchase", "review", "dismissed", "odd"]),
                NOON - chance.random() * 400 * DAY,
                value=chance.choice([None, "NaN", "0.07", 1, 2, 4.33, 5, 9]),
            )
            for _ in range(400)
        ),
        Event(1, 4, "view", None),
        Event(1, 4, "view", "-infinity"),
    )
    dataset = build(shop.settings)
    with unit_of_work() as session:
        found = histories(session, USERS, dataset.weights, dataset.moment, limit=None)
    for user, history in zip(USERS, found, strict=True):
        row = np.zeros(len(dataset.items))
        np.add.at(row, dataset.items.index(history.products), history.weights.astype(np.float64))
        expected = dataset.touched[[int(dataset.users.index([user])[0])]]
        np.testing.assert_array_equal(np.maximum(row, 0).astype(np.float32), expected.toarray()[0])
        assert set(dataset.items.index(history.products).tolist()) == set(expected.indices.tolist())
        assert (np.diff(history.times) >= 0).all()


def test_limits_repeats_strangers_and_order(shop: Shop, rows: Rows) -> None:
    rows.events(*(Event(1, i, "view", NOON - i * DAY) for i in range(5)), Event(2, 9, "like", NOON))
    weights = InteractionWeights()
    with unit_of_work() as session:
        found = histories(session, [2, 1, 10**12, 1], weights, MOMENT, limit=3)
        assert histories(session, [], weights, MOMENT) == []
    assert [history.products.tolist() for history in found] == [[9], [2, 1, 0], [], [2, 1, 0]]
    assert found[0].weights.tolist() == [2.0]
    assert found[1].weights.tolist() == pytest.approx([0.5 ** (2 / 90), 0.5 ** (1 / 90), 1.0])
    assert found[1].times.tolist() == [MOMENT - days * 86_400_000_000 for days in (2, 1, 0)]
    empty = (found[2].products, found[2].weights, found[2].times)
    assert [part.dtype.name for part in empty] == ["int64", "float32", "int64"]


def test_a_guest_is_found_by_the_session(shop: Shop, rows: Rows) -> None:
    rows.events(Event(None, 4, "purchase", session="it's"), Event(None, 5, "view", session="other"))
    with unit_of_work() as session:
        found = guest_history(session, "it's", InteractionWeights(), MOMENT)
        assert (found.products.tolist(), found.weights.tolist()) == ([4], [5.0])
        assert guest_history(session, "nobody", InteractionWeights(), MOMENT).products.size == 0
