"""The alarm of sample ratios: quiet when looked at daily, raised by a planted loss, and known values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from training.online.inference.sample_ratio import (
    ALARM,
    CONCENTRATION,
    check_sample_ratio,
    log_bayes_factor,
)

DAYS, RUNS = 28, 5_000


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1), (0.4, 0.3, 0.2, 0.1)])
def test_sound_experiments_that_are_looked_at_daily_raise_no_alarm(shares: tuple[float, ...]) -> None:
    counts = np.random.default_rng(3).multinomial(300, shares, size=(RUNS, DAYS)).cumsum(axis=1)
    alarms = int((log_bayes_factor(counts, shares) >= math.log(1 / ALARM)).any(axis=1).sum())
    assert alarms <= int(stats.binom.ppf(0.999, RUNS, ALARM))


def test_a_planted_loss_of_users_is_found_within_the_weeks_and_a_small_one_too_with_enough_users() -> None:
    chance = np.random.default_rng(4)
    # a tenth of the treatment's users is lost
    lost = chance.multinomial(1_000, (0.5 / 0.95, 0.45 / 0.95), size=(500, DAYS)).cumsum(axis=1)
    assert (log_bayes_factor(lost, (0.5, 0.5)) >= math.log(1 / ALARM)).any(axis=1).mean() > 0.99
    # the counts of Kohavi, Tang & Xu (2020), chapter 3, whose ratio is 0.993
    assert check_sample_ratio((821_588, 815_482), (0.5, 0.5)).found
    assert not check_sample_ratio((800, 200), (0.8, 0.2)).found
    assert check_sample_ratio((800, 200), (0.5, 0.5)).found


def test_the_factor_is_the_mean_of_the_likelihood_ratio_over_the_prior() -> None:
    counts, shares = np.array([7, 2, 4]), np.array([0.5, 0.3, 0.2])
    drawn = np.random.default_rng(1).dirichlet(CONCENTRATION * shares, 400_000)
    ratio = np.exp((counts * np.log(drawn / shares)).sum(axis=1)).mean()
    assert math.exp(float(log_bayes_factor(counts, shares))) == pytest.approx(ratio, rel=0.005)
    assert float(log_bayes_factor([0, 0], [0.5, 0.5])) == pytest.approx(0.0)


def test_it_is_a_martingale_exactly() -> None:
    for counts in ((3, 9), (40, 12), (0, 0)):
        now = math.exp(float(log_bayes_factor(counts, (0.3, 0.7))))
        after = 0.3 * math.exp(float(log_bayes_factor((counts[0] + 1, counts[1]), (0.3, 0.7))))
        after += 0.7 * math.exp(float(log_bayes_factor((counts[0], counts[1] + 1), (0.3, 0.7))))
        assert after == pytest.approx(now)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="no users"):
        check_sample_ratio((0, 0), (0.5, 0.5))
    for counts, shares in (((1, 2), (0.5, 0.4)), ((1, 2, 3), (0.5, 0.5)), ((1, 2), (1.0, 0.0))):
        with pytest.raises(ValueError, match="one share"):
            check_sample_ratio(counts, shares)
