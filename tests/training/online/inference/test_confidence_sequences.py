"""Confidence sequences: known values, coverage at all looks together, and tests that are looked at daily."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import minimize_scalar

from recsys.domains.recommendations.ab_tests.sample_size import mixture_precision
from training.online.inference.confidence_sequences import always_valid_p, compare_means, half_width

ALPHA, DAYS, RUNS = 0.05, 28, 2_000
Values = npt.NDArray[np.float64]


def most_false_alarms(runs: int, alpha: float = ALPHA) -> int:
    """So many a procedure that errs in a share `alpha` of the runs has in all but one of a thousand tests."""
    return int(stats.binom.ppf(0.999, runs, alpha))


def daily_arms(
    draw: npt.NDArray[np.float64], treated: npt.NDArray[np.bool_]
) -> tuple[Values, Values, Values]:
    """Users so far, estimate and standard error of each run at the end of each day, from its users."""
    per_day = draw.shape[1] // DAYS
    ends = np.arange(1, DAYS + 1) * per_day - 1

    def of(arm: npt.NDArray[np.bool_]) -> tuple[Values, Values, Values]:
        count = arm.cumsum(axis=1)[:, ends].astype(np.float64)
        total = np.where(arm, draw, 0.0).cumsum(axis=1)[:, ends]
        squares = np.where(arm, draw**2, 0.0).cumsum(axis=1)[:, ends]
        mean = total / count
        return count, mean, (squares - count * mean**2) / (count - 1) / count

    (n, mean, error), (n_treated, mean_treated, error_treated) = of(~treated), of(treated)
    return n + n_treated, mean_treated - mean, np.sqrt(error + error_treated)


def outcomes(kind: str, chance: np.random.Generator, shape: tuple[int, int]) -> Values:
    bought = (chance.random(shape) < 0.1).astype(np.float64)
    return bought if kind == "bought" else bought * chance.lognormal(3.0, 0.7, shape)


@pytest.mark.parametrize("kind", ["bought", "revenue"])
@pytest.mark.parametrize("share", [0.5, 0.2])
def test_equal_arms_that_are_looked_at_daily_differ_in_one_test_of_twenty_at_most(
    kind: str, share: float
) -> None:
    chance = np.random.default_rng(20)
    false_alarms = naive_alarms = 0
    for _ in range(4):
        shape = (RUNS // 4, DAYS * 200)
        users, difference, error = daily_arms(outcomes(kind, chance, shape), chance.random(shape) < share)
        half = half_width(users, error * np.sqrt(users), alpha=ALPHA, tuned_for=3_000)
        p_value = always_valid_p(users, difference / error, alpha=ALPHA, tuned_for=3_000)
        excluded = np.abs(difference) > half
        assert np.array_equal(excluded, p_value < ALPHA)
        false_alarms += int(excluded.any(axis=1).sum())
        naive_alarms += int((np.abs(difference) > 1.96 * error).any(axis=1).sum())
    assert false_alarms <= most_false_alarms(RUNS)
    # the usual interval, looked at as often, is the reason for all of this
    assert naive_alarms > 3 * most_false_alarms(RUNS)


def test_a_true_difference_is_covered_at_all_looks_and_found_in_four_of_five_at_the_planned_size() -> None:
    chance = np.random.default_rng(7)
    covered = found = 0
    for _ in range(RUNS // 100):
        shape = (100, DAYS * 250)
        treated = chance.random(shape) < 0.5
        bought = (chance.random(shape) < np.where(treated, 0.13, 0.10)).astype(np.float64)
        users, difference, error = daily_arms(bought, treated)
        half = half_width(users, error * np.sqrt(users), alpha=ALPHA, tuned_for=DAYS * 250)
        covered += int((np.abs(difference - 0.03) <= half).all(axis=1).sum())
        found += int((difference - half > 0).any(axis=1).sum())
    assert covered >= RUNS - most_false_alarms(RUNS)
    assert found > 0.8 * RUNS


def test_the_width_is_that_of_the_paper_s_formula_and_least_where_it_was_tuned() -> None:
    # n = t* = 1000: nρ² = −2 log 0.05 + log(1 − 2 log 0.05), by hand
    assert mixture_precision(0.05) == pytest.approx(7.9362, abs=1e-4)
    scaled = 7.93624
    expected = math.sqrt(2 * (scaled + 1) / scaled * math.log(math.sqrt(scaled + 1) / 0.05) / 1000)
    assert float(half_width(1000, 1.0, alpha=0.05, tuned_for=1000)) == pytest.approx(expected, rel=1e-5)
    widths = [float(half_width(1000, 1.0, alpha=0.05, tuned_for=t)) for t in (250, 500, 1000, 2000, 4000)]
    assert min(widths) == widths[2]
    best = minimize_scalar(
        lambda t: float(half_width(1000, 1.0, alpha=0.05, tuned_for=t)), bounds=(300, 3000), method="bounded"
    )
    assert best.x == pytest.approx(1000, rel=0.05)


@given(st.integers(2, 10**6), st.floats(-8, 8), st.floats(0.001, 0.2), st.floats(10, 10**6))
def test_p_value_and_interval_agree_at_every_level(n: int, z: float, alpha: float, tuned: float) -> None:
    half = float(half_width(n, 1.0, alpha=alpha, tuned_for=tuned)) * math.sqrt(n)
    p_value = float(always_valid_p(n, z, alpha=alpha, tuned_for=tuned))
    if abs(abs(z) - half) > 1e-9:
        assert (p_value < alpha) == (abs(z) > half)
    # never narrower than an interval of one look
    assert half > stats.norm.ppf(1 - alpha / 2)


def test_two_arms_are_compared_by_hand_and_change_sign_when_they_change_places() -> None:
    control, treatment = np.array([0.0, 1.0, 0.0, 1.0]), np.array([1.0, 1.0, 0.0, 1.0, 1.0])
    compared = compare_means(control, treatment, alpha=0.05, tuned_for=9)
    assert (compared.control, compared.treatment) == (0.5, 0.8)
    assert compared.relative == pytest.approx(0.6)
    error = math.sqrt((1 / 3) / 4 + 0.2 / 5)
    expected = float(half_width(9, error * 3, alpha=0.05, tuned_for=9))
    assert (compared.low, compared.high) == pytest.approx((0.3 - expected, 0.3 + expected))
    turned = compare_means(treatment, control, alpha=0.05, tuned_for=9)
    assert (turned.low, turned.high) == pytest.approx((-compared.high, -compared.low))
    assert turned.p_value == pytest.approx(compared.p_value)


def test_equal_values_are_no_difference_and_bad_arguments_are_refused() -> None:
    same = compare_means(np.ones(3), np.ones(4), alpha=0.05, tuned_for=10)
    assert (same.difference, same.low, same.high, same.p_value) == (0.0, 0.0, 0.0, 1.0)
    assert compare_means(np.zeros(3), np.ones(4), alpha=0.05, tuned_for=10).relative is None
    with pytest.raises(ValueError, match="two users"):
        compare_means(np.ones(1), np.ones(4), alpha=0.05, tuned_for=10)
    for alpha, tuned in ((0.0, 10), (1.0, 10), (0.05, 0)):
        with pytest.raises(ValueError, match="expected"):
            half_width(10, 1.0, alpha=alpha, tuned_for=tuned)
