"""Places on a shelf, page by page: some are taken, some kinds are limited, and some must be there."""

from __future__ import annotations

import math
from bisect import bisect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from recsys.domains.recommendations.rules.types import Rule

__all__ = ["Bound", "Filled", "Floor", "Pinned", "Slot", "fill_pages"]

_ROUNDING = 1e-9  # shares are written in decimals: 0.07 × 100 is 7, not 8


@dataclass(frozen=True)
class Pinned:
    """row: of the catalogue; place: among the candidates, -1 for what only the pin proposed."""

    rule: Rule
    row: int
    place: int


@dataclass(frozen=True)
class Bound:
    """At most `most` of each key but -1; keys: of the candidates in order; pinned: of the pins by slot."""

    rule: Rule
    most: int
    keys: Sequence[int]
    pinned: Mapping[int, int]


@dataclass(frozen=True)
class Floor:
    """At least this share of what counts; counts: of the candidates in order; pinned: of the pins by slot."""

    rule: Rule
    share: float
    counts: Sequence[bool]
    pinned: Mapping[int, bool]


@dataclass(frozen=True)
class Slot:
    """What stands at one place: a candidate, or (place -1) the row of what only a pin proposed."""

    place: int
    row: int
    moved_by: tuple[Rule, ...]


@dataclass(frozen=True)
class Filled:
    """The list, and by the ids of rules how many candidates each kept out of it."""

    slots: list[Slot] = field(default_factory=list)
    passed_over: dict[int, int] = field(default_factory=dict)


def fill_pages(
    count: int,
    pinned: Mapping[int, Pinned],
    bounds: Sequence[Bound],
    floors: Sequence[Floor],
    limit: int,
    total: int,
) -> Filled:
    """Fill `total` places in pages of `limit` from `count` candidates, best first.

    pinned          what stands where, slots from 0
    bounds, floors  the first to decide first; each holds on each page

    Each page takes what the floors need first (a floor looks past bounds that decide after it), then the best
    that the bounds let in; then, when places stay empty, what only bounds that are not strict kept out. It is
    ordered as the candidates are, except that of its first p places at least ⌊share · p⌋ count for a floor:
    what is guaranteed does not gather at the end. The list ends with the first page that cannot be filled.
    """
    taken = {one.place for one in pinned.values()}
    queue = [place for place in range(count) if place not in taken] if taken else list(range(count))
    filled = Filled()
    kept_out: dict[int, int] = {}
    for start in range(0, total, limit):
        size = min(limit, total - start)
        page = _Page(
            size, start, {at - start: one for at, one in pinned.items() if start <= at < start + size}
        )
        page.choose(queue, bounds, floors)
        filled.slots.extend(page.slots(bounds, floors))
        kept_out |= page.passed_over
        if len(filled.slots) < start + size:
            break
        # what was chosen stands near the front; the rest is left as it is
        seen = bisect(queue, max(page.chosen, default=-1))
        queue[:seen] = [place for place in queue[:seen] if place not in page.chosen]
    # what a later page shows was not kept out
    shown = {slot.place for slot in filled.slots}
    filled.passed_over.update(Counter(rule for place, rule in kept_out.items() if place not in shown))
    return filled


