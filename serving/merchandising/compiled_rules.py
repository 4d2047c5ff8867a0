"""Business rules worked out for one state of the catalogue, so that a request only looks things up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import numpy as np
import numpy.typing as npt

from recsys.domains.recommendations.rules.types import CapBy, NewTo, Rule, RuleKind, RuleTarget
from serving.catalogue.catalogue import Catalogue

__all__ = ["CompiledCap", "CompiledMinimum", "CompiledRules", "Plan", "matching"]

Mask = npt.NDArray[np.bool_]
DAY = 86_400.0
_NO_RULES: tuple[Rule, ...] = ()


@dataclass(frozen=True, eq=False)
class CompiledCap:
    """keys: int32, a row of the catalogue each: what is counted together; -1 for what is not counted."""

    rule: Rule
    most: int
    keys: npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class CompiledMinimum:
    """counts: bool, a row each: what may count; with `to_user` only what the user never touched does."""

    rule: Rule
    share: float
    counts: Mask
    to_user: bool


@dataclass(frozen=True, eq=False)
class Plan:
    """What holds on one shelf at one placement; every array has a row of the catalogue each.

    hidden_by  int32: the place in `hides` of the first rule that hides it, -1 when none does
    weighed    int32: the place in `weights` and `weighers` of what boosts and buries it; 0: nothing does
    weights    float64: the product of the factors
    weighers   the rules, in the order of their decision
    pins       each with the rows of its products, -1 for products that are gone
    """

    hides: tuple[Rule, ...]
    hidden_by: npt.NDArray[np.int32]
    weighed: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float64]
    weighers: tuple[tuple[Rule, ...], ...]
    pins: tuple[tuple[Rule, tuple[int, ...]], ...]
    caps: tuple[CompiledCap, ...]
    minimums: tuple[CompiledMinimum, ...]

    @property
    def empty(self) -> bool:
        """Whether every list stays as it is."""
        return not (self.hides or self.pins or self.caps or self.minimums or self.weights.size > 1)

    @cached_property
    def hidden(self) -> Mask:
        """What no list may hold, to be left out before a model takes its best; bool, a row each."""
        return self.hidden_by >= 0

    def hidden_among(self, rows: npt.NDArray[np.int64]) -> dict[int, int]:
        """By the ids of rules how many of these rows each hides; a row counts for the first of them."""
        found = np.bincount(self.hidden_by[rows] + 1, minlength=len(self.hides) + 1)[1:].tolist()
        return {rule.id: count for rule, count in zip(self.hides, found, strict=True) if count}


@dataclass(frozen=True, eq=False)
class CompiledRules:
    """Rules, the first to decide first, for one catalogue at one moment."""

    catalogue: Catalogue
    rules: tuple[Rule, ...]
    moment: datetime
    _plans: dict[frozenset[int], Plan] = field(default_factory=dict, repr=False)

    @classmethod
    def compile(cls, catalogue: Catalogue, rules: Iterable[Rule], moment: datetime) -> CompiledRules:
        """Work out rules, which must be those in force; `created_within_days` counts from `moment`.

        Each shelf and placement that a rule names is worked out here, what none names shares one plan.
        """
        ordered = tuple(sorted(rules, key=lambda rule: (-rule.priority, rule.id)))
        compiled = cls(catalogue, ordered, moment)
        shelves: set[str | None] = {None}.union(*(rule.shelves or () for rule in ordered))
        placements: set[str | None] = {None}.union(*(rule.placements or () for rule in ordered))
        masks: dict[RuleTarget, Mask] = {}
        for shelf in shelves:
            for placement in placements:
                compiled._plan_of(compiled._holding(shelf, placement), masks)
        return compiled

    def plan(self, shelf: str, placement: str | None = None) -> Plan:
        """What holds on this shelf at this placement."""
        return self._plan_of(self._holding(shelf, placement), {})

    def _holding(self, shelf: str | None, placement: str | None) -> tuple[int, ...]:
        return tuple(i for i, rule in enumerate(self.rules) if rule.holds_on(shelf, placement))

    def _plan_of(self, holding: Sequence[int], masks: dict[RuleTarget, Mask]) -> Plan:
        key = frozenset(holding)
        found = self._plans.get(key)
        if found is None:
            found = _plan(self.catalogue, [self.rules[i] for i in holding], self.moment, masks)
            self._plans[key] = found
        return found


def matching(catalogue: Catalogue, target: RuleTarget, moment: datetime) -> Mask:
    """The products that a rule is about; bool, a row each. What is gone matches nothing."""
    found = np.ones(len(catalogue), dtype=bool)
    if target.product_ids is not None:
        rows = catalogue.rows(target.product_ids)
        named = np.zeros(len(catalogue), dtype=bool)
        named[rows[rows >= 0]] = True
        found &= named
    if target.category_id is not None:
        found &= catalogue.subtree(target.category_id)
    if target.brand_id is not None:
        found &= catalogue.brand == target.brand_id
    if target.tag is not None:
        found &= catalogue.tagged(target.tag)
    if target.min_price is not None:
        found &= catalogue.price >= target.min_price
    if target.max_price is not None:
        found &= catalogue.price <= target.max_price
    if target.created_within_days is not None:
        found &= catalogue.created >= moment.timestamp() - target.created_within_days * DAY
    return found


def _plan(
    catalogue: Catalogue, rules: Sequence[Rule], moment: datetime, masks: dict[RuleTarget, Mask]
) -> Plan:
    def mask(rule: Rule) -> Mask:
        if rule.target not in masks:
            masks[rule.target] = matching(catalogue, rule.target, moment)
        return masks[rule.target]

    of: dict[RuleKind, list[Rule]] = {kind: [] for kind in RuleKind}
    for rule in rules:
        of[rule.kind].append(rule)
    hides = tuple(of[RuleKind.HIDE])
    hidden_by = np.full(len(catalogue), -1, dtype=np.int32)
    for place in range(len(hides) - 1, -1, -1):
        hidden_by[mask(hides[place])] = place
    weighing = [rule for rule in rules if rule.kind in (RuleKind.BOOST, RuleKind.BURY)]
    weighed, weighers = _combined(len(catalogue), [(rule, mask(rule)) for rule in weighing])
    weights = [math.prod(rule.factor for rule in each if rule.factor is not None) for each in weighers]
    return Plan(
        hides,
        hidden_by,
        weighed,
        np.array(weights, dtype=np.float64),
        weighers,
        tuple(
            (rule, tuple(catalogue.rows(rule.target.product_ids or ()).tolist())) for rule in of[RuleKind.PIN]
        ),
        tuple(
            CompiledCap(rule, rule.most or 1, _keys(catalogue, rule, mask(rule))) for rule in of[RuleKind.CAP]
        ),
        tuple(
            CompiledMinimum(rule, rule.share or 0.0, mask(rule), rule.new_to is NewTo.USER)
            for rule in of[RuleKind.MINIMUM_NEW]
        ),
    )


def _combined(
    size: int, rules: Sequence[tuple[Rule, Mask]]
) -> tuple[npt.NDArray[np.int32], tuple[tuple[Rule, ...], ...]]:
    """Of each row which rules match it, as one number for each combination that occurs; 0: none."""
    places = np.zeros(size, dtype=np.int32)
    known: list[tuple[Rule, ...]] = [_NO_RULES]
    for rule, matches in rules:
        before = places[matches]
        renamed = np.zeros(len(known), dtype=np.int32)
        for place in np.flatnonzero(np.bincount(before, minlength=len(known))).tolist():
            renamed[place] = len(known)
            known.append((*known[place], rule))
        places[matches] = renamed[before]
    return places, tuple(known)


def _keys(catalogue: Catalogue, rule: Rule, matches: Mask) -> npt.NDArray[np.int32]:
    if rule.cap_by is CapBy.CATEGORY:
        keys = catalogue.category
    elif rule.cap_by is CapBy.BRAND:
        keys = catalogue.brand
    else:
        keys = np.zeros(len(catalogue), dtype=np.int32)
    return np.where(matches, keys, np.int32(-1)).astype(np.int32, copy=False)
