"""Places for new products: who gets them, how many, and that the best of them are found."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.impressions import store as impressions
from recsys.domains.recommendations.impressions.store import Answered
from recsys.domains.recommendations.rules.types import Rule
from recsys.settings import get_settings
from recsys.settings.exploration import ExplorationSettings
from recsys.write_buffer import drain
from serving.catalogue.catalogue import Catalogue
from serving.exploration.drawn_lists import Explorer
from serving.exploration.new_product_places import NewProductPlaces
from serving.ranking.filters import CatalogueFilters
from serving.ranking.new_products import NewProducts, count_new_products
from serving.recommender.request import RecommendationRequest
from serving.server.app import create_app
from tests.serving.api.answers import ask, execute, ids
from tests.serving.exploration.drawing import ALWAYS, NOTHING, products, ranked
from tests.serving.rule_shop import any_rule, row, shops
from tests.serving.running import running
from tests.support.shop import Shop
from tests.support.waiting import until

NEW = (3, 9, 15, 21, 24)


def places(share: float) -> NewProductPlaces:
    return NewProductPlaces(ExplorationSettings(new_product_share=share), CatalogueFilters())


@given(st.floats(0, 0.3), st.integers(0, 100))
def test_no_page_has_more_than_the_share(share: float, size: int) -> None:
    reserved = places(share).places(size)
    for first in range(size + 1):
        assert sum(place < first for place in reserved) <= share * first + 1e-6
    assert len(reserved) >= int(share * size)


@st.composite
def some_rules(draw: st.DrawFn) -> list[Rule]:
    kinds = draw(st.sampled_from([["pin", "hide", "boost"], ["cap"], ["minimum_new"]]))
    return [draw(any_rule(number, kinds)) for number in range(1, draw(st.integers(1, 3)))]


@given(shops(), some_rules(), st.integers(4, 12), st.text("abc", min_size=1), st.sets(st.integers(1, 24)))
def test_only_products_that_may_be_displayed_get_a_place(
    shop: Catalogue, rules: list[Rule], limit: int, request_id: str, in_cart: set[int]
) -> None:
    request = RecommendationRequest(limit=limit, cart=tuple(sorted(in_cart)), session=None)
    before, data = ranked(shop, rules, request, without=in_cart)
    counts = np.arange(float(len(NEW)))
    data = replace(data, new_products=NewProducts(np.array(NEW), 10 + counts, counts))
    reserved = places(0.3)
    if any(each.kind in ("cap", "minimum_new") for each in rules):
        assert not reserved.wanted(before, data)
        return
    if not reserved.wanted(before, data):
        return
    after = reserved.filled(before, data, NOTHING, request_id)
    page = [entry.product for entry in after.entries]
    assert len(set(products(after))) == len(products(after)), "none is repeated"
    assert set(products(after)) == set(products(before)) | after.new_products, "none is lost"
    assert len(page) == len(before.entries)
    hidden = {int(shop.ids[r]) for r in np.flatnonzero(data.rules.for_placement("for_you").hidden)}
    on_sale = set(shop.ids[shop.shown].tolist())
    pinned = {product for each in rules if each.kind == "pin" for product in each.target.product_ids or ()}
    assert after.new_products <= (set(NEW) & on_sale) - hidden - in_cart - pinned
    assert {place for place, product in enumerate(page) if product in after.new_products} <= set(
        reserved.places(limit)
    )
    others = [product for product in products(before) if product not in after.new_products | pinned]
    assert [product for product in products(after) if product not in after.new_products | pinned] == others
    for place, product in enumerate(page):
        if product in pinned:
            assert products(before)[place] == product
    drawn = Explorer(ALWAYS).drawn(after, data, NOTHING, request_id)
    if drawn.propensities is not None:
        for before_draw, entry, propensity in zip(
            after.entries, drawn.entries, drawn.propensities, strict=True
        ):
            assert (propensity is None) == (entry.product in after.new_products)
            if propensity is None:
                assert entry == before_draw, "a drawn list keeps their places"
        assert not after.new_products & set(drawn.candidates or ())


def test_the_best_new_product_is_found_and_the_others_are_tried() -> None:
    rates = np.array([0.02, 0.05, 0.2, 0.08, 0.03])
    chance = np.random.default_rng(4)
    displays, clicks = np.zeros(5), np.zeros(5)
    early = None
    for display in range(4_000):
        ((product, expected),) = NewProducts(np.arange(5), displays, clicks).choose(
            np.ones(5, bool), 1, chance
        )
        assert 0 < expected < 1
        displays[product] += 1
        clicks[product] += chance.random() < rates[product]
        if display == 1_000:
            early = displays.copy()
    assert early is not None
    later = (displays - early) / (displays - early).sum()
    assert (early > 0).all()
    assert later[2] > 0.8


def test_a_product_that_is_not_eligible_is_never_chosen() -> None:
    new = NewProducts(np.arange(5), np.full(5, 10.0), np.array([9.0, 0, 0, 0, 0]))
    eligible = np.array([False, True, False, True, False])
    for seed in range(100):
        chosen = new.choose(eligible, 3, np.random.default_rng(seed))
        assert sorted(product for product, _ in chosen) == [1, 3]
    assert new.choose(np.zeros(5, bool), 3, np.random.default_rng(0)) == []


def test_displays_and_clicks_of_new_products_are_counted(open_shop: Shop) -> None:
    now = clock.now()
    rows = [row(n, created=(now - timedelta(days=n)).timestamp(), shown=n != 2) for n in range(1, 9)]
    lists = [
        Answered(f"r{n}", "for_you", "stored", [1, 3, 8], [0.5] * 3, now - timedelta(days=days))
        for n, days in enumerate((0.5, 1, 20))
    ]
    with unit_of_work() as session:
        impressions.store(session, lists)
    execute(
        open_shop,
        "INSERT INTO recommendations_db.recommendation_feedback "
        "(user_id, product_id, feedback_type, created_at) VALUES"
        " (1, 3, 'clicked', now()), (2, 3, 'clicked', now()), (1, 3, 'shown', now()),"
        " (1, 8, 'clicked', now()), (1, 1, 'clicked', now() - interval '15 days')",
    )
    with unit_of_work() as session:
        counted = count_new_products(session, Catalogue.of(rows), 5.5)
    assert counted.products.tolist() == [1, 3, 4, 5]
    assert counted.displays.tolist() == [2, 2, 0, 0]
    assert counted.clicks.tolist() == [0, 2, 0, 0]


@pytest.fixture
def new_products_client(scored_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """The application of the scored shop, a fifth of whose places is reserved for three new lamps."""
    execute(scored_shop, "UPDATE products_db.products SET created_at = now() WHERE id IN (61, 62, 63)")
    monkeypatch.setenv("RECSYS_EXPLORATION__NEW_PRODUCT_SHARE", "0.2")
    get_settings.cache_clear()
    with running(create_app()) as found:
        yield found


def test_answers_and_impressions_name_the_new_products(
    new_products_client: httpx.Client, scored_shop: Shop
) -> None:
    answers: list[dict[str, Any]] = [ask(new_products_client, 1, limit=10) for _ in range(10)]
    for answer in answers:
        new = answer["provenance"]["new_product_ids"]
        assert len(new) == 2
        assert set(new) <= {61, 62, 63}
        assert {ids(answer).index(product) for product in new} == {4, 9}
        assert answer["provenance"]["explored"] is False
    event = {"user_id": 1, "product_id": 61, "feedback_type": "dismissed"}
    assert new_products_client.post("/api/v1/recommendations/feedback", json=event).json()["stored"] == 1
    until(lambda: ask(new_products_client, 1, limit=10)["provenance"]["new_product_ids"] == [62, 63])
    similar = new_products_client.get("/api/v1/products/5/similar", params={"limit": 10}).json()
    assert similar["provenance"]["new_product_ids"] == []

    def logged() -> bool:
        drain.run(threading.Event(), once=True)
        rows = execute(
            scored_shop,
            "SELECT request_id FROM recommendations_db.exposures WHERE shelf = 'for_you' "
            "AND product_ids && ARRAY[61, 62, 63]",
        )
        return len(rows) >= 10

    until(logged)
