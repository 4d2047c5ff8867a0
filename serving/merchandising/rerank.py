"""Re-ranking of a list after the model: the shop's business rules, and diversity."""

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
    """A list in its final order. rules: for each product the names of those that gave it its place."""

    entries: list[Entry]
    rules: dict[int, list[str]] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)


def rerank(
    compiled: CompiledRules,
    request: RecommendationRequest,
    entries: Sequence[Entry],
    allowed: Mask | None = None,
) -> RerankedList:
    """Apply the rules of the placement and the requested diversity, page by page.

    allowed : the eligible rows, which a pinned product must be among; None: all.
    The scores stay what they were: they say how likely it is that the product is taken, not its place.
    """
    if not entries or (compiled.plan(request.placement, request.name).empty and request.diversity == 0.0):
        return RerankedList(list(entries))
    arranged = apply(
        compiled,
        candidates_of(entries, allowed),
        shelf=request.placement,
        placement=request.name,
        limit=request.limit,
        total=len(entries),
        lifted=lifted_by(request),
        diversify=diversify_of(compiled.catalogue, request),
    )
    reranked, rules = [], {}
    for product, place, moved_by in zip(
        arranged.products.tolist(), arranged.index.tolist(), arranged.moved_by, strict=True
    ):
        reranked.append(entries[place] if place >= 0 else _pinned(product))
        if moved_by:
            rules[product] = [rule.name for rule in moved_by]
    removed = {f"rule.{rule}": count for rule, count in arranged.removed.items()}
    return RerankedList(reranked, rules, removed)


def candidates_of(entries: Sequence[Entry], allowed: Mask | None) -> Candidates:
    """The same as columns."""
    return Candidates(
        np.fromiter((entry.product for entry in entries), np.int64, len(entries)),
        np.fromiter((entry.score for entry in entries), np.float64, len(entries)) / SCORE_UNIT,
        np.fromiter((entry.novel for entry in entries), np.bool_, len(entries)),
        allowed,
    )


def lifted_by(request: RecommendationRequest) -> list[CapBy]:
    """Caps that do not hold: a request for one brand, or one category, is not limited to a few of it."""
    lifted = [CapBy.BRAND] if len(request.filters.brands) == 1 else []
    return lifted + ([CapBy.CATEGORY] if len(request.filters.categories) == 1 else [])


def diversify_of(catalogue: Catalogue, request: RecommendationRequest) -> Diversify | None:
    """The re-ranking by diversity; None when the request has none."""
    if request.diversity == 0.0:
        return None

    def diversify(products: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        rows = catalogue.rows(products)
        likeness = Likeness(catalogue.category[rows], catalogue.brand[rows])
        return diversified(scores, likeness, request.diversity, min(len(likeness), 4 * request.limit))

    return diversify


def _pinned(product: int) -> Entry:
    return Entry(product, 0, Kind.POPULAR, ReasonCode.PICKED, -1, True)
