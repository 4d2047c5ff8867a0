"""Lists of products and for everybody: equal to live ones, whole, found again after any loss, made once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import pytest
import redis
from fastapi import FastAPI
from sqlalchemy import text

from models.registry import registry
from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT, StoredList, unpack
from recsys.domains.recommendations.stored_lists.shared import SharedListKey
from recsys.events.envelope import Envelope
from recsys.events.vocabulary import InventoryChanged, OrderPlaced, ProductUpdated
from serving.batch import handlers, refresh, scoring
from serving.ranking import shared_lists
from serving.ranking.eligibility import Novelty
from serving.recommender import shared_lists as source
from serving.recommender.context import RequestContext
from serving.recommender.recommender import Recommender
from serving.recommender.request import Filters, Placement, RecommendationRequest
from serving.recommender.sources import LiveRanking
from serving.server.app import create_app
from tests.serving import shopping
from tests.serving.api.answers import execute, ids
from tests.serving.running import running
from tests.support.shop import Shop
from tests.support.waiting import until
from training.experiment import load

PRODUCTS = range(1, shopping.PRODUCTS + 1)
ITEM_PATHS = {Placement.SIMILAR: "similar", Placement.BOUGHT_TOGETHER: "bought-together"}
COUNTRIES = ("FR", "DE")


def send_orders(shop: Shop) -> None:
    """Orders to two countries, with pairs of products in several of them."""
    for order in range(1, 25):
        execute(
            shop,
            "INSERT INTO orders_db.orders (id, user_id, order_number, subtotal_price, total_price, "
            "financial_status, created_at) VALUES (%s, %s, %s, 10, 10, 'paid', now() - %s)",
            order, order, f"A{order}", timedelta(days=order),
        )  # fmt: skip
        for product in (50, 100, 60 + order // 3):
            execute(
                shop,
                "INSERT INTO orders_db.order_items (order_id, product_id, quantity, price, name) "
                "VALUES (%s, %s, 1, 5, 'x')", order, product,
            )  # fmt: skip
        execute(
            shop,
            "INSERT INTO orders_db.shipping_addresses (order_id, first_name, last_name, address1, city, "
            "country, zip) VALUES (%s, 'A', 'B', 'Street 1', 'Town', %s, '75001')",
            order, COUNTRIES[order % 2],
        )  # fmt: skip


@pytest.fixture(params=["the serving model alone", "with auxiliary models"])
def app(trained_shop: Shop, request: pytest.FixtureRequest) -> FastAPI:
    """The application of a shop with orders, scored."""
    send_orders(trained_shop)
    if request.param == "with auxiliary models":
        for name in ("similar_items", "bought_together"):
            recipe = load(name)
            shopping.promote(shopping.fit(recipe.algorithm, **recipe.parameters), f"{name}-v1")
        with unit_of_work() as session:
            registry.activate(session, "knn-v1")
    assert scoring.score().shared == 3 + 5 + len(COUNTRIES) + 2 * len(PRODUCTS)
    return create_app()


@pytest.fixture
def api(app: FastAPI) -> Iterator[httpx.Client]:
    with running(app) as client:
        yield client


@pytest.fixture
def plain_api(scored_shop: Shop) -> Iterator[httpx.Client]:
    """The application of the scored shop without orders and auxiliary models."""
    with running(create_app()) as client:
        yield client


def questions() -> Iterator[tuple[str, RecommendationRequest]]:
    """Every product's lists, and those for everybody, of every category and country."""
    for product in PRODUCTS:
        for placement, path in ITEM_PATHS.items():
            yield f"products/{product}/{path}", RecommendationRequest(placement, products=(product,))
    yield "products/popular", RecommendationRequest(Placement.POPULAR)
    yield "products/new", RecommendationRequest(Placement.NEW_ARRIVALS)
    for category in range(1, 6):
        filters = Filters(categories=(category,))
        yield (
            f"products/popular?category={category}",
            RecommendationRequest(Placement.POPULAR, filters=filters),
        )
    for country in COUNTRIES:
        yield f"products/popular?country={country}", RecommendationRequest(Placement.POPULAR, country=country)


def live_items(app: FastAPI, request: RecommendationRequest) -> list[tuple[int, float]]:
    """Products and scores of the first page, ranked now without any stored list."""
    recommender: Recommender = app.state.recommender
    live = next(one for one in recommender.sources if isinstance(one, LiveRanking))
    entries = live.stages(request, RequestContext(recommender.data)).reranked.entries[: request.limit]
    return [(entry.product, entry.score / SCORE_UNIT) for entry in entries]


