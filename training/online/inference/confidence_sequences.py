"""Confidence sequences: intervals of a difference that hold at all looks together, whenever somebody looks.

A 95% interval of the usual kind holds at one look that was fixed before. Looked at daily for four weeks, such
intervals of two equal arms exclude zero in about one test of four. A confidence sequence covers the
difference at all looks at once with the same 95%, so a test may be stopped at any of them.

The sequence is the asymptotic one of Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024, "Time-uniform
central limit theory and asymptotic confidence sequences", Annals of Statistics 52(6), theorem 2.2), which
mixes over the effect with a normal density (Robbins 1970) and needs a variance but no distribution. Its
p-value is that of the mixture sequential probability ratio test (Johari, Koomen, Pekelis & Walsh 2017,
"Peeking at A/B Tests", KDD, section 4.3). Observations are users in the order in which they joined, each with
a final outcome: an outcome that still grows is no sum of independent parts, and nothing here holds for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.domains.recommendations.ab_tests.sample_size import mixture_precision

__all__ = ["SequentialDifference", "always_valid_p", "compare_means", "compare_with_zero", "half_width"]

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SequentialDifference:
    """Treatment less control in the mean of one outcome, in the unit of the outcome.

    Attributes
    ----------
    control, treatment
        The means.
    difference
        Treatment less control.
    low, high
        The confidence sequence now.
    p_value
        0 to 1, always valid: without a difference it is at most `alpha` at any look in `alpha` of tests.
    relative
        The difference as a part of the control's mean; None where that is 0.
    """

    control: float
    treatment: float
    difference: float
    low: float
    high: float
    p_value: float
    relative: float | None


def half_width(
    observations: npt.ArrayLike, deviation: npt.ArrayLike, *, alpha: float, tuned_for: float
) -> Any:
    """Half the width of the confidence sequence of a mean.

    Parameters
    ----------
    observations : array_like of float64, any shape
        Number of observations n, above 0.
    deviation : array_like of float64, broadcast with `observations`
        Standard deviation σ of one observation, 0 or more.
    alpha
        Share of sequences that may leave out the mean at any time, above 0 and below 1.
    tuned_for
        Number of observations, above 0, at which the sequence is as narrow as it can be; chosen before the
        test.

    Returns
    -------
    float64, of the broadcast shape
        In the unit of `deviation`: with ρ² = precision / tuned_for, and as in equation (9) of the paper,
        σ √(2 (nρ²+1) / (n²ρ²) · log(√(nρ²+1) / α)).

    Raises
    ------
    ValueError
        For an alpha or `tuned_for` outside of these bounds.
    """
    n = np.asarray(observations, dtype=np.float64)
    scaled = n * _mixture(alpha, tuned_for)
    root = np.sqrt(2 * (scaled + 1) / scaled * np.log(np.sqrt(scaled + 1) / alpha))
    return np.asarray(deviation) / np.sqrt(n) * root


def always_valid_p(observations: npt.ArrayLike, z: npt.ArrayLike, *, alpha: float, tuned_for: float) -> Any:
    """The p-value that goes with `half_width`: at most `alpha` exactly where its interval excludes zero.

    Parameters
    ----------
    observations, alpha, tuned_for
        As in `half_width`; the p-value is valid at all levels, the sequence is narrowest at `alpha`.
    z : array_like of float64, broadcast with `observations`
        Estimate divided by its standard error.

    Returns
    -------
    float64, of the broadcast shape
        0 to 1: min(1, √(nρ²+1) · exp(−z² nρ² / (2 (nρ²+1)))).

    Raises
    ------
    ValueError
        As `half_width`.
    """
    scaled = np.asarray(observations, dtype=np.float64) * _mixture(alpha, tuned_for)
    exponent = -np.square(np.asarray(z, dtype=np.float64)) * scaled / (2 * (scaled + 1))
    return np.minimum(1.0, np.sqrt(scaled + 1) * np.exp(exponent))


def compare_means(
    control: Values, treatment: Values, *, alpha: float, tuned_for: float
) -> SequentialDifference:
    """Compare the means of two arms of one experiment.

    The difference of the means is the mean over all users of an inverse-probability weighted score, whose
    variance is n (s₁²/n₁ + s₀²/n₀) with n = n₀ + n₁ (section 3.2 of the paper: assignment by chance).

    Parameters
    ----------
    control, treatment : float64, shape (users of the arm,)
        Outcomes, of at least two users each.
    alpha, tuned_for
        As in `half_width`; `tuned_for` counts the users of both arms.

    Returns
    -------
    SequentialDifference
        Where neither arm varies, the p-value is 1 for equal means and 0 for others.

    Raises
    ------
    ValueError
        For an arm with fewer than two users, and as `half_width`.
    """
    if min(control.size, treatment.size) < 2:
        raise ValueError("each arm needs at least two users")
    base, mean = float(control.mean()), float(treatment.mean())
    difference, users = mean - base, control.size + treatment.size
    error = float(np.sqrt(control.var(ddof=1) / control.size + treatment.var(ddof=1) / treatment.size))
    half = float(half_width(users, error * np.sqrt(users), alpha=alpha, tuned_for=tuned_for))
    if error > 0:
        p_value = float(always_valid_p(users, difference / error, alpha=alpha, tuned_for=tuned_for))
    else:
        p_value = 1.0 if difference == 0 else 0.0
    return SequentialDifference(
        control=base,
        treatment=mean,
        difference=difference,
        low=difference - half,
        high=difference + half,
        p_value=p_value,
        relative=difference / base if base else None,
    )


def compare_with_zero(values: Values, *, alpha: float, tuned_for: float) -> SequentialDifference:
    """Compare the mean of one outcome with 0, as `compare_means` does of two arms.

    Parameters
    ----------
    values : float64, shape (users,)
        At least two, in the order in which they joined.
    alpha, tuned_for
        As in `half_width`.

    Returns
    -------
    SequentialDifference
        `treatment` and `difference` are the mean, `control` is 0 and `relative` None.

    Raises
    ------
    ValueError
        For fewer than two users, and as `half_width`.
    """
    if values.size < 2:
        raise ValueError("expected at least two users")
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    half = float(half_width(values.size, deviation, alpha=alpha, tuned_for=tuned_for))
    if deviation > 0:
        z = mean / deviation * np.sqrt(values.size)
        p_value = float(always_valid_p(values.size, z, alpha=alpha, tuned_for=tuned_for))
    else:
        p_value = 1.0 if mean == 0 else 0.0
    return SequentialDifference(
        control=0.0,
        treatment=mean,
        difference=mean,
        low=mean - half,
        high=mean + half,
        p_value=p_value,
        relative=None,
    )


def _mixture(alpha: float, tuned_for: float) -> float:
    """ρ², the variance of the mixing density in units of an observation's variance."""
    if not 0 < alpha < 1 or not tuned_for > 0:
        raise ValueError("expected an alpha between 0 and 1, and a number of observations above 0")
    return mixture_precision(alpha) / tuned_for
