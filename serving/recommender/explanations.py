"""What the score of a product is made of, in the model's own units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.ranking.filters import Exclude
from recsys.domains.recommendations.stored_lists.codec import Entry
from recsys.errors import NotFound
from serving.ranking.eligibility import Novelty
from serving.ranking.user_context import UserContext
from serving.state.active_model import LoadedModel

__all__ = ["parts_of", "with_rules"]

NAMED_PARTS = 5
"""Products of the history that are named for each; what the others add is summed up."""


def parts_of(
    model: LoadedModel, user: UserContext, entries: Sequence[Entry], novelty: Novelty
) -> dict[int, dict[str, Any]]:
    """For each product the raw score, the part without the history, and what the history adds.

    baseline + parts + others = score. Products that the model does not know have none.
    """
    if user.history is None:
        return {}
    explained = {}
    exclude: Exclude = "seen" if novelty is Novelty.NEW else None
    with model.lock:
        for entry in entries:
            try:
                explanation = model.model.explain_from(user.history, entry.product, exclude=exclude)
            except NotFound:
                continue
            ordered = sorted(explanation.contributions, key=lambda part: -abs(part[1]))
            explained[entry.product] = {
                "raw_score": explanation.score,
                "baseline": explanation.baseline,
                "parts": [{"product_id": product, "adds": adds} for product, adds in ordered[:NAMED_PARTS]],
                "others": sum(adds for _, adds in ordered[NAMED_PARTS:]),
            }
    return explained


def with_rules(
    parts: Mapping[int, dict[str, Any]], rules: Mapping[int, Sequence[str]], entries: Sequence[Entry]
) -> dict[int, dict[str, Any]]:
    """The same with the names of the business rules that gave a product its place."""
    explained = {entry.product: dict(parts.get(entry.product, {})) for entry in entries}
    for product, names in rules.items():
        if product in explained:
            explained[product]["rules"] = list(names)
    return {product: each for product, each in explained.items() if each}
