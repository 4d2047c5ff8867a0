"""The rule engine: applies compiled business rules to one ranked list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from recsys.domains.recommendations.rules.types import CapBy, Rule
from serving.merchandising.compiled_rules import CompiledCap, CompiledMinimum, CompiledRules, PlacementRules
from serving.merchandising.slotting import CapOnPage, PinnedProduct, ShareOnPage, fill_pages

__all__ = ["PositionChange", "RuleCandidates", "RulePreview", "RuledList", "apply", "preview"]

Diversify = Callable[[npt.NDArray[np.int64], npt.NDArray[np.float64]], npt.NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class RuleCandidates:
    """The n candidates of one list, best first.

    Attributes
    ----------
    products : int64, shape (n,)
        Distinct.
    scores : float64, shape (n,)
        From 0 to 1.
    novel : bool, shape (n,)
        Whether the user has no interaction with the product.
    eligible : bool, shape (catalogue rows,)
        Products that the request leaves; pinned products must be among them, too. None: every product on
        sale.
    rows : int64, shape (n,)
        The catalogue rows of `products`; None: they are looked up.
    """

    products: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    novel: npt.NDArray[np.bool_]
    eligible: npt.NDArray[np.bool_] | None = None
    rows: npt.NDArray[np.int64] | None = None


@dataclass(frozen=True, eq=False)
class RuledList:
    """A list after the rules.

    Attributes
    ----------
    products : int64, shape (n,)
    index : int64, shape (n,)
        The index among the candidates; -1 where only a pin proposed the product.
    scores : float64, shape (n,)
        The candidates' times their factors, 0 where only a pin proposed the product; not sorted, since pins,
        caps and shares move products against their scores.
    moved_by
        For each product the rules that determined its position.
    removed
        By rule id how many candidates it removed: hidden, or passed over by a cap before the list was full.
    passed_over
        By product the id of the cap's rule that kept it out.
    """

    products: npt.NDArray[np.int64]
    index: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    moved_by: list[tuple[Rule, ...]]
    removed: dict[int, int]
    passed_over: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class PositionChange:
    """One product of a preview; positions from 1, None where it is not in the list."""

    product: int
    before: int | None
    after: int | None


@dataclass(frozen=True, eq=False)
class RulePreview:
    """A list without and with a draft rule; `changes` in the order of `after`, removed products last."""

    before: RuledList
    after: RuledList
    changes: list[PositionChange] = field(default_factory=list)


def apply(
    compiled: CompiledRules,
    candidates: RuleCandidates,
    *,
    placement: str,
    limit: int,
    name: str | None = None,
    total: int | None = None,
    ignored_caps: Collection[CapBy] = (),
    diversify: Diversify | None = None,
) -> RuledList:
    """Apply the rules in this order: hide; boost and bury; `diversify`; pin; cap and guarantee, page by page.

    docs/rules.md describes each kind of rule, and which one takes precedence. The same input gives the same
    list.

    Parameters
    ----------
    placement, name
        Select the rules that apply.
    limit
        Length of a page: caps and shares apply to each page by itself.
    total
        Number of products of all pages together; None: one page.
    ignored_caps
        Kinds of caps that do not apply, such as caps by brand in a request for one brand.
    diversify
        From the weighted candidates' products and scores, best first, to their new order (indices, int64);
        rules about positions are applied after it and take precedence.

    Raises
    ------
    ValueError
        The limit or the total is below 1.
    """
    size = limit if total is None else total
    if limit < 1 or size < 1:
        raise ValueError("limit and total must be at least 1")
    catalogue, placement_rules = compiled.catalogue, compiled.for_placement(placement, name)
    selectable = catalogue.shown if candidates.eligible is None else catalogue.shown & candidates.eligible
    rows = catalogue.rows(candidates.products) if candidates.rows is None else candidates.rows
    ranked = np.flatnonzero(rows >= 0)
    ranked = ranked[selectable[rows[ranked]]]
    removed = placement_rules.hidden_among(rows[ranked]) if placement_rules.hides else {}
    if removed:
        ranked = ranked[placement_rules.hidden_by[rows[ranked]] < 0]
    scores = candidates.scores.astype(np.float64, copy=True)
    if placement_rules.weights.size > 1:
        scores[ranked] *= placement_rules.weights[placement_rules.weight_code[rows[ranked]]]
        ranked = ranked[np.argsort(-scores[ranked], kind="stable")]
    if diversify is not None:
        ranked = ranked[diversify(candidates.products[ranked], scores[ranked])]
    caps = [cap for cap in placement_rules.caps if cap.rule.cap_by not in ignored_caps]
    if not (placement_rules.pins or caps or placement_rules.minimums):
        index = ranked[:size]
        return _ruled_list(compiled, placement_rules, index, rows[index], scores, [()] * index.size, removed)
    ranked_rows = rows[ranked]
    pinned = _place_pins(placement_rules, selectable, caps, limit, size, ranked_rows)
    caps_on_page = [_cap_on_page(cap, ranked_rows, pinned) for cap in caps]
    shares_on_page = [
        _share_on_page(minimum, ranked_rows, candidates.novel[ranked], pinned)
        for minimum in placement_rules.minimums
    ]
    pages = fill_pages(ranked_rows.size, pinned, caps_on_page, shares_on_page, limit, size)
    index = np.array([ranked[slot.index] if slot.index >= 0 else -1 for slot in pages.slots], dtype=np.int64)
    slot_rows = np.array(
        [ranked_rows[slot.index] if slot.index >= 0 else slot.row for slot in pages.slots], dtype=np.int64
    )
    moved_by = [slot.moved_by for slot in pages.slots]
    removed = {**removed, **Counter(pages.passed_over.values())}
    ruled = _ruled_list(compiled, placement_rules, index, slot_rows, scores, moved_by, removed)
    passed_over = {int(candidates.products[ranked[at]]): rule for at, rule in pages.passed_over.items()}
    return replace(ruled, passed_over=passed_over)


def preview(
    compiled: CompiledRules,
    draft: Rule,
    candidates: RuleCandidates,
    *,
    placement: str,
    limit: int,
    name: str | None = None,
    ignored_caps: Collection[CapBy] = (),
    diversify: Diversify | None = None,
    concerns: bool = True,
) -> RulePreview:
    """Return the list as it is, and as it would be with `draft` in force, whatever its period.

    Parameters
    ----------
    compiled
        The rules for the visitor of the list.
    draft
        With the id of a rule it replaces that rule; with the id 0 it is added.
    placement, limit, name, ignored_caps, diversify
        As for `apply`.
    concerns
        Whether the draft is for this visitor, too.
    """
    others = [rule for rule in compiled.rules if rule.id != draft.id]
    # the newest: of equal priorities, the older rule takes precedence
    newest = max((rule.id for rule in compiled.rules), default=0) + 1
    added = draft if draft.id else replace(draft, id=newest)
    added = replace(added, segment=None)
    rules_then = [*others, added] if concerns else others
    with_draft = CompiledRules.compile(
        compiled.catalogue, rules_then, compiled.moment, audience=compiled.audience
    )
    before, after = (
        apply(
            rules,
            candidates,
            placement=placement,
            limit=limit,
            name=name,
            ignored_caps=ignored_caps,
            diversify=diversify,
        )
        for rules in (compiled, with_draft)
    )
    return RulePreview(before, after, _changes(before, after))


def _changes(before: RuledList, after: RuledList) -> list[PositionChange]:
    old = {product: position for position, product in enumerate(before.products.tolist(), 1)}
    new = {product: position for position, product in enumerate(after.products.tolist(), 1)}
    changes = [
        PositionChange(product, old.get(product), position)
        for product, position in new.items()
        if old.get(product) != position
    ]
    return changes + [
        PositionChange(product, position, None) for product, position in old.items() if product not in new
    ]


def _place_pins(
    placement_rules: PlacementRules,
    selectable: npt.NDArray[np.bool_],
    caps: Sequence[CompiledCap],
    limit: int,
    total: int,
    ranked_rows: npt.NDArray[np.int64],
) -> dict[int, PinnedProduct]:
    """Assign pinned products to positions from 0, in order of precedence; a taken one moves to the next."""
    if not placement_rules.pins:
        return {}
    proposed = np.flatnonzero(np.isin(ranked_rows, [row for _, rows in placement_rules.pins for row in rows]))
    candidate_of = dict(zip(ranked_rows[proposed].tolist(), proposed.tolist(), strict=True))
    pinned: dict[int, PinnedProduct] = {}
    placed: set[int] = set()
    for rule, rows in placement_rules.pins:
        above = [cap for cap in caps if cap.rule.priority > rule.priority]
        position = (rule.position or 1) - 1
        for row in rows:
            if row < 0 or row in placed or not selectable[row] or placement_rules.hidden_by[row] >= 0:
                continue
            while position in pinned:
                position += 1
            if position >= total:
                break
            page = [pin.row for other, pin in pinned.items() if other // limit == position // limit]
            if any(_exceeds(cap, row, page) for cap in above):
                continue
            pinned[position] = PinnedProduct(rule, row, candidate_of.get(row, -1))
            placed.add(row)
    return pinned


def _exceeds(cap: CompiledCap, row: int, page: Sequence[int]) -> bool:
    key = cap.keys[row]
    return bool(key >= 0) and sum(bool(cap.keys[other] == key) for other in page) >= cap.max_count


def _cap_on_page(
    cap: CompiledCap,
    ranked_rows: npt.NDArray[np.int64],
    pinned: Mapping[int, PinnedProduct],
) -> CapOnPage:
    keys = {position: int(cap.keys[pin.row]) for position, pin in pinned.items()}
    return CapOnPage(cap.rule, cap.max_count, cap.keys[ranked_rows].tolist(), keys)


def _share_on_page(
    minimum: CompiledMinimum,
    ranked_rows: npt.NDArray[np.int64],
    novel: npt.NDArray[np.bool_],
    pinned: Mapping[int, PinnedProduct],
) -> ShareOnPage:
    counts = minimum.counts[ranked_rows] & novel if minimum.to_user else minimum.counts[ranked_rows]
    # whether a product that only a pin proposed is new to the user is not known: it does not count
    pins = {
        position: bool(minimum.counts[pin.row])
        and (not minimum.to_user or (pin.index >= 0 and bool(novel[pin.index])))
        for position, pin in pinned.items()
    }
    return ShareOnPage(minimum.rule, minimum.share, counts.tolist(), pins)


def _ruled_list(
    compiled: CompiledRules,
    placement_rules: PlacementRules,
    index: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    moved_by: Iterable[tuple[Rule, ...]],
    removed: dict[int, int],
) -> RuledList:
    if placement_rules.weights.size > 1:
        codes = placement_rules.weight_code[rows].tolist()
        moved_by = [
            (*placement_rules.weighting_rules[code], *placing)
            for code, placing in zip(codes, moved_by, strict=True)
        ]
    return RuledList(
        compiled.catalogue.ids[rows],
        index,
        np.where(index >= 0, scores[index], 0.0) if scores.size else np.zeros(index.size),
        list(moved_by),
        removed,
    )
