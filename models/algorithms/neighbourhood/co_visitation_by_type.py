"""Co-visitation by interaction type and session gap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.interactions import Events, InteractionWeights
from models.algorithms.neighbourhood.co_visitation import CoVisitation, CoVisitationParameters
from models.algorithms.shared.item_item import VALUES, Values, top_products
from models.algorithms.shared.sequential import STEPS_AT_ONCE, StepSequence, degree_power, scaled_steps
from models.shared.validation import check_choice, check_float
from recsys.errors import Invalid

__all__ = ["CoVisitationByType", "CoVisitationByTypeParameters"]

_HOUR = 3_600 * 1_000_000


def _weights() -> dict[str, float]:
    return {"view": 1.0, "like": 1.0, "add_to_cart": 0.5, "purchase": 0.5, "review": 0.5}


@dataclass(frozen=True)
class CoVisitationByTypeParameters(CoVisitationParameters):
    """Parameters of `CoVisitationByType`: those of `CoVisitation` with other defaults, and more.

    Parameters
    ----------
    source, target
        Weight by interaction type of an event as the start and as the end of a pair.
    gap_hours, gap_floor
        A pair that lies Δ hours apart counts max(exp(−Δ / gap_hours), gap_floor); gap_hours 0 ignores the
        time between events.
    damping
        Power of a pair's summed weight; below 1 many repetitions by few users count less.
    values : {"binary", "log", "linear"}
        How a user's weight of an item counts: 1, log(1 + weight), or the weight itself.
    """

    reverse: float = 1.0
    target_power: float = 0.0
    history_decay: float = 0.9
    source: Mapping[str, float] = field(default_factory=_weights)
    target: Mapping[str, float] = field(default_factory=_weights)
    gap_hours: float = 0.1
    gap_floor: float = 0.1
    damping: float = 0.5
    values: Values = "log"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("source", "target"):
            try:
                weights = InteractionWeights(getattr(self, name)).by_type
            except Invalid as error:
                raise Invalid(
                    f"parameter {name} of CoVisitationByType: {error.message}", field=name
                ) from error
            if any(weight < 0 for weight in weights.values()) or not any(weights.values()):
                raise Invalid(
                    f"parameter {name} of CoVisitationByType must hold weights of 0 or more, "
                    f"one of them positive, not {dict(weights)!r}",
                    field=name,
                )
            object.__setattr__(self, name, {word: float(weight) for word, weight in weights.items()})
        check_float(self, "gap_hours", 0.0, 1e6)
        check_float(self, "gap_floor", 0.0, 1.0)
        check_float(self, "damping", 0.0, 1.0, above_low=True)
        check_choice(self, "values", VALUES)


class CoVisitationByType(CoVisitation):
    """Co-visitation with weights by the interaction types of a pair and by the time between its events.

    With c(s, t) = source(s) · target(t), the weight of a pair "an event of type t d steps and Δ hours
    after one of type s":

        C[a, b] = Σ over pairs of c(s, t) · decay^(d−1) · max(exp(−Δ/τ), floor), and `reverse` of it backwards
        W[a, b] = (C[a, b] / (n_a^source_power · n_b^target_power))^damping
        score   = Σ over the history of value(weight) × history_decay^(steps back) × W

    The matrices per pair of types are those of the OTTO session challenge (Kaggle 2022: click to cart, cart
    to order …), summed before damping; the time kernel is that of TALE (Park et al. 2025, arXiv 2412.07382,
    section 3.2); the power on item-to-item weights is Turbo-CF's (Park et al. 2024, arXiv 2404.14243).
    n_a, n_b are summed source and target weights of the item.
    """

    algorithm: ClassVar[str] = "co_visitation_by_type"
    Parameters = CoVisitationByTypeParameters
    parameters: CoVisitationByTypeParameters

    def _transitions(
        self, dataset: Dataset, steps: StepSequence, events: Events, weight: npt.NDArray[np.float32]
    ) -> sparse.csr_matrix:
        chosen = self.parameters
        source, target = (
            steps.summed(np.maximum(_typed(by_type, events), 0.0))
            for by_type in (chosen.source, chosen.target)
        )
        between = steps.band(chosen.window, chosen.distance_decay, chosen.reverse)
        if chosen.gap_hours:
            _weigh_gaps(between, steps.time, chosen.gap_hours, chosen.gap_floor)
        source_scale = degree_power(source, chosen.source_power)
        target_scale = degree_power(target, chosen.target_power)
        before, after = scaled_steps(between, source, target, source_scale, target_scale)
        del between  # as large as `after`, and of no use to the product
        itself = None
        if chosen.repeats:
            met = source.multiply(target).sum(axis=0) * (1.0 + chosen.reverse) / 2.0
            # an event is no repeat of itself; rounding must not leave a trace of it
            itself = (np.asarray(met).ravel() * source_scale * target_scale * (1.0 + 1e-5)).astype(np.float32)
        return top_products(before, after, chosen.neighbours, power=chosen.damping, off_diagonal=itself)

    def forecast(self, users: int, items: int, nnz: int) -> int:
        """Peak bytes of a fit: as CoVisitation, and the weights by type, with 2.4 events of each pair."""
        # 2,326 MiB were measured with 10.0 million events of 4.16 million pairs, window 5
        return super().forecast(users, items, nnz) + nnz * (120 + 40 * self.parameters.window)


def _typed(by_type: Mapping[str, float], events: Events) -> npt.NDArray[np.float32]:
    """The weight of each event's type alone, float32 (events,); age does not count."""
    oldest = int(events.time.min(initial=0))
    return InteractionWeights(by_type).weigh(events.kind, events.value, events.time, oldest)


def _weigh_gaps(
    between: sparse.csr_matrix,
    time: npt.NDArray[np.int64],
    hours: float,
    floor: float,
    at_once: int = STEPS_AT_ONCE,
) -> None:
    """Multiply `between` by max(exp(−hours apart / hours), floor), in place.

    In blocks: what is computed on the way takes five times the space of the matrix.

    Parameters
    ----------
    between : csr, shape (steps, steps)
    time : int64, shape (steps,)
        Microseconds since 1970.
    at_once
        Rows of a block.
    """
    for start in range(0, between.shape[0], at_once):
        bounds = between.indptr[start : start + at_once + 1]
        part = slice(int(bounds[0]), int(bounds[-1]))
        own = np.repeat(time[start : start + at_once], np.diff(bounds))
        apart = np.abs(time[between.indices[part]] - own) / (_HOUR * hours)
        between.data[part] *= np.maximum(np.exp(-apart), floor).astype(np.float32)
