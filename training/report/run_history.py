"""How the experiments of a run did before: earlier versions by the figures that were kept with them."""

from __future__ import annotations

from collections.abc import Collection

from pydantic import ValidationError

from models.registry import registry
from recsys.database.session import unit_of_work
from training.experiment import PromotionRule
from training.report.document import Figure, PastTraining

__all__ = ["MOST", "past_trainings"]

MOST = 30
"""So many versions of an experiment are shown, the newest."""


def past_trainings(experiments: Collection[str], rule: PromotionRule, k: int) -> list[PastTraining]:
    """Registered versions that were judged by the rule's metric and view at this length, oldest first.

    Each was judged on the test period of its own time, so a line that falls may be the shop's, not the
    model's. Versions without such figures are left out.
    """
    with unit_of_work() as session:
        registered = registry.list_models(session)
    found: list[PastTraining] = []
    for model in registered:
        name = model.parameters.get("experiment", {}).get("name")
        kept = model.parameters.get("metrics", {}).get(rule.view, {})
        if name not in experiments or kept.get("k") != k or sum(o.experiment == name for o in found) >= MOST:
            continue
        try:
            figure = Figure.model_validate({**kept.get(rule.metric, {}), "k": k})
        except ValidationError:  # registered by a program that kept other figures
            continue
        found.append(
            PastTraining(name=model.name, experiment=name, trained_at=model.last_trained_at, figure=figure)
        )
    return found[::-1]
