"""Directed co-visitation: what people go on to after what they did last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.interactions import Events
from models.algorithms.shared.item_item import GRAM_BYTES, top_products
from models.algorithms.shared.sequential import Sequential, StepSequence, degree_power, scaled_steps
from models.shared.validation import check_float, check_int
from recsys.errors import Invalid

__all__ = ["CoVisitation", "CoVisitationParameters"]


@dataclass(frozen=True)
class CoVisitationParameters:
    """Parameters of `CoVisitation`.

    Parameters
    ----------
    window
        Steps between two items that still count.
    distance_decay
        Factor per step beyond the first.
    reverse
        Weight of the way back.
    source_power, target_power
        How far popular ends are turned down.
    history_decay
        Factor per step into a user's past, at scoring.
    neighbours
        Kept per item.
    repeats
        Whether doing the same thing again counts, so that what was done may be recommended for itself.
    """

    window: int = 5
    distance_decay: float = 0.6
    reverse: float = 0.5
    source_power: float = 0.5
    target_power: float = 0.3
    history_decay: float = 0.5
    neighbours: int = 500
    repeats: bool = False

    def __post_init__(self) -> None:
        check_int(self, "window", 1, 100)
        check_float(self, "distance_decay", 0.0, 1.0)
        check_float(self, "reverse", 0.0, 1.0)
        check_float(self, "source_power", 0.0, 1.0)
        check_float(self, "target_power", 0.0, 1.0)
        check_float(self, "history_decay", 0.0, 1.0, above_low=True)
        check_int(self, "neighbours", 1, 5_000)
        if not isinstance(self.repeats, bool):
            raise Invalid(
                f"parameter repeats of {type(self).__qualname__.removesuffix('Parameters')} "
                f"must be true or false, not {self.repeats!r}",
                field="repeats",
            )


class CoVisitation(Sequential):
    """Item-to-item weights of items that follow each other in the histories of users.

    W[a, b] = Σ over pairs "b came d steps after a" of weight(b) · decay^(d-1), and `reverse` of it where
    b came before a, divided by n_a^source_power · n_b^target_power (times a was there; summed weights of b);
    score = Σ over the history of weight × history_decay^(steps back) × W.

    After the co-visitation matrices of the OTTO session challenge (Kaggle 2022) and vector multiplication
    with decayed sessions (Ludewig & Jannach 2018, "Evaluation of session-based recommendation algorithms",
    section 3.2, S-SKNN and V-SKNN). A step is one moment of one user (or of one guest's session): things
    done at the same moment have no order, so they count for each other as half a step forth and half a step
    back, and no order of the rows in the log can leak. Everything is a sparse product: with A (steps ×
    items) and the banded M of the weights between steps, W = Aᵀ (M A). What a user did carries its steps
    back in `history_` and in the folded-in matrix (from `History.times`), so fold-in and refit give the same
    scores.
    """

    algorithm: ClassVar[str] = "co_visitation"
    Parameters = CoVisitationParameters
    parameters: CoVisitationParameters

    def _transitions(
        self, dataset: Dataset, steps: StepSequence, events: Events, weight: npt.NDArray[np.float32]
    ) -> sparse.csr_matrix:
        """See `Sequential`; the weight of a pair is that of its later event."""
        chosen = self.parameters
        target = steps.summed(weight)
        source = target.copy()
        source.data[:] = 1.0
        between = steps.band(chosen.window, chosen.distance_decay, chosen.reverse)
        source_scale = degree_power(source, chosen.source_power)
        target_scale = degree_power(target, chosen.target_power)
        before, after = scaled_steps(between, source, target, source_scale, target_scale)
        del between  # as large as `after`, and of no use to the product
        if not chosen.repeats:
            return top_products(before, after, chosen.neighbours)
        # within one moment everything meets itself: that is no repeat
        met = np.asarray(target.sum(axis=0)).ravel() * np.float32((1.0 + chosen.reverse) / 2.0)
        # rounding must not leave a trace of it
        itself = source_scale * met * target_scale * np.float32(1.0 + 1e-5)
        return top_products(before, after, chosen.neighbours, off_diagonal=itself.astype(np.float32))

    def forecast(self, users: int, items: int, nnz: int) -> int:
        """Peak bytes of a fit: the kept transitions twice, one block, and the banded steps."""
        kept = 16 * items * min(items, self.parameters.neighbours)
        return kept + 2 * GRAM_BYTES + nnz * (80 + 24 * self.parameters.window)