class _Page:
    def __init__(self, size: int, start: int, pinned: Mapping[int, Pinned]) -> None:
        self.size = size
        self.start = start
        self.pinned = pinned
        self.chosen: dict[int, tuple[Rule, ...]] = {}
        """The candidates, each with the floors that brought it."""
        self.passed_over: dict[int, int] = {}
        """Candidates that a bound kept out, each with the first that did."""

    def choose(self, queue: Sequence[int], bounds: Sequence[Bound], floors: Sequence[Floor]) -> None:
        free = self.size - len(self.pinned)
        used = self._used(bounds)
        if floors:
            plain = self._best(queue, bounds, [Counter(each) for each in used], free, {}, {})
            for each in floors:
                self._need(each, queue, bounds, used, plain, free)
        chosen = self._best(queue, bounds, used, free, self.chosen, self.passed_over)
        self.chosen.update(dict.fromkeys(chosen, ()))
        strict = [place for place, bound in enumerate(bounds) if bound.rule.strict]
        if len(self.chosen) < free and len(strict) < len(bounds):
            left = [bounds[place] for place in strict]
            more = self._best(queue, left, [used[place] for place in strict], free, self.chosen, {})
            self.chosen.update(dict.fromkeys(more, ()))

    def _used(self, bounds: Sequence[Bound]) -> list[Counter[int]]:
        return [Counter(bound.pinned[self.start + at] for at in self.pinned) for bound in bounds]

    def _need(
        self,
        floor: Floor,
        queue: Sequence[int],
        bounds: Sequence[Bound],
        used: Sequence[Counter[int]],
        plain: set[int],
        free: int,
    ) -> None:
        """Choose the best of what counts until there are enough; `plain` is what would be there anyway."""
        missing = math.ceil(floor.share * self.size - _ROUNDING)
        missing -= sum(floor.pinned[self.start + at] for at in self.pinned)
        missing -= sum(floor.counts[place] for place in self.chosen)
        above = [at for at, bound in enumerate(bounds) if _decides_before(bound.rule, floor.rule)]
        counts = floor.counts
        for place in queue:
            if missing <= 0 or len(self.chosen) >= free:
                return
            if not counts[place] or place in self.chosen:
                continue
            if any(_full(bounds[at], used[at], place) for at in above):
                continue
            for bound, each in zip(bounds, used, strict=True):
                each[bound.keys[place]] += 1
            self.chosen[place] = () if place in plain else (floor.rule,)
            missing -= 1

    @staticmethod
    def _best(
        queue: Sequence[int],
        bounds: Sequence[Bound],
        used: Sequence[Counter[int]],
        free: int,
        chosen: Mapping[int, object],
        passed_over: dict[int, int],
    ) -> set[int]:
        """The first of the queue that every bound lets in, as many as there is room; `used` counts on."""
        room = free - len(chosen)
        found: set[int] = set()
        watched = [
            (bound.rule.id, bound.most, bound.keys, each) for bound, each in zip(bounds, used, strict=True)
        ]
        for place in queue:
            if len(found) >= room:
                break
            if place in chosen:
                continue
            for rule_id, most, keys, each in watched:
                key = keys[place]
                if key >= 0 and each[key] >= most:
                    passed_over[place] = rule_id
                    break
            else:
                for _, _, keys, each in watched:
                    each[keys[place]] += 1
                found.add(place)
        return found

    def slots(self, bounds: Sequence[Bound], floors: Sequence[Floor]) -> list[Slot]:
        """The page in its order; when it is short, what is pinned further down moves up."""
        waiting = sorted(self.chosen)
        have = [0] * len(floors)
        made: list[Slot] = []
        for at in range(self.size):
            pin = self.pinned.get(at)
            if pin is not None:
                made.append(Slot(pin.place, pin.row, (pin.rule,)))
                for number, floor in enumerate(floors):
                    have[number] += floor.pinned[self.start + at]
                continue
            if not waiting:
                continue
            place, why = self._next(waiting, floors, have, at)
            waiting.remove(place)
            for number, floor in enumerate(floors):
                have[number] += floor.counts[place]
            made.append(Slot(place, -1, why))
        return made

    def _next(
        self, waiting: Sequence[int], floors: Sequence[Floor], have: Sequence[int], at: int
    ) -> tuple[int, tuple[Rule, ...]]:
        first = waiting[0]
        for floor, had in zip(floors, have, strict=True):
            if had >= math.floor(floor.share * (at + 1) + _ROUNDING):
                continue
            place = next((one for one in waiting if floor.counts[one]), None)
            if place is not None:
                why = self.chosen[place]
                return place, why if place == first or floor.rule in why else (*why, floor.rule)
        return first, self.chosen[first]


def _full(bound: Bound, used: Counter[int], place: int) -> bool:
    key = bound.keys[place]
    return key >= 0 and used[key] >= bound.most


def _decides_before(one: Rule, other: Rule) -> bool:
    return one.priority >= other.priority
