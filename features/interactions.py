"""How much each interaction weighs: one definition for training, stored preferences and live answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.diagnosis.setting_values import interaction_weights
from recsys.domains.recommendations.types import INTERACTION_TYPES
from recsys.errors import Invalid

__all__ = ["MICROSECONDS_PER_DAY", "Events", "History", "InteractionWeights", "canonical_order"]

MICROSECONDS_PER_DAY = 86_400 * 1_000_000
_BLOCK = 1 << 19
"""Events whose ties are put in order at once."""


@dataclass(frozen=True, eq=False)
class Events:
    """Interactions as columns, in `canonical_order`; row i of each belongs together.

    Attributes
    ----------
    user : int32, shape (n,)
        Row of the user, -1 for a guest.
    item : int32, shape (n,)
        Row of the item.
    kind : int8, shape (n,)
        Position in INTERACTION_TYPES, -1 for a word we do not know.
    value : float32, shape (n,)
        `interaction_value` (quantity, rating …), NaN where none was given.
    session : int64, shape (n,)
        Hash of `session_id`, 0 where none was given.
    time : int64, shape (n,)
        Microseconds since 1970-01-01 UTC.
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
            self.user[keep],
            self.item[keep],
            self.kind[keep],
            self.value[keep],
            self.session[keep],
            self.time[keep],
        )


def canonical_order(columns: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.int64] | None:
    """The order that sorts the columns of `Events` by time, then by all the others.

    Events equal in every column are interchangeable, so the sorted columns depend on nothing but the set of
    events.

    Returns
    -------
    int64, shape (n,)
        None when they lie so already.
    """
    time = columns["time"]
    in_time = bool((time[1:] >= time[:-1]).all())
    order = np.arange(time.size, dtype=np.int64) if in_time else np.argsort(time)
    bits = np.ascontiguousarray(columns["value"]).view(np.int32)  # NaN equals NaN that way
    keys = (columns["user"], columns["item"], columns["kind"], bits, columns["session"])
    placed = time[order]
    tied = placed[1:] == placed[:-1]  # place i and the next are of one time
    del placed
    moved, start = not in_time, 0
    while start < time.size:  # in blocks that end where a time ends: what is needed on the way stays small
        stop = min(start + _BLOCK, time.size)
        if stop < time.size and tied[stop - 1]:
            gap = int(np.argmin(tied[stop:])) if stop < tied.size else 0
            stop = time.size if stop + gap >= tied.size or tied[stop + gap] else stop + gap + 1
        moved |= _order_ties(keys, order[start:stop], tied[start : stop - 1].copy())
        start = stop
    return order if moved else None


def _order_ties(
    keys: tuple[npt.NDArray[Any], ...], order: npt.NDArray[np.int64], tied: npt.NDArray[np.bool_]
) -> bool:
    """Sort, in place, runs of places tied with the next, key after key; say whether any place moved."""
    moved = False
    for key in keys:
        if not tied.any():
            break
        in_run = np.zeros(order.size, dtype=bool)
        in_run[:-1] |= tied
        in_run[1:] |= tied
        places = np.flatnonzero(in_run)
        starts = np.ones(places.size, dtype=bool)
        starts[1:] = ~tied[places[1:] - 1]
        values = key[order[places]]
        if not ((values[1:] >= values[:-1]) | starts[1:]).all():
            moved = True
            better = _sorted_in_runs(np.cumsum(starts), values)
            order[places] = order[places][better]
            values = values[better]
        tied[:] = False
        same = np.flatnonzero((values[1:] == values[:-1]) & ~starts[1:])
        tied[places[same + 1] - 1] = True
    return moved