def get(client: httpx.Client, path: str, **query: Any) -> dict[str, Any]:
    answer = client.get(f"/api/v1/{path}", params=query) if query else client.get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def items(answer: dict[str, Any]) -> list[tuple[int, float]]:
    return [(item["product_id"], item["score"]) for item in answer["items"]]


def shared_keys(client: redis.Redis, generation: int = 1) -> list[bytes]:
    return [key for key in client.scan_iter(f"recommendations:{generation}:*") if key.count(b":") > 2]


def test_every_stored_list_is_the_live_one(app: FastAPI, api: httpx.Client) -> None:
    for path, request in questions():
        answer = get(api, path)
        assert items(answer) == live_items(app, request), path
        provenance = answer["provenance"]
        assert (provenance["source"], provenance["generation"]) == ("stored", 1), path


def test_filters_apply_to_what_is_stored_or_the_list_is_live(app: FastAPI, api: httpx.Client) -> None:
    with unit_of_work() as session:
        session.execute(text("UPDATE products_db.products SET price = 500 WHERE id % 2 = 0"))
    app.state.refresher.refresh_catalogue()
    sources = set()
    for path, request in questions():
        for query, filters in (
            ("max_price=499", Filters(request.filters.categories, max_price=499)),
            ("in_stock=true", Filters(request.filters.categories, in_stock=True)),
            ("min_price=110&max_price=120", Filters(request.filters.categories, (), 110, 120)),
        ):
            answer = get(api, f"{path}{'&' if '?' in path else '?'}{query}")
            filtered = RecommendationRequest(
                request.placement, products=request.products, country=request.country, filters=filters
            )
            # scores of a shorter list may lie higher: they must decrease to its end
            assert ids(answer) == [product for product, _ in live_items(app, filtered)], (path, query)
            sources.add(answer["provenance"]["source"])
    assert sources >= {"stored", "live"} or sources >= {"stored", "popular"}


@pytest.mark.parametrize("novelty", list(Novelty))
def test_lists_of_a_page_are_those_that_its_user_would_get_live(
    app: FastAPI, api: httpx.Client, trained_shop: Shop, novelty: Novelty
) -> None:
    # coffee is bought once, and some of what is on the page was dismissed
    execute(trained_shop, "INSERT INTO recommendations_db.category_policies VALUES (1, false)")
    app.state.refresher.refresh_catalogue()
    placements = ["for_you", "similar", "bought_together", "popular", "new_arrivals"]
    sources = set()
    for user, product in ((1, 5), (4, 70), (12, 100), (22, 50), (29, 3)):
        execute(
            trained_shop,
            "INSERT INTO recommendations_db.user_interactions (user_id, product_id, interaction_type, "
            "created_at) VALUES (%s, %s, 'dismissed', '2024-03-20')", user, product + 1,
        )  # fmt: skip
        shelves = [{"placement": name, "novelty": novelty.value, "limit": 8} for name in placements]
        body = {"user_id": user, "page": {"product_ids": [product]}, "shelves": shelves}
        answer = api.post("/api/v1/recommendations", json=body)
        assert answer.status_code == 200, answer.text
        on_page: frozenset[int] = frozenset()
        for shelf in answer.json()["shelves"]:
            request = RecommendationRequest(
                Placement(shelf["name"]), user, products=(product,), limit=8, novelty=novelty,
                on_page=on_page,
            )  # fmt: skip
            listed = ids(shelf)
            if request.placement is not Placement.FOR_YOU:
                expected = [entry for entry, _ in live_items(app, request)]
                assert listed == expected, (user, product, shelf["provenance"], sorted(on_page))
                sources.add(shelf["provenance"]["source"])
                assert product + 1 not in listed
            assert product not in listed
            assert not on_page & set(listed)
            on_page |= set(listed)
    assert "stored" in sources


def test_lists_that_redis_lost_come_from_postgresql_and_return(
    app: FastAPI, api: httpx.Client, redis_client: redis.Redis
) -> None:
    lost = {key: redis_client.get(key) for key in shared_keys(redis_client)}
    redis_client.unlink(*lost)
    for path, request in questions():
        answer = get(api, path)
        assert items(answer) == live_items(app, request), path
        assert answer["provenance"]["source"] == "stored", path
    again = {key: redis_client.get(key) for key in shared_keys(redis_client)}
    # nobody asked for trending products
    assert {key for key in lost if b"trending" not in key} == set(again)
    of_products = {key: value for key, value in again.items() if b":similar:" in key}
    assert of_products.items() <= lost.items()


