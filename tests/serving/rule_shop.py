"""Catalogues, rules and candidates for tests of business rules, and hypothesis strategies for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from hypothesis import strategies as st

from recsys.domains.recommendations.rules.types import CapBy, NewTo, Rule, RuleKind, RuleTarget
from serving.catalogue.catalogue import Catalogue, CatalogueRow
from serving.merchandising.compiled_rules import CompiledRules
from serving.merchandising.rule_engine import RuleCandidates, RuledList, apply

NOW = datetime(2026, 12, 1, tzinfo=UTC)
DAY = 86_400.0


def row(product: int, **given: Any) -> CatalogueRow:
    """A product without category and brand; its id is its price and its age in days."""
    plain: dict[str, Any] = {
        "name": f"P{product}",
        "price": float(product),
        "category": -1,
        "brand": -1,
        "created": NOW.timestamp() - product * DAY,
        "shown": True,
        "stocked": True,
        "tags": (),
    }
    return CatalogueRow(product, **plain | given)


def rule(number: int, kind: str, target: RuleTarget | None = None, **given: Any) -> Rule:
    """A rule with this id."""
    if kind == "cap":
        given.setdefault("strict", True)
        given["cap_by"] = CapBy(given["cap_by"])
    if kind == "minimum_new":
        given["new_to"] = NewTo(given.get("new_to", "user"))
    return Rule(number, f"rule {number}", RuleKind(kind), target or RuleTarget(), **given)


def apply_rules(
    catalogue: Catalogue,
    rules: Sequence[Rule],
    products: Sequence[int],
    scores: Sequence[float] | None = None,
    novel: Sequence[int] = (),
    **given: Any,
) -> RuledList:
    """The list after the rules; scores from 1 downwards, `novel` products, placement `for_you`, limit 5."""
    size = len(products)
    candidates = RuleCandidates(
        np.array(products, dtype=np.int64),
        np.array(scores, dtype=np.float64) if scores is not None else np.linspace(1, 0.1, size),
        np.isin(np.array(products, dtype=np.int64), list(novel)),
        given.pop("eligible", None),
    )
    compiled = CompiledRules.compile(catalogue, rules, NOW)
    return apply(compiled, candidates, **{"placement": "for_you", "limit": 5} | given)


def ranked_products(*args: Any, **given: Any) -> list[int]:
    """The products of `apply_rules`."""
    ruled: list[int] = apply_rules(*args, **given).products.tolist()
    return ruled


SIZE = 24


@st.composite
def targets(draw: st.DrawFn, products: bool = False) -> RuleTarget:
    """A target of any kind; `products`: only targets that name products."""
    ids = st.lists(st.integers(1, SIZE + 2), min_size=1, max_size=4, unique=True).map(tuple)
    if products:
        return RuleTarget(product_ids=draw(ids))
    return draw(
        st.one_of(
            st.builds(RuleTarget, product_ids=ids),
            st.builds(RuleTarget, category_id=st.integers(1, 4)),
            st.builds(RuleTarget, brand_id=st.integers(1, 3)),
            st.builds(RuleTarget, tag=st.sampled_from(["red", "blue"])),
            st.builds(RuleTarget, created_within_days=st.integers(1, SIZE)),
        )
    )


@st.composite
def any_rule(draw: st.DrawFn, number: int, kinds: Sequence[str]) -> Rule:
    """A valid rule of one of these kinds."""
    kind = draw(st.sampled_from(kinds))
    priority = draw(st.integers(0, 2))
    everything = st.just(RuleTarget())
    if kind == "pin":
        return rule(
            number, kind, draw(targets(products=True)), position=draw(st.integers(1, 8)), priority=priority
        )
    if kind in ("boost", "bury"):
        factor = draw(st.sampled_from([1.5, 3.0] if kind == "boost" else [0.0, 0.5]))
        return rule(number, kind, draw(targets()), factor=factor, priority=priority)
    if kind == "cap":
        return rule(
            number,
            kind,
            draw(st.one_of(everything, targets())),
            most=draw(st.integers(1, 3)),
            cap_by=draw(st.sampled_from(["category", "brand", "together"])),
            strict=draw(st.booleans()),
            priority=priority,
        )
    if kind == "minimum_new":
        share = draw(st.sampled_from([0.1, 0.25, 0.5, 1.0]))
        return rule(number, kind, draw(st.one_of(everything, targets())), share=share, priority=priority)
    return rule(number, kind, draw(targets()), priority=priority)


@st.composite
def shops(draw: st.DrawFn) -> Catalogue:
    """Products 1 to SIZE in categories 1 to 3 (3 lies under 2), some hidden."""
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    rows = [
        row(
            number,
            category=int(random.integers(0, 4)) or -1,
            brand=int(random.integers(0, 3)) or -1,
            shown=bool(random.random() > 0.15),
            tags=tuple(tag for tag in ("red", "blue") if random.random() > 0.6),
        )
        for number in range(1, SIZE + 1)
    ]
    return Catalogue.of(rows, parents={1: None, 2: None, 3: 2})


@st.composite
def queries(draw: st.DrawFn) -> dict[str, Any]:
    """The arguments of one list: candidates, best first, scores, products new to the user, page length."""
    products = draw(st.lists(st.integers(1, SIZE + 2), max_size=SIZE, unique=True))
    scores = sorted((draw(st.integers(0, 10)) / 10 for _ in products), reverse=True)
    novel = [product for product in products if draw(st.booleans())]
    return {"products": products, "scores": scores, "novel": novel, "limit": draw(st.integers(1, 12))}
