"""How far a figure could be chance: bootstrap intervals over users, and paired tests between models."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

__all__ = [
    "DETECTABLE",
    "PairedDifference",
    "bootstrap_interval",
    "compare",
    "compare_each",
    "format_p",
    "holm",
    "holm_adjusted",
    "smallest_difference",
]

DETECTABLE = (
    "the smallest true difference that a two-sided paired test at the 5% level finds in four of five such "
    "test sets: (1.960 + 0.842) × the standard error of the users' paired differences"
)

Values = npt.NDArray[np.float64]
Weights = npt.NDArray[np.float32]

CHUNK = 16_000_000
"""Resampling weights held in memory at once (float32: 64 MB); fewer slow the product down."""
KEPT_CELLS = 128_000_000
"""Draws of so many (draw, user) pairs are kept for the next figures (uint8: 128 MB)."""


def bootstrap_interval(
    values: Values, *, draws: int, seed: int, level: float = 0.95
) -> tuple[Values, Values]:
    """Percentile interval of the mean over users (Efron & Tibshirani 1993, chapter 13).

    Parameters
    ----------
    values : float64, shape (n users, m figures)
        All figures see the same resampled users. NaN leaves a user out of a figure's mean.
    draws, seed
        Of the resamples.
    level
        Share of the resampled means within the interval, above 0 and below 1.

    Returns
    -------
    low, high : float64, shape (m,)
        In the unit of `values`; NaN for a figure without any value.

    Raises
    ------
    ValueError
        Without users.
    """
    means = _resampled_means(values, draws, seed)
    tail = (1.0 - level) / 2.0
    if not np.isnan(means).any():
        low, high = np.quantile(means, [tail, 1.0 - tail], axis=0)
        return low, high
    bounds = [_quantiles(column[~np.isnan(column)], tail) for column in means.T]
    return np.array([low for low, _ in bounds]), np.array([high for _, high in bounds])


@dataclass(frozen=True)
class PairedDifference:
    """Model a against b on the same users: mean of a − b, its interval, and its p-value."""

    difference: float
    low: float
    high: float
    p_value: float
    smallest: float | None
    """The smallest true difference found with 80% power at the 5% level on these users; None for one."""
    floor: float = 0.0
    """The smallest p-value that these draws can give; the true one may be far smaller."""

    def figures(self, level: float) -> dict[str, Any]:
        """The fields of a report's comparison, significant where the p-value is below `level`."""
        return {
            "difference": self.difference,
            "low": self.low,
            "high": self.high,
            "p_value": self.p_value,
            "p_floor": self.floor,
            "smallest": self.smallest,
            "significant": self.p_value < level,
        }


def compare(a: Values, b: Values, *, draws: int, seed: int, level: float = 0.95) -> PairedDifference:
    """Paired comparison of two models' values, user by user.

    Interval: paired percentile bootstrap. p-value: two-sided sign-flip permutation test of the mean
    difference (Fisher 1935; Smucker, Allan & Carterette 2007, section 3.2, recommend it for rankings), with
    the observed one counted among the draws, so it is never zero (Phipson & Smyth 2010).

    Parameters
    ----------
    a, b : float64, shape (n,)
        One value per user, the same users in the same order, without NaN.
    draws, seed
        Of the resamples and of the random signs.
    level
        Of the interval, above 0 and below 1.

    Returns
    -------
    PairedDifference
        Mean of a − b and its interval in the unit of the values; the p-value is from 1 / (draws + 1) to 1.
        Equal values for every user give 0 with the interval 0 to 0 and the p-value 1.

    Raises
    ------
    ValueError
        For values of different lengths, or without users.
    """
    return compare_each(a, [b], draws=draws, seed=seed, level=level)[0]


