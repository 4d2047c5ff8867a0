"""The two arms of an A/B test compared, one row a user, since users were drawn and not lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from training.evaluation.significance import format_p, holm
from training.online.metrics import wilson

__all__ = [
    "DETECTABLE",
    "LEAST_EACH",
    "LEAST_USERS",
    "MISMATCH",
    "SHARES",
    "ABVerdict",
    "Arms",
    "Difference",
    "Mismatch",
    "compare",
    "judge",
    "mismatch",
    "newcombe",
]

Values = npt.NDArray[np.float64]
Outcome = Literal["invalid", "too_early", "challenger", "control", "no_difference"]

SHARES = ("clicked", "carted", "bought")
"""Metrics that are shares of users; the others are means of money per user."""
MISMATCH = 0.001
"""Below this p-value the numbers of users do not go with the share that was asked for. As strict as this,
because it is looked at every time."""
LEAST_USERS = 100
LEAST_EACH = 10
"""So many users in each arm must have done it, and so many not, for the share's normal approximation."""
SKEW_FACTOR = 355
"""A mean is near enough to normal from so many times its squared skewness on users in each arm (Kohavi, Deng,
Longbotham & Xu 2014, "Seven Rules of Thumb for Web Site Experimenters", KDD, rule 7)."""
DETECTABLE = (
    "the smallest true difference that a two-sided test at the 5% level finds in four of five such tests: "
    "(1.960 + 0.842) × the standard error of the difference"
)
LEVEL, POWER = 0.05, 0.8


@dataclass(frozen=True)
class Arms:
    """Everybody who was answered in a test.

    challenger : bool (n,), whose arm. values : metric → float64 (n,), 0 or 1 for those in `SHARES`.
    """

    challenger: npt.NDArray[np.bool_]
    values: Mapping[str, Values]

    @property
    def users(self) -> tuple[int, int]:
        """Of the control, of the challenger."""
        theirs = int(self.challenger.sum())
        return self.challenger.size - theirs, theirs

    def of(self, metric: str) -> tuple[Values, Values]:
        """Values of the control's users, and of the challenger's."""
        return self.values[metric][~self.challenger], self.values[metric][self.challenger]


@dataclass(frozen=True)
class Difference:
    """Challenger less control in one metric, with 95% intervals.

    adjusted  the p-value together with those of all metrics that do not decide (Holm 1979); the p-value
              itself for the metric that decides
    relative  the difference as a part of the control's value; None where that is 0
    smallest  see `DETECTABLE`; None where nobody differs from anybody
    """

    metric: str
    control: float
    challenger: float
    difference: float
    low: float
    high: float
    relative: float | None
    p_value: float
    adjusted: float
    smallest: float | None


@dataclass(frozen=True)
class Mismatch:
    """Whether the users of the arms are as many as the share says."""

    expected: float
    observed: float
    p_value: float
    found: bool


@dataclass(frozen=True)
class ABVerdict:
    """What the test says, in a word for programs and in a sentence."""

    outcome: Outcome
    reason: str


def newcombe(a: tuple[int, int], b: tuple[int, int]) -> tuple[float, float]:
    """95% interval of share a less share b, each (successes, trials): hybrid score interval.

    Newcombe 1998, "Interval estimation for the difference between independent proportions", method 10.
    """
    (one, other), (low_a, high_a), (low_b, high_b) = (a[0] / a[1], b[0] / b[1]), wilson(*a), wilson(*b)
    down = np.sqrt((one - low_a) ** 2 + (high_b - other) ** 2)
    up = np.sqrt((high_a - one) ** 2 + (other - low_b) ** 2)
    return float(one - other - down), float(one - other + up)


def mismatch(users: tuple[int, int], share: float) -> Mismatch:
    """Pearson's chi-square test of (control, challenger) users against the challenger's share.

    A mismatch means that something besides chance decides who is counted, which spoils every other figure
    (Fabijan et al. 2019, "Diagnosing Sample Ratio Mismatch in Online Controlled Experiments", KDD).
    Raises ValueError without users.
    """
    total = sum(users)
    if total == 0:
        raise ValueError("there are no users to count")
    p_value = float(stats.chisquare(users, [total * (1 - share), total * share]).pvalue)
    return Mismatch(share, users[1] / total, p_value, p_value < MISMATCH)


def compare(arms: Arms, primary: str) -> list[Difference]:
    """Every metric, the deciding one first. Raises ValueError for an arm with fewer than two users.

    Shares: Newcombe's interval, and the score test (pooled z, the chi-square test without correction). Means:
    Welch 1947, interval and t-test. Users are independent of each other, so no more is needed.
    """
    if min(arms.users) < 2:
        raise ValueError("each arm needs at least two users")
    raw = {metric: _difference(metric, *arms.of(metric)) for metric in arms.values}
    others = [metric for metric in raw if metric != primary]
    adjusted = dict(zip(others, holm([raw[metric].p_value for metric in others]), strict=True))
    return [raw[primary]] + [_with_adjusted(raw[metric], adjusted[metric]) for metric in others]


