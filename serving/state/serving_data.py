"""Serving data: one immutable snapshot of what requests read beside the user's own part."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from serving.catalogue.catalogue import Catalogue
from serving.merchandising.compiled_rules import CompiledRules
from serving.ranking.cold_start import ColdStartProducts
from serving.ranking.new_products import NewProducts
from serving.ranking.popularity import PopularProducts
from serving.state.ab_assignment import RunningTests
from serving.state.active_model import LoadedModel
from serving.state.auxiliary_models import AuxiliaryModels

__all__ = ["ServingData"]


@dataclass(frozen=True, eq=False)
class ServingData:
    """One consistent state of shop, models and rules.

    Attributes
    ----------
    rules
        The business rules in force, compiled for `catalogue`.
    model
        The model that ranks; None where none is loaded.
    model_problem
        Why there is none, or why a newer one is not used; None without a problem.
    auxiliary
        Models beside it, by algorithm.
    popular_at
        When `popular` was counted, seconds since 1970.
    cold_start
        Products that `model` does not know.
    new_products
        New products that places are reserved for, with their clicks; none by default.
    generation
        The live generation of stored lists in Redis; None without one.
    uses_stored_lists
        False where a request must be ranked now, as in an arm that is ranked live.
    tests
        The running A/B tests.
    rule_sets
        `rules` with those of each set that a test compares.
    arm
        The test and arm that this data is of, such as `duel:b`; None outside of a test.
    arm_generation
        The stored lists of the arm's own model; None where it has none.
    version
        Counts the snapshots of a process; two of one version have the same parts.
    """

    catalogue: Catalogue
    rules: CompiledRules
    model: LoadedModel | None = None
    model_problem: str | None = "not loaded yet"
    auxiliary: AuxiliaryModels = field(default_factory=AuxiliaryModels)
    popular: PopularProducts = field(default_factory=PopularProducts.none)
    popular_at: float = 0.0
    trending: PopularProducts = field(default_factory=PopularProducts.none)
    cold_start: ColdStartProducts = field(default_factory=ColdStartProducts)
    new_products: NewProducts = field(default_factory=NewProducts)
    generation: int | None = None
    uses_stored_lists: bool = True
    tests: RunningTests = field(default_factory=RunningTests)
    rule_sets: Mapping[str, CompiledRules] = field(default_factory=dict)
    arm: str | None = None
    arm_generation: int | None = None
    version: int = 0

    def of_visitor(self, user: int | None) -> ServingData:
        """Return the data with the rules for a user, or for a guest (None)."""
        rules = self.rules.of_visitor(user)
        return self if rules is self.rules else replace(self, rules=rules)

    @cached_property
    def models_fingerprint(self) -> str:
        """A text of 16 characters that changes with any of the models."""
        models = {} if self.model is None else {"": self.model}
        parts = [
            (role, loaded.registered.id, loaded.registered.checksum)
            for role, loaded in sorted({**self.auxiliary.by_algorithm, **models}.items())
        ]
        return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()
