"""From a model's own scores to 0..1, with the same meaning for every model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

__all__ = ["BuyingChances", "Calibration", "maps_as_json", "maps_from_json"]

Values = npt.NDArray[np.float64]

BIN = 25
"""At least so many outcomes are averaged before anything is fitted to them."""
STEEPEST = 1e5
"""The largest relative change of a chance, for one unit of score, beyond the first and the last centre."""
MOST_BINS = 400


@dataclass(frozen=True)
class Calibration:
    """A strictly increasing, continuous map from score to the chance that the user takes up the product.

    Isotonic regression (Zadrozny & Elkan 2002, "Transforming classifier scores into accurate multiclass
    probability estimates", section 3.2) gives steps, which tie what the model tells apart. So the map is the
    line through the centres of its blocks, and beyond the first and the last centre a hyperbola that leaves
    with the slope of the neighbouring line and approaches 0 and 1 without reaching them.

    Attributes
    ----------
    scores, chances
        The centres, both strictly increasing; chances strictly within 0..1, except that the first may be 0.
    scale
        How far scores spread; gives the slope where there is only one centre.
    """

    scores: tuple[float, ...]
    chances: tuple[float, ...]
    scale: float = 1.0

    @classmethod
    def fit(cls, scores: npt.ArrayLike, taken: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Self:
        """Learn from recommended products and what became of them.

        Each bin of outcomes is taken as if one more, the mean of all, were in it: no chance is 0 or 1.

        Parameters
        ----------
        scores : float, shape (n,)
            Finite.
        taken : bool, shape (n,)
            Whether the product was taken up.
        weights : float, shape (n,)
            Positive: how many outcomes each stands for (default: 1).

        Raises
        ------
        ValueError
            When there is nothing to fit, a score is not finite, or the shapes differ.
        """
        x, y = np.asarray(scores, dtype=np.float64), np.asarray(taken, dtype=np.float64)
        w = np.ones_like(x) if weights is None else np.asarray(weights, dtype=np.float64)
        if x.size == 0 or not x.shape == y.shape == w.shape or not bool(np.isfinite(x).all()):
            raise ValueError("calibration needs finite scores, each with its outcome")
        mean = float(np.clip(np.average(y, weights=w), 1e-6, 1 - 1e-6))
        centres, successes, mass = _blocks(x, y, w)
        centres, chances = _blocks_of_blocks(centres, (successes + mean) / (mass + 1.0), mass)
        spread = float(x.std()) or max(1.0, abs(float(x[0])))
        return cls(tuple(centres.tolist()), tuple(chances.tolist()), spread)

    def __call__(self, scores: npt.NDArray[np.float32]) -> Values:
        """Chances in 0..1, float64, same shape; -inf gives 0."""
        given = np.asarray(scores, dtype=np.float64)
        finite = np.isfinite(given)
        x = np.where(finite, given, self.scores[0])
        knots, chances = np.array(self.scores), np.array(self.chances)
        first, last = self._slopes()
        low, high = max(chances[0], 1e-12), max(1.0 - chances[-1], 1e-12)
        # where the ends are nearly steps, a float could no longer tell the chances beyond them apart
        first, last = min(first, STEEPEST * low), min(last, STEEPEST * high)
        below, above = np.maximum(knots[0] - x, 0.0), np.maximum(x - knots[-1], 0.0)
        found = np.interp(x, knots, chances)
        found = np.where(below > 0, chances[0] / (1.0 + first * below / low), found)
        found = np.where(above > 0, 1.0 - (1.0 - chances[-1]) / (1.0 + last * above / high), found)
        return np.where(finite, found, 0.0)

    def error(self, scores: npt.ArrayLike, taken: npt.ArrayLike, bins: int = 10) -> float:
        """Expected calibration error on other outcomes than it was learned from.

        The mean of |observed - predicted| over `bins` of equally many outcomes, ordered by score (Guo,
        Pleiss, Sun & Weinberger 2017, "On calibration of modern neural networks", section 2).

        Parameters
        ----------
        scores : float, shape (n,)
        taken : bool, shape (n,)
            Whether the product was taken up.

        Raises
        ------
        ValueError
            Without outcomes, or when the shapes differ.
        """
        x, y = np.asarray(scores, dtype=np.float32), np.asarray(taken, dtype=np.float64)
        if x.size == 0 or x.shape != y.shape:
            raise ValueError("the error of a calibration needs scores, each with its outcome")
        order = np.argsort(x, kind="stable")
        gaps = self(x)[order] - y[order]
        return float(sum(abs(part.sum()) for part in np.array_split(gaps, bins)) / x.size)

    def as_json(self) -> dict[str, Any]:
        """Plain values, for the artifact's header."""
        return {"scores": list(self.scores), "chances": list(self.chances), "scale": self.scale}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Self:
        """Take back what `as_json` gave."""
        return cls(tuple(plain["scores"]), tuple(plain["chances"]), plain.get("scale", 1.0))

    def _slopes(self) -> tuple[float, float]:
        """At the first and at the last centre."""
        if len(self.scores) == 1:
            slope = max(self.chances[0] * (1.0 - self.chances[0]), 1e-9) / self.scale
            return slope, slope
        (x0, x1), (y0, y1) = self.scores[:2], self.chances[:2]
        (x2, x3), (y2, y3) = self.scores[-2:], self.chances[-2:]
        return (y1 - y0) / (x1 - x0), (y3 - y2) / (x3 - x2)


@dataclass(frozen=True)
class BuyingChances:
    """From scores to the chance that a user takes up the product within `days`, of all who ever were active.

    Calibrations of lists speak of somebody who is there; where users are asked for their next success, even
    of somebody who takes up something. These speak of everybody, as a segment does.

    Attributes
    ----------
    any, new
        Of any product, and of products that are new to the user.
    days
        Length of the test period.
    """

    any: Calibration
    new: Calibration
    days: float


def maps_as_json(
    of_any: Calibration | None, of_new: Calibration | None, chances: BuyingChances | None
) -> dict[str, Any]:
    """The calibrations of a model, for the artifact's header."""
    return {
        "calibration": None if of_any is None else of_any.as_json(),
        "calibration_new": None if of_new is None else of_new.as_json(),
        "buying_chances": None
        if chances is None
        else {"any": chances.any.as_json(), "new": chances.new.as_json(), "days": chances.days},
    }


def maps_from_json(
    header: dict[str, Any],
) -> tuple[Calibration | None, Calibration | None, BuyingChances | None]:
    """Take back what `maps_as_json` gave; artifacts of former versions lack the last two."""
    of_any, of_new = (
        None if saved is None else Calibration.from_json(saved)
        for saved in (header["calibration"], header.get("calibration_new"))
    )
    saved = header.get("buying_chances")
    if saved is None:
        return of_any, of_new, None
    chances_any, chances_new = (Calibration.from_json(saved[name]) for name in ("any", "new"))
    return of_any, of_new, BuyingChances(chances_any, chances_new, float(saved["days"]))


def _blocks(x: Values, y: Values, w: Values) -> tuple[Values, Values, Values]:
    """Mean score, weighed successes and weight of bins of equally many outcomes; equal scores share one."""
    order = np.argsort(x, kind="stable")
    x, y, w = x[order], y[order], w[order]
    bins = int(np.clip(x.size // BIN, 1, MOST_BINS))
    bin_of = np.arange(x.size) * bins // x.size
    # what is tied belongs together, in the bin of the first
    starts = np.concatenate([[True], x[1:] > x[:-1]])
    bin_of = bin_of[np.maximum.accumulate(np.where(starts, np.arange(x.size), 0))]
    _, place = np.unique(bin_of, return_inverse=True)
    mass = np.bincount(place, weights=w)
    centres: Values = np.bincount(place, weights=w * x) / mass
    successes: Values = np.bincount(place, weights=w * y).astype(np.float64)
    return centres, successes, mass.astype(np.float64)


def _blocks_of_blocks(centres: Values, chances: Values, mass: Values) -> tuple[Values, Values]:
    """Neighbours that do not increase, pooled: centres and chances, both strictly increasing."""
    # with what it imports 75 MB, which only a fit needs and not who serves
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(increasing=True).fit_transform(centres, chances, sample_weight=mass)
    levels, place = np.unique(fitted, return_inverse=True)
    weight = np.bincount(place, weights=mass)
    x = np.bincount(place, weights=mass * centres) / weight
    # rounding may leave two centres, or two levels, that a float tells apart and a slope does not
    apart = np.concatenate(
        [[True], (np.diff(x) > 1e-9 * max(1.0, np.abs(x).max())) & (np.diff(levels) > 1e-9)]
    )
    return x[apart], levels[apart]
