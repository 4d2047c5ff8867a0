"""Plackett–Luce orders: chances against an enumeration of all orders, draws against the chances."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from math import factorial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.ranking.plackett_luce import draw, log_chances, place_logits


@given(st.integers(2, 5), st.floats(0.2, 50))
def test_the_chances_of_all_orders_add_up_to_one(size: int, temperature: float) -> None:
    logits = place_logits(size, temperature)
    for length in range(1, size + 1):
        orders = [np.array(order) for order in permutations(range(size), length)]
        assert len(orders) == factorial(size) // factorial(size - length)
        assert sum(np.exp(log_chances(logits, order).sum()) for order in orders) == pytest.approx(1.0)


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_a_chance_is_the_share_of_the_weight_that_remains(given_logits: list[float], random: object) -> None:
    logits = np.array(given_logits)
    order = np.array(random.sample(range(logits.size), logits.size))  # type: ignore[attr-defined]
    weights = np.exp(logits)[order]
    by_hand = [weights[place] / weights[place:].sum() for place in range(order.size)]
    np.testing.assert_allclose(np.exp(log_chances(logits, order)), by_hand)


def test_a_product_that_cannot_be_drawn_has_no_chance_and_takes_none() -> None:
    logits = place_logits(4, 2.0)
    chances = np.exp(log_chances(logits, np.array([2, -1, 0])))
    expected = np.exp(log_chances(logits, np.array([2, 0])))
    np.testing.assert_allclose(chances, [expected[0], 0.0, expected[1]])


def test_a_low_temperature_keeps_the_order_and_loses_no_digits() -> None:
    logits = place_logits(300, 0.1)
    order = draw(logits, 20, np.random.default_rng(1))
    assert order.tolist() == list(range(20))
    chances = log_chances(logits, order)
    assert np.isfinite(chances).all()
    assert np.isfinite(log_chances(logits, np.arange(299, -1, -1))).all()


def test_draws_have_the_chances() -> None:
    logits, draws = place_logits(4, 1.5), 20_000
    generator = np.random.default_rng(7)
    counted = Counter(tuple(draw(logits, 2, generator).tolist()) for _ in range(draws))
    for order in permutations(range(4), 2):
        chance = float(np.exp(log_chances(logits, np.array(order)).sum()))
        # five standard errors of a share, of twelve orders
        assert abs(counted[order] / draws - chance) < 5 * np.sqrt(chance * (1 - chance) / draws)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_not_above_zero_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        place_logits(3, temperature)
