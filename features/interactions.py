"""How much each interaction weighs: one definition for training, for stored preferences and for live answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.domains.recommendations.vocabulary import INTERACTION_TYPES

__all__ = ["MICROSECONDS_PER_DAY", "Events", "History", "InteractionWeights"]

MICROSECONDS_PER_DAY = 86_400 * 1_000_000


@dataclass(frozen=True, eq=False)
class Events:
    """Interactions as columns, sorted by time, then user, item and kind; row i of each belongs together.

    user    int32, row of the user, -1 for a guest
    item    int32, row of the item
    kind    int8, position in INTERACTION_TYPES, -1 for a word we do not know
    value   float32, `interaction_value` (quantity, rating …), NaN where none was given
    session int64, hash of `session_id`, 0 where none was given
    time    int64, microseconds since 1970-01-01 UTC
    """

    user: npt.NDArray[np.int32]
    item: npt.NDArray[np.int32]
    kind: npt.NDArray[np.int8]
    value: npt.NDArray[np.float32]
    session: npt.NDArray[np.int64]
    time: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.time.size)

    def take(self, keep: npt.NDArray[Any]) -> Events:
        """The rows that a boolean mask or an index array selects."""
        return Events(
            self.user[keep], self.item[keep], self.kind[keep], self.value[keep], self.session[keep], self.time[keep]
        )


@dataclass(frozen=True, eq=False)
class History:
    """What one user (or guest) did, as ids: the input of a fold-in.

    products  int64, shape (n,); the same product may occur more than once
    weights   float32, shape (n,); zero or less: touched, but no sign of liking
    times     int64, shape (n,), microseconds since 1970-01-01 UTC
    """

    products: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    times: npt.NDArray[np.int64]

    @classmethod
    def of(cls, products: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> History:
        """A history without times; weights default to one each."""
        ids = np.asarray(products, dtype=np.int64)
        given = np.ones(ids.shape, np.float32) if weights is None else np.asarray(weights, np.float32)
        return cls(ids, given, np.zeros(ids.shape, np.int64))


@dataclass(frozen=True)
class InteractionWeights:
    """Weight of an event = weight of its type × ½^(age / half-life); a review also × (rating − 3) / 2.

    A type without a weight counts 0: it is remembered as touched, and teaches nothing.
    """

    by_type: Mapping[str, float] = field(
        default_factory=lambda: {"view": 1.0, "like": 2.0, "add_to_cart": 3.0, "purchase": 5.0, "review": 4.0}
    )
    half_life_days: float = 90.0

    def weigh(
        self,
        kind: npt.NDArray[np.int8],
        value: npt.NDArray[np.float32],
        time: npt.NDArray[np.int64],
        moment: int,
    ) -> npt.NDArray[np.float32]:
        """Weights, float32, same shape as the inputs; ages count from `moment` (microseconds since 1970).

        An event later than `moment` counts as of age zero.
        """
        table = np.array([self.by_type.get(word, 0.0) for word in INTERACTION_TYPES] + [0.0], dtype=np.float64)
        weights = table[kind]  # code -1 takes the last entry: unknown words weigh nothing
        review = kind == INTERACTION_TYPES.index("review")
        rating = np.where(np.isnan(value), 3.0, value)
        weights = np.where(review, weights * (rating - 3.0) / 2.0, weights)
        age_days = np.maximum(moment - time, 0) / MICROSECONDS_PER_DAY
        return (weights * np.exp2(-age_days / self.half_life_days)).astype(np.float32)

    def as_json(self) -> dict[str, Any]:
        """Plain values, for headers and fingerprints."""
        plain = asdict(self)
        plain["by_type"] = dict(sorted(self.by_type.items()))
        return plain
