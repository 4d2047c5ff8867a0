"""Intervals and paired tests: known behaviour on planted winners, losers and ties."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap, permutation_test

from training.evaluation import significance
from training.evaluation.significance import (
    bootstrap_interval,
    compare,
    compare_each,
    format_p,
    holm,
    holm_adjusted,
    smallest_difference,
)

DRAWS = 400


def _users(n: int = 300, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).beta(1, 4, n)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for trial in range(200):
        low, high = bootstrap_interval(rng.exponential(1.0, (150, 1)), draws=DRAWS, seed=trial)
        held += int(low[0] <= 1.0 <= high[0])
    assert 0.88 <= held / 200 <= 0.985


def test_intervals_agree_with_theory_and_shrink_with_users() -> None:
    values = _users(2000)
    low, high = bootstrap_interval(values[:, None], draws=4000, seed=1)
    error = values.std() / np.sqrt(values.size)
    assert low[0] == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert high[0] == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


@pytest.mark.parametrize("shift", [0.0, 0.01, 0.03])
def test_interval_and_p_value_agree_with_scipy(shift: float) -> None:
    a = _users(120) + shift
    b = _users(120, seed=1)
    found = compare(a, b, draws=20_000, seed=2)
    changes = (a - b,)
    interval = bootstrap(changes, np.mean, n_resamples=20_000, method="percentile", rng=3).confidence_interval
    spread = interval.high - interval.low
    assert (found.low, found.high) == pytest.approx(interval, abs=0.03 * spread)
    p_value = permutation_test(changes, np.mean, permutation_type="samples", n_resamples=20_000, rng=4).pvalue
    # four standard errors of two draws of 20,000
    assert found.p_value == pytest.approx(p_value, abs=4 * np.sqrt(2 * 0.25 / 20_000))


def test_intervals_repeat_with_the_seed_and_share_their_draws() -> None:
    values = np.stack([_users(), _users() * 2], axis=1)
    low, high = bootstrap_interval(values, draws=DRAWS, seed=3)
    again, _ = bootstrap_interval(values, draws=DRAWS, seed=3)
    assert np.array_equal(low, again)
    assert low[1] == pytest.approx(2 * low[0])
    assert high[1] == pytest.approx(2 * high[0])
    assert not np.array_equal(low, bootstrap_interval(values, draws=DRAWS, seed=4)[0])


def test_planted_winner_loser_and_tie() -> None:
    base = _users()
    noise = np.random.default_rng(9).normal(0, 0.05, base.size)
    better = compare(base + 0.02 + noise, base, draws=DRAWS, seed=0)
    assert better.difference > 0
    assert better.low > 0
    assert better.p_value < 0.01
    worse = compare(base, base + 0.02 + noise, draws=DRAWS, seed=0)
    assert worse.difference == pytest.approx(-better.difference)
    assert worse.high < 0
    assert worse.p_value < 0.01
    tie = compare(base + noise - noise.mean(), base, draws=DRAWS, seed=0)
    assert tie.low < 0 < tie.high
    assert tie.p_value > 0.5
    same = compare(base, base, draws=DRAWS, seed=0)
    assert (same.difference, same.p_value) == (0.0, 1.0)


def test_p_values_of_equal_models_are_even() -> None:
    rng = np.random.default_rng(2)
    p_values = []
    for trial in range(200):
        a, b = rng.random(60), rng.random(60)
        p_values.append(compare(a, b, draws=199, seed=trial).p_value)
    assert 0.02 <= np.mean(np.array(p_values) < 0.05 + 1e-9) <= 0.1
    assert 0.4 < np.mean(p_values) < 0.6


def test_p_value_equals_full_enumeration() -> None:
    change = np.array([0.3, 0.1, -0.05, 0.2, 0.15])
    signs = np.array([[1 if i >> j & 1 else -1 for j in range(5)] for i in range(32)])
    exact = (np.abs(signs @ change) >= abs(change.sum()) - 1e-12).mean()
    assert compare(change, np.zeros(5), draws=20_000, seed=0).p_value == pytest.approx(exact, abs=0.01)


def test_holm_known_answer() -> None:
    # Holm 1979: sorted p times 3, 2, 1, then never falling
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_cautious_and_keeps_the_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    assert all(adjusted[a] <= adjusted[b] for a, b in pairwise(order))


def test_the_smallest_findable_difference_is_found_four_times_of_five() -> None:
    rng = np.random.default_rng(4)
    smallest = smallest_difference(rng.normal(0, 1, 400))
    assert smallest is not None
    found = sum(
        compare(rng.normal(smallest, 1, 400), np.zeros(400), draws=199, seed=trial).p_value < 0.05
        for trial in range(150)
    )
    assert 0.68 <= found / 150 <= 0.92
    assert smallest_difference(np.array([1.0])) is None


def test_users_without_a_figure_are_left_out_of_its_interval() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((200, 3))
    some = values.copy()
    some[50:, 1] = np.nan
    some[:, 2] = np.nan
    low, high = bootstrap_interval(some, draws=2000, seed=1)
    whole_low, whole_high = bootstrap_interval(values, draws=2000, seed=1)
    # the same users are drawn for every figure: a complete one does not notice the gaps of another
    assert low[0] == pytest.approx(whole_low[0], abs=1e-6)
    assert high[0] == pytest.approx(whole_high[0], abs=1e-6)
    assert low[1] < some[:50, 1].mean() < high[1]
    # a quarter of the users: about twice as wide
    assert (high[1] - low[1]) / (whole_high[1] - whole_low[1]) == pytest.approx(2.0, rel=0.25)
    assert np.isnan([low[2], high[2]]).all()


@pytest.mark.parametrize("users", [1, 7, 300])
def test_draws_that_are_kept_give_the_intervals_of_those_that_are_not(
    users: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(5).random((users, 3))
    values[0, 2] = np.nan  # a user without this figure
    kept = significance.bootstrap_interval(values, draws=250, seed=4)
    monkeypatch.setattr(significance, "KEPT_CELLS", 0)
    monkeypatch.setattr(significance, "CHUNK", 1000)  # several pieces
    drawn = significance.bootstrap_interval(values, draws=250, seed=4)
    np.testing.assert_allclose(kept, drawn, rtol=1e-6)


def test_intervals_are_those_of_resampled_users() -> None:
    # the definition, one draw at a time, against the products: both vary by Monte Carlo error only
    rng = np.random.default_rng(8)
    values = np.stack([_users(500), rng.exponential(30.0, 500)], axis=1)
    values[rng.random(500) < 0.4, 1] = np.nan
    means = [np.nanmean(values[rng.integers(0, 500, 500)], axis=0) for _ in range(20_000)]
    low, high = bootstrap_interval(values, draws=20_000, seed=1)
    width = high - low
    np.testing.assert_allclose(low, np.quantile(means, 0.025, axis=0), atol=0.02 * width.max(), rtol=0.01)
    np.testing.assert_allclose(high, np.quantile(means, 0.975, axis=0), atol=0.02 * width.max(), rtol=0.01)


def test_a_figure_that_all_users_share_has_no_width() -> None:
    values = np.full((300, 2), 0.1)
    values[:100, 1] = np.nan
    low, high = bootstrap_interval(values, draws=DRAWS, seed=0)
    np.testing.assert_allclose([low, high], 0.1, rtol=1e-12)


def test_several_comparisons_are_those_of_one_by_one() -> None:
    best, second, third = _users(seed=1) + 0.01, _users(seed=2), _users(seed=3)
    together = compare_each(best, [second, third, best], draws=DRAWS, seed=5)
    assert [one.p_value for one in together] == [
        compare(best, other, draws=DRAWS, seed=5).p_value for other in (second, third, best)
    ]
    assert together[2].p_value == 1.0
    assert compare_each(best, [], draws=DRAWS, seed=5) == []


@pytest.mark.parametrize(
    ("p_value", "floor", "words"),
    [
        (0.0131, 0.0, "p = .013"),
        (0.25, 0.0005, "p = .25"),
        (0.0004, 0.0, "p < .001"),
        (1 / 2001, 1 / 2001, "p ≤ .001"),
        (4 / 2001, 4 / 2001, "p ≤ .002"),
        (8 / 2001, 4 / 2001, "p = .004"),
        (1.0, 0.001, "p = 1.00"),
    ],
)
def test_a_p_value_is_written_in_one_way(p_value: float, floor: float, words: str) -> None:
    assert format_p(p_value, floor) == words
    assert format_p(p_value, floor, name="") == words.removeprefix("p ").removeprefix("= ")


def test_the_floor_of_the_draws_is_adjusted_with_the_p_values() -> None:
    best = _users() + 0.5
    found = holm_adjusted(compare_each(best, [_users(seed=1), _users(seed=2)], draws=DRAWS, seed=0))
    assert [format_p(one.p_value, one.floor) for one in found] == ["p ≤ .005", "p ≤ .005"]
    assert found[0].p_value == pytest.approx(2 / (DRAWS + 1))