def compare_each(
    a: Values, others: Sequence[Values], *, draws: int, seed: int, level: float = 0.95
) -> list[PairedDifference]:
    """Model a against each of the others, as `compare` does it one by one, with the draws shared.

    Parameters
    ----------
    a : float64, shape (n,)
        One value per user, without NaN.
    others : float64, shape (n,), each
        Of the same users in the same order.
    draws, seed, level
        As in `compare`.

    Returns
    -------
    list of PairedDifference
        Of a minus each of the others, in their order.

    Raises
    ------
    ValueError
        For values of different lengths, or without users.
    """
    for b in others:
        if a.shape != b.shape or a.ndim != 1 or a.size == 0:
            raise ValueError(
                f"a paired comparison needs two equally long lists of values, not {a.shape} and {b.shape}"
            )
    if not others:
        return []
    changes = np.stack([a - b for b in others], axis=1)
    low, high = bootstrap_interval(changes, draws=draws, seed=seed, level=level)
    p_values, floor = _sign_flips(changes, draws, seed), 1.0 / (draws + 1)
    return [
        PairedDifference(
            float(change.mean()),
            float(low[i]),
            float(high[i]),
            p_values[i],
            smallest_difference(change),
            floor,
        )
        if change.any()
        else PairedDifference(0.0, 0.0, 0.0, 1.0, 0.0)
        for i, change in enumerate(np.ascontiguousarray(changes.T))
    ]


