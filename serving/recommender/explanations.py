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

MOST = 5
"""So many products of the past are named for each; what the others add is summed up."""


def parts_of(
    loaded: LoadedModel, past: UserContext, entries: Sequence[Entry], novelty: Novelty
) -> dict[int, dict[str, Any]]:
    """Of each product the raw score, the part that does not come from the past, and what the past adds.

    baseline + parts + others = score. Products that the model does not know have none.
    """
    if past.history is None:
        return {}
    explained = {}
    exclude: Exclude = "seen" if novelty is Novelty.NEW else None
    with loaded.lock:
        for one in entries:
            try:
                found = loaded.model.explain_from(past.history, one.product, exclude=exclude)
            except NotFound:
                continue
            named = sorted(found.contributions, key=lambda part: -abs(part[1]))
            explained[one.product] = {
                "raw_score": found.score,
                "baseline": found.baseline,
                "parts": [{"product_id": product, "adds": adds} for product, adds in named[:MOST]],
                "others": sum(adds for _, adds in named[MOST:]),
            }
    return explained


def with_rules(
    parts: Mapping[int, dict[str, Any]], rules: Mapping[int, Sequence[str]], entries: Sequence[Entry]
) -> dict[int, dict[str, Any]]:
    """The same with the names of the shop's rules that gave a product its place."""
    found = {one.product: dict(parts.get(one.product, {})) for one in entries}
    for product, names in rules.items():
        if product in found:
            found[product]["rules"] = list(names)
    return {product: each for product, each in found.items() if each}
