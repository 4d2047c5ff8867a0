"""Business rules put into effect on one list: what is hidden, weighed, pinned, capped and guaranteed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from recsys.domains.recommendations.rules.types import CapBy, Rule
from serving.merchandising.compiled_rules import CompiledCap, CompiledMinimum, CompiledRules, Plan
from serving.merchandising.slotting import Bound, Floor, Pinned, fill_pages

__all__ = ["Candidates", "Change", "Preview", "RuledList", "apply", "preview"]

Diversify = Callable[[npt.NDArray[np.int64], npt.NDArray[np.float64]], npt.NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class Candidates:
    """What may be shown to one user on one shelf, best first.

    products  int64, each once;  scores  float64, 0 to 1;  novel  bool: the user never touched it
    allowed   bool, a row of the catalogue each: what this user's past, page and filters leave; a pin must be
              among these, too. None: whatever the shop shows
    rows      int64: the rows of `products` in the rules' catalogue, for who knows them; None: looked up
    """

    products: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    novel: npt.NDArray[np.bool_]
    allowed: npt.NDArray[np.bool_] | None = None
    rows: npt.NDArray[np.int64] | None = None


@dataclass(frozen=True, eq=False)
class RuledList:
    """A list after the rules.

    products  int64;  index  int64: the place among the candidates, -1 for what only a pin proposed
    scores    float64: the candidates' times their factors, 0 for what only a pin proposed; not sorted, since
              pins, caps and shares move products against their scores
    moved_by  of each product the rules that gave it its place
    removed   by the ids of rules how many candidates each took out: hidden, or passed over by a cap before
              the list was full
    """

    products: npt.NDArray[np.int64]
    index: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    moved_by: list[tuple[Rule, ...]]
    removed: dict[int, int]


@dataclass(frozen=True)
class Change:
    """One product of a preview; places from 1, None where it is not in the list."""

    product: int
    before: int | None
    after: int | None


@dataclass(frozen=True, eq=False)
class Preview:
    """A list without and with a draft; `changes` names what comes, goes or moves, in the order of `after`."""

    before: RuledList
    after: RuledList
    changes: list[Change] = field(default_factory=list)


def apply(
    compiled: CompiledRules,
    candidates: Candidates,
    *,
    shelf: str,
    limit: int,
    placement: str | None = None,
    total: int | None = None,
    lifted: Collection[CapBy] = (),
    diversify: Diversify | None = None,
) -> RuledList:
    """Put the rules into effect: hide; boost and bury; `diversify`; pin; cap and guarantee, page by page.

    shelf, placement  which rules hold
    limit      the length of a page: caps and shares hold on each by itself
    total      how many products are wanted in all pages together; None: one page
    lifted     caps of these kinds do not hold: who asked for one brand gets more than two of it
    diversify  from the weighed candidates' products and scores, best first, to their new order (places,
               int64); it stands between the scores and the rules about places, which have the last word

    What each kind means, and who wins where two want different things, stands in docs/rules.md. The same
    input gives the same list. Raises ValueError for a limit or total below 1.
    """
    wanted = limit if total is None else total
    if limit < 1 or wanted < 1:
        raise ValueError("limit and total must be at least 1")
    catalogue, plan = compiled.catalogue, compiled.plan(shelf, placement)
    may = catalogue.shown if candidates.allowed is None else catalogue.shown & candidates.allowed
    rows = catalogue.rows(candidates.products) if candidates.rows is None else candidates.rows
    known = np.flatnonzero(rows >= 0)
    known = known[may[rows[known]]]
    removed = plan.hidden_among(rows[known]) if plan.hides else {}
    if removed:
        known = known[plan.hidden_by[rows[known]] < 0]
    scores = candidates.scores.astype(np.float64, copy=True)
    if plan.weights.size > 1:
        scores[known] *= plan.weights[plan.weighed[rows[known]]]
        known = known[np.argsort(-scores[known], kind="stable")]
    if diversify is not None:
        known = known[diversify(candidates.products[known], scores[known])]
    caps = [cap for cap in plan.caps if cap.rule.cap_by not in lifted]
    if not (plan.pins or caps or plan.minimums):
        index = known[:wanted]
        return _arranged(compiled, plan, index, rows[index], scores, [()] * index.size, removed)
    flow = rows[known]
    pinned = _pinned(plan, may, caps, limit, wanted, flow)
    bounds = [_bound(cap, flow, pinned) for cap in caps]
    floors = [_floor(one, flow, candidates.novel[known], pinned) for one in plan.minimums]
    filled = fill_pages(flow.size, pinned, bounds, floors, limit, wanted)
    index = np.array([known[slot.place] if slot.place >= 0 else -1 for slot in filled.slots], dtype=np.int64)
    places = np.array(
        [flow[slot.place] if slot.place >= 0 else slot.row for slot in filled.slots], dtype=np.int64
    )
    moved_by = [slot.moved_by for slot in filled.slots]
    return _arranged(compiled, plan, index, places, scores, moved_by, removed | filled.passed_over)


def preview(
    compiled: CompiledRules,
    draft: Rule,
    candidates: Candidates,
    *,
    shelf: str,
    limit: int,
    placement: str | None = None,
    lifted: Collection[CapBy] = (),
    diversify: Diversify | None = None,
) -> Preview:
    """The list as it is, and as it would be with `draft` in force, whatever its period says.

    A draft with the id of a rule takes that rule's place; with the id 0 it is one more.
    """
    others = [rule for rule in compiled.rules if rule.id != draft.id]
    # the youngest of all: where priorities are equal, the older rule wins
    last = max((rule.id for rule in compiled.rules), default=0) + 1
    tried = draft if draft.id else replace(draft, id=last)
    with_draft = CompiledRules.compile(compiled.catalogue, [*others, tried], compiled.moment)
    before, after = (
        apply(
            each,
            candidates,
            shelf=shelf,
            limit=limit,
            placement=placement,
            lifted=lifted,
            diversify=diversify,
        )
        for each in (compiled, with_draft)
    )
    return Preview(before, after, _changes(before, after))


def _changes(before: RuledList, after: RuledList) -> list[Change]:
    were = {product: place for place, product in enumerate(before.products.tolist(), 1)}
    are = {product: place for place, product in enumerate(after.products.tolist(), 1)}
    changes = [Change(one, were.get(one), place) for one, place in are.items() if were.get(one) != place]
    return changes + [Change(one, place, None) for one, place in were.items() if one not in are]


def _pinned(
    plan: Plan,
    may: npt.NDArray[np.bool_],
    caps: Sequence[CompiledCap],
    limit: int,
    total: int,
    flow: npt.NDArray[np.int64],
) -> dict[int, Pinned]:
    """What each pin puts where, by slot from 0; the first to decide takes its place, others the next free."""
    if not plan.pins:
        return {}
    proposed = np.flatnonzero(np.isin(flow, [row for _, wanted in plan.pins for row in wanted]))
    places = dict(zip(flow[proposed].tolist(), proposed.tolist(), strict=True))
    pinned: dict[int, Pinned] = {}
    done: set[int] = set()
    for rule, wanted in plan.pins:
        above = [cap for cap in caps if cap.rule.priority > rule.priority]
        at = (rule.position or 1) - 1
        for row in wanted:
            if row < 0 or row in done or not may[row] or plan.hidden_by[row] >= 0:
                continue
            while at in pinned:
                at += 1
            if at >= total:
                break
            page = [one.row for slot, one in pinned.items() if slot // limit == at // limit]
            if any(_exceeds(cap, row, page) for cap in above):
                continue
            pinned[at] = Pinned(rule, row, places.get(row, -1))
            done.add(row)
    return pinned


def _exceeds(cap: CompiledCap, row: int, page: Sequence[int]) -> bool:
    key = cap.keys[row]
    return bool(key >= 0) and sum(bool(cap.keys[one] == key) for one in page) >= cap.most


def _bound(
    cap: CompiledCap,
    flow: npt.NDArray[np.int64],
    pinned: Mapping[int, Pinned],
) -> Bound:
    keys = {at: int(cap.keys[pin.row]) for at, pin in pinned.items()}
    return Bound(cap.rule, cap.most, cap.keys[flow].tolist(), keys)


def _floor(
    minimum: CompiledMinimum,
    flow: npt.NDArray[np.int64],
    novel: npt.NDArray[np.bool_],
    pinned: Mapping[int, Pinned],
) -> Floor:
    counts = minimum.counts[flow] & novel if minimum.to_user else minimum.counts[flow]
    # of what only a pin proposed nobody said that the user never touched it
    pins = {
        at: bool(minimum.counts[pin.row])
        and (not minimum.to_user or (pin.place >= 0 and bool(novel[pin.place])))
        for at, pin in pinned.items()
    }
    return Floor(minimum.rule, minimum.share, counts.tolist(), pins)


def _arranged(
    compiled: CompiledRules,
    plan: Plan,
    index: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    moved_by: Iterable[tuple[Rule, ...]],
    removed: dict[int, int],
) -> RuledList:
    if plan.weights.size > 1:
        weighers = [plan.weighers[one] for one in plan.weighed[rows].tolist()]
        moved_by = [(*own, *placed) for own, placed in zip(weighers, moved_by, strict=True)]
    return RuledList(
        compiled.catalogue.ids[rows],
        index,
        np.where(index >= 0, scores[index], 0.0) if scores.size else np.zeros(index.size),
        list(moved_by),
        removed,
    )