def _sign_flips(changes: Values, draws: int, seed: int) -> list[float]:
    """Two-sided p-value of each column's mean, float64 (n, m), over random signs of the users."""
    n = changes.shape[0]
    observed, total = changes.mean(axis=0), changes.sum(axis=0)
    # rounding of the sums must not make an equal draw look smaller than the observed one
    bound = np.abs(observed) * (1.0 - 1e-12)
    rng = np.random.default_rng([seed, 1])
    as_extreme = np.zeros(changes.shape[1], dtype=np.int64)
    for size in _chunks(draws, 2 * n):  # float64: exact ties are counted
        packed = np.frombuffer(rng.bytes(size * -(-n // 8)), dtype=np.uint8).reshape(size, -1)
        signs = np.unpackbits(packed, axis=1, count=n).astype(np.float64)
        # mean of flipped differences = (2 · signs − 1) · change / n
        flipped = (2.0 * (signs @ changes) - total) / n
        as_extreme += (np.abs(flipped) >= bound).sum(axis=0)
    return [(int(count) + 1) / (draws + 1) for count in as_extreme]


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values for all of these comparisons together (Holm 1979).

    Parameters
    ----------
    p_values
        Each 0 to 1.

    Returns
    -------
    list of float
        In the order given, to be compared with the level directly; never smaller than the p-value itself,
        never above 1.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, so_far = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        so_far = max(so_far, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = so_far
    return adjusted


def holm_adjusted(comparisons: Sequence[PairedDifference]) -> list[PairedDifference]:
    """The comparisons with p-values, and the floors of these, adjusted for there being several."""
    p_values = holm([one.p_value for one in comparisons])
    several = len(comparisons)
    return [
        replace(one, p_value=p_value, floor=min(1.0, several * one.floor))
        for one, p_value in zip(comparisons, p_values, strict=True)
    ]


def format_p(p_value: float, floor: float = 0.0, *, name: str = "p") -> str:
    """How this project writes a p-value: `p = .013`, `p < .001`, `p ≤ .002` at the floor of its draws.

    Parameters
    ----------
    p_value
        0 to 1.
    floor
        The smallest p-value that the draws can give.
    name
        What stands before the sign; an empty one leaves it and the equals sign out, for the cell of a table.
    """
    if p_value <= floor * (1.0 + 1e-9):
        thousandths = math.ceil(round(1000 * floor, 6))
        sign, digits = "≤", f"{thousandths / 1000:.3f}"
    elif p_value < 0.001:
        sign, digits = "<", "0.001"
    else:
        sign, digits = "=", f"{p_value:.3f}" if p_value < 0.0995 else f"{p_value:.2f}"
    digits = digits.removeprefix("0") if digits.startswith("0.") else digits
    return f"{name} {sign} {digits}" if name else digits if sign == "=" else f"{sign} {digits}"


def smallest_difference(change: Values, *, level: float = 0.05, power: float = 0.8) -> float | None:
    """The smallest mean difference that a two-sided paired test on these users finds with `power`.

    Normal approximation: (z(1 − level/2) + z(power)) · standard error (Cohen 1988, chapter 2).

    Parameters
    ----------
    change : float64, shape (n,)
        Differences of the users between two models, without NaN.
    level
        Of the test, above 0 and below 1.
    power
        Chance of finding that difference, above 0 and below 1.

    Returns
    -------
    float or None
        In the unit of `change`, 0 where no user differs from another; None for fewer than two users.
    """
    if change.size < 2:
        return None
    error = float(change.std(ddof=1)) / float(np.sqrt(change.size))
    return float(norm.ppf(1.0 - level / 2.0) + norm.ppf(power)) * error


def _resampled_means(values: Values, draws: int, seed: int) -> Values:
    """Mean of each figure over each draw's users.

    Deviations from the mean are multiplied in float32, which halves the time: what rounding does to them is
    1e-7 of the spread between users.

    Parameters
    ----------
    values : float64, shape (n, m)
        NaN leaves a user out of a figure's mean.

    Returns
    -------
    float64, shape (draws, m)
        NaN where the draw holds none of a figure's users.

    Raises
    ------
    ValueError
        Without users.
    """
    n = values.shape[0]
    if n == 0:
        raise ValueError("an interval needs at least one user")
    there = ~np.isnan(values)
    users = there.sum(axis=0)
    centre = np.where(there, values, 0.0).sum(axis=0) / np.maximum(users, 1)
    apart = np.where(there, values - centre, 0.0)
    multiplied = apart.astype(np.float32)
    gaps, pattern = _patterns(there[:, users < n])
    if gaps.size:
        multiplied = np.concatenate([multiplied, gaps], axis=1)
    products = np.concatenate([weights @ multiplied for weights in _drawn(n, draws, seed)]).astype(np.float64)
    sums, counts = products[:, : users.size], np.full((draws, users.size), float(n))
    counts[:, users < n] = products[:, users.size :][:, pattern]
    means: Values = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    means += centre
    return means


def _patterns(there: npt.NDArray[np.bool_]) -> tuple[Weights, list[int]]:
    """The different columns of an array, and which of them each column is.

    Figures of one segment have the same users: how many of them a draw holds is counted once.

    Parameters
    ----------
    there : bool, shape (n, m)
        Whether each user has each figure.

    Returns
    -------
    columns : float32, shape (n, at most m)
        The different ones, 0 or 1.
    pattern : list of int, m of them
        Which of them each column is.
    """
    first: dict[bytes, int] = {}
    pattern = [
        first.setdefault(row.tobytes(), len(first))
        for row in np.packbits(np.ascontiguousarray(there.T), axis=1)
    ]
    chosen = [pattern.index(place) for place in range(len(first))]
    return there[:, chosen].astype(np.float32), pattern


def _drawn(n: int, draws: int, seed: int) -> Iterator[Weights]:
    """How often each user is drawn, in pieces; multinomial.

    The next piece overwrites the one before: fresh memory for each would take longer than the product.

    Yields
    ------
    float32, shape (some draws, n)
        Counts; each row sums to n.
    """
    kept = _kept(n, draws, seed) if n * draws <= KEPT_CELLS else None
    rng = np.random.default_rng([seed, 0])
    sizes = _chunks(draws, n)
    piece, start = np.empty((sizes[0], n), dtype=np.float32), 0
    for size in sizes:
        counts = _multinomial(rng, size, n) if kept is None else kept[start : start + size]
        np.copyto(piece[:size], counts)
        yield piece[:size]
        start += size


@lru_cache(maxsize=2)
def _kept(n: int, draws: int, seed: int) -> npt.NDArray[np.uint8]:
    """The same draws serve every figure on the same users; making them takes longer than using them."""
    return _multinomial(np.random.default_rng([seed, 0]), draws, n)


def _multinomial(rng: np.random.Generator, draws: int, n: int) -> npt.NDArray[np.uint8]:
    """How often each of n users is among n that are drawn with replacement.

    Counting n drawn places is five times as fast as `Generator.multinomial`, which draws n binomials. Nobody
    is drawn as often as 256 times: that has a chance below 1e-500.

    Returns
    -------
    uint8, shape (draws, n)
        Counts; each row sums to n.
    """
    counts = np.empty((draws, n), dtype=np.uint8)
    for draw in range(draws):
        counts[draw] = np.bincount(rng.integers(0, n, n), minlength=n)
    return counts


def _quantiles(values: Values, tail: float) -> tuple[float, float]:
    if values.size == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return float(low), float(high)


def _chunks(draws: int, n: int) -> list[int]:
    size = max(1, CHUNK // n)
    return [min(size, draws - start) for start in range(0, draws, size)]