def judge(
    arms: Arms, found: Difference | None, sizes: Mismatch | None, *, days: float, planned: float, over: bool
) -> ABVerdict:
    """What may be concluded from the metric that decides, `found`.

    The length of a test is decided before it begins: who stops as soon as the p-value is small enough finds
    differences that are not there (Johari et al. 2017, "Peeking at A/B Tests", KDD, section 1).
    """
    control, challenger = arms.users
    if sizes is not None and sizes.found:
        return ABVerdict(
            "invalid",
            f"{sizes.observed:.1%} of the users are the challenger's where {sizes.expected:.1%} should be "
            f"({format_p(sizes.p_value)}): something besides chance decides who is counted, so no figure can "
            "be trusted. Look for a challenger that was away or slow (fallback), lost events, or bots",
        )
    if days < planned:
        passed = f"{'it was stopped after' if over else 'only'} {days:.1f} of the {planned:g} planned days"
        return ABVerdict(
            "too_early",
            f"{passed}{'' if over else ' have passed'}; significance is not tested earlier",
        )
    if found is None or min(control, challenger) < LEAST_USERS:
        return ABVerdict(
            "too_early", f"{control:,} and {challenger:,} users: expected at least {LEAST_USERS} in each arm"
        )
    if (few := _too_few(arms, found.metric)) is not None:
        return ABVerdict("too_early", few)
    if found.p_value >= LEVEL:
        least = "" if found.smallest is None else f"; one of {_amount(found.metric, found.smallest)} would be"
        return ABVerdict(
            "no_difference", f"no difference in {found.metric} was found ({format_p(found.p_value)}){least}"
        )
    better: Outcome = "challenger" if found.difference > 0 else "control"
    by = _amount(found.metric, abs(found.difference))
    return ABVerdict(
        better, f"the {better} is better in {found.metric} by {by} a user ({format_p(found.p_value)})"
    )


def _too_few(arms: Arms, metric: str) -> str | None:
    """Why the normal approximation does not hold yet; None where it does."""
    for name, values in zip(("control", "challenger"), arms.of(metric), strict=True):
        if metric in SHARES:
            did = int(values.sum())
            if min(did, values.size - did) < LEAST_EACH:
                return (
                    f"{did:,} of the {name}'s {values.size:,} users {metric}: expected at least {LEAST_EACH} "
                    "who did and who did not"
                )
        elif (spread := float(values.std())) > 0:
            skewness = float(((values - values.mean()) ** 3).mean()) / spread**3
            needed = SKEW_FACTOR * skewness**2
            if values.size < needed:
                return (
                    f"{metric} is so uneven among the {name}'s users that their mean needs about "
                    f"{needed:,.0f} of them, and there are {values.size:,}"
                )
    return None


def _difference(metric: str, control: Values, challenger: Values) -> Difference:
    change = float(challenger.mean() - control.mean())
    error = float(np.sqrt(challenger.var(ddof=1) / challenger.size + control.var(ddof=1) / control.size))
    if metric in SHARES:
        a, b = (int(challenger.sum()), challenger.size), (int(control.sum()), control.size)
        low, high = newcombe(a, b)
        pooled = (a[0] + b[0]) / (a[1] + b[1])
        spread = np.sqrt(pooled * (1 - pooled) * (1 / a[1] + 1 / b[1]))
        p_value = 1.0 if spread == 0 else float(2 * stats.norm.sf(abs(change) / spread))
    elif error == 0:
        low = high = change
        p_value = 1.0 if change == 0 else 0.0
    else:
        freedom = error**4 / sum(
            (one.var(ddof=1) / one.size) ** 2 / (one.size - 1) for one in (control, challenger)
        )
        half = float(stats.t.ppf(1 - LEVEL / 2, freedom)) * error
        low, high = change - half, change + half
        p_value = float(2 * stats.t.sf(abs(change) / error, freedom))
    base = float(control.mean())
    return Difference(
        metric,
        base,
        float(challenger.mean()),
        change,
        low,
        high,
        change / base if base else None,
        p_value,
        p_value,
        float(stats.norm.ppf(1 - LEVEL / 2) + stats.norm.ppf(POWER)) * error if error else None,
    )


def _with_adjusted(one: Difference, adjusted: float) -> Difference:
    return Difference(**{**one.__dict__, "adjusted": adjusted})


def _amount(metric: str, value: float) -> str:
    return f"{100 * value:.2f} percentage points" if metric in SHARES else f"{value:.2f}"
