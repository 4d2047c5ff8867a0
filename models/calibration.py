"""From a model's own scores to 0..1, with the same meaning for every model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

__all__ = ["Calibration"]


@dataclass(frozen=True)
class Calibration:
    """A monotone, piecewise linear map from score to the chance that the user takes up the product.

    Fitted by isotonic regression (Zadrozny & Elkan 2002, "Transforming classifier scores into accurate
    multiclass probability estimates", section 3.2) on recommended products of a validation fold.
    """

    scores: tuple[float, ...]
    chances: tuple[float, ...]

    @classmethod
    def fit(cls, scores: npt.ArrayLike, taken: npt.ArrayLike) -> Self:
        """`scores` float (n,), finite; `taken` bool (n,): whether the recommended product was taken up.

        Raises ValueError when there is nothing to fit.
        """
        # with what it imports 75 MB, which only a fit needs and not who serves
        from sklearn.isotonic import IsotonicRegression

        x, y = np.asarray(scores, dtype=np.float64), np.asarray(taken, dtype=np.float64)
        if x.size == 0 or x.shape != y.shape or not bool(np.isfinite(x).all()):
            raise ValueError("calibration needs finite scores, each with its outcome")
        fitted = IsotonicRegression(y_min=0.0, y_max=1.0, increasing=True, out_of_bounds="clip").fit(x, y)
        return cls(tuple(map(float, fitted.X_thresholds_)), tuple(map(float, fitted.y_thresholds_)))

    def __call__(self, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Chances in 0..1, float32, same shape; -inf gives 0."""
        finite = np.where(np.isfinite(scores), scores, self.scores[0])
        chances = np.interp(finite, self.scores, self.chances)
        return np.where(np.isfinite(scores), chances, 0.0).astype(np.float32)

    def as_json(self) -> dict[str, Any]:
        """Plain values, for the artifact's header."""
        return {"scores": list(self.scores), "chances": list(self.chances)}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Self:
        """Take back what `as_json` gave."""
        return cls(tuple(plain["scores"]), tuple(plain["chances"]))
