"""What happened after recommendations were shown: rates with intervals, by model, position and segment.

An impression is one product shown to one user once. What followed counts for the last impression of that
product before it, within the window: shown twice and bought once is one success of two impressions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

__all__ = [
    "FOLLOWED",
    "Group",
    "Impressions",
    "Latency",
    "Rate",
    "UserShare",
    "by",
    "position_band",
    "summary",
    "wilson",
]

FOLLOWED = ("clicked", "carted", "bought")
"""What may follow an impression."""

Flags = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]
CHUNK = 2_000_000
"""Resampling weights held in memory at once (float64: 16 MB)."""
_BANDS = ((1, "1"), (3, "2-3"), (5, "4-5"), (10, "6-10"), (20, "11-20"))


@dataclass(frozen=True)
class Impressions:
    """Impressions, one row each, in any order.

    Attributes
    ----------
    user : int64, shape (n,)
        Who was shown the product.
    model, placement, segment : str, shape (n,)
        `unknown` where it is not known.
    position : int64, shape (n,)
        From 1; 0 where it is not known.
    clicked, carted, bought : bool, shape (n,)
        What followed.
    seconds : float64, shape (n,)
        From shown to bought; NaN where nothing was bought.
    revenue
        One for each, of paid orders, in the shop's currency.
    """

    user: npt.NDArray[np.int64]
    model: npt.NDArray[np.str_]
    placement: npt.NDArray[np.str_]
    segment: npt.NDArray[np.str_]
    position: npt.NDArray[np.int64]
    clicked: Flags
    carted: Flags
    bought: Flags
    seconds: npt.NDArray[np.float64]
    revenue: Sequence[Decimal]

    def __len__(self) -> int:
        return int(self.user.size)


@dataclass(frozen=True)
class Rate:
    """Share of impressions that were followed, with a 95% interval from resampling users."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class UserShare:
    """Share of users with at least one such success, with a 95% Wilson interval."""

    users: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Latency:
    """Hours from shown to bought."""

    count: int
    median_hours: float
    p90_hours: float


@dataclass(frozen=True)
class Group:
    """Figures of some impressions.

    Attributes
    ----------
    users
        Everybody who was shown one, with or without a success.
    users_without_any
        Those of them after whose impressions nothing followed.
    rates
        Share of impressions that were followed, by what followed.
    user_shares
        Share of users with at least one success, by what followed.
    latency
        None where nothing was bought.
    revenue
        Sum of all impressions, in the shop's currency.
    revenue_low, revenue_high
        95% interval of the revenue of as many impressions, from resampling users.
    revenue_per_1000
        Revenue of 1000 impressions.
    """

    name: str
    impressions: int
    users: int
    users_without_any: int
    rates: dict[str, Rate]
    user_shares: dict[str, UserShare]
    latency: Latency | None
    revenue: Decimal
    revenue_low: float
    revenue_high: float
    revenue_per_1000: float


def wilson(successes: int, trials: int, *, level: float = 0.95) -> tuple[float, float]:
    """Score interval of a share (Wilson 1927; Brown, Cai & DasGupta 2001, section 3.1.1).

    Unlike the textbook interval it is right for few successes: none of ten gives 0 to .28, not 0 to 0.

    Parameters
    ----------
    successes
        0 to `trials`.
    trials
        At least 1.
    level
        Of the interval, above 0 and below 1.

    Returns
    -------
    low, high : float
        0 to 1.

    Raises
    ------
    ValueError
        Without trials, and for successes outside of these bounds.
    """
    if trials <= 0 or not 0 <= successes <= trials:
        raise ValueError("a share needs at least one trial, and 0 to that many successes")
    z = float(norm.ppf(0.5 + level / 2))
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * np.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    low = 0.0 if successes == 0 else max(0.0, centre - float(half))
    return low, 1.0 if successes == trials else min(1.0, centre + float(half))


def position_band(position: int) -> str:
    """The band in which a position is reported; 0 is `unknown`."""
    if position < 1:
        return "unknown"
    return next((name for last, name in _BANDS if position <= last), "21 and below")


def summary(shown: Impressions, name: str, *, draws: int, seed: int) -> Group:
    """The figures of all of `shown`; users are resampled, since impressions of one are not independent."""
    users, row = np.unique(shown.user, return_inverse=True)
    count = np.bincount(row, minlength=users.size).astype(np.float64)
    flags = {kind: getattr(shown, kind) for kind in FOLLOWED}
    hits = {
        kind: np.bincount(row, weights=flag, minlength=users.size).astype(np.float64)
        for kind, flag in flags.items()
    }
    revenues = np.array(shown.revenue, dtype=np.float64)
    earned = np.bincount(row, weights=revenues, minlength=users.size).astype(np.float64)
    resampled = _resampled({**hits, "revenue": earned}, count, draws, seed)
    rates, shares = {}, {}
    for kind, per_user in hits.items():
        if users.size == 0:
            continue
        low, high = np.quantile(resampled[kind], [0.025, 0.975])
        rates[kind] = Rate(float(per_user.sum() / count.sum()), float(low), float(high))
        with_one = int((per_user > 0).sum())
        shares[kind] = UserShare(with_one, with_one / users.size, *wilson(with_one, users.size))
    none = np.ones(users.size, dtype=bool)
    for per_user in hits.values():
        none &= per_user == 0
    waited = shown.seconds[np.isfinite(shown.seconds)] / 3600
    revenue = sum(shown.revenue, Decimal(0))
    least, most = np.quantile(resampled.get("revenue", np.zeros(1)), [0.025, 0.975]) * len(shown)
    return Group(
        name,
        len(shown),
        int(users.size),
        int(none.sum()),
        rates,
        shares,
        Latency(int(waited.size), float(np.median(waited)), float(np.quantile(waited, 0.9)))
        if waited.size
        else None,
        revenue,
        float(least),
        float(most),
        float(revenue) / len(shown) * 1000 if len(shown) else 0.0,
    )


def _resampled(hits: Mapping[str, Values], count: Values, draws: int, seed: int) -> dict[str, Values]:
    """Means of so many resamples of the users, float64 (draws,) of each kind; users are the same for all."""
    users = count.size
    if users == 0:
        return {}
    rng, found = np.random.default_rng(seed), {kind: np.empty(draws) for kind in hits}
    # multinomial weights are a bootstrap; a few draws at a time bound the memory whatever the number of users
    step = max(1, CHUNK // users)
    for first in range(0, draws, step):
        last = min(first + step, draws)
        weights = rng.multinomial(users, np.full(users, 1 / users), size=last - first).astype(np.float64)
        shown = weights @ count
        for kind, per_user in hits.items():
            found[kind][first:last] = (weights @ per_user) / shown
    return found


def by(shown: Impressions, names: npt.NDArray[np.str_], *, draws: int, seed: int) -> list[Group]:
    """The figures of each group of impressions, by its name."""
    return [
        summary(_take(shown, np.flatnonzero(names == name)), str(name), draws=draws, seed=seed)
        for name in np.unique(names)
    ]


def _take(shown: Impressions, rows: npt.NDArray[np.int64]) -> Impressions:
    return Impressions(
        shown.user[rows],
        shown.model[rows],
        shown.placement[rows],
        shown.segment[rows],
        shown.position[rows],
        shown.clicked[rows],
        shown.carted[rows],
        shown.bought[rows],
        shown.seconds[rows],
        [shown.revenue[row] for row in rows],
    )
