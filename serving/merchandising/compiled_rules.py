"""Business rules compiled for one snapshot of the catalogue: a request only reads prepared arrays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import numpy as np
import numpy.typing as npt

from recsys.domains.recommendations.rules.types import CapBy, NewTo, Rule, RuleKind, RuleTarget
from serving.catalogue.catalogue import Catalogue
from serving.merchandising.segment_members import SegmentMembers, segments_of

__all__ = ["CompiledCap", "CompiledMinimum", "CompiledRules", "PlacementRules", "matching_products"]

Mask = npt.NDArray[np.bool_]
SECONDS_PER_DAY = 86_400.0
MOST_AUDIENCES = 64
"""Sets of segments for which compiled rules are kept."""
_NO_RULES: tuple[Rule, ...] = ()


@dataclass(frozen=True, eq=False)
class CompiledCap:
    """A cap.

    Attributes
    ----------
    keys : int32, shape (catalogue rows,)
        Products with equal keys count together; -1 is not counted.
    """

    rule: Rule
    max_count: int
    keys: npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class CompiledMinimum:
    """A minimum share of new products.

    Attributes
    ----------
    share
        From 0 to 1, of the products of a page.
    counts : bool, shape (catalogue rows,)
        Products that may count.
    to_user
        Whether only products without an interaction of the user count.
    """

    rule: Rule
    share: float
    counts: Mask
    to_user: bool


@dataclass(frozen=True, eq=False)
class PlacementRules:
    """The rules of one placement and list name.

    Attributes
    ----------
    hidden_by : int32, shape (catalogue rows,)
        Index in `hides` of the first rule that hides the product; -1 for none.
    weight_code : int32, shape (catalogue rows,)
        Index in `weights` and `weighting_rules`; 0: neither boosted nor buried.
    weights : float64, shape (combinations,)
        The product of the factors of each combination of rules.
    weighting_rules
        The rules of each combination, in order of precedence.
    pins
        Each with the rows of its products; -1 for deleted products.
    """

    hides: tuple[Rule, ...]
    hidden_by: npt.NDArray[np.int32]
    weight_code: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float64]
    weighting_rules: tuple[tuple[Rule, ...], ...]
    pins: tuple[tuple[Rule, tuple[int, ...]], ...]
    caps: tuple[CompiledCap, ...]
    minimums: tuple[CompiledMinimum, ...]

    @property
    def empty(self) -> bool:
        """Whether no rule changes any list."""
        return not (self.hides or self.pins or self.caps or self.minimums or self.weights.size > 1)

    @cached_property
    def hidden(self) -> Mask:
        """Hidden products, to be filtered out before a model ranks; bool (catalogue rows,)."""
        return self.hidden_by >= 0

    def hidden_among(self, rows: npt.NDArray[np.int64]) -> dict[int, int]:
        """How many of these rows each rule hides, by rule id; a row counts for the first rule only."""
        counts = np.bincount(self.hidden_by[rows] + 1, minlength=len(self.hides) + 1)[1:].tolist()
        return {rule.id: count for rule, count in zip(self.hides, counts, strict=True) if count}


@dataclass(frozen=True, eq=False)
class CompiledRules:
    """Rules in order of precedence, compiled for one catalogue at one moment.

    Attributes
    ----------
    moment
        From which `created_within_days` counts.
    audience
        The segments of the visitor whom these rules are for. Rules for other segments do nothing.
    segments
        Those that rules name; empty where the rules are the same for every visitor, as those that
        `of_visitor` returned.
    members
        The members of the stored ones among these segments.
    """

    catalogue: Catalogue
    rules: tuple[Rule, ...]
    moment: datetime
    audience: frozenset[str] = frozenset()
    segments: frozenset[str] = frozenset()
    members: Mapping[str, SegmentMembers] = field(default_factory=dict)
    _of_audiences: dict[frozenset[str], CompiledRules] = field(default_factory=dict, repr=False)
    _compiled: dict[frozenset[int], PlacementRules] = field(default_factory=dict, repr=False)

    @classmethod
    def compile(
        cls,
        catalogue: Catalogue,
        rules: Iterable[Rule],
        moment: datetime,
        *,
        audience: frozenset[str] = frozenset(),
        members: Mapping[str, SegmentMembers] | None = None,
    ) -> CompiledRules:
        """Compile rules, which must be those in force; `created_within_days` counts from `moment`.

        Without an audience, rules for a segment take effect by `of_visitor` only.

        Every placement and list name that a rule mentions is compiled here; all others share one result.
        """
        ordered = tuple(sorted(rules, key=lambda rule: (-rule.priority, rule.id)))
        named = {rule.segment for rule in ordered if rule.segment is not None}
        segments = frozenset() if audience else frozenset(named)
        compiled = cls(catalogue, ordered, moment, audience, segments, {} if members is None else members)
        # the stored columns of a rule are older than the words: `shelves` are placements, `placements` names
        placements: set[str | None] = {None}.union(*(rule.shelves or () for rule in ordered))
        names: set[str | None] = {None}.union(*(rule.placements or () for rule in ordered))
        masks: dict[RuleTarget, Mask] = {}
        for placement in placements:
            for name in names:
                compiled._of_rules(compiled._applicable(placement, name), masks)
        for user in (None, 0) if segments else ():
            compiled.of_visitor(user)  # a guest, and a user who is in no stored segment
        return compiled

    def of_visitor(self, user: int | None) -> CompiledRules:
        """Return the rules for a user, or for a guest (None): themselves, unless a rule names a segment."""
        if not self.segments:
            return self
        audience = segments_of(user, self.members)
        compiled = self._of_audiences.get(audience)
        if compiled is None:
            rules = (rule for rule in self.rules if rule.segment is None or rule.segment in audience)
            compiled = self.compile(
                self.catalogue, rules, self.moment, audience=audience, members=self.members
            )
            if len(self._of_audiences) >= MOST_AUDIENCES:
                self._of_audiences.clear()
            self._of_audiences[audience] = compiled
        return compiled

    def for_placement(self, placement: str, name: str | None = None) -> PlacementRules:
        """Return the rules that apply to this placement and list name."""
        return self._of_rules(self._applicable(placement, name), {})

    def _applicable(self, placement: str | None, name: str | None) -> tuple[int, ...]:
        return tuple(
            i
            for i, rule in enumerate(self.rules)
            if rule.holds_on(placement, name) and (rule.segment is None or rule.segment in self.audience)
        )

    def _of_rules(self, applicable: Sequence[int], masks: dict[RuleTarget, Mask]) -> PlacementRules:
        key = frozenset(applicable)
        compiled = self._compiled.get(key)
        if compiled is None:
            compiled = _compile_for(self.catalogue, [self.rules[i] for i in applicable], self.moment, masks)
            self._compiled[key] = compiled
        return compiled


def matching_products(catalogue: Catalogue, target: RuleTarget, moment: datetime) -> Mask:
    """Return which products a rule applies to; bool (catalogue rows,). Deleted ids match nothing."""
    matches = np.ones(len(catalogue), dtype=bool)
    if target.product_ids is not None:
        rows = catalogue.rows(target.product_ids)
        listed = np.zeros(len(catalogue), dtype=bool)
        listed[rows[rows >= 0]] = True
        matches &= listed
    if target.category_id is not None:
        matches &= catalogue.subtree(target.category_id)
    if target.brand_id is not None:
        matches &= catalogue.brand == target.brand_id
    if target.tag is not None:
        matches &= catalogue.tagged(target.tag)
    if target.min_price is not None:
        matches &= catalogue.price >= target.min_price
    if target.max_price is not None:
        matches &= catalogue.price <= target.max_price
    if target.created_within_days is not None:
        matches &= catalogue.created >= moment.timestamp() - target.created_within_days * SECONDS_PER_DAY
    return matches


def _compile_for(
    catalogue: Catalogue, rules: Sequence[Rule], moment: datetime, masks: dict[RuleTarget, Mask]
) -> PlacementRules:
    def mask_of(rule: Rule) -> Mask:
        if rule.target not in masks:
            masks[rule.target] = matching_products(catalogue, rule.target, moment)
        return masks[rule.target]

    by_kind: dict[RuleKind, list[Rule]] = {kind: [] for kind in RuleKind}
    for rule in rules:
        by_kind[rule.kind].append(rule)
    hides = tuple(by_kind[RuleKind.HIDE])
    hidden_by = np.full(len(catalogue), -1, dtype=np.int32)
    for index in range(len(hides) - 1, -1, -1):  # backwards: the first rule overwrites the later ones
        hidden_by[mask_of(hides[index])] = index
    weighting = [rule for rule in rules if rule.kind in (RuleKind.BOOST, RuleKind.BURY)]
    weight_code, weighting_rules = _combinations(
        len(catalogue), [(rule, mask_of(rule)) for rule in weighting]
    )
    weights = [
        math.prod(rule.factor for rule in combination if rule.factor is not None)
        for combination in weighting_rules
    ]
    return PlacementRules(
        hides,
        hidden_by,
        weight_code,
        np.array(weights, dtype=np.float64),
        weighting_rules,
        tuple(
            (rule, tuple(catalogue.rows(rule.target.product_ids or ()).tolist()))
            for rule in by_kind[RuleKind.PIN]
        ),
        tuple(
            CompiledCap(rule, rule.most or 1, _keys(catalogue, rule, mask_of(rule)))
            for rule in by_kind[RuleKind.CAP]
        ),
        tuple(
            CompiledMinimum(rule, rule.share or 0.0, mask_of(rule), rule.new_to is NewTo.USER)
            for rule in by_kind[RuleKind.MINIMUM_NEW]
        ),
    )


def _combinations(
    size: int, rules: Sequence[tuple[Rule, Mask]]
) -> tuple[npt.NDArray[np.int32], tuple[tuple[Rule, ...], ...]]:
    """Number the combinations of rules that match a product.

    Parameters
    ----------
    size
        The number of catalogue rows.
    rules
        Each with the products that it matches: bool, shape (size,).

    Returns
    -------
    codes : int32, shape (size,)
        The number of each row's combination; 0: no rule.
    combinations : tuple of tuple of Rule
        The rules of each number.
    """
    codes = np.zeros(size, dtype=np.int32)
    combinations: list[tuple[Rule, ...]] = [_NO_RULES]
    for rule, matches in rules:
        previous = codes[matches]
        extended = np.zeros(len(combinations), dtype=np.int32)
        for code in np.flatnonzero(np.bincount(previous, minlength=len(combinations))).tolist():
            extended[code] = len(combinations)
            combinations.append((*combinations[code], rule))
        codes[matches] = extended[previous]
    return codes, tuple(combinations)


def _keys(catalogue: Catalogue, rule: Rule, matches: Mask) -> npt.NDArray[np.int32]:
    if rule.cap_by is CapBy.CATEGORY:
        keys = catalogue.category
    elif rule.cap_by is CapBy.BRAND:
        keys = catalogue.brand
    else:
        keys = np.zeros(len(catalogue), dtype=np.int32)
    return np.where(matches, keys, np.int32(-1)).astype(np.int32, copy=False)
