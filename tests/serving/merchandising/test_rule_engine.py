"""Business rules on a list: what each does, who wins, and what holds for any rules and any list."""

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
from serving.merchandising.compiled_rules import CompiledRules, matching
from serving.merchandising.rule_engine import Candidates, Change, preview
from serving.recommender.request import Placement
from tests.serving.rule_shop import NOW, any_rule, listed, order, questions, row, rule, shops

SIX = Catalogue.of([row(n) for n in range(1, 7)])
BRANDS = Catalogue.of(
    [row(n, brand=brand, category=brand * 10) for n, brand in enumerate([1, 1, 1, 2, 2, 3], 1)]
)
ALL = [1, 2, 3, 4, 5, 6]


def only(*products: int) -> RuleTarget:
    return RuleTarget(product_ids=products)


def test_hidden_products_are_gone_and_counted_once() -> None:
    rules = [rule(1, "hide", only(2, 3)), rule(2, "hide", only(3, 5), priority=1)]
    found = listed(SIX, rules, ALL)
    assert found.products.tolist() == [1, 4, 6]
    assert found.removed == {1: 1, 2: 2}
    hidden = CompiledRules.compile(SIX, rules, NOW).plan("for_you").hidden
    assert SIX.ids[hidden].tolist() == [2, 3, 5]


def test_scores_are_multiplied_and_ties_keep_their_order() -> None:
    rules = [
        rule(1, "boost", only(4, 5), factor=2.0),
        rule(2, "bury", only(1), factor=0.0),
        rule(3, "boost", only(5), factor=1.5),
    ]
    found = listed(SIX, rules, ALL, [0.9, 0.8, 0.8, 0.4, 0.3, 0.1], limit=6)
    assert found.products.tolist() == [5, 2, 3, 4, 6, 1]
    assert found.scores.tolist() == pytest.approx([0.9, 0.8, 0.8, 0.8, 0.1, 0.0])
    assert [[one.id for one in each] for each in found.moved_by] == [[1, 3], [], [], [1], [], [2]]
    assert found.index.tolist() == [4, 1, 2, 3, 5, 0]


def test_without_rules_the_order_stays_whatever_the_scores() -> None:
    assert order(SIX, [], [3, 1, 2], [0.1, 0.9, 0.5]) == [3, 1, 2]
    assert order(SIX, [], [3, 99, 1], limit=1) == [3]
    with pytest.raises(ValueError, match="at least 1"):
        order(SIX, [], [1], limit=0)


def test_a_pin_brings_what_nobody_proposed_and_nothing_that_may_not_be_seen() -> None:
    shop = Catalogue.of([row(n, shown=n != 6) for n in range(1, 10)])
    pin = rule(1, "pin", only(6, 99, 7, 2), position=2)
    found = listed(shop, [pin], [1, 2, 3, 4, 5])
    assert found.products.tolist() == [1, 7, 2, 3, 4]
    assert found.index.tolist() == [0, -1, 1, 2, 3]
    assert [[one.id for one in each] for each in found.moved_by] == [[], [1], [1], [], []]
    # barred for this user, or hidden by another rule, or beyond the list
    assert order(shop, [pin], [1, 2, 3], allowed=shop.ids != 7) == [1, 2, 3]
    assert order(shop, [pin, rule(2, "hide", only(7))], [1, 3]) == [1, 2, 3]
    assert order(shop, [rule(1, "pin", only(3), position=6)], [1, 2, 3]) == [1, 2, 3]
    # a list that is too short is still a list
    assert order(shop, [rule(1, "pin", only(1), position=5)], [1, 2, 3]) == [2, 3, 1]
    assert order(shop, [pin], []) == [7, 2]


def test_of_two_pins_the_higher_one_has_its_place() -> None:
    low = rule(1, "pin", only(5), position=1)
    high = rule(2, "pin", only(6), position=1, priority=1)
    assert order(SIX, [low, high], [1, 2, 3]) == [6, 5, 1, 2, 3]
    older = rule(3, "pin", only(4), position=1)
    assert order(SIX, [older, low], [1, 2, 3]) == [5, 4, 1, 2, 3]


