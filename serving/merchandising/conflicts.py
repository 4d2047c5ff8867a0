"""Conflicts among business rules: pairs that want different things of the same products, and which one wins.

The precedence is that of docs/rules.md: hide beats everything, factors are multiplied, and of rules about
positions the higher priority decides first, of equals the older one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations

import numpy as np
import numpy.typing as npt

from recsys.domains.recommendations.rules.types import GUESTS, Rule, RuleKind
from serving.catalogue.catalogue import Catalogue
from serving.merchandising.compiled_rules import matching_products

__all__ = ["RuleConflict", "conflicts_among"]

_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_BY_PRODUCT = (RuleKind.HIDE, RuleKind.PIN, RuleKind.BOOST, RuleKind.BURY)


@dataclass(frozen=True)
class RuleConflict:
    """Two rules that meet.

    Attributes
    ----------
    products
        How many products both are about.
    text
        What happens.
    """

    first_id: int
    first_name: str
    second_id: int
    second_name: str
    products: int
    text: str


def conflicts_among(catalogue: Catalogue, rules: Sequence[Rule], moment: datetime) -> list[RuleConflict]:
    """Return the conflicts of rules whose periods and placements meet, in the order of the rules.

    Parameters
    ----------
    rules
        Those that decide first come first.
    moment
        From which `created_within_days` counts.
    """
    concerned = [rule for rule in rules if rule.kind in _BY_PRODUCT]
    masks = {rule.id: matching_products(catalogue, rule.target, moment) for rule in concerned}
    conflicts = []
    for first, second in combinations(concerned, 2):
        if not (_meet_in_time(first, second) and _meet_in_place(first, second)):
            continue
        text, shared = _clash(first, second, masks[first.id], masks[second.id])
        if text is not None:
            conflicts.append(RuleConflict(first.id, first.name, second.id, second.name, shared, text))
    return conflicts


def _meet_in_time(first: Rule, second: Rule) -> bool:
    begins = max(first.starts_at or _FIRST, second.starts_at or _FIRST)
    return begins < min(first.ends_at or _LAST, second.ends_at or _LAST)


def _meet_in_place(first: Rule, second: Rule) -> bool:
    if not (first.is_for(second.rule_set) or second.is_for(first.rule_set)):
        return False  # of two sets, which no visitor has together
    segments = {first.segment, second.segment} - {None}
    if len(segments) == 2 and GUESTS in segments:
        return False
    return all(
        mine is None or other is None or bool(mine & other)
        for mine, other in ((first.shelves, second.shelves), (first.placements, second.placements))
    )


def _clash(
    first: Rule, second: Rule, mask: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]
) -> tuple[str | None, int]:
    """Return what happens where both rules meet, None without a conflict; and the shared products."""
    kinds = {first.kind, second.kind}
    if kinds == {RuleKind.PIN}:
        same = _positions(first) & _positions(second)
        if not same:
            return None, 0
        places = ", ".join(map(str, sorted(same)[:5]))
        return f"Both pin to position {places}: “{first.name}” has it, the other moves to the next.", 0
    hides = RuleKind.HIDE in kinds
    if len(kinds) == 1 or not (hides or kinds == {RuleKind.BOOST, RuleKind.BURY}):
        return None, 0
    shared = int((mask & other).sum())
    if not shared:
        return None, 0
    if hides:
        hiding, losing = (first, second) if first.kind is RuleKind.HIDE else (second, first)
        return f"“{hiding.name}” hides products of “{losing.name}”: these are not listed.", shared
    factor = math.prod(rule.factor for rule in (first, second) if rule.factor is not None)
    return f"One raises and one lowers the same products: their scores are multiplied by {factor:g}.", shared


def _positions(rule: Rule) -> set[int]:
    start = rule.position or 1
    return set(range(start, start + len(rule.target.product_ids or ())))
