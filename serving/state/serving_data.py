"""Everything a request reads but the user's own history: one snapshot, never changed, replaced as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field

from serving.catalogue.catalogue import Catalogue
from serving.merchandising.compiled_rules import CompiledRules
from serving.ranking.cold_start import ColdStartProducts
from serving.ranking.popularity import PopularProducts
from serving.state.ab_assignment import RunningTest
from serving.state.active_model import LoadedModel
from serving.state.auxiliary_models import AuxiliaryModels

__all__ = ["ServingData"]


@dataclass(frozen=True, eq=False)
class ServingData:
    """One state of shop, models and rules; its parts fit together.

    model               the model that ranks; None where none is loaded
    model_problem       why there is none, or why a newer one is not used; None where all is well
    auxiliary           models beside it, by algorithm
    rules               the business rules in force, compiled for `catalogue`
    popular_at          when `popular` was counted, seconds since 1970
    cold_start          products that `model` does not know
    generation          the generation of stored lists that Redis shows; None where it shows none
    uses_stored_lists   False where a request must be ranked now, as for the challenger of an A/B test
    test                the A/B test that runs
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
    generation: int | None = None
    uses_stored_lists: bool = True
    test: RunningTest | None = None
