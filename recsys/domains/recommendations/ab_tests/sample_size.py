"""How many users an A/B test needs before it can find a difference of a given size."""

from __future__ import annotations

import math
from statistics import NormalDist

from recsys.errors import Invalid

__all__ = ["LEVEL", "POWER", "users_needed"]

LEVEL, POWER = 0.05, 0.8
"""Of a two-sided test: how often it finds a difference where none is, and finds one of that size."""


def users_needed(baseline: float, relative_effect: float, share: float) -> int:
    """Users of both arms together, so that a difference of that size is found in four of five tests.

    Normal approximation of two independent shares with unequal arms (Fleiss, Levin & Paik 2003, "Statistical
    Methods for Rates and Proportions", section 4.2, without the correction for continuity).

    Parameters
    ----------
    baseline
        Share of the users who do it now, above 0 and below 1.
    relative_effect
        The difference to find, as a part of the baseline: 0.1 for a tenth more.
    share
        Part of the users who get the challenger, above 0 and below 1.

    Raises
    ------
    Invalid
        For arguments outside of these bounds, or a challenger's share of 1 or more.
    """
    expected = baseline * (1 + relative_effect)
    if not (0 < baseline < 1 and relative_effect > 0 and 0 < share < 1 and expected < 1):
        raise Invalid(
            "The sample cannot be computed: expected a share of users between 0 and 1, a difference above 0, "
            "and less than all of them with it."
        )
    normal = NormalDist()
    quantiles = normal.inv_cdf(1 - LEVEL / 2) + normal.inv_cdf(POWER)
    variance = baseline * (1 - baseline) / (1 - share) + expected * (1 - expected) / share
    return math.ceil(quantiles**2 * variance / (expected - baseline) ** 2)
