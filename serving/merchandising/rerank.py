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
from serving.merchandising.diversity import ProductSimilarity, diversify
from serving.merchandising.rule_engine import Diversify, RuleCandidates, apply
from serving.recommender.request import RecommendationRequest

__all__ = [
    "RerankedList",
    "as_candidates",
    "diversity_reranker",
    "ignored_caps_of",
    "rerank",
]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class RerankedList:
    """A list in its final order.

    Attributes
    ----------
    rules
        For each product the names of the rules that determined its position.
    removed
        How many products each rule removed, by `rule.ID`.
    passed_over
        For each product that a cap kept out the id of the rule.
    """

    entries: Sequence[Entry]
    rules: dict[int, list[str]] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    passed_over: dict[int, int] = field(default_factory=dict)


def rerank(
    compiled: CompiledRules,
    request: RecommendationRequest,
    entries: Sequence[Entry],
    eligible: Mask | None = None,
) -> RerankedList:
    """Apply the rules of the placement and the requested diversity, page by page.

    Scores do not change: they state how likely the user is to choose the product, not its position.

    Parameters
    ----------
    eligible : bool, shape (catalogue rows,)
        A pinned product must be among them, too; None: every product on sale.
    """
    if not entries or (
        compiled.for_placement(request.placement, request.name).empty and request.diversity == 0.0
    ):
        return RerankedList(entries)
    ruled = apply(
        compiled,
        as_candidates(entries, eligible),
        placement=request.placement,
        name=request.name,
        limit=request.limit,
        total=len(entries),
        ignored_caps=ignored_caps_of(request),
        diversify=diversity_reranker(compiled.catalogue, request),
    )
    reranked, rules = [], {}
    for product, index, moved_by in zip(
        ruled.products.tolist(), ruled.index.tolist(), ruled.moved_by, strict=True
    ):
        reranked.append(entries[index] if index >= 0 else _pinned(product))
        if moved_by:
            rules[product] = [rule.name for rule in moved_by]
    removed = {f"rule.{rule}": count for rule, count in ruled.removed.items()}
    return RerankedList(reranked, rules, removed, ruled.passed_over)


def as_candidates(entries: Sequence[Entry], eligible: Mask | None) -> RuleCandidates:
    """Return the entries as columns, with scores from 0 to 1."""
    return RuleCandidates(
        np.fromiter((entry.product for entry in entries), np.int64, len(entries)),
        np.fromiter((entry.score for entry in entries), np.float64, len(entries)) / SCORE_UNIT,
        np.fromiter((entry.novel for entry in entries), np.bool_, len(entries)),
        eligible,
    )


def ignored_caps_of(request: RecommendationRequest) -> list[CapBy]:
    """Return the caps to ignore: a request for one brand, or one category, is not limited to a few of it."""
    ignored_caps = [CapBy.BRAND] if len(request.filters.brands) == 1 else []
    return ignored_caps + ([CapBy.CATEGORY] if len(request.filters.categories) == 1 else [])


def diversity_reranker(catalogue: Catalogue, request: RecommendationRequest) -> Diversify | None:
    """Return the re-ranking by diversity; None when the request asks for none."""
    if request.diversity == 0.0:
        return None

    def reorder(products: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        rows = catalogue.rows(products)
        similarity = ProductSimilarity(catalogue.category[rows], catalogue.brand[rows])
        return diversify(scores, similarity, request.diversity, min(len(similarity), 4 * request.limit))

    return reorder


def _pinned(product: int) -> Entry:
    return Entry(product, 0, Kind.POPULAR, ReasonCode.PICKED, -1, True)
