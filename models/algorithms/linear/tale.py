"""TALE: the next item from the items before it, faded by time, by one ridge regression in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY, Events
from models.algorithms.content_based.content import ContentBased, ContentBasedParameters
from models.algorithms.shared.item_item import (
    GRAM_BYTES,
    VALUES,
    Values,
    top_products,
)
from models.algorithms.shared.ridge import GRAM_BELOW, ridge_columns
from models.algorithms.shared.sequential import Sequential, StepSequence, degree_power
from models.shared.validation import check_choice, check_float, check_int

__all__ = ["TALE", "TALEParameters"]

_CONTENT = ContentBasedParameters(terms=2_000)
"""Only frequent words: each adds a column to S that nearly every step fills a little."""
_FEATURES = 60
"""Different attributes of a few earlier items: what a step adds to S."""


@dataclass(frozen=True)
class TALEParameters:
    """Parameters of `TALE`.

    Parameters
    ----------
    ridge
        λ.
    window
        Steps before the next item that count.
    fade_days, floor
        An item Δ days before the next one counts max(exp(−Δ / fade_days), floor).
    source_power, target_power
        How far popular items are turned down before and as the next item.
    attributes
        Weight of the catalogue's vectors of the earlier items as further predictors; 0: none.
    candidates
        Predictors of an item.
    neighbours
        Kept per item, where attributes are used.
    values : {"binary", "log", "linear"}
        How a user's weight of an item counts: 1, log(1 + weight), or the weight itself.
    history_decay
        Factor per step into a user's past, at scoring.
    """

    ridge: float = 100.0
    window: int = 20
    fade_days: float = 4.0
    floor: float = 0.05
    source_power: float = 0.0
    target_power: float = 0.0
    attributes: float = 0.5
    candidates: int = 100
    neighbours: int = 500
    values: Values = "binary"
    history_decay: float = 0.6

    def __post_init__(self) -> None:
        check_float(self, "ridge", 0.0, 1e9, above_low=True)
        check_int(self, "window", 1, 1_000)
        check_float(self, "fade_days", 0.0, 36_500.0, above_low=True)
        check_float(self, "floor", 0.0, 1.0)
        check_float(self, "source_power", 0.0, 1.0)
        check_float(self, "target_power", 0.0, 1.0)
        check_float(self, "attributes", 0.0, 100.0)
        check_int(self, "candidates", 1, 5_000)
        check_int(self, "neighbours", 1, 5_000)
        check_choice(self, "values", VALUES)
        check_float(self, "history_decay", 0.0, 1.0, above_low=True)


class TALE(Sequential):
    """B = argmin ‖S B − T‖² + λ‖B‖², score(x) = x B, x faded by steps back.

    Park et al. 2025, "Temporal linear item-item model for sequential recommendation", WSDM, arXiv 2412.07382,
    section 3: a row of T is one step of a user, a row of S what that user did in the steps before it, each
    item turned down by the time between, and both by popularity (here n^-power over all of the log; the
    paper counts around the time of the event). Column j of B = (SᵀS + λI)⁻¹SᵀT is solved on the `candidates`
    items a of the largest (SᵀT)_aj / √(SᵀS)_aa alone, and on none that never came before j: no items × items
    matrix is built.

    With unit vectors A of the catalogue (`ContentBased`), S becomes [S, αSA], as collective EASE adds side
    information (Jeunen, Van Balen & Goethals 2020, "Closed-form models for collaborative filtering with
    side-information", RecSys, section 3); the score x (B_items + αA B_attributes) keeps, of each row of the
    bracket, the `neighbours` largest positive entries.
    """

    algorithm: ClassVar[str] = "tale"
    Parameters = TALEParameters
    parameters: TALEParameters

    def _transitions(
        self, dataset: Dataset, steps: StepSequence, events: Events, weight: npt.NDArray[np.float32]
    ) -> sparse.csr_matrix:
        chosen = self.parameters
        target = steps.summed(np.ones_like(weight))
        target.data[:] = 1.0
        turned = sparse.diags_array(degree_power(target, chosen.source_power))
        source = sparse.csr_matrix((self._before(steps) @ target) @ turned)
        target = sparse.csr_matrix(target @ sparse.diags_array(degree_power(target, chosen.target_power)))
        vectors = self._attributes(dataset)
        if vectors is None:
            return self._solved(source, target)
        both = self._solved(sparse.csr_matrix(sparse.hstack([source, source @ vectors])), target)
        own = sparse.eye_array(len(dataset.items), dtype=np.float32)
        bracket = sparse.csr_matrix(sparse.hstack([own, vectors]))
        # the zeros keep entries of an item with itself: what is taken again is predicted by itself
        diagonal = np.zeros(len(dataset.items), dtype=np.float32)
        return top_products(bracket, both, chosen.neighbours, off_diagonal=diagonal)

    def _attributes(self, dataset: Dataset) -> sparse.csr_matrix | None:
        """αA, csr float32 (items, features); None where there is nothing to add."""
        if not self.parameters.attributes:
            return None
        vectors = ContentBased(_CONTENT).fit(dataset).vectors_
        return sparse.csr_matrix(vectors * np.float32(self.parameters.attributes)) if vectors.nnz else None

    def _solved(self, source: sparse.csr_matrix, target: sparse.csr_matrix) -> sparse.csr_matrix:
        """B of the steps, csr float32 (columns of source, items)."""
        chosen = self.parameters
        length = np.sqrt(np.asarray(source.power(2).sum(axis=0), dtype=np.float64).ravel())
        unit = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0).astype(np.float32)
        by_target = target.T.tocsr()
        scaled = sparse.csr_matrix(source @ sparse.diags_array(unit))
        diagonal = np.zeros(target.shape[1], dtype=np.float32)  # kept, see above
        near = top_products(by_target, scaled, chosen.candidates, off_diagonal=diagonal)
        return ridge_columns(near, source.T.tocsr(), by_target, chosen.ridge)

    def _before(self, steps: StepSequence) -> sparse.csr_matrix:
        """csr float32 (steps, steps): in each row the weights of the same walker's earlier steps."""
        chosen = self.parameters
        pairs = [
            np.flatnonzero(steps.walker[distance:] == steps.walker[:-distance])
            for distance in range(1, min(chosen.window, steps.walker.size - 1) + 1)
        ]
        source = np.concatenate([*pairs, np.empty(0, np.int64)]).astype(np.int64)
        target = source + np.repeat(np.arange(1, len(pairs) + 1), [pair.size for pair in pairs])
        days = (steps.time[target] - steps.time[source]) / MICROSECONDS_PER_DAY
        weight = np.maximum(np.exp(-days / chosen.fade_days), chosen.floor).astype(np.float32)
        return sparse.csr_matrix((weight, (target, source)), shape=(steps.walker.size,) * 2)

    def forecast(self, users: int, items: int, nnz: int) -> int:
        """Peak bytes of a fit: kept weights, candidates, SᵀS, one block, and the rows of S three times."""
        chosen = self.parameters
        kept = 32 * items * min(items, chosen.candidates) + 16 * items * min(items, chosen.neighbours)
        wide = 24 * _FEATURES * nnz if chosen.attributes else 0
        columns = items + (_CONTENT.terms if chosen.attributes else 0)
        kept += 8 * columns**2 if columns <= GRAM_BELOW else 0
        return kept + 2 * GRAM_BYTES + nnz * (80 + 48 * chosen.window) + wide
