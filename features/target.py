"""The target: which events count as a success of a recommendation, configured or chosen from the data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from features.blocks import blocks
from features.interactions import Events
from recsys.domains.recommendations.types import INTERACTION_TYPES
from recsys.errors import Invalid

__all__ = ["ORDER", "Target", "choose_target"]

ORDER = ("purchase", "add_to_cart", "like", "review", "view")
"""The strongest type first; the first of which a shop has enough is taken."""
LEAST_EVENTS, LEAST_PEOPLE = 100, 30
"""So many events of so many users are enough of a type, or if half of the users have one."""
GOOD_RATING = 3.0

_REVIEW = INTERACTION_TYPES.index("review")
_PLURAL = {
    "purchase": "purchases",
    "add_to_cart": "additions to a cart",
    "like": "likes",
    "review": "reviews above 3",
    "view": "views",
}


@dataclass(frozen=True)
class Target:
    """What a recommendation is for: interaction types by weight.

    Attributes
    ----------
    by_type
        Weight of each type; a type without a weight is no success.
    reason
        One plain sentence: why this target, for the report.

    Raises
    ------
    Invalid
        For a type that does not exist, for a dismissal, and for a weight that is negative or not finite.
    """

    by_type: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.by_type) - set(INTERACTION_TYPES)):
            raise Invalid(
                f"the target names the interaction type {', '.join(map(repr, unknown))}; "
                f"known are {', '.join(ORDER)}"
            )
        if self.by_type.get("dismissed"):
            raise Invalid("a dismissal is not a success: leave the type 'dismissed' out of the target")
        if not all(math.isfinite(weight) and weight >= 0 for weight in self.by_type.values()):
            raise Invalid("the weight of a type of the target must be a finite number of 0 or more")

    @property
    def types(self) -> tuple[str, ...]:
        """The types that count as a success, the strongest first."""
        return tuple(word for word in ORDER if self.by_type.get(word, 0.0) > 0)

    def mask(self, events: Events) -> npt.NDArray[np.bool_]:
        """Which events are a success: the type is one of the target's and the product is known.

        A review is one only with a rating above 3.

        Returns
        -------
        bool, shape (n,)
        """
        table = np.array([self.by_type.get(word, 0.0) > 0 for word in INTERACTION_TYPES] + [False])
        success: npt.NDArray[np.bool_] = np.empty(len(events), dtype=bool)
        for part in blocks(success.size):  # codes that choose take eight bytes each
            success[part] = table[events.kind[part]]  # code -1 takes the last entry
        success &= np.asarray(events.item) >= 0
        reviews = np.flatnonzero(np.asarray(events.kind) == _REVIEW)
        success[reviews] &= events.value[reviews] > GOOD_RATING  # false for a review without a rating
        return success

    def weigh(self, events: Events) -> npt.NDArray[np.float64]:
        """Weight of each event as a success, float64 (n,): 0 where it is none; ages do not matter."""
        table = np.array([self.by_type.get(word, 0.0) for word in INTERACTION_TYPES] + [0.0])
        return np.where(self.mask(events), table[events.kind], 0.0)

    def as_json(self) -> dict[str, Any]:
        """Plain values, for headers and fingerprints."""
        by_type = {word: float(weight) for word, weight in sorted(self.by_type.items())}
        return {"by_type": by_type, "reason": self.reason}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Target:
        """The target that `as_json` wrote."""
        return cls({str(word): float(n) for word, n in values["by_type"].items()}, str(values["reason"]))


def choose_target(events: Events, configured: Mapping[str, float] | None) -> Target:
    """The configured target, else the strongest type (`ORDER`) of which the shop has enough.

    Enough are `LEAST_EVENTS` events of `LEAST_PEOPLE` users, or if half of all users have one. If no type has
    enough, the type that most users have is taken, the stronger one of equals.

    Raises
    ------
    Invalid
        For a configured target without a positive weight.
    """
    if configured is not None:
        chosen = Target(dict(configured))
        if not chosen.types:
            raise Invalid("the target names no interaction type with a weight above 0")
        return Target(chosen.by_type, f"{_listed(chosen.types)} are the target by the shop's settings.")
    user = np.asarray(events.user)
    everybody = _people(user)
    short: list[str] = []
    found: dict[str, int] = {}
    for word in ORDER:
        success = Target({word: 1.0}).mask(events)
        count, people = int(np.count_nonzero(success)), _people(user[success])
        if count and ((count >= LEAST_EVENTS and people >= LEAST_PEOPLE) or 2 * people >= everybody > 0):
            missing = f"; there are too few {' and too few '.join(short)}" if short else ""
            counts = f"{count:,} by {people:,} of {everybody:,} users"
            return Target({word: 1.0}, f"{_PLURAL[word].capitalize()} are the target: {counts}{missing}.")
        short.append(f"{_PLURAL[word]} ({count:,})")
        found[word] = people
    best = max(ORDER, key=lambda word: found[word])  # the first of equals, which is the strongest
    reason = (
        f"{_PLURAL[best].capitalize()} are the target: no type has {LEAST_EVENTS} events of {LEAST_PEOPLE} "
        f"users, and most users ({found[best]:,}) have these."
    )
    return Target({best: 1.0}, reason)


def _people(user: npt.NDArray[np.int32]) -> int:
    """How many users, guests not counted."""
    if not user.size:
        return 0
    seen = np.zeros(int(user.max(initial=-1)) + 2, dtype=bool)  # the last entry serves guests' -1
    for part in blocks(user.size):
        seen[user[part]] = True
    return int(np.count_nonzero(seen[:-1]))


def _listed(types: tuple[str, ...]) -> str:
    words = [_PLURAL[word] for word in types]
    text = " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
    return text[:1].upper() + text[1:]