def test_lists_that_both_lost_are_made_again(
    app: FastAPI, api: httpx.Client, redis_client: redis.Redis
) -> None:
    redis_client.unlink(*shared_keys(redis_client))
    with unit_of_work() as session:
        session.execute(text("DELETE FROM recommendations_db.shared_lists"))
    for path, request in questions():
        answer = get(api, path)
        assert items(answer) == live_items(app, request), path
        assert answer["provenance"]["source"] == "stored", path


def test_without_redis_lists_are_the_same(app: FastAPI, api: httpx.Client) -> None:
    recommender: Recommender = app.state.recommender
    expected = {path: live_items(app, request) for path, request in questions()}
    reader = app.state.refresher.redis.reader

    async def away(*_: str) -> tuple[Any, Any]:
        raise redis.ConnectionError("killed")

    reader.read = away
    for path, _ in questions():
        assert items(get(api, path)) == expected[path], path
    assert recommender.data.generation == 1


def test_no_flipped_bit_of_a_list_is_in_an_answer(plain_api: httpx.Client, redis_client: redis.Redis) -> None:
    (key,) = [key for key in shared_keys(redis_client) if b":similar:5:" in key]
    whole = redis_client.get(key)
    assert isinstance(whole, bytes)
    expected = ids(get(plain_api, "products/5/similar", limit=100))
    places = [*range(40), *range(40, len(whole), 20)][:100]
    for limit, place in enumerate(places, 1):
        damaged = whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]
        redis_client.set(key, damaged)
        # another limit, since equal requests are answered from memory
        answer = get(plain_api, "products/5/similar", limit=limit)
        if limit < 100:
            assert answer["provenance"]["source"] == "stored"
            assert redis_client.get(key) == whole
        assert ids(answer) == expected[:limit]


def test_a_switch_of_generations_is_whole(plain_api: httpx.Client, redis_client: redis.Redis) -> None:
    contents: dict[tuple[int, str, int], list[int]] = {}

    def remember(generation: int) -> None:
        for key in shared_keys(redis_client, generation):
            name = key.decode().split(":")
            if name[2] in ("similar", "bought_together"):
                packed = redis_client.get(key)
                assert isinstance(packed, bytes)
                contents[generation, name[2], int(name[3])] = [
                    entry.product for entry in unpack(packed).entries
                ]

    remember(1)
    ends = False
    answers: list[tuple[int, str, int, list[int]]] = []

    def ask(start: int) -> None:
        number = start
        while not ends:
            number += 1
            product, limit = number % 120 + 1, number // 120 % 20 + 1
            for placement, path in ITEM_PATHS.items():
                answer = get(plain_api, f"products/{product}/{path}", limit=limit)
                generation = answer["provenance"]["generation"]
                answers.append((generation, placement.value, product, ids(answer)))

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask, start) for start in (0, 40, 80)]
        for version in (2, 3):
            # another model, and so other lists
            shopping.promote(shopping.fit("item_knn", neighbours=3 * version), f"knn-v{version}", version)
            scoring.score()
            remember(version)
            reached = len(answers)
            until(partial(_has, version, answers, reached), 60)
        ends = True
        for one in asking:
            one.result()
    assert {answer[0] for answer in answers} == {1, 2, 3}
    differing = sum(
        contents[1, *key] != contents[2, *key] for key in [("similar", product) for product in PRODUCTS]
    )
    assert differing > 0, "both generations have the same lists, so that a mix would not show"
    for generation, placement, product, listed in answers:
        assert listed == contents[generation, placement, product][: len(listed)]


