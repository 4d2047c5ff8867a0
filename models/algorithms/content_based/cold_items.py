"""New items at once: what the catalogue says of an item is mapped to the factors it would have earned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY
from models.algorithms.content_based.content import ContentBased, ContentBasedParameters
from models.algorithms.factorization.degree_svd import DegreeSVD, DegreeSVDParameters
from models.algorithms.shared.truncated_svd import right_singular
from models.base import Arrays, ModelKind, Rows, Scores
from models.shared.validation import check_float, check_int

__all__ = ["ColdItems", "ColdItemsParameters"]

_LITTLE = 0.1
"""Demand of an item whose last event is long ago; without it, it would never be shown."""


@dataclass(frozen=True)
class ColdItemsParameters(DegreeSVDParameters):
    """Parameters of `ColdItems`: those of the factors (`DegreeSVDParameters`), and of the mapping.

    Parameters
    ----------
    content_factors
        Length of the content vectors.
    content_ridge
        λ of the regression.
    confidence
        Users that an item needs to count half in the regression.
    trust
        Users that an item needs for its own factors to count as much as the mapped ones.
    demand
        So much recent demand (events, faded) is half of a lot; 0: demand does not count.
    demand_days
        Half-life of an event's part in the demand, in days.
    """

    factors: int = 128
    user_power: float = 0.5
    content_factors: int = 256
    content_ridge: float = 1.0
    confidence: float = 20.0
    trust: float = 1.0
    demand: float = 3.0
    demand_days: float = 3.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_int(self, "content_factors", 1, 4_096)
        check_float(self, "content_ridge", 0.0, 1e6, above_low=True)
        check_float(self, "confidence", 0.0, 1e6)
        check_float(self, "trust", 0.0, 1e6)
        check_float(self, "demand", 0.0, 1e6)
        check_float(self, "demand_days", 0.0, 36_500.0, above_low=True)


class ColdItems(DegreeSVD):
    """Factors of a degree-normalised SVD, with factors of new items predicted from their content.

    F are the factors of the SVD, and F'_i = (n_i F_i + trust · r z_i W) / (n_i + trust) for item i
    with n_i users, where W minimises Σ w_i ‖z_i W − F_i / ‖F_i‖‖² + λ‖W‖², w_i = n_i / (n_i + confidence).

    Gantner, Drumond, Freudenthaler, Rendle & Schmidt-Thieme 2010, "Learning attribute-to-feature mappings for
    cold-start recommendations", ICDM, section IV (linear mapping, squared error). Directions are learned, not
    lengths: those grow with popularity, and a new item must not start as long as the established ones like
    it, so r is the median length of items with the fewest users. z is the item's content vector of
    `ContentBased` (text, category path, brand, price, own vector), brought to `content_factors` numbers by a
    truncated SVD (latent semantic indexing, Deerwester et al. 1990), and a one for the mean. An item that
    nobody took has the mapped factors alone, on both sides: it is recommended, and speaks for others. One of
    which the catalogue says nothing either is never shown.

    A score is x · F' times d_i / (d_i + demand), with d the events of an item, each × ½^(age / demand_days),
    and a little: what sells since its launch gains on what does not, and established items hardly differ.
    An item that nobody took counts like the median of those with the fewest users.
    """

    algorithm: ClassVar[str] = "cold_items"
    kind: ClassVar[ModelKind] = ModelKind.HYBRID
    knows_rare: ClassVar[bool] = True
    Parameters = ColdItemsParameters
    parameters: ColdItemsParameters

    unknown_: Rows
    """int64: rows of the items that nobody took and the catalogue says nothing of."""

    def _fit(self, dataset: Dataset) -> None:
        super()._fit(dataset)
        content, trust = self._content(dataset), self.parameters.trust
        takers = np.bincount(dataset.matrix.indices, minlength=len(dataset.items))
        users: npt.NDArray[np.float64] = takers.astype(np.float64)
        described = content.any(axis=1)
        self.unknown_ = np.flatnonzero((users == 0) & ~described)
        # an item without content has no mapped factors to be drawn to
        weight = np.where(described, trust, 0.0)
        own = np.divide(users, users + weight, out=np.zeros_like(users), where=users > 0)[:, None]
        given = np.column_stack([content, described]).astype(np.float64)
        teachers = np.where(described, users, 0.0)

        def mixed(factors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            mapped = self._mapped(given, factors, teachers)
            return np.asarray(own * factors + (1.0 - own) * mapped, dtype=np.float32)

        self.own_encoder_ = mixed(self.encoder_of(np.arange(len(dataset.items))))
        self.decoder_ = mixed(self.decoder_)
        self.decoder_ *= self._demand(dataset, takers)[:, None]

    def _demand(self, dataset: Dataset, takers: Rows) -> npt.NDArray[np.float32]:
        """float32 (items,): by what the scores of each item are multiplied, in (0, 1]."""
        events, half = dataset.events, self.parameters.demand
        liked = dataset.weights.weigh(events.kind, events.value, events.time, dataset.moment) > 0
        age = (dataset.moment - events.time[liked]) / MICROSECONDS_PER_DAY
        faded = np.exp2(-age / self.parameters.demand_days)
        demand = np.bincount(events.item[liked], weights=faded, minlength=len(dataset.items)) + _LITTLE
        share = demand / (demand + half)
        taken = takers > 0
        if taken.any():
            share[~taken] = np.median(share[takers == takers[taken].min()])
        return np.asarray(share, dtype=np.float32)

    def _mapped(
        self,
        content: npt.NDArray[np.float64],
        factors: npt.NDArray[np.float32],
        users: npt.NDArray[np.float64],
    ) -> npt.NDArray[np.float64]:
        """What content says an item's factors are, as long as a new item's are.

        Parameters
        ----------
        content : float64, shape (items, content factors)
        factors : float32, shape (items, factors)
            The factors of the SVD.
        users : float64, shape (items,)
            How many took each item; those with none, or without a direction, teach nothing.

        Returns
        -------
        float64, shape (items, factors)
        """
        lengths = np.linalg.norm(factors.astype(np.float64), axis=1)
        learned = np.flatnonzero((users > 0) & (lengths > 0))
        if learned.size == 0:
            return np.zeros(factors.shape)
        directions = factors[learned] / lengths[learned, None]
        weights = users[learned] / (users[learned] + self.parameters.confidence)
        mapping = _ridge(content[learned], directions, weights, self.parameters.content_ridge)
        newest = lengths[learned][users[learned] == users[learned].min()]
        return np.asarray(float(np.median(newest)) * (content @ mapping))

    def _content(self, dataset: Dataset) -> npt.NDArray[np.float32]:
        """float32 (items, content factors); zeros for an item without content."""
        vectors = ContentBased(ContentBasedParameters(preference=0.0)).fit(dataset).vectors_
        if vectors.nnz == 0:
            return np.zeros((len(dataset.items), 1), dtype=np.float32)
        _, directions = right_singular(vectors, self.parameters.content_factors, seed=self.parameters.seed)
        return np.asarray(vectors @ directions, dtype=np.float32)

    def forecast(self, users: int, items: int, nnz: int) -> int:
        """Peak bytes of a fit: the factors and what mixes them, the content vectors and their reduction."""
        width = self.parameters.content_factors + 1
        content = items * (24 * 30 + 16 * width) + 16 * width**2
        return super().forecast(users, items, nnz) + content + 12 * self._factors((users, items)) * items

    def _score(self, history: sparse.csr_matrix, rows: Rows, out: Scores) -> None:
        super()._score(history, rows, out)
        out[:, self.unknown_] = -np.inf

    def _score_similar(self, items: Rows, out: Scores) -> None:
        super()._score_similar(items, out)
        out[:, self.unknown_] = -np.inf
        out[np.isin(items, self.unknown_)] = -np.inf

    def _arrays(self) -> Arrays:
        return {**super()._arrays(), "unknown": self.unknown_}

    def _restore(self, arrays: Arrays) -> None:
        super()._restore(arrays)
        self.unknown_ = arrays["unknown"]


def _ridge(
    given: npt.NDArray[np.float64],
    wanted: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    ridge: float,
) -> npt.NDArray[np.float64]:
    """(ZᵀwZ + λI)⁻¹ ZᵀwF, float64 (content factors, factors)."""
    weighted = given.T * weights
    gram = weighted @ given + ridge * np.eye(given.shape[1])
    return np.asarray(linalg.solve(gram, weighted @ wanted, assume_a="pos"))
