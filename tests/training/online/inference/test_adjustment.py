"""CUPED and winsorising: less variance, the same difference, and no change without anything to explain."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from training.online.inference.adjustment import cuped, winsorised
from training.online.inference.confidence_sequences import compare_means


def test_a_correlated_past_shrinks_the_variance_as_its_correlation_says_and_keeps_the_difference() -> None:
    chance, runs, users, effect = np.random.default_rng(5), 1_000, 400, 0.3
    plain, adjusted, removed = np.empty(runs), np.empty(runs), np.empty(runs)
    for run in range(runs):
        past = chance.gamma(2.0, 1.0, users)
        arm = (chance.random(users) < 0.5).astype(np.int64)
        values = 0.8 * past + chance.normal(0, 0.8, users) + effect * arm
        after = cuped(values, past[:, None], arm)
        plain[run] = values[arm == 1].mean() - values[arm == 0].mean()
        adjusted[run] = after.values[arm == 1].mean() - after.values[arm == 0].mean()
        removed[run] = after.variance_removed
    # corr² = 0.64 · 2 / (0.64 · 2 + 0.64) = 2/3
    assert removed.mean() == pytest.approx(2 / 3, abs=0.02)
    assert adjusted.var() / plain.var() == pytest.approx(1 / 3, abs=0.06)
    for estimates in (plain, adjusted):
        error = estimates.std() / np.sqrt(runs)
        assert abs(estimates.mean() - effect) < stats.norm.ppf(0.9995) * error


def test_adjusted_outcomes_of_equal_arms_keep_the_level_when_looked_at_daily() -> None:
    chance, runs, per_day, days, alarms = np.random.default_rng(8), 1_000, 60, 28, 0
    for _ in range(runs):
        size = per_day * days
        past = chance.gamma(2.0, 1.0, size)
        arm = (chance.random(size) < 0.5).astype(np.int64)
        values = 0.8 * past + chance.normal(0, 0.8, size)
        for end in range(3 * per_day, size + 1, per_day):
            after = cuped(values[:end], past[:end, None], arm[:end]).values
            compared = compare_means(after[arm[:end] == 0], after[arm[:end] == 1], alpha=0.05, tuned_for=800)
            if compared.low > 0 or compared.high < 0:
                alarms += 1
                break
    assert alarms <= int(stats.binom.ppf(0.999, runs, 0.05))


def test_two_covariates_explain_what_a_regression_within_arms_explains() -> None:
    chance = np.random.default_rng(2)
    past, arm = chance.normal(size=(300, 2)) * [1.0, 1000.0], chance.integers(0, 3, 300)
    values = past @ [0.5, 0.002] + chance.normal(size=300) + arm
    design = np.column_stack([past, *(arm == number for number in range(3))])
    coefficients, residuals, *_ = np.linalg.lstsq(design, values, rcond=None)
    after = cuped(values, past, arm)
    assert after.values == pytest.approx(values - (past - past.mean(axis=0)) @ coefficients[:2])
    within = sum(float(np.square(values[arm == n] - values[arm == n].mean()).sum()) for n in range(3))
    assert after.variance_removed == pytest.approx(1 - float(residuals[0]) / within)


def test_a_past_that_says_nothing_changes_nothing() -> None:
    values, arm = np.array([1.0, 2.0, 3.0, 5.0]), np.array([0, 1, 0, 1])
    for past in (np.zeros((4, 2)), np.empty((4, 0)), np.full((4, 1), 1e9)):
        after = cuped(values, past, arm)
        assert after.values.tolist() == values.tolist()
        assert after.variance_removed == 0.0
    assert cuped(np.ones(4), np.arange(4.0)[:, None], arm).values.tolist() == [1.0] * 4
    assert cuped(np.empty(0), np.empty((0, 1)), np.empty(0, np.int64)).values.size == 0
    with pytest.raises(ValueError, match="each user"):
        cuped(values, np.zeros((3, 1)), arm)


def test_the_largest_amounts_are_lowered_to_the_quantile_of_those_who_paid() -> None:
    values = np.concatenate([np.zeros(900), np.arange(1.0, 101.0)])
    lowered = winsorised(values, 0.99)
    assert lowered.max() == np.quantile(np.arange(1.0, 101.0), 0.99, method="higher")
    assert np.array_equal(lowered[:990], values[:990])
    assert winsorised(values, 1.0).tolist() == values.tolist()
    assert winsorised(np.zeros(3)).tolist() == [0.0] * 3
    with pytest.raises(ValueError, match="quantile"):
        winsorised(values, 0.0)
