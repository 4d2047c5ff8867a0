"""How many users an experiment needs before it can find a difference of a given size, looked at every day."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from recsys.errors import Invalid

__all__ = ["LEVEL", "POWER", "arm_level", "mixture_precision", "users_needed", "visitors_needed"]

LEVEL, POWER = 0.05, 0.8
"""How often an experiment finds a difference where none is, at all its looks together; and a true one."""


def mixture_precision(alpha: float) -> float:
    """n ρ² of the confidence sequence that is narrowest at n observations.

    Waudby-Smith et al. (2024), "Time-uniform central limit theory and asymptotic confidence sequences",
    section 2.3: −2 log α + log(1 − 2 log α).
    """
    return -2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))


def arm_level(arms: int) -> float:
    """The level of each comparison with the control, so that all together keep `LEVEL` (Bonferroni)."""
    return LEVEL / max(1, arms - 1)


def users_needed(
    baseline: float, relative_effect: float, shares: Sequence[float], *, deviation: float | None = None
) -> int:
    """Users of all arms together, so that a difference of that size is found in four of five experiments.

    The normal approximation of two independent means (Fleiss, Levin & Paik 2003, "Statistical Methods for
    Rates and Proportions", section 4.2) with the bound of the confidence sequence in the place of 1.96: the
    price of looking every day. It is the number for a decision at the end; most end before it.

    Parameters
    ----------
    baseline
        Mean of the outcome of a user now: a share above 0 and below 1, or with a `deviation` money above 0.
    relative_effect
        The difference to find, as a part of the baseline: 0.1 for a tenth more.
    shares
        Of all arms, the control first; the smallest of the others decides.
    deviation
        Standard deviation of the outcome between users; None for a share of users, which has its own.

    Raises
    ------
    Invalid
        For arguments outside of these bounds, or with which more than all of the users would do it.
    """
    expected = baseline * (1 + relative_effect)
    is_share = deviation is None
    if not (
        baseline > 0
        and relative_effect > 0
        and len(shares) > 1
        and min(shares) > 0
        and (deviation or 1) > 0
        and (not is_share or expected < 1)
    ):
        raise Invalid(
            "The sample cannot be computed: expected a share of users between 0 and 1 or an amount above 0, "
            "a difference above 0, at least two arms, and less than all of the users with the difference."
        )
    quantiles = _quantiles(arm_level(len(shares)))
    before = baseline * (1 - baseline) if deviation is None else deviation**2
    after = expected * (1 - expected) if deviation is None else deviation**2
    variance = before / shares[0] + after / min(shares[1:])
    return math.ceil(quantiles**2 * variance / (expected - baseline) ** 2)


def visitors_needed(baseline: float, preference: float) -> int:
    """Visitors with interleaved lists, so that a preference is found in four of five experiments.

    With the credit of team draft, where each visitor who chooses is for one arm: the variance of a visitor's
    preference is then the share who choose. The optimised credit needs fewer; `recsys train interleaving`
    measures how many.

    Parameters
    ----------
    baseline
        Share of visitors who choose a product of their lists, above 0 and up to 1.
    preference
        By how much more of them choose the better arm's products, above 0 and up to 1: 0.1 where 55 of 100
        are for it and 45 against.

    Raises
    ------
    Invalid
        For arguments outside of these bounds.
    """
    if not (0 < baseline <= 1 and 0 < preference <= 1):
        raise Invalid(
            "The sample cannot be computed: expected a share of visitors and a preference above 0 and at "
            "most 1."
        )
    return math.ceil(_quantiles(LEVEL) ** 2 / (baseline * preference**2))


def _quantiles(alpha: float) -> float:
    """Standard errors that a difference must have: of the confidence sequence, and for the power."""
    scaled = mixture_precision(alpha)
    bound = math.sqrt(2 * (scaled + 1) / scaled * math.log(math.sqrt(scaled + 1) / alpha))
    return bound + NormalDist().inv_cdf(POWER)
