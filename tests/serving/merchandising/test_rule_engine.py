"""Business rules on a list: each kind, their precedence, and invariants of any rules and any list."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.domains.recommendations.rules.types import SHELF_NAMES, CapBy, Rule, RuleKind, RuleTarget
from serving.catalogue.catalogue import Catalogue
from serving.merchandising.compiled_rules import CompiledRules, matching_products
from serving.merchandising.rule_engine import PositionChange, RuleCandidates, preview
from serving.recommender.request import Placement
from tests.serving.rule_shop import NOW, any_rule, apply_rules, queries, ranked_products, row, rule, shops

SIX = Catalogue.of([row(n) for n in range(1, 7)])
BRANDS = Catalogue.of(
    [row(n, brand=brand, category=brand * 10) for n, brand in enumerate([1, 1, 1, 2, 2, 3], 1)]
)
ALL = [1, 2, 3, 4, 5, 6]


def only(*products: int) -> RuleTarget:
    return RuleTarget(product_ids=products)


def test_hidden_products_are_gone_and_counted_once() -> None:
    rules = [rule(1, "hide", only(2, 3)), rule(2, "hide", only(3, 5), priority=1)]
    ruled = apply_rules(SIX, rules, ALL)
    assert ruled.products.tolist() == [1, 4, 6]
    assert ruled.removed == {1: 1, 2: 2}
    hidden = CompiledRules.compile(SIX, rules, NOW).for_placement("for_you").hidden
    assert SIX.ids[hidden].tolist() == [2, 3, 5]


def test_scores_are_multiplied_and_ties_keep_their_order() -> None:
    rules = [
        rule(1, "boost", only(4, 5), factor=2.0),
        rule(2, "bury", only(1), factor=0.0),
        rule(3, "boost", only(5), factor=1.5),
    ]
    ruled = apply_rules(SIX, rules, ALL, [0.9, 0.8, 0.8, 0.4, 0.3, 0.1], limit=6)
    assert ruled.products.tolist() == [5, 2, 3, 4, 6, 1]
    assert ruled.scores.tolist() == pytest.approx([0.9, 0.8, 0.8, 0.8, 0.1, 0.0])
    assert [[item.id for item in each] for each in ruled.moved_by] == [[1, 3], [], [], [1], [], [2]]
    assert ruled.index.tolist() == [4, 1, 2, 3, 5, 0]


def test_without_rules_the_order_stays_whatever_the_scores() -> None:
    assert ranked_products(SIX, [], [3, 1, 2], [0.1, 0.9, 0.5]) == [3, 1, 2]
    assert ranked_products(SIX, [], [3, 99, 1], limit=1) == [3]
    with pytest.raises(ValueError, match="at least 1"):
        ranked_products(SIX, [], [1], limit=0)


def test_a_pin_adds_a_product_that_is_no_candidate_and_no_ineligible_one() -> None:
    shop = Catalogue.of([row(n, shown=n != 6) for n in range(1, 10)])
    pin = rule(1, "pin", only(6, 99, 7, 2), position=2)
    ruled = apply_rules(shop, [pin], [1, 2, 3, 4, 5])
    assert ruled.products.tolist() == [1, 7, 2, 3, 4]
    assert ruled.index.tolist() == [0, -1, 1, 2, 3]
    assert [[item.id for item in each] for each in ruled.moved_by] == [[], [1], [1], [], []]
    # not eligible for this user, or hidden by another rule, or beyond the end of the list
    assert ranked_products(shop, [pin], [1, 2, 3], eligible=shop.ids != 7) == [1, 2, 3]
    assert ranked_products(shop, [pin, rule(2, "hide", only(7))], [1, 3]) == [1, 2, 3]
    assert ranked_products(shop, [rule(1, "pin", only(3), position=6)], [1, 2, 3]) == [1, 2, 3]
    # a list shorter than the position of the pin
    assert ranked_products(shop, [rule(1, "pin", only(1), position=5)], [1, 2, 3]) == [2, 3, 1]
    assert ranked_products(shop, [pin], []) == [7, 2]


def test_of_two_pins_the_higher_one_has_its_place() -> None:
    low = rule(1, "pin", only(5), position=1)
    high = rule(2, "pin", only(6), position=1, priority=1)
    assert ranked_products(SIX, [low, high], [1, 2, 3]) == [6, 5, 1, 2, 3]
    older = rule(3, "pin", only(4), position=1)
    assert ranked_products(SIX, [older, low], [1, 2, 3]) == [5, 4, 1, 2, 3]


def test_a_cap_holds_on_each_page() -> None:
    cap = rule(1, "cap", cap_by="brand", most=1)
    ruled = apply_rules(BRANDS, [cap], ALL, limit=3)
    assert (ruled.products.tolist(), ruled.removed) == ([1, 4, 6], {1: 3})
    assert ranked_products(BRANDS, [cap], ALL, limit=5) == [1, 4, 6]  # shorter rather than against the rule
    loose = rule(1, "cap", cap_by="brand", most=1, strict=False)
    assert ranked_products(BRANDS, [loose], ALL, limit=3) == [1, 4, 6]
    assert ranked_products(BRANDS, [loose], ALL, limit=5) == [1, 2, 3, 4, 6]
    assert ranked_products(BRANDS, [rule(1, "cap", cap_by="brand", most=2)], ALL, limit=2, total=6) == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]
    assert ranked_products(BRANDS, [cap], ALL, limit=2, total=6) == [1, 4, 2, 5, 3, 6]
    # a request for one brand ignores caps by brand; products without a brand are not capped
    assert ranked_products(BRANDS, [cap], [1, 2, 3], ignored_caps=[CapBy.BRAND]) == [1, 2, 3]
    assert ranked_products(SIX, [cap], ALL) == [1, 2, 3, 4, 5]
    by_category = rule(2, "cap", RuleTarget(brand_id=1), cap_by="category", most=1)
    assert ranked_products(BRANDS, [by_category], ALL) == [1, 4, 5, 6]
    together = rule(3, "cap", only(1, 4, 6), cap_by="together", most=1)
    assert ranked_products(BRANDS, [together], ALL) == [1, 2, 3, 5]


def test_a_share_is_fulfilled_and_spread_over_the_page() -> None:
    share = rule(1, "minimum_new", share=0.5)
    ruled = apply_rules(SIX, [share], ALL, novel=[4, 5, 6], limit=4)
    assert ruled.products.tolist() == [1, 4, 2, 5]
    assert [[item.id for item in each] for each in ruled.moved_by] == [[], [1], [], [1]]
    assert ranked_products(SIX, [share], ALL, novel=[6], limit=4) == [1, 6, 2, 3]  # as many as there are
    assert ranked_products(SIX, [share], ALL, novel=[1, 2], limit=4) == [1, 2, 3, 4]  # fulfilled already
    # a pinned product counts as new where it is a candidate that is new
    assert ranked_products(
        SIX, [share, rule(2, "pin", only(6), position=1)], [1, 2, 4], novel=[4], limit=2
    ) == [6, 4]
    assert ranked_products(
        SIX, [share, rule(2, "pin", only(4), position=1)], [1, 3, 4], novel=[3, 4], limit=2
    ) == [
        4,
        1,
    ]
    # new to the shop: product n arrived n days ago
    arrived = rule(2, "minimum_new", RuleTarget(created_within_days=2), share=0.4, new_to="shop")
    assert ranked_products(SIX, [arrived], [6, 5, 4, 3, 2, 1]) == [6, 5, 2, 4, 1]


def test_a_share_respects_caps_of_higher_precedence_only() -> None:
    shop = Catalogue.of([row(1, brand=1), row(2, brand=1), row(3, brand=2), row(4, brand=1)])
    cap = rule(1, "cap", cap_by="brand", most=1)
    share = rule(2, "minimum_new", share=0.5)
    assert ranked_products(shop, [cap, share], [1, 2, 3], novel=[2], limit=2) == [2, 3]
    whole = rule(3, "minimum_new", share=1.0)
    assert ranked_products(shop, [cap, whole], [1, 2, 4], novel=[2, 4], limit=2) == [2]
    first = rule(3, "minimum_new", share=1.0, priority=1)
    assert ranked_products(shop, [cap, first], [1, 2, 4], novel=[2, 4], limit=2) == [2, 4]


def test_a_pin_counts_for_caps_and_respects_caps_of_higher_precedence() -> None:
    cap = rule(1, "cap", cap_by="brand", most=1)
    pins = rule(2, "pin", only(2, 3), position=2)
    assert ranked_products(BRANDS, [cap, pins], ALL, limit=4) == [4, 2, 3, 6]
    strong = rule(1, "cap", cap_by="brand", most=1, priority=1)
    assert ranked_products(BRANDS, [strong, pins], ALL, limit=4) == [4, 2, 6]


def test_a_rule_applies_to_its_placements_and_names() -> None:
    hide = rule(1, "hide", only(1), shelves=frozenset({"popular"}), placements=frozenset({"home"}))
    assert ranked_products(SIX, [hide], [1, 2], placement="popular", name="home") == [2]
    for placement, name in (("popular", None), ("popular", "cart"), ("for_you", "home")):
        assert ranked_products(SIX, [hide], [1, 2], placement=placement, name=name) == [1, 2]


def test_a_target_requires_all_its_conditions() -> None:
    shop = Catalogue.of(
        [row(1, category=3, brand=7, tags=("red",)), row(2, category=2), row(3, category=1, brand=7)],
        parents={1: None, 2: None, 3: 2},
    )

    def matches(**given: Any) -> list[int]:
        return shop.ids[matching_products(shop, RuleTarget(**given), NOW)].tolist()

    assert matches() == [1, 2, 3]
    assert matches(category_id=2) == [1, 2]
    assert matches(category_id=99) == matches(tag="green") == matches(product_ids=(99,)) == []
    assert matches(brand_id=7, category_id=2) == [1]
    assert matches(tag="red") == [1]
    assert matches(min_price=2.0, max_price=2.0) == [2]
    assert matches(created_within_days=2) == [1, 2]


def test_diversity_is_applied_between_scores_and_positions() -> None:
    def backwards(products: Any, scores: Any) -> Any:
        assert products.tolist() == [2, 1, 4]
        assert scores.tolist() == pytest.approx([1.1, 1.0, 0.1])
        return np.array([2, 1, 0])

    rules = [
        rule(1, "hide", only(3)),
        rule(2, "boost", only(2), factor=2.0),
        rule(3, "pin", only(2), position=1),
    ]
    assert ranked_products(SIX, rules, [1, 2, 3, 4], [1.0, 0.55, 0.4, 0.1], diversify=backwards) == [2, 4, 1]


def test_a_preview_lists_added_removed_and_moved_products() -> None:
    rules = [rule(4, "hide", only(6)), rule(5, "pin", only(5), position=1)]
    compiled = CompiledRules.compile(SIX, rules, NOW)
    candidates = RuleCandidates(np.array([1, 2, 3, 4]), np.linspace(1, 0.1, 4), np.ones(4, dtype=bool))
    previewed = preview(compiled, rule(0, "hide", only(2)), candidates, placement="for_you", limit=3)
    assert previewed.before.products.tolist() == [5, 1, 2]
    assert previewed.after.products.tolist() == [5, 1, 3]
    assert previewed.changes == [PositionChange(3, None, 3), PositionChange(2, 3, None)]
    # the draft of an existing rule replaces it
    moved = preview(compiled, rule(5, "pin", only(5), position=3), candidates, placement="for_you", limit=3)
    assert moved.after.products.tolist() == [1, 2, 5]
    assert moved.changes == [PositionChange(1, 2, 1), PositionChange(2, 3, 2), PositionChange(5, 1, 3)]
    # of equal priority the older rule takes precedence
    late = preview(compiled, rule(0, "pin", only(4), position=1), candidates, placement="for_you", limit=3)
    assert late.after.products.tolist() == [5, 4, 1]


def test_rules_can_name_every_placement() -> None:
    assert set(SHELF_NAMES) == {placement.value for placement in Placement}


KINDS = ["pin", "boost", "bury", "hide", "cap", "minimum_new"]


@st.composite
def sets_of_rules(draw: st.DrawFn, kinds: tuple[str, ...] = tuple(KINDS)) -> list[Rule]:
    return [draw(any_rule(number, kinds)) for number in range(1, draw(st.integers(0, 5)) + 1)]


def _keys(shop: Catalogue, cap: Rule, products: list[int]) -> list[int]:
    about = matching_products(shop, cap.target, NOW)
    column = {CapBy.BRAND: shop.brand, CapBy.CATEGORY: shop.category}.get(
        cap.cap_by or CapBy.TOGETHER, np.zeros(len(shop))
    )
    return [int(column[r]) for r in shop.rows(products).tolist() if about[r] and column[r] >= 0]


@settings(max_examples=150)
@given(shops(), sets_of_rules(), queries(), st.integers(1, 3))
def test_no_list_has_a_hidden_or_ineligible_product(
    shop: Catalogue, rules: list[Rule], query: dict[str, Any], pages: int
) -> None:
    total = query["limit"] * pages
    ruled = apply_rules(shop, rules, total=total, **query)
    products = ruled.products.tolist()
    assert len(products) == len(set(products)) == len(ruled.moved_by) == ruled.scores.size <= total
    assert set(products) <= set(shop.shown_ids.tolist())
    for item in rules:
        if item.kind is RuleKind.HIDE:
            assert not matching_products(shop, item.target, NOW)[shop.rows(products)].any()
    pinned = {i for each in rules if each.kind is RuleKind.PIN for i in each.target.product_ids or ()}
    assert set(products) <= set(query["products"]) | pinned
    again = apply_rules(shop, list(reversed(rules)), total=total, **query)
    assert (again.products.tolist(), again.moved_by) == (products, ruled.moved_by)
    picked = [
        query["products"][i] if i >= 0 else product for i, product in zip(ruled.index, products, strict=True)
    ]
    assert picked == products


@settings(max_examples=150)
@given(shops(), sets_of_rules(("cap", "hide", "boost")), queries())
def test_no_page_exceeds_its_caps_and_none_is_shorter_than_necessary(
    shop: Catalogue, rules: list[Rule], query: dict[str, Any]
) -> None:
    ruled = apply_rules(shop, rules, **query)
    products = ruled.products.tolist()
    caps = [item for item in rules if item.kind is RuleKind.CAP]
    for cap in caps:
        worst = max(Counter(_keys(shop, cap, products)).values(), default=0)
        assert worst <= (cap.most or 0) or not cap.strict
    hidden = {
        p
        for item in rules
        if item.kind is RuleKind.HIDE
        for p in shop.ids[matching_products(shop, item.target, NOW)].tolist()
    }
    left = [p for p in query["products"] if p in set(shop.shown_ids.tolist()) - hidden - set(products)]
    if len(products) < query["limit"]:
        # each of the others would break a strict cap
        for product in left:
            assert any(
                max(Counter(_keys(shop, cap, [*products, product])).values(), default=0) > (cap.most or 0)
                for cap in caps
                if cap.strict
            )
    assert sum(ruled.removed.values()) <= len(query["products"])


@settings(max_examples=150)
@given(
    shops(),
    sets_of_rules(("boost", "bury", "hide")),
    queries(),
    st.sampled_from([0.1, 0.3, 0.5, 0.75, 1.0]),
)
def test_a_list_holds_its_share_of_new_products_if_so_many_qualify(
    shop: Catalogue, rules: list[Rule], query: dict[str, Any], share: float
) -> None:
    without = apply_rules(shop, rules, **query | {"limit": 100}).products.tolist()
    ruled = ranked_products(shop, [*rules, rule(99, "minimum_new", share=share)], **query)
    assert len(ruled) == min(query["limit"], len(without))
    qualify = sum(product in query["novel"] for product in without)
    new = [product in query["novel"] for product in ruled]
    assert sum(new) >= min(math.ceil(share * query["limit"] - 1e-9), qualify)
    for length in range(1, len(ruled) + 1):
        assert sum(new[:length]) >= min(math.floor(share * length + 1e-9), qualify)


@settings(max_examples=150)
@given(
    shops(),
    st.lists(
        st.tuples(st.integers(1, 24), st.integers(1, 8)),
        max_size=3,
        unique_by=(lambda x: x[0], lambda x: x[1]),
    ),
    queries(),
)
def test_pins_have_their_positions(
    shop: Catalogue, pins: list[tuple[int, int]], query: dict[str, Any]
) -> None:
    rules = [rule(i, "pin", only(product), position=at) for i, (product, at) in enumerate(pins, 1)]
    ruled = ranked_products(shop, rules, **query)
    shown = sorted((at, p) for p, at in pins if bool(shop.shown[shop.row(p)]) and at <= query["limit"])
    others = set(ranked_products(shop, [], **query | {"limit": 100})) - {product for _, product in shown}
    # a pin beyond the end of a short list comes right after the others
    for number, (at, product) in enumerate(shown, 1):
        assert ruled[min(at, len(others) + number) - 1] == product
    assert len(ruled) == min(query["limit"], len(others) + len(shown))
