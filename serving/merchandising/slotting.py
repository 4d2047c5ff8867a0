"""Slotting: fills pages with candidates around pinned products, under caps and minimum shares."""

from __future__ import annotations

import math
from bisect import bisect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from recsys.domains.recommendations.rules.types import Rule

__all__ = ["CapOnPage", "FilledPages", "FilledSlot", "PinnedProduct", "ShareOnPage", "fill_pages"]

_ROUNDING = 1e-9  # shares are decimal fractions: 0.07 × 100 is 7, not 8


@dataclass(frozen=True)
class PinnedProduct:
    """A product that a rule pins to a position.

    Attributes
    ----------
    row
        Catalogue row.
    index
        Among the candidates, -1 where only the pin proposed the product.
    """

    rule: Rule
    row: int
    index: int


@dataclass(frozen=True)
class CapOnPage:
    """At most `max_count` products per key on a page; -1 is not limited.

    Attributes
    ----------
    keys
        Of the candidates, in order.
    pinned
        Keys of the pinned products, by position.
    """

    rule: Rule
    max_count: int
    keys: Sequence[int]
    pinned: Mapping[int, int]


@dataclass(frozen=True)
class ShareOnPage:
    """At least this share of each page counts.

    Attributes
    ----------
    share
        From 0 to 1.
    counts
        Whether each candidate counts, in order.
    pinned
        Whether each pinned product counts, by position.
    """

    rule: Rule
    share: float
    counts: Sequence[bool]
    pinned: Mapping[int, bool]


@dataclass(frozen=True)
class FilledSlot:
    """The product of one position: a candidate, or (index -1) the row of a product only a pin proposed."""

    index: int
    row: int
    moved_by: tuple[Rule, ...]


@dataclass(frozen=True)
class FilledPages:
    """The list, and for each candidate that a cap kept out of it the id of the cap's rule."""

    slots: list[FilledSlot] = field(default_factory=list)
    passed_over: dict[int, int] = field(default_factory=dict)


def fill_pages(
    count: int,
    pinned: Mapping[int, PinnedProduct],
    caps: Sequence[CapOnPage],
    shares: Sequence[ShareOnPage],
    limit: int,
    total: int,
) -> FilledPages:
    """Fill `total` positions in pages of `limit` from `count` candidates, best first.

    Each page takes the products that the shares need first (a share ignores caps of lower precedence), then
    the best that the caps allow; then, when positions stay empty, products that only caps that are not
    strict kept out. A page keeps the order of the candidates, except that at least ⌊share · p⌋ of its first
    p positions count for each share, so that these do not collect at the end. The list ends with the first
    page that cannot be filled.

    Parameters
    ----------
    pinned
        The pinned products by position, from 0.
    caps, shares
        In order of precedence; each applies to each page.
    """
    pinned_candidates = {pin.index for pin in pinned.values()}
    queue = list(range(count))
    if pinned_candidates:
        queue = [index for index in queue if index not in pinned_candidates]
    pages = FilledPages()
    passed_over: dict[int, int] = {}
    for start in range(0, total, limit):
        size = min(limit, total - start)
        on_page = {
            position - start: pin for position, pin in pinned.items() if start <= position < start + size
        }
        page = _Page(size, start, on_page)
        page.choose(queue, caps, shares)
        pages.slots.extend(page.slots(caps, shares))
        passed_over |= page.passed_over
        if len(pages.slots) < start + size:
            break
        # only the front of the queue, up to the last chosen candidate, changes
        seen = bisect(queue, max(page.chosen, default=-1))
        queue[:seen] = [index for index in queue[:seen] if index not in page.chosen]
    # a candidate on a later page was not kept out
    listed = {slot.index for slot in pages.slots}
    pages.passed_over.update({index: rule for index, rule in passed_over.items() if index not in listed})
    return pages


