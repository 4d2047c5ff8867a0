"""What the routes of business rules take in and answer."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from recsys.domains.recommendations.rules.types import (
    RULE_SET_PATTERN,
    SHELF_NAMES,
    CapBy,
    NewTo,
    Rule,
    RuleKind,
    RuleTarget,
)
from recsys.money import cents
from recsys.own_ids.references import BrandRef, CategoryRef, ProductRef
from recsys.web.validators import Input, storable

__all__ = [
    "MAX_POSITION",
    "RuleChangeOut",
    "RuleIn",
    "RuleOut",
    "RuleSetName",
    "RuleSetOut",
    "SegmentName",
    "TargetIn",
    "TargetOwnIds",
]

MAX_POSITION = 300
"""No list is longer than what is ranked for one question."""

_PARAMETERS: dict[RuleKind, frozenset[str]] = {
    RuleKind.PIN: frozenset({"position"}),
    RuleKind.BOOST: frozenset({"factor"}),
    RuleKind.BURY: frozenset({"factor"}),
    RuleKind.HIDE: frozenset(),
    RuleKind.CAP: frozenset({"most", "cap_by", "strict"}),
    RuleKind.MINIMUM_NEW: frozenset({"share", "new_to"}),
}
_ALL_PARAMETERS = ("position", "factor", "most", "cap_by", "strict", "share", "new_to")

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(storable)
]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(storable)]
Price = Annotated[Decimal, Field(ge=0, max_digits=10, decimal_places=2), AfterValidator(cents)]
SegmentName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$")]
Placement = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,49}$")]
RuleSetName = Annotated[str, StringConstraints(pattern=RULE_SET_PATTERN)]
Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


def _each_once(given: list[Any] | None) -> list[Any] | None:
    if given is not None and len(set(given)) < len(given):
        raise ValueError("each one once")
    return given


def _known_shelves(given: list[str] | None) -> list[str] | None:
    if given is not None and (unknown := sorted(set(given) - set(SHELF_NAMES))):
        raise ValueError(f"shelves among {', '.join(SHELF_NAMES)}; not {', '.join(unknown)}")
    return _each_once(given)


class TargetIn(Input):
    """The products of a rule: those that meet all given conditions; without conditions every product."""

    product_ids: (
        Annotated[list[ProductRef], Field(min_length=1, max_length=1000), AfterValidator(_each_once)] | None
    ) = Field(default=None, description="Ids of products; a pin places them in this order.")
    category_id: CategoryRef | None = Field(default=None, description="A category with its subcategories.")
    brand_id: BrandRef | None = None
    tag: Tag | None = None
    min_price: Price | None = Field(default=None, description="In the shop's currency, inclusive.")
    max_price: Price | None = Field(default=None, description="In the shop's currency, inclusive.")
    created_within_days: Annotated[Whole, Field(ge=1, le=3650)] | None = Field(
        default=None, description="Added to the shop at most this many days before the request."
    )

    @model_validator(mode="after")
    def _has_room(self) -> TargetIn:
        if self.min_price is not None and self.max_price is not None and self.min_price > self.max_price:
            raise ValueError("a min_price that is not above max_price")
        return self

    def given(self) -> list[str]:
        """The names of what is given."""
        return [name for name in type(self).model_fields if getattr(self, name) is not None]


class RuleIn(Input):
    """A business rule; each kind takes its own parameters and no others."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "Fairy lights first in December",
                    "kind": "pin",
                    "target": {"product_ids": [42, 43]},
                    "position": 1,
                    "shelves": ["for_you"],
                    "starts_at": "2026-12-01T00:00:00Z",
                    "ends_at": "2027-01-01T00:00:00Z",
                },
                {"name": "Own brand up", "kind": "boost", "target": {"brand_id": 7}, "factor": 1.5},
                {"name": "Two of a brand", "kind": "cap", "cap_by": "brand", "most": 2},
                {"name": "A fifth is new", "kind": "minimum_new", "share": 0.2, "new_to": "user"},
            ]
        },
    )

    name: Name = Field(description="Unique name of the rule.")
    kind: RuleKind
    target: TargetIn = Field(default_factory=TargetIn)
    position: Annotated[Whole, Field(ge=1, le=MAX_POSITION)] | None = Field(
        default=None, description="pin: position of its first product, from 1."
    )
    factor: Annotated[Number, Field(ge=0, le=100)] | None = Field(
        default=None, description="boost: above 1; bury: below 1. Scores are multiplied by it."
    )
    most: Annotated[Whole, Field(ge=1, le=MAX_POSITION)] | None = Field(
        default=None, description="cap: maximum number of the products in a list, on each page."
    )
    cap_by: CapBy | None = Field(
        default=None, description="cap: whether `most` counts per category, per brand or for all together."
    )
    strict: bool | None = Field(
        default=None,
        description="cap: true (the default of a new cap): the list becomes shorter rather than "
        "exceed `most`; false: the cap applies only while other products are available.",
    )
    share: Annotated[Number, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="minimum_new: minimum share of new products in a list, if enough are eligible.",
    )
    new_to: NewTo | None = Field(
        default=None,
        description="minimum_new: `user`: products without interactions of the user; `shop`: products added "
        "within the target's created_within_days.",
    )
    shelves: Annotated[list[str], Field(min_length=1), AfterValidator(_known_shelves)] | None = Field(
        default=None, description="Kinds of lists that the rule applies to; null: all."
    )
    placements: (
        Annotated[list[Placement], Field(min_length=1, max_length=50), AfterValidator(_each_once)] | None
    ) = Field(default=None, description="Names of lists on a page that the rule applies to; null: all.")
    rule_set: RuleSetName | None = Field(
        default=None,
        description="The rule applies only in arms of an experiment that name this set; null: for everybody.",
    )
    segment: SegmentName | None = Field(
        default=None,
        description="For whom the rule holds: the name of a stored segment, `guests` or `known-users`; "
        "null: for everybody.",
    )
    starts_at: AwareDatetime | None = Field(default=None, description="Start; null: at once.")
    ends_at: AwareDatetime | None = Field(default=None, description="End, exclusive; null: none.")
    priority: Annotated[Whole, Field(ge=-1000, le=1000)] = Field(
        default=0, description="Of two conflicting rules the one with the higher priority wins."
    )
    enabled: bool = True

    @model_validator(mode="after")
    def _makes_sense(self) -> RuleIn:
        if self.starts_at is not None and self.ends_at is not None and self.starts_at >= self.ends_at:
            raise ValueError("an ends_at after starts_at")
        if self.kind is RuleKind.CAP and self.strict is None:
            self.strict = True
        allowed = _PARAMETERS[self.kind]
        given = {name for name in _ALL_PARAMETERS if getattr(self, name) is not None}
        if wrong := sorted(given - allowed):
            takes = ", ".join(sorted(allowed)) or "no parameters, only a target"
            raise ValueError(f"no {', '.join(wrong)} with `{self.kind}`, which takes {takes}")
        if missing := sorted(allowed - given):
            raise ValueError(f"{', '.join(missing)} with `{self.kind}`")
        self._check_kind()
        return self

    def _check_kind(self) -> None:
        target = self.target.given()
        if self.kind is RuleKind.PIN and target != ["product_ids"]:
            raise ValueError("a target of product_ids, and of nothing else, with `pin`")
        if self.kind is RuleKind.HIDE and not target:
            raise ValueError("a target with `hide`: without one it would empty every list")
        if self.kind is RuleKind.BOOST and self.factor is not None and self.factor <= 1:
            raise ValueError("a factor above 1 with `boost`; to lower scores use `bury`")
        if self.kind is RuleKind.BURY and self.factor is not None and self.factor >= 1:
            raise ValueError("a factor below 1 with `bury`; to raise scores use `boost`")
        if self.new_to is NewTo.SHOP and "created_within_days" not in target:
            raise ValueError("a target with created_within_days when it is about products new to the shop")
        if self.cap_by is CapBy.TOGETHER and not target:
            raise ValueError("a target with a cap `together`: without one it would cap every list as a whole")

    def as_rule(self, rule_id: int = 0, version: int = 0) -> Rule:
        """As those who apply it see it."""
        target = self.target
        return Rule(
            id=rule_id,
            name=self.name,
            kind=self.kind,
            target=RuleTarget(
                product_ids=None if target.product_ids is None else tuple(target.product_ids),
                category_id=target.category_id,
                brand_id=target.brand_id,
                tag=target.tag,
                min_price=None if target.min_price is None else float(target.min_price),
                max_price=None if target.max_price is None else float(target.max_price),
                created_within_days=target.created_within_days,
            ),
            shelves=None if self.shelves is None else frozenset(self.shelves),
            placements=None if self.placements is None else frozenset(self.placements),
            rule_set=self.rule_set,
            segment=self.segment,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            priority=self.priority,
            version=version,
            **{name: getattr(self, name) for name in _ALL_PARAMETERS},
        )


class TargetOwnIds(BaseModel):
    """The shop's own ids of a target, in the order of its numbers; null for what is deleted."""

    skus: list[str | None] | None = None
    category_slug: str | None = None
    brand_slug: str | None = None


class RuleOut(RuleIn):
    """A stored rule; send `version` back as `If-Match` to replace it."""

    target_own_ids: TargetOwnIds | None = None

    id: int
    version: int
    created_by: str
    created_at: datetime
    updated_at: datetime


class RuleSetOut(BaseModel):
    """A set of rules: how many it has, how many of them are enabled, and which experiments compare it."""

    name: str
    rules: int
    enabled: int
    experiments: list[str]


class RuleChangeOut(BaseModel):
    """One change of a rule, by whom and when; `before` is null when it was made, `after` when deleted."""

    id: int
    rule_id: int
    action: Literal["created", "replaced", "deleted"]
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    actor: str
    changed_at: datetime
