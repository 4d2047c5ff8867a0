"""How far a figure could be chance: bootstrap intervals over users, and paired tests between models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

__all__ = ["DETECTABLE", "Comparison", "bootstrap_interval", "compare", "holm", "smallest_difference"]

DETECTABLE = (
    "the smallest true difference that a two-sided paired test at the 5% level finds in four of five such "
    "test sets: (1.960 + 0.842) × the standard error of the users' paired differences"
)

Values = npt.NDArray[np.float64]

CHUNK = 4_000_000
"""Resampling weights held in memory at once (float64: 32 MB)."""
KEPT_CELLS = 16_000_000
"""Draws of so many (draw, user) pairs are kept for the next figures (int16: 32 MB)."""


def bootstrap_interval(
    values: Values, *, draws: int, seed: int, level: float = 0.95
) -> tuple[Values, Values]:
    """Percentile interval of the mean over users (Efron & Tibshirani 1993, chapter 13).

    Parameters
    ----------
    values : float64 (n users, m figures); all figures see the same resampled users. NaN leaves a user out of
        a figure's mean; a figure that nobody has gets NaN.

    Returns
    -------
    low, high : float64 (m,).
    """
    means = _resampled_means(values, draws, seed)
    tail = (1.0 - level) / 2.0
    if not np.isnan(means).any():
        low, high = np.quantile(means, [tail, 1.0 - tail], axis=0)
        return low, high
    bounds = [_quantiles(column[~np.isnan(column)], tail) for column in means.T]
    return np.array([low for low, _ in bounds]), np.array([high for _, high in bounds])


@dataclass(frozen=True)
class Comparison:
    """Model a against b on the same users: mean of a − b, its interval, and the chance of as much by luck."""

    difference: float
    low: float
    high: float
    p_value: float
    smallest: float | None
    """The smallest true difference found with 80% power at the 5% level on these users; None for one."""


def compare(a: Values, b: Values, *, draws: int, seed: int, level: float = 0.95) -> Comparison:
    """Paired comparison of two models' values, float64 (n,), user by user.

    Interval: paired percentile bootstrap. p-value: two-sided sign-flip permutation test of the mean
    difference (Fisher 1935; Smucker, Allan & Carterette 2007, section 3.2, recommend it for rankings), with
    the observed one counted among the draws, so it is never zero (Phipson & Smyth 2010).
    """
    if a.shape != b.shape or a.ndim != 1 or a.size == 0:
        raise ValueError(
            f"a paired comparison needs two equally long lists of values, not {a.shape} and {b.shape}"
        )
    change = a - b
    observed = float(change.mean())
    if not change.any():
        return Comparison(0.0, 0.0, 0.0, 1.0, 0.0)
    low, high = bootstrap_interval(change[:, None], draws=draws, seed=seed, level=level)
    rng = np.random.default_rng([seed, 1])
    as_extreme = 0
    for size in _chunks(draws, change.size):
        signs = rng.integers(0, 2, size=(size, change.size), dtype=np.int8)
        # mean of flipped differences = (2 · signs − 1) · change / n
        flipped = (2.0 * (signs @ change) - change.sum()) / change.size
        # rounding of the sums must not make an equal draw look smaller than the observed one
        as_extreme += int((np.abs(flipped) >= abs(observed) * (1.0 - 1e-12)).sum())
    p_value = (as_extreme + 1) / (draws + 1)
    return Comparison(observed, float(low[0]), float(high[0]), p_value, smallest_difference(change))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given, for all of these comparisons together (Holm 1979).

    Compare each with the level directly; never smaller than the p-value itself, never above 1.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, so_far = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        so_far = max(so_far, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = so_far
    return adjusted


def smallest_difference(change: Values, *, level: float = 0.05, power: float = 0.8) -> float | None:
    """The smallest mean difference that a two-sided paired test on these users finds with `power`.

    Normal approximation: (z(1 − level/2) + z(power)) · standard error (Cohen 1988, chapter 2).
    """
    if change.size < 2:
        return None
    error = float(change.std(ddof=1)) / float(np.sqrt(change.size))
    return float(norm.ppf(1.0 - level / 2.0) + norm.ppf(power)) * error


def _resampled_means(values: Values, draws: int, seed: int) -> Values:
    n = values.shape[0]
    if n == 0:
        raise ValueError("an interval needs at least one user")
    # one matrix product averages every figure at once
    there = ~np.isnan(values)
    if there.all():
        parts = [weights @ values / n for weights in _drawn(n, draws, seed)]
        whole: Values = np.concatenate(parts)
        return whole
    filled, counted = np.where(there, values, 0.0), there.astype(np.float64)
    parts = []
    for weights in _drawn(n, draws, seed):
        total, count = weights @ filled, weights @ counted
        parts.append(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))
    means: Values = np.concatenate(parts)
    return means


def _drawn(n: int, draws: int, seed: int) -> Iterator[Values]:
    """How often each user is drawn, float64 (some draws, n), in pieces; multinomial."""
    if n * draws <= KEPT_CELLS:
        counts = _kept(n, draws, seed)
        start = 0
        for size in _chunks(draws, n):
            yield counts[start : start + size].astype(np.float64)
            start += size
        return
    rng = np.random.default_rng([seed, 0])
    even = np.full(n, 1.0 / n)
    for size in _chunks(draws, n):
        yield rng.multinomial(n, even, size=size).astype(np.float64)


@lru_cache(maxsize=3)
def _kept(n: int, draws: int, seed: int) -> npt.NDArray[np.int16]:
    """The same draws serve every figure on the same users; making them takes longer than using them."""
    rng = np.random.default_rng([seed, 0])
    even = np.full(n, 1.0 / n)
    # never near the limit of int16: each is drawn once on average
    parts = [rng.multinomial(n, even, size=size).astype(np.int16) for size in _chunks(draws, n)]
    return np.concatenate(parts)


def _quantiles(values: Values, tail: float) -> tuple[float, float]:
    if values.size == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return float(low), float(high)


def _chunks(draws: int, n: int) -> list[int]:
    size = max(1, CHUNK // n)
    return [min(size, draws - start) for start in range(0, draws, size)]
