"""The tables that the documented schema does not have; everything else in the seven schemas is documented."""

from __future__ import annotations

__all__ = ["OWN_TABLES"]

OWN_TABLES: tuple[str, ...] = (
    # the sender's id of an interaction: the same event sent twice counts once
    "recommendations_db.interaction_events",
    # one complete set of stored recommendations, of which one is live
    "recommendations_db.recommendation_generations",
    # who made which model active, when and why
    "recommendations_db.model_promotions",
    # which categories are bought again
    "recommendations_db.category_policies",
)
