"""Outcomes with less variance: money without its longest tail, and what the users' own past explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["CupedOutcome", "cuped", "winsorised"]

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CupedOutcome:
    """Outcomes after the adjustment.

    Attributes
    ----------
    values : float64, shape (users,)
        In the unit of the outcomes; the expectation of the differences between arms is unchanged.
    variance_removed
        Share of the variance within arms that the past explains, 0 to 1.
    """

    values: Values
    variance_removed: float


def winsorised(values: Values, quantile: float = 0.99) -> Values:
    """Values above a quantile of all users' values, lowered to it.

    The quantile is that of the positive values of all arms together, so that it depends on no arm: a few
    very large orders would otherwise decide a test by their chance alone (Kohavi, Tang & Xu 2020,
    "Trustworthy Online Controlled Experiments", chapter 22). What is compared is the mean up to that amount.

    Parameters
    ----------
    values : float64, shape (users,)
        0 or more.
    quantile
        Above 0, at most 1.

    Returns
    -------
    float64, shape (users,)
        In the unit of `values`.

    Raises
    ------
    ValueError
        For another quantile.
    """
    if not 0 < quantile <= 1:
        raise ValueError(f"quantile {quantile}: expected more than 0 and at most 1")
    positive = values[values > 0]
    if positive.size == 0:
        return values
    # an observed value, never one between two of them
    return np.minimum(values, np.quantile(positive, quantile, method="higher"))


def cuped(values: Values, past: Values, arm: npt.NDArray[np.int64]) -> CupedOutcome:
    """Subtract what the users' own past before the experiment explains of their outcomes.

    Deng, Xu, Kohavi & Walker (2013), "Improving the Sensitivity of Online Controlled Experiments by Utilizing
    Pre-Experiment Data", WSDM, section 3.2, for several covariates: least squares within arms, and covariates
    centred over all users. Assignment by chance makes covariates equal in expectation, so the estimate stays
    unbiased whatever they are, as long as they were fixed before a user's first list.

    Parameters
    ----------
    values : float64, shape (users,)
        Outcomes.
    past : float64, shape (users, covariates)
        Covariates; constant columns explain nothing and are allowed.
    arm : int64, shape (users,)
        Number of the arm of each user.

    Returns
    -------
    CupedOutcome
        In the order of `values`; unchanged where the past explains nothing.

    Raises
    ------
    ValueError
        For arrays that do not belong together.
    """
    if past.ndim != 2 or not values.size == past.shape[0] == arm.size:
        raise ValueError("expected one outcome, one row of covariates and one arm for each user")
    if values.size == 0:
        return CupedOutcome(values, 0.0)
    inner_values, inner_past = values.copy(), past.astype(np.float64)
    for number in np.unique(arm):
        of_arm = arm == number
        inner_values[of_arm] -= values[of_arm].mean()
        inner_past[of_arm] -= past[of_arm].mean(axis=0)
    scale = inner_past.std(axis=0)
    useful = scale > 1e-12 * np.maximum(1.0, np.abs(past).max(axis=0))
    before = float(np.square(inner_values).sum())
    if not useful.any() or before == 0.0:
        return CupedOutcome(values, 0.0)
    # scaled: revenue and counts are of very different size
    design = inner_past[:, useful] / scale[useful]
    weights, *_ = np.linalg.lstsq(design, inner_values, rcond=None)
    centred = (past[:, useful] - past[:, useful].mean(axis=0)) / scale[useful]
    after = float(np.square(inner_values - design @ weights).sum())
    return CupedOutcome(values - centred @ weights, max(0.0, 1.0 - after / before))