def _sorted_in_runs(run: npt.NDArray[np.int64], values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    if values.dtype.itemsize > 4:
        return np.lexsort((values, run))
    # both fit into one number, which sorts several times faster than two keys
    return np.argsort(run << 32 | values.astype(np.int64) - np.iinfo(np.int32).min)


@dataclass(frozen=True, eq=False)
class History:
    """What one user (or guest) did, as ids: the input of a fold-in.

    Attributes
    ----------
    products : int64, shape (n,)
        Ids; the same product may occur more than once.
    weights : float32, shape (n,)
        Zero or less: touched, but no sign of liking.
    times : int64, shape (n,)
        Microseconds since 1970-01-01 UTC; 0 where none is known.
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

    A dismissal with a value below 0 takes one back: its weight is the other way round.
    A type without a weight counts 0: it is remembered as touched, and teaches nothing. A rating lies between
    1 and 5; one outside is taken as the nearer end, a review without one as neutral.

    Attributes
    ----------
    by_type
        Weight of each type.
    half_life_days
        Age at which an event counts half.
    max_repeats_per_day, max_events_per_day
        Events of one user beyond them are left out (`features.outliers`); 0 for no limit.

    Raises
    ------
    Invalid
        For a type that does not exist, a number that is not finite, a negative weight of anything but
        dismissals, a half-life that is not positive, and a negative limit.
    """

    by_type: Mapping[str, float] = field(
        default_factory=lambda: {"view": 1.0, "like": 2.0, "add_to_cart": 3.0, "purchase": 5.0, "review": 4.0}
    )
    half_life_days: float = 90.0
    max_repeats_per_day: int = 0
    max_events_per_day: int = 0

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.by_type) - set(INTERACTION_TYPES)):
            raise Invalid(
                f"weights name the interaction type {', '.join(map(repr, unknown))}; "
                f"known are {', '.join(INTERACTION_TYPES)}"
            )
        try:
            interaction_weights(self.by_type, signed=True)
        except ValueError as error:
            raise Invalid(str(error)) from error
        if not (math.isfinite(self.half_life_days) and self.half_life_days > 0):
            raise Invalid(f"half_life_days must be a positive number, not {self.half_life_days}")
        for name in ("max_repeats_per_day", "max_events_per_day"):
            if getattr(self, name) < 0:
                raise Invalid(f"{name} must be 0 (no limit) or more, not {getattr(self, name)}")

    def weigh(
        self,
        kind: npt.NDArray[np.int8],
        value: npt.NDArray[np.float32],
        time: npt.NDArray[np.int64],
        moment: int,
    ) -> npt.NDArray[np.float32]:
        """The weight of each event.

        An event later than `moment` counts as of age zero.

        Parameters
        ----------
        kind : int8, shape (n,)
        value : float32, shape (n,)
        time : int64, shape (n,)
            As of `Events`.
        moment
            What ages count from, microseconds since 1970-01-01 UTC.

        Returns
        -------
        float32, shape (n,)
        """
        table = np.array(
            [self.by_type.get(word, 0.0) for word in INTERACTION_TYPES] + [0.0], dtype=np.float64
        )
        weights = table[kind]  # code -1 takes the last entry: unknown words weigh nothing
        reviews = np.flatnonzero(kind == _REVIEW)
        rating = value[reviews].astype(np.float64)
        weights[reviews] *= (np.clip(np.where(np.isnan(rating), 3.0, rating), 1.0, 5.0) - 3.0) / 2.0
        if self.by_type.get("dismissed"):
            weights[np.flatnonzero((kind == _DISMISSED) & (value < 0))] *= -1.0
        age_days = np.maximum(moment - time, 0) / MICROSECONDS_PER_DAY
        weights *= np.exp2(age_days / -self.half_life_days)
        return weights.astype(np.float32)

    def as_json(self) -> dict[str, Any]:
        """Plain values, for headers and fingerprints."""
        by_type = {word: float(weight) for word, weight in sorted(self.by_type.items())}
        return {
            "by_type": by_type,
            "half_life_days": float(self.half_life_days),
            "max_repeats_per_day": int(self.max_repeats_per_day),
            "max_events_per_day": int(self.max_events_per_day),
        }


_REVIEW = INTERACTION_TYPES.index("review")
_DISMISSED = INTERACTION_TYPES.index("dismissed")
