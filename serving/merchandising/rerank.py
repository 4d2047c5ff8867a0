"""What the shop wants of a list beside what the model says: its rules, and products that differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from recsys.domains.recommendations.reasons import Kind, ReasonCode
from recsys.domains.recommendations.rules.types import CapBy
from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT, Entry
from serving.catalogue.catalogue import Catalogue
from serving.merchandising.compiled_rules import CompiledRules
from serving.merchandising.diversity import Likeness, diversified
from serving.merchandising.rule_engine import Candidates, Diversify, apply
from serving.recommender.request import RecommendationRequest

__all__ = ["RerankedList", "candidates_of", "diversify_of", "lifted_by", "rerank"]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class RerankedList:
    """A list in its final order. rules: of each product the names of those that gave it its place."""

    entries: list[Entry]
    rules: dict[int, list[str]] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)


def rerank(
    compiled: CompiledRules,
    wish: RecommendationRequest,
    entries: Sequence[Entry],
    allowed: Mask | None = None,
) -> RerankedList:
    """Put the rules of the shelf and the diversity asked for into effect, page by page.

    allowed : what this user's past, page and filters leave, which a pin must be among; None: all.
    The scores stay what they were: they say how likely it is that the product is taken, not where it stands.
    """
    if not entries or (compiled.plan(wish.shelf).empty and wish.diversity == 0.0):
        return RerankedList(list(entries))
    arranged = apply(
        compiled,
        candidates_of(entries, allowed),
        shelf=wish.shelf,
        limit=wish.limit,
        total=len(entries),
        lifted=lifted_by(wish),
        diversify=diversify_of(compiled.catalogue, wish),
    )
    found, rules = [], {}
    for product, place, moved_by in zip(
        arranged.products.tolist(), arranged.index.tolist(), arranged.moved_by, strict=True
    ):
        found.append(entries[place] if place >= 0 else _picked(product))
        if moved_by:
            rules[product] = [rule.name for rule in moved_by]
    removed = {f"rule.{rule}": count for rule, count in arranged.removed.items()}
    return RerankedList(found, rules, removed)


def candidates_of(entries: Sequence[Entry], allowed: Mask | None) -> Candidates:
    """The same as columns."""
    return Candidates(
        np.fromiter((one.product for one in entries), np.int64, len(entries)),
        np.fromiter((one.score for one in entries), np.float64, len(entries)) / SCORE_UNIT,
        np.fromiter((one.novel for one in entries), np.bool_, len(entries)),
        allowed,
    )


def lifted_by(wish: RecommendationRequest) -> list[CapBy]:
    """Who asks for one brand, or one category, gets more than a few of it."""
    lifted = [CapBy.BRAND] if len(wish.filters.brands) == 1 else []
    return lifted + ([CapBy.CATEGORY] if len(wish.filters.categories) == 1 else [])


def diversify_of(catalogue: Catalogue, wish: RecommendationRequest) -> Diversify | None:
    """The re-ranking by difference; None when none is asked for."""
    if wish.diversity == 0.0:
        return None

    def diversify(products: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        rows = catalogue.rows(products)
        likeness = Likeness(catalogue.category[rows], catalogue.brand[rows])
        return diversified(scores, likeness, wish.diversity, min(len(likeness), 4 * wish.limit))

    return diversify


def _picked(product: int) -> Entry:
    return Entry(product, 0, Kind.POPULAR, ReasonCode.PICKED, -1, True)
