"""Business rules in words: what they do, to which products, where and when, and what a change changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy.orm import Session

from recsys.domains.products.catalogue import name_of
from recsys.domains.recommendations.rules.schemas import RuleIn, TargetIn
from recsys.domains.recommendations.rules.types import GUESTS, KNOWN_USERS
from recsys.own_ids.scheme import IdKind
from serving.catalogue.catalogue import Catalogue
from serving.pages.templating import money

__all__ = ["RuleState", "audience_of", "changed_facts", "effect_of", "period_of", "place_of", "target_of"]

RuleState = Literal["in force", "planned", "over", "disabled"]
NAMED_PRODUCTS = 3


def effect_of(rule: RuleIn) -> str:
    """What it does, after the word of its kind."""
    match str(rule.kind):
        case "pin":
            return f"at position {rule.position}"
        case "boost" | "bury":
            return f"score × {rule.factor:g}"
        case "hide":
            return "never listed"
        case "cap":
            each = "" if rule.cap_by is None or rule.cap_by == "together" else f" of each {rule.cap_by}"
            fewer = "" if rule.strict else ", while other products are available"
            return f"at most {rule.most}{each} on a page{fewer}"
        case _:
            return f"at least {(rule.share or 0):.0%} new to the {rule.new_to}"


def target_of(session: Session, rule: RuleIn, catalogue: Catalogue) -> str:
    """Which products it is about, by their names."""
    target, parts = rule.target, []
    if target.product_ids:
        names = [catalogue.name(each) or f"product {each}" for each in target.product_ids[:NAMED_PRODUCTS]]
        more = len(target.product_ids) - len(names)
        parts.append(", ".join(names) + (f" and {more:,} more" if more else ""))
    for kind, number in ((IdKind.CATEGORY, target.category_id), (IdKind.BRAND, target.brand_id)):
        if number is not None:
            parts.append(f"{kind} {name_of(session, kind, number) or f'{number}, which is deleted'}")
    if target.tag is not None:
        parts.append(f"tag “{target.tag}”")
    if target.min_price is not None:
        parts.append(f"from {money(target.min_price)}")
    if target.max_price is not None:
        parts.append(f"up to {money(target.max_price)}")
    if target.created_within_days is not None:
        parts.append(f"added in the last {target.created_within_days} days")
    return "; ".join(parts) or "every product"


def place_of(rule: RuleIn) -> str:
    """Where it holds."""
    return ", ".join([*(rule.shelves or ()), *(rule.placements or ())]).replace("_", " ") or "everywhere"


def period_of(rule: RuleIn) -> str:
    """When it holds."""
    if rule.starts_at is None and rule.ends_at is None:
        return "always"
    start = "" if rule.starts_at is None else f"from {_moment(rule.starts_at)}"
    end = "" if rule.ends_at is None else f"until {_moment(rule.ends_at)}"
    return f"{start} {end}".strip() + " UTC"


def audience_of(segment: str | None) -> str:
    """For whom it holds."""
    words = {None: "everybody", GUESTS: "guests", KNOWN_USERS: "known users"}
    return words.get(segment) or f"the segment {segment}"


def changed_facts(
    session: Session, catalogue: Catalogue, before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[str]:
    """What a change changed, such as "when: always → from 2026-12-01 00:00 UTC"; from the recorded values."""
    old, new = (_facts(session, catalogue, values) for values in (before, after))
    return [f"{name}: {old[name]} → {text}" for name, text in new.items() if old[name] != text]


def _facts(session: Session, catalogue: Catalogue, values: Mapping[str, Any]) -> dict[str, str]:
    # as they were written: what was valid then need not be now
    given: dict[str, Any] = {name: values.get(name) for name in RuleIn.model_fields}
    for name in ("starts_at", "ends_at"):
        given[name] = None if given[name] is None else datetime.fromisoformat(str(given[name]))
    target = dict(values.get("target") or {})
    for name in ("min_price", "max_price"):
        target[name] = None if target.get(name) is None else Decimal(target[name])
    given["target"] = TargetIn.model_construct(**target)
    rule = RuleIn.model_construct(**given)
    return {
        "name": f"“{rule.name}”",
        "what it does": f"{str(rule.kind).replace('_', ' ')}, {effect_of(rule)}",
        "products": target_of(session, rule, catalogue),
        "where": place_of(rule),
        "when": period_of(rule),
        "for": audience_of(rule.segment),
        "set of rules": rule.rule_set or "none",
        "priority": str(rule.priority),
        "state": "disabled" if rule.enabled is False else "enabled",
    }


def _moment(moment: datetime) -> str:
    return f"{moment:%-d %b %Y, %H:%M}"
