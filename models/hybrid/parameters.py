"""Which members a hybrid has, and how it learns what to make of them."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from models.shared.validation import check_float, check_int
from recsys.errors import Invalid

__all__ = ["MEMBERS", "HybridParameters"]

MEMBERS: dict[str, dict[str, Any]] = {
    "buy_again": {"algorithm": "buy_again"},
    "tifu_knn": {"algorithm": "tifu_knn"},
    "ease": {"algorithm": "ease", "parameters": {"ridge": 100.0, "half_life_days": 83.2}},
    "degree_svd": {"algorithm": "degree_svd"},
    "als": {"algorithm": "als", "parameters": {"iterations": 5}},
    "co_visitation_by_type": {
        "algorithm": "co_visitation_by_type",
        "parameters": {"neighbours": 200, "repeats": True},
    },
    "co_visitation": {
        "algorithm": "co_visitation",
        "parameters": {
            "window": 8,
            "distance_decay": 0.8,
            "reverse": 0.3,
            "source_power": 0.3,
            "target_power": 0.1,
            "history_decay": 0.6,
            "neighbours": 200,
        },
    },
    "normalised_knn": {"algorithm": "normalised_knn", "parameters": {"neighbours": 200}},
    "popularity": {"algorithm": "popularity", "parameters": {"half_life_days": 7.0}},
    "content": {"algorithm": "content"},
}
"""Habits, neighbours, factors, sequence, fashion and catalogue: what may lead in one shop or another.

The shipped experiments of the same names have the same parameters, so that a training that runs them all fits
each recipe once (`models.shared.fitted_members`).
"""


@dataclass(frozen=True)
class HybridParameters:
    """Parameters of `Hybrid`.

    Parameters
    ----------
    members
        name → {"algorithm": …, "parameters": {…}}.
    validation_days
        Length of a window; None: as long as `features.splitting.windows` finds right.
    candidates
        Of each member, per user.
    pool
        Of a larger catalogue, so many products that were taken most are ranked by blends and trees, and what
        a user had; see `Panel`.
    trees
        Of the second stage, 0 for none.
    users
        How many are learned from at most.
    enough_users
        An earlier window is added while there are fewer users than these.
    windows
        At most so many windows.
    k
        Length of the list that is judged.
    seed
        Of the draws of users and of the trees.
    """

    members: dict[str, dict[str, Any]] = field(default_factory=lambda: copy.deepcopy(MEMBERS))
    validation_days: float | None = None
    candidates: int = 100
    pool: int = 20_000
    trees: int = 100
    users: int = 6_000
    enough_users: int = 1_800
    windows: int = 2
    k: int = 20
    seed: int = 1

    @property
    def sufficient_users(self) -> int:
        """So many judged users need no earlier window: `enough_users`, or all that may be learned from."""
        return min(self.users, self.enough_users)

    def __post_init__(self) -> None:
        check_int(self, "candidates", 1, 10_000)
        check_int(self, "pool", 1, 1_000_000_000)
        check_int(self, "trees", 0, 10_000)
        check_int(self, "users", 1, 10_000_000)
        check_int(self, "enough_users", 1, 10_000_000)
        check_int(self, "windows", 1, 12)
        check_int(self, "k", 1, 1_000)
        check_int(self, "seed", 0, 2**32 - 1)
        if self.validation_days is not None:
            check_float(self, "validation_days", 0.0, 36_500.0, above_low=True)
        if not isinstance(self.members, dict) or not self.members:
            raise Invalid("parameter members of Hybrid must name at least one model", field="members")
        for name, given in self.members.items():
            if not isinstance(given, dict) or "algorithm" not in given or given.keys() - _MEMBER_KEYS:
                raise Invalid(
                    f"member {name!r} of Hybrid must be a table with algorithm and, if wanted, parameters, "
                    f"not {given!r}",
                    field="members",
                )
            if given["algorithm"] == "hybrid":
                raise Invalid(
                    f"member {name!r} of Hybrid is a hybrid itself; name plain models", field="members"
                )


_MEMBER_KEYS = {"algorithm", "parameters"}
