"""The estimators against values by hand, an enumeration of all lists, and loops written from the formulas."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.ranking.plackett_luce import draw, log_chances, place_logits
from training.off_policy.estimators import Estimate, estimate
from training.off_policy.target import LoggedLists, RewardModel, TargetLists, target_policy

ANY: dict[str, Any] = {"clip": np.inf, "draws": 100, "seed": 0}
HALVING = 1 / np.log(2)
"""The temperature with which each product has half the weight of the one before."""


def enumerated(rewards: dict[int, float], places: int) -> tuple[LoggedLists, int]:
    """Each possible list of products 0, 1, 2 as often as it is drawn in so many draws, without any chance.

    The weights are 1, 1/2 and 1/4, and all chances fractions of 7 · 6 · 5 · 3.
    """
    logits, draws = place_logits(3, HALVING), 7 * 6 * 5 * 3
    pages, propensities = [], []
    for order in permutations(range(3), places):
        chances = np.exp(log_chances(logits, np.array(order)))
        times = draws * float(chances.prod())
        assert times == pytest.approx(round(times))
        pages += [order] * round(times)
        propensities += [chances] * round(times)
    products = np.array(pages)
    earned = np.vectorize(rewards.__getitem__)(products) * 2.0 ** -np.arange(places)
    candidates = np.tile([0, 1, 2], (draws, 1))
    return LoggedLists(np.arange(draws), products, np.array(propensities), earned, candidates), draws


@pytest.mark.parametrize("places", [1, 2, 3])
@pytest.mark.parametrize("best", [(2, 1, 0), (1, 2, 0), (0, 1, 2)])
def test_all_lists_give_the_exact_value(places: int, best: tuple[int, ...]) -> None:
    rewards = {0: 1.0, 1: 0.25, 2: 3.0}
    lists, draws = enumerated(rewards, places)
    target = TargetLists(np.tile(best, (draws, 1)), HALVING)
    model = RewardModel(lists, seed=0)
    # a wrong model: doubly robust estimates are right all the same
    model.places[:], model.rates[:] = 0.3 + np.arange(places), [2.0, 0.1, 0.7, 1.0]
    policy = target_policy(lists, target, model)
    found = estimate(lists.visitors, lists.rewards, policy.ratios, policy.fitted, policy.expected, **ANY)
    # the target's chances of the products of each place, by hand
    weights = dict(zip(best, (1.0, 0.5, 0.25), strict=True))
    value = 0.0
    for order in permutations(range(3), places):
        left, chance = dict(weights), 1.0
        for product in order:
            chance *= left.pop(product) / (left_sum := sum(left.values()) + weights[product])
            assert left_sum > 0
        value += chance * sum(rewards[product] * 0.5**place for place, product in enumerate(order))
    assert found.ips.value == pytest.approx(value)
    assert found.snips.value == pytest.approx(value)
    assert found.doubly_robust.value == pytest.approx(value)
    assert all(place.mean_weight.value == pytest.approx(1.0) for place in found.places)
    assert not policy.unsupported.any()
    assert found.gain.value == pytest.approx(value - found.logged.value)
    assert (found.logged.value == pytest.approx(value)) == (best == (0, 1, 2))


def test_a_known_answer() -> None:
    # two visitors; at the first place weights 2 and 0.5, at the second 4 and 1
    rewards = np.array([[1.0, 0.0], [0.0, 1.0]])
    ratios = np.array([[2.0, 2.0], [0.5, 2.0]])
    fitted, expected = np.array([[0.5, 0.0], [0.0, 0.25]]), np.array([[0.25, 0.5], [0.5, 0.25]])
    found = estimate(np.array([4, 9]), rewards, ratios, fitted, expected, **ANY)
    assert found.logged.value == 1.0
    assert found.ips.value == (2.0 * 1 + 1.0 * 1) / 2
    assert found.snips.value == 2.0 / 2.5 + 1.0 / 5.0
    # 2(1 − .5) + 1·.25 + 4(0 − 0) + 2·.5, and .5(0 − 0) + 1·.5 + 1(1 − .25) + .5·.25
    assert found.doubly_robust.value == (2.25 + 1.375) / 2
    assert [place.effective_lists for place in found.places] == [2.5**2 / 4.25, 5.0**2 / 17.0]
    assert [place.largest_weight for place in found.places] == [2.0, 4.0]
    clipped = estimate(np.array([4, 9]), rewards, ratios, fitted, expected, clip=1.5, draws=100, seed=0)
    assert clipped.ips.value == (1.5 + 1.0) / 2
    assert [place.clipped for place in clipped.places] == [0.5, 0.5]
    assert [place.largest_weight for place in clipped.places] == [2.0, 4.0]


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 4), st.floats(1, 20))
def test_loops_from_the_formulas_give_the_same(seed: int, places: int, clip: float) -> None:
    chance = np.random.default_rng(seed)
    size = 30
    visitors = chance.integers(0, 12, size)
    rewards, fitted, expected = (chance.random((size, places)) for _ in range(3))
    ratios = chance.exponential(1.0, (size, places))
    found = estimate(visitors, rewards, ratios, fitted, expected, clip=clip, draws=100, seed=0)
    ips = robust = 0.0
    above, below = [0.0] * places, [0.0] * places
    for i in range(size):
        weight = before = 1.0
        for k in range(places):
            weight *= ratios[i, k]
            used = min(weight, clip)
            ips += used * rewards[i, k] / size
            robust += (used * (rewards[i, k] - fitted[i, k]) + before * expected[i, k]) / size
            above[k] += used * rewards[i, k]
            below[k] += used
            before = used
    assert found.ips.value == pytest.approx(ips)
    assert found.snips.value == pytest.approx(sum(a / b for a, b in zip(above, below, strict=True)))
    assert found.doubly_robust.value == pytest.approx(robust)
    for each in (found.ips, found.snips, found.doubly_robust, found.logged):
        assert each.low <= each.value <= each.high


def test_intervals_resample_visitors_not_lists() -> None:
    # ten visitors with fifty equal lists each are worth ten lists
    visitors, rewards = np.repeat(np.arange(10), 50), np.repeat(np.arange(10) % 2, 50)[:, None].astype(float)
    ones, zeros = np.ones_like(rewards), np.zeros_like(rewards)
    many = estimate(visitors, rewards, ones, zeros, zeros, clip=10, draws=2000, seed=1)
    single = estimate(
        np.arange(10), rewards[::50], ones[::50], zeros[::50], zeros[::50], clip=10, draws=2000, seed=1
    )
    assert many.ips == single.ips
    assert many.places[0].effective_visitors == single.places[0].effective_lists == 10


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.floats(0.5, 30))
def test_the_target_s_chances_are_those_of_plackett_and_luce(seed: int, temperature: float) -> None:
    chance = np.random.default_rng(seed)
    ranked = chance.permutation(12)[:9]
    candidates = chance.permutation(12)[:8]
    shown = candidates[draw(place_logits(8, 3.0), 4, chance)]
    lists = LoggedLists(
        np.array([5]), shown[None], np.full((1, 4), 0.5), chance.random((1, 4)), candidates[None]
    )
    policy = target_policy(lists, TargetLists(ranked[None], temperature), RewardModel(lists, seed=0))
    order = np.array([np.flatnonzero(ranked == product)[0] if product in ranked else -1 for product in shown])
    expected = np.exp(log_chances(place_logits(9, temperature), order)) / 0.5
    np.testing.assert_allclose(policy.ratios[0], expected, rtol=1e-9)
    weights = np.exp(-np.arange(9) / temperature)
    supported = np.isin(ranked, candidates)
    assert policy.unsupported[0, 0] == pytest.approx(1 - weights[supported].sum() / weights.sum())


def test_fixed_places_count_with_the_weight_of_the_places_before() -> None:
    # product 7 is pinned to the first place: no candidate
    lists = LoggedLists(
        np.array([1, 2]), np.array([[7, 0], [7, 1]]), np.array([[1.0, 0.8], [np.nan, 0.2]]),
        np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0, 1], [0, 1]]),
    )  # fmt: skip
    policy = target_policy(
        lists, TargetLists(np.array([[1, 0], [1, 0]]), HALVING), RewardModel(lists, seed=0)
    )
    np.testing.assert_allclose(policy.ratios, [[1.0, (1 / 3) / 0.8], [1.0, (2 / 3) / 0.2]])
    assert policy.fitted[:, 0].tolist() == policy.expected[:, 0].tolist() == [0.0, 0.0]


def test_the_reward_model_predicts_a_visitor_s_rewards_from_others_alone() -> None:
    chance = np.random.default_rng(3)
    visitors, products = np.repeat(np.arange(40), 3), chance.integers(0, 6, (120, 2))
    rewards = chance.random((120, 2))
    lists = LoggedLists(visitors, products, np.full((120, 2), 0.5), rewards, np.tile(np.arange(6), (120, 1)))
    first = RewardModel(lists, seed=0)
    own = visitors == 11
    changed = rewards.copy()
    changed[own] += 100.0
    other = RewardModel(
        LoggedLists(visitors, products, lists.propensities, changed, lists.candidates), seed=0
    )
    rows = np.flatnonzero(own)
    np.testing.assert_array_equal(first.rates_of(products[own], rows), other.rates_of(products[own], rows))
    np.testing.assert_array_equal(first.places[first.fold[own]], other.places[other.fold[own]])
    assert not np.array_equal(first.places, other.places)


def test_nothing_to_estimate_is_refused() -> None:
    none, ones = np.empty((0, 2)), np.ones((3, 2))
    with pytest.raises(ValueError, match="at least one list"):
        estimate(np.empty(0, np.int64), none, none, none, none, **ANY)
    with pytest.raises(ValueError, match="one shape"):
        estimate(np.arange(3), ones, ones[:, :1], ones, ones, **ANY)
    with pytest.raises(ValueError, match="no list that the target"):
        estimate(np.arange(3), ones, np.zeros((3, 2)), ones, ones, **ANY)
    assert Estimate(1.0, 0.0, 2.0).low == 0.0