def test_a_list_is_made_once_for_all_who_wait(
    plain_api: httpx.Client, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis_client.unlink(*shared_keys(redis_client))
    with unit_of_work() as session:
        session.execute(text("DELETE FROM recommendations_db.shared_lists"))
    made: list[SharedListKey] = []

    def slowly(data: Any, lookups: Any, key: Any, generation: int) -> StoredList:
        made.append(key)
        time.sleep(0.3)
        return shared_lists.make(data, lookups, key, generation)

    monkeypatch.setattr(source, "make", slowly)
    with ThreadPoolExecutor(12) as pool:
        answers = list(
            pool.map(lambda limit: get(plain_api, "products/7/similar", limit=limit), range(1, 13))
        )
    assert len(made) == 1
    for limit, answer in enumerate(answers, 1):
        assert ids(answer) == ids(answers[-1])[:limit]


def test_what_leaves_the_shop_is_in_no_list_and_what_arrives_is_new(
    plain_api: httpx.Client, scored_shop: Shop
) -> None:
    before = {path: ids(get(plain_api, path)) for path, _ in questions()}
    gone = [max(set(range(1, 121)), key=lambda product: sum(product in one for one in before.values())), 1]
    execute(scored_shop, "UPDATE products_db.products SET status = 'draft' WHERE id = %s", gone[0])
    execute(
        scored_shop, "UPDATE products_db.product_variants SET inventory_quantity = 0 WHERE product_id = %s",
        gone[1],
    )  # fmt: skip
    (created,) = execute(
        scored_shop,
        "INSERT INTO products_db.products (name, slug, sku, price, category_id, status, created_at) "
        "VALUES ('Coffee new', 'new', 'new', 3, 2, 'active', now()) RETURNING id",
    )
    until(lambda: created[0] in ids(get(plain_api, "products/new")))
    assert ids(get(plain_api, "products/new"))[0] == created[0]
    for path, _ in questions():
        assert not set(gone) & set(ids(get(plain_api, path))), path
    assert created[0] not in ids(get(plain_api, f"products/{created[0]}/similar"))


def test_lists_that_lack_a_product_that_is_back_are_forgotten(
    plain_api: httpx.Client, scored_shop: Shop, redis_client: redis.Redis
) -> None:
    neighbours = ids(get(plain_api, "products/5/similar", limit=100))
    lists = [key for key in shared_keys(redis_client) if b":similar:" in key]
    with unit_of_work() as session:
        handlers.forget_lists(
            session, _enveloped(InventoryChanged(product_id=5, quantity=3, change=3, reason="x"))
        )
    left = {int(key.split(b":")[3]) for key in lists if redis_client.exists(key)}
    assert not left & {5, *neighbours}
    assert left, "only lists that may have the product are forgotten"
    with unit_of_work() as session:
        # neither brings it back on sale
        handlers.forget_lists(
            session, _enveloped(InventoryChanged(product_id=90, quantity=3, change=1, reason="x"))
        )
        handlers.forget_lists(session, _enveloped(ProductUpdated(product_id=90, changed=("name",))))
    assert {int(key.split(b":")[3]) for key in lists if redis_client.exists(key)} == left


def test_an_order_changes_what_is_bought_together(
    plain_api: httpx.Client, scored_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # handlers keep serving data for two seconds: those of a test before would be another shop's
    monkeypatch.setattr(refresh, "_refreshed", [])
    assert (
        get(plain_api, "products/50/bought-together", limit=3)["items"][0]["reason"]["code"]
        != "bought_together"
    )
    # counts made before the order are in the memory of the process, too
    shelf = {"placement": "bought_together", "limit": 3}
    body = {"user_id": 1, "cart": [50], "page": {"product_ids": [50]}, "shelves": [shelf]}
    assert plain_api.post("/api/v1/recommendations", json=body).status_code == 200
    send_orders(scored_shop)
    line = {"product_id": 50, "quantity": 1, "unit_price": "5.00"}
    with unit_of_work() as session:
        handlers.forget_counts(
            session, _enveloped(OrderPlaced.model_validate({"order_id": 1, "lines": [line]}))
        )
    answer = get(plain_api, "products/50/bought-together", limit=4)
    assert answer["items"][0]["product_id"] == 100
    assert answer["items"][0]["reason"]["code"] == "bought_together"


def test_a_newly_registered_auxiliary_model_makes_its_lists(app: FastAPI, api: httpx.Client) -> None:
    recipe = load("similar_items")
    shopping.promote(shopping.fit(recipe.algorithm, **recipe.parameters), "similar_items-v2", 2)
    with unit_of_work() as session:
        registry.activate(session, "knn-v1")
    app.state.refresher.refresh_auxiliary_models()
    for product in PRODUCTS:
        answer = get(api, f"products/{product}/similar")
        assert answer["provenance"]["model"] == "similar_items-v2"
        request = RecommendationRequest(Placement.SIMILAR, products=(product,))
        assert items(answer) == live_items(app, request)


def _enveloped(event: Any) -> Envelope:
    return Envelope(uuid4(), clock.now(), event)


def _has(generation: int, answers: list[tuple[int, str, int, list[int]]], start: int) -> bool:
    return any(answer[0] == generation for answer in answers[start:])