class _Page:
    """One page while it is filled.

    Attributes
    ----------
    start
        The position of its first slot in the whole list.
    """

    def __init__(self, size: int, start: int, pinned: Mapping[int, PinnedProduct]) -> None:
        self.size = size
        self.start = start
        self.pinned = pinned
        self.chosen: dict[int, tuple[Rule, ...]] = {}
        """The chosen candidates, each with the shares that it was chosen for."""
        self.passed_over: dict[int, int] = {}
        """Candidates that a cap kept out, each with the id of the first such rule."""

    def choose(self, queue: Sequence[int], caps: Sequence[CapOnPage], shares: Sequence[ShareOnPage]) -> None:
        free = self.size - len(self.pinned)
        used = self._used(caps)
        if shares:
            without_shares = self._best(queue, caps, [Counter(counter) for counter in used], free, {}, {})
            for minimum in shares:
                self._choose_for_share(minimum, queue, caps, used, without_shares, free)
        chosen = self._best(queue, caps, used, free, self.chosen, self.passed_over)
        self.chosen.update(dict.fromkeys(chosen, ()))
        strict = [index for index, cap in enumerate(caps) if cap.rule.strict]
        if len(self.chosen) < free and len(strict) < len(caps):
            strict_caps = [caps[index] for index in strict]
            more = self._best(queue, strict_caps, [used[index] for index in strict], free, self.chosen, {})
            self.chosen.update(dict.fromkeys(more, ()))

    def _used(self, caps: Sequence[CapOnPage]) -> list[Counter[int]]:
        return [Counter(cap.pinned[self.start + position] for position in self.pinned) for cap in caps]

    def _choose_for_share(
        self,
        minimum: ShareOnPage,
        queue: Sequence[int],
        caps: Sequence[CapOnPage],
        used: Sequence[Counter[int]],
        without_shares: set[int],
        free: int,
    ) -> None:
        """Choose the best that count until there are enough; `without_shares`: chosen anyway."""
        missing = math.ceil(minimum.share * self.size - _ROUNDING)
        missing -= sum(minimum.pinned[self.start + position] for position in self.pinned)
        missing -= sum(minimum.counts[index] for index in self.chosen)
        binding = [number for number, cap in enumerate(caps) if _takes_precedence(cap.rule, minimum.rule)]
        counts = minimum.counts
        for index in queue:
            if missing <= 0 or len(self.chosen) >= free:
                return
            if not counts[index] or index in self.chosen:
                continue
            if any(_is_full(caps[number], used[number], index) for number in binding):
                continue
            for cap, counter in zip(caps, used, strict=True):
                counter[cap.keys[index]] += 1
            self.chosen[index] = () if index in without_shares else (minimum.rule,)
            missing -= 1

    @staticmethod
    def _best(
        queue: Sequence[int],
        caps: Sequence[CapOnPage],
        used: Sequence[Counter[int]],
        free: int,
        chosen: Mapping[int, object],
        passed_over: dict[int, int],
    ) -> set[int]:
        """Return the first of the queue that every cap allows, while there is room; counts them in `used`."""
        room = free - len(chosen)
        selected: set[int] = set()
        counted_caps = [
            (cap.rule.id, cap.max_count, cap.keys, counter) for cap, counter in zip(caps, used, strict=True)
        ]
        for index in queue:
            if len(selected) >= room:
                break
            if index in chosen:
                continue
            for rule_id, max_count, keys, counter in counted_caps:
                key = keys[index]
                if key >= 0 and counter[key] >= max_count:
                    passed_over[index] = rule_id
                    break
            else:
                for _, _, keys, counter in counted_caps:
                    counter[keys[index]] += 1
                selected.add(index)
        return selected

    def slots(self, caps: Sequence[CapOnPage], shares: Sequence[ShareOnPage]) -> list[FilledSlot]:
        """Return the page in its order; on a short page, pinned products move up."""
        remaining = sorted(self.chosen)
        counts_so_far = [0] * len(shares)
        slots_of_page: list[FilledSlot] = []
        for position in range(self.size):
            pin = self.pinned.get(position)
            if pin is not None:
                slots_of_page.append(FilledSlot(pin.index, pin.row, (pin.rule,)))
                for number, minimum in enumerate(shares):
                    counts_so_far[number] += minimum.pinned[self.start + position]
                continue
            if not remaining:
                continue
            index, rules = self._next(remaining, shares, counts_so_far, position)
            remaining.remove(index)
            for number, minimum in enumerate(shares):
                counts_so_far[number] += minimum.counts[index]
            slots_of_page.append(FilledSlot(index, -1, rules))
        return slots_of_page

    def _next(
        self,
        remaining: Sequence[int],
        shares: Sequence[ShareOnPage],
        counts_so_far: Sequence[int],
        position: int,
    ) -> tuple[int, tuple[Rule, ...]]:
        first = remaining[0]
        for minimum, count_so_far in zip(shares, counts_so_far, strict=True):
            if count_so_far >= math.floor(minimum.share * (position + 1) + _ROUNDING):
                continue
            index = next((candidate for candidate in remaining if minimum.counts[candidate]), None)
            if index is not None:
                rules = self.chosen[index]
                return index, rules if index == first or minimum.rule in rules else (*rules, minimum.rule)
        return first, self.chosen[first]


def _is_full(cap: CapOnPage, used: Counter[int], index: int) -> bool:
    key = cap.keys[index]
    return key >= 0 and used[key] >= cap.max_count


def _takes_precedence(rule: Rule, other: Rule) -> bool:
    return rule.priority >= other.priority