def test_a_cap_holds_on_each_page() -> None:
    cap = rule(1, "cap", cap_by="brand", most=1)
    found = listed(BRANDS, [cap], ALL, limit=3)
    assert (found.products.tolist(), found.removed) == ([1, 4, 6], {1: 3})
    assert order(BRANDS, [cap], ALL, limit=5) == [1, 4, 6]  # rather shorter than against the rule
    loose = rule(1, "cap", cap_by="brand", most=1, strict=False)
    assert order(BRANDS, [loose], ALL, limit=3) == [1, 4, 6]
    assert order(BRANDS, [loose], ALL, limit=5) == [1, 2, 3, 4, 6]
    assert order(BRANDS, [rule(1, "cap", cap_by="brand", most=2)], ALL, limit=2, total=6) == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]
    assert order(BRANDS, [cap], ALL, limit=2, total=6) == [1, 4, 2, 5, 3, 6]
    # who asked for a brand gets all of it; what has no brand is of no brand
    assert order(BRANDS, [cap], [1, 2, 3], lifted=[CapBy.BRAND]) == [1, 2, 3]
    assert order(SIX, [cap], ALL) == [1, 2, 3, 4, 5]
    by_category = rule(2, "cap", RuleTarget(brand_id=1), cap_by="category", most=1)
    assert order(BRANDS, [by_category], ALL) == [1, 4, 5, 6]
    together = rule(3, "cap", only(1, 4, 6), cap_by="together", most=1)
    assert order(BRANDS, [together], ALL) == [1, 2, 3, 5]


def test_a_share_is_kept_and_spread() -> None:
    share = rule(1, "minimum_new", share=0.5)
    found = listed(SIX, [share], ALL, novel=[4, 5, 6], limit=4)
    assert found.products.tolist() == [1, 4, 2, 5]
    assert [[one.id for one in each] for each in found.moved_by] == [[], [1], [], [1]]
    assert order(SIX, [share], ALL, novel=[6], limit=4) == [1, 6, 2, 3]  # as many as there are
    assert order(SIX, [share], ALL, novel=[1, 2], limit=4) == [1, 2, 3, 4]  # kept already
    # a pin counts as new when it is known to be: what only the pin proposed is not
    assert order(SIX, [share, rule(2, "pin", only(6), position=1)], [1, 2, 4], novel=[4], limit=2) == [6, 4]
    assert order(SIX, [share, rule(2, "pin", only(4), position=1)], [1, 3, 4], novel=[3, 4], limit=2) == [
        4,
        1,
    ]
    # new to the shop: product n arrived n days ago
    arrived = rule(2, "minimum_new", RuleTarget(created_within_days=2), share=0.4, new_to="shop")
    assert order(SIX, [arrived], [6, 5, 4, 3, 2, 1]) == [6, 5, 2, 4, 1]


def test_a_share_finds_room_under_a_cap_and_goes_over_one_that_decides_later() -> None:
    shop = Catalogue.of([row(1, brand=1), row(2, brand=1), row(3, brand=2), row(4, brand=1)])
    cap = rule(1, "cap", cap_by="brand", most=1)
    share = rule(2, "minimum_new", share=0.5)
    assert order(shop, [cap, share], [1, 2, 3], novel=[2], limit=2) == [2, 3]
    whole = rule(3, "minimum_new", share=1.0)
    assert order(shop, [cap, whole], [1, 2, 4], novel=[2, 4], limit=2) == [2]
    first = rule(3, "minimum_new", share=1.0, priority=1)
    assert order(shop, [cap, first], [1, 2, 4], novel=[2, 4], limit=2) == [2, 4]


def test_a_pin_counts_for_caps_and_gives_way_to_one_that_decides_earlier() -> None:
    cap = rule(1, "cap", cap_by="brand", most=1)
    pins = rule(2, "pin", only(2, 3), position=2)
    assert order(BRANDS, [cap, pins], ALL, limit=4) == [4, 2, 3, 6]
    strong = rule(1, "cap", cap_by="brand", most=1, priority=1)
    assert order(BRANDS, [strong, pins], ALL, limit=4) == [4, 2, 6]


