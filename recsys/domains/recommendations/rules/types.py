"""The words of business rules, and a rule as those who apply it see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

__all__ = [
    "GUESTS",
    "KNOWN_USERS",
    "RULE_SET_PATTERN",
    "SHELF_NAMES",
    "CapBy",
    "NewTo",
    "Rule",
    "RuleKind",
    "RuleTarget",
]

RULE_SET_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,39}$"
"""Names of sets of rules."""

SHELF_NAMES = (
    "for_you",
    "similar",
    "bought_together",
    "buy_again",
    "popular",
    "trending",
    "new_arrivals",
    "because_you_viewed",
)
"""The lists that a rule can be limited to."""
GUESTS, KNOWN_USERS = "guests", "known-users"
"""Reserved names of segments: visitors without and with an account."""


class RuleKind(StrEnum):
    """What a rule does; docs/rules.md tells how they act together."""

    PIN = "pin"
    BOOST = "boost"
    BURY = "bury"
    HIDE = "hide"
    CAP = "cap"
    MINIMUM_NEW = "minimum_new"


class CapBy(StrEnum):
    """`category`, `brand`: so many of each one; `together`: so many of all that the rule is about."""

    CATEGORY = "category"
    BRAND = "brand"
    TOGETHER = "together"


class NewTo(StrEnum):
    """`user`: the user never touched it; `shop`: it arrived within the target's `created_within_days`."""

    USER = "user"
    SHOP = "shop"


@dataclass(frozen=True)
class RuleTarget:
    """Which products a rule is about: those that pass all that is given; nothing given means every product.

    Attributes
    ----------
    category_id
        It and all below it.
    min_price, max_price
        In the shop's currency, both included.
    created_within_days
        Arrived in the shop at most so many days before the moment that is asked about.
    """

    product_ids: tuple[int, ...] | None = None
    category_id: int | None = None
    brand_id: int | None = None
    tag: str | None = None
    min_price: float | None = None
    max_price: float | None = None
    created_within_days: int | None = None


@dataclass(frozen=True)
class Rule:
    """One rule; only the parameters of its kind are given.

    Attributes
    ----------
    position
        pin: the place of the first of its products, from 1.
    factor
        Scores are multiplied by it. boost: above 1; bury: from 0 to below 1.
    most, cap_by
        cap: so many at most, counted as `CapBy` says.
    strict
        cap: rather fewer products than more than these.
    share, new_to
        minimum_new: at least this share of a list, from above 0 to 1.
    shelves, placements
        Where it holds; None: everywhere.
    rule_set
        It holds in arms of an experiment that name this set; None: for everybody.
    segment
        For whom it holds: a stored segment, GUESTS or KNOWN_USERS; None: for everybody.
    starts_at, ends_at
        When it holds; the end itself is over.
    priority
        Who wins where two rules want different things: the higher one, of equals the older one.
    """

    id: int
    name: str
    kind: RuleKind
    target: RuleTarget = field(default_factory=RuleTarget)
    position: int | None = None
    factor: float | None = None
    most: int | None = None
    cap_by: CapBy | None = None
    strict: bool | None = None
    share: float | None = None
    new_to: NewTo | None = None
    shelves: frozenset[str] | None = None
    placements: frozenset[str] | None = None
    rule_set: str | None = None
    segment: str | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    priority: int = 0
    version: int = 1

    def in_force(self, moment: datetime) -> bool:
        """Whether its time has come and is not over; the end itself is over."""
        return (self.starts_at is None or self.starts_at <= moment) and (
            self.ends_at is None or moment < self.ends_at
        )

    def is_for(self, rule_set: str | None) -> bool:
        """Whether it holds for visitors with this set of rules; None: for those with none."""
        return self.rule_set is None or self.rule_set == rule_set

    def holds_on(self, shelf: str | None, placement: str | None) -> bool:
        """Whether it is about this shelf at this placement."""
        return (self.shelves is None or shelf in self.shelves) and (
            self.placements is None or placement in self.placements
        )
