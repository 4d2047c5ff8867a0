"""Explanations: the parts of a product's score, in the model's own units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.ranking.filters import Exclude
from recsys.domains.recommendations.stored_lists.codec import Entry
from serving.ranking.eligibility import Novelty
from serving.ranking.user_context import UserContext
from serving.state.active_model import LoadedModel

__all__ = ["parts_of", "with_rules"]

NAMED_PARTS = 5
"""Products of the history that are named for each product; the contributions of others are summed."""


def parts_of(
    model: LoadedModel, user: UserContext, entries: Sequence[Entry], novelty: Novelty
) -> dict[int, dict[str, Any]]:
    """Return for each product the raw score, the baseline, and the contributions of the history.

    baseline + parts + others = score. Products that the model does not know are left out.
    """
    if user.history is None:
        return {}
    exclude: Exclude = "seen" if novelty is Novelty.NEW else None
    products = [entry.product for entry in entries]
    with model.lock:
        explanations = model.model.explain_list_from(user.history, products, exclude=exclude)
    explained = {}
    for explanation in explanations:
        ordered = sorted(explanation.contributions, key=lambda part: -abs(part[1]))
        explained[explanation.product] = {
            "raw_score": explanation.score,
            "baseline": explanation.baseline,
            "parts": [{"product_id": product, "adds": adds} for product, adds in ordered[:NAMED_PARTS]],
            "others": sum(adds for _, adds in ordered[NAMED_PARTS:]),
        }
    return explained


def with_rules(
    parts: Mapping[int, dict[str, Any]], rules: Mapping[int, Sequence[str]], entries: Sequence[Entry]
) -> dict[int, dict[str, Any]]:
    """Add the names of the business rules that determined a product's position."""
    explained = {entry.product: dict(parts.get(entry.product, {})) for entry in entries}
    for product, names in rules.items():
        if product in explained:
            explained[product]["rules"] = list(names)
    return {product: explanation for product, explanation in explained.items() if explanation}