def test_a_rule_holds_where_it_says() -> None:
    hide = rule(1, "hide", only(1), shelves=frozenset({"popular"}), placements=frozenset({"home"}))
    assert order(SIX, [hide], [1, 2], shelf="popular", placement="home") == [2]
    for shelf, placement in (("popular", None), ("popular", "cart"), ("for_you", "home")):
        assert order(SIX, [hide], [1, 2], shelf=shelf, placement=placement) == [1, 2]


def test_a_target_is_all_that_it_says() -> None:
    shop = Catalogue.of(
        [row(1, category=3, brand=7, tags=("red",)), row(2, category=2), row(3, category=1, brand=7)],
        parents={1: None, 2: None, 3: 2},
    )

    def found(**given: Any) -> list[int]:
        return shop.ids[matching(shop, RuleTarget(**given), NOW)].tolist()

    assert found() == [1, 2, 3]
    assert found(category_id=2) == [1, 2]
    assert found(category_id=99) == found(tag="green") == found(product_ids=(99,)) == []
    assert found(brand_id=7, category_id=2) == [1]
    assert found(tag="red") == [1]
    assert found(min_price=2.0, max_price=2.0) == [2]
    assert found(created_within_days=2) == [1, 2]


def test_diversity_stands_between_scores_and_places() -> None:
    def backwards(products: Any, scores: Any) -> Any:
        assert products.tolist() == [2, 1, 4]
        assert scores.tolist() == pytest.approx([1.1, 1.0, 0.1])
        return np.array([2, 1, 0])

    rules = [
        rule(1, "hide", only(3)),
        rule(2, "boost", only(2), factor=2.0),
        rule(3, "pin", only(2), position=1),
    ]
    assert order(SIX, rules, [1, 2, 3, 4], [1.0, 0.55, 0.4, 0.1], diversify=backwards) == [2, 4, 1]


def test_a_preview_tells_what_comes_goes_and_moves() -> None:
    rules = [rule(4, "hide", only(6)), rule(5, "pin", only(5), position=1)]
    compiled = CompiledRules.compile(SIX, rules, NOW)
    candidates = Candidates(np.array([1, 2, 3, 4]), np.linspace(1, 0.1, 4), np.ones(4, dtype=bool))
    tried = preview(compiled, rule(0, "hide", only(2)), candidates, shelf="for_you", limit=3)
    assert tried.before.products.tolist() == [5, 1, 2]
    assert tried.after.products.tolist() == [5, 1, 3]
    assert tried.changes == [Change(3, None, 3), Change(2, 3, None)]
    # the draft of a rule that is there takes its place
    moved = preview(compiled, rule(5, "pin", only(5), position=3), candidates, shelf="for_you", limit=3)
    assert moved.after.products.tolist() == [1, 2, 5]
    assert moved.changes == [Change(1, 2, 1), Change(2, 3, 2), Change(5, 1, 3)]
    # of equal priority the older rule has its place
    late = preview(compiled, rule(0, "pin", only(4), position=1), candidates, shelf="for_you", limit=3)
    assert late.after.products.tolist() == [5, 4, 1]


def test_the_shelves_of_rules_are_those_of_answers() -> None:
    assert set(SHELF_NAMES) == {shelf.value for shelf in Placement}


KINDS = ["pin", "boost", "bury", "hide", "cap", "minimum_new"]


@st.composite
def sets_of_rules(draw: st.DrawFn, kinds: tuple[str, ...] = tuple(KINDS)) -> list[Rule]:
    return [draw(any_rule(number, kinds)) for number in range(1, draw(st.integers(0, 5)) + 1)]


def _keys(shop: Catalogue, cap: Rule, products: list[int]) -> list[int]:
    about = matching(shop, cap.target, NOW)
    column = {CapBy.BRAND: shop.brand, CapBy.CATEGORY: shop.category}.get(
        cap.cap_by or CapBy.TOGETHER, np.zeros(len(shop))
    )
    return [int(column[r]) for r in shop.rows(products).tolist() if about[r] and column[r] >= 0]


