"""Sample ratio mismatch: an alarm when arms lack the users that their shares say, safe at every look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, xlogy

__all__ = ["ALARM", "CONCENTRATION", "SampleRatio", "check_sample_ratio", "log_bayes_factor"]

ALARM = 0.01
"""At most this share of sound experiments ever has an alarm, however often it is looked at."""
CONCENTRATION = 100.0
"""Of the prior over shares, in users: the shares of a broken experiment are near the planned ones."""


@dataclass(frozen=True)
class SampleRatio:
    """Users of each arm against the shares.

    Attributes
    ----------
    expected, observed
        Share of each arm, 0 to 1.
    p_value
        0 to 1, always valid.
    found
        Whether the alarm is raised: the p-value is at most `ALARM`.
    """

    expected: tuple[float, ...]
    observed: tuple[float, ...]
    p_value: float
    found: bool


def log_bayes_factor(counts: npt.ArrayLike, shares: npt.ArrayLike) -> Any:
    """Logarithm of the evidence that users come with other shares, against the planned ones.

    Lindon & Malek (2022), "Anytime-Valid Inference For Multinomial Count Data", NeurIPS, equation (5): a
    Dirichlet prior of mean `shares`, mixed over. It is a martingale with mean 1 while the shares are the
    planned ones, so it exceeds 1/α at any time with a probability of at most α (Ville's inequality).

    Parameters
    ----------
    counts : array_like of float64, shape (..., arms)
        Users of each arm so far.
    shares : array_like of float64, shape (arms,)
        Planned shares, above 0, sum 1.

    Returns
    -------
    float64, the shape of `counts` without its last axis
        Natural logarithm, above 0 where the evidence is for other shares.
    """
    n, planned = np.asarray(counts, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    prior = CONCENTRATION * planned
    marginal = gammaln(CONCENTRATION) - gammaln(CONCENTRATION + n.sum(axis=-1))
    marginal = marginal + (gammaln(prior + n) - gammaln(prior)).sum(axis=-1)
    return marginal - xlogy(n, planned).sum(axis=-1)


def check_sample_ratio(counts: Sequence[int], shares: Sequence[float]) -> SampleRatio:
    """Compare the users of the arms with the shares they were planned with.

    A mismatch means that something besides chance decides who is counted, which spoils every other figure
    (Fabijan et al. 2019, "Diagnosing Sample Ratio Mismatch in Online Controlled Experiments", KDD).

    Parameters
    ----------
    counts
        Users of each arm so far.
    shares
        Planned shares in the same order, above 0, sum 1.

    Returns
    -------
    SampleRatio
        As of this look.

    Raises
    ------
    ValueError
        Without users, or where the shares are not those of the counts: positive, with the sum 1.
    """
    if len(counts) != len(shares) or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise ValueError("expected one share above 0 for each arm, and 1 as their sum")
    total = sum(counts)
    if total == 0:
        raise ValueError("there are no users to count")
    p_value = float(np.exp(min(0.0, -float(log_bayes_factor(counts, shares)))))
    return SampleRatio(tuple(shares), tuple(count / total for count in counts), p_value, p_value <= ALARM)