@settings(max_examples=150)
@given(shops(), sets_of_rules(), questions(), st.integers(1, 3))
def test_whatever_the_rules_no_list_shows_what_it_must_not(
    shop: Catalogue, rules: list[Rule], asked: dict[str, Any], pages: int
) -> None:
    total = asked["limit"] * pages
    found = listed(shop, rules, total=total, **asked)
    products = found.products.tolist()
    assert len(products) == len(set(products)) == len(found.moved_by) == found.scores.size <= total
    assert set(products) <= set(shop.shown_ids.tolist())
    for one in rules:
        if one.kind is RuleKind.HIDE:
            assert not matching(shop, one.target, NOW)[shop.rows(products)].any()
    pinned = {i for each in rules if each.kind is RuleKind.PIN for i in each.target.product_ids or ()}
    assert set(products) <= set(asked["products"]) | pinned
    again = listed(shop, list(reversed(rules)), total=total, **asked)
    assert (again.products.tolist(), again.moved_by) == (products, found.moved_by)
    picked = [
        asked["products"][i] if i >= 0 else product for i, product in zip(found.index, products, strict=True)
    ]
    assert picked == products


@settings(max_examples=150)
@given(shops(), sets_of_rules(("cap", "hide", "boost")), questions())
def test_no_page_holds_more_than_its_caps_and_none_is_shorter_than_it_must_be(
    shop: Catalogue, rules: list[Rule], asked: dict[str, Any]
) -> None:
    found = listed(shop, rules, **asked)
    products = found.products.tolist()
    caps = [one for one in rules if one.kind is RuleKind.CAP]
    for cap in caps:
        worst = max(Counter(_keys(shop, cap, products)).values(), default=0)
        assert worst <= (cap.most or 0) or not cap.strict
    hidden = {
        p
        for one in rules
        if one.kind is RuleKind.HIDE
        for p in shop.ids[matching(shop, one.target, NOW)].tolist()
    }
    left = [p for p in asked["products"] if p in set(shop.shown_ids.tolist()) - hidden - set(products)]
    if len(products) < asked["limit"]:
        # each of the others would break a strict cap
        for product in left:
            assert any(
                max(Counter(_keys(shop, cap, [*products, product])).values(), default=0) > (cap.most or 0)
                for cap in caps
                if cap.strict
            )
    assert sum(found.removed.values()) <= len(asked["products"])


@settings(max_examples=150)
@given(
    shops(),
    sets_of_rules(("boost", "bury", "hide")),
    questions(),
    st.sampled_from([0.1, 0.3, 0.5, 0.75, 1.0]),
)
def test_a_list_holds_its_share_of_new_products_if_so_many_qualify(
    shop: Catalogue, rules: list[Rule], asked: dict[str, Any], share: float
) -> None:
    without = listed(shop, rules, **asked | {"limit": 100}).products.tolist()
    found = order(shop, [*rules, rule(99, "minimum_new", share=share)], **asked)
    assert len(found) == min(asked["limit"], len(without))
    qualify = sum(product in asked["novel"] for product in without)
    new = [product in asked["novel"] for product in found]
    assert sum(new) >= min(math.ceil(share * asked["limit"] - 1e-9), qualify)
    for length in range(1, len(found) + 1):
        assert sum(new[:length]) >= min(math.floor(share * length + 1e-9), qualify)


@settings(max_examples=150)
@given(
    shops(),
    st.lists(
        st.tuples(st.integers(1, 24), st.integers(1, 8)),
        max_size=3,
        unique_by=(lambda x: x[0], lambda x: x[1]),
    ),
    questions(),
)
def test_pins_stand_at_their_places(
    shop: Catalogue, pins: list[tuple[int, int]], asked: dict[str, Any]
) -> None:
    rules = [rule(i, "pin", only(product), position=at) for i, (product, at) in enumerate(pins, 1)]
    found = order(shop, rules, **asked)
    shown = sorted((at, p) for p, at in pins if bool(shop.shown[shop.row(p)]) and at <= asked["limit"])
    others = set(order(shop, [], **asked | {"limit": 100})) - {product for _, product in shown}
    # a pin beyond the end of a short list comes right after the others
    for number, (at, product) in enumerate(shown, 1):
        assert found[min(at, len(others) + number) - 1] == product
    assert len(found) == min(asked["limit"], len(others) + len(shown))
