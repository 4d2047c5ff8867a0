"""The catalogue over HTTP: the tree, filters, pages that nothing shifts, writes that are published."""

from __future__ import annotations

import itertools
import json
import struct
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from recsys.database.session import unit_of_work
from recsys.domains.products import listing
from recsys.domains.products.listing import ListingFilters, Sort
from recsys.domains.products.schemas import ProductListItem
from recsys.domains.products.tables import ProductEmbedding
from recsys.web.pagination import Page
from tests.journeys.conftest import Counter


def make(counter: Counter, path: str, **body: object) -> Any:
    return counter.send("POST", f"/admin{path}", who=counter.admin, json=body, status=201)


def names(page: Any) -> list[str]:
    return [one["name"] for one in page["items"]]


def test_the_tree_holds_no_circle_and_loses_nothing(counter: Counter) -> None:
    home = make(counter, "/categories", name="Home")
    light = make(counter, "/categories", name="Light", parent_id=home["id"])
    lamps = make(counter, "/categories", name="Lamps & Co", parent_id=light["id"])
    assert lamps["slug"] == "lamps-co"
    for below in (home, light, lamps):
        body = {"name": "Home", "parent_id": below["id"]}
        answer = counter.send(
            "PUT", f"/admin/categories/{home['id']}", who=counter.admin, json=body, status=422
        )
        assert "cannot be placed below itself" in answer["detail"]
    (root,) = counter.send("GET", "/categories")
    assert root["children"][0]["children"][0]["name"] == "Lamps & Co"
    counter.send("POST", "/admin/categories", who=counter.admin, json={"name": "Light"}, status=409)
    counter.send("POST", "/admin/categories", who=counter.admin, json={"name": "??"}, status=422)
    counter.send("DELETE", f"/admin/categories/{light['id']}", who=counter.admin, status=409)
    counter.product("Lamp", category_id=lamps["id"])
    counter.send("DELETE", f"/admin/categories/{lamps['id']}", who=counter.admin, status=409)


def test_filters_mean_what_they_say(counter: Counter) -> None:
    home = make(counter, "/categories", name="Home")["id"]
    light = make(counter, "/categories", name="Light", parent_id=home)["id"]
    brand = make(counter, "/brands", name="Bright")["id"]
    counter.product("Lamp", price="20.00", category_id=light, brand_id=brand, tags=["warm"])
    counter.product("Bulb", price="5.00", category_id=light, stock=0)
    counter.product("Rug", price="99.99", category_id=home, is_featured=True)
    counter.product("Draft", price="1.00", category_id=home, status="draft")
    for query, found in (
        (f"category={home}", ["Rug", "Bulb", "Lamp"]),
        (f"category={light}", ["Bulb", "Lamp"]),
        (f"brand={brand}", ["Lamp"]),
        ("tag=warm", ["Lamp"]),
        ("min_price=5.00&max_price=20", ["Bulb", "Lamp"]),
        ("in_stock=true", ["Rug", "Lamp"]),
        ("featured=true", ["Rug"]),
        ("sort=price", ["Bulb", "Lamp", "Rug"]),
        ("sort=-price", ["Rug", "Lamp", "Bulb"]),
        ("sort=name", ["Bulb", "Lamp", "Rug"]),
    ):
        assert names(counter.send("GET", f"/products?{query}")) == found, query
    counter.send("GET", "/products?category=999999", status=404)
    counter.send("GET", "/products?min_price=3&max_price=2", status=422)


@pytest.mark.parametrize("sort", ["newest", "name", "price", "-price"])
def test_pages_neither_repeat_nor_skip_while_products_come_and_go(counter: Counter, sort: str) -> None:
    made = {}
    for number in range(7):
        # equal prices and names: the id decides
        made[counter.product(f"P{number // 3}", price=f"{number // 2}.00", slug=f"p-{number}")[0]] = number
    page = counter.send("GET", f"/products?sort={sort}&limit=2")
    seen = [one["id"] for one in page["items"]]
    counter.product("P0", price="0.00", slug="late")
    counter.send("DELETE", f"/admin/products/{seen[0]}", who=counter.admin, status=204)
    while page["next_cursor"]:
        page = counter.send("GET", f"/products?sort={sort}&limit=2&cursor={page['next_cursor']}")
        seen += [one["id"] for one in page["items"]]
    before = [one for one in seen if one in made]
    assert sorted(before) == sorted(made)
    assert len(seen) == len(set(seen))
    other = counter.send("GET", "/products?sort=newest&limit=1")["next_cursor"]
    counter.send("GET", f"/products?sort=price&cursor={other}", status=422)


def test_a_write_is_published_and_visible_at_once(counter: Counter) -> None:
    product, _ = counter.product("Lamp", price="20.00")
    path = f"/admin/products/{product}"
    assert counter.send("GET", f"/products/{product}")["price"] == "20.00"
    assert counter.redis.hget(f"product:{product}", "price") == b"20.00"
    counter.send("PATCH", path, who=counter.admin, json={"price": "25.00", "tags": ["new"]})
    assert counter.send("GET", f"/products/{product}")["price"] == "25.00"
    counter.send("PATCH", path, who=counter.admin, json={"price": "25.00"})
    counter.settle_events()
    events = counter.stream("product_events")
    assert events.count("product.price_changed") == 1
    assert events.count("product.created") == 1
    counter.send("PATCH", path, who=counter.admin, json={"price": None}, status=422)
    counter.send("PATCH", path, who=counter.admin, json={"status": "archived"})
    counter.send("GET", f"/products/{product}", status=404)
    assert counter.send("GET", path, who=counter.admin)["status"] == "archived"
    counter.send("DELETE", path, who=counter.admin, status=204)
    counter.send("GET", path, who=counter.admin, status=404)


def test_stock_is_logged_in_step_with_redis_and_its_policy_holds(counter: Counter) -> None:
    product, variant = counter.product("Lamp", stock=3)
    path = f"/admin/variants/{variant}/stock"
    assert counter.send("GET", f"/products/{product}/stock")["quantity"] == 3
    assert counter.send("POST", path, who=counter.admin, json={"change": 2})["quantity"] == 5
    assert counter.send("GET", f"/products/{product}/stock")["quantity"] == 5
    assert counter.redis.get(f"product:inventory:{product}") == b"5"
    short = counter.send("POST", path, who=counter.admin, json={"change": -6}, status=422)
    assert short["detail"] == "Only 5 pieces are in stock, fewer than 6."
    change = {"name": "one", "inventory_quantity": 1, "inventory_policy": "continue"}
    counter.send("PUT", f"/admin/products/{product}/variants/{variant}", who=counter.admin, json=change)
    assert counter.send("POST", path, who=counter.admin, json={"change": -6})["quantity"] == -5
    log = counter.send("GET", f"/admin/products/{product}/stock-log", who=counter.admin)["items"]
    assert [(one["old_quantity"], one["adjustment"], one["new_quantity"]) for one in log] == [
        (1, -6, -5),
        (5, -4, 1),
        (3, 2, 5),
        (0, 3, 3),
    ]


def test_a_backorder_sells_beyond_the_stock_and_what_is_not_counted_always(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    product, variant = counter.product("Lamp", stock=1)
    change = {"name": "one", "inventory_quantity": 1, "inventory_policy": "continue"}
    counter.send("PUT", f"/admin/products/{product}/variants/{variant}", who=counter.admin, json=change)
    counter.order(ada, product, 5)
    assert counter.send("GET", f"/products/{product}/stock")["quantity"] == -4
    plain = make(counter, "/products", name="Voucher", price="10.00")["id"]
    counter.order(ada, plain, 500, key="order-0002")


def test_two_variants_have_to_be_chosen_between(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    product, first = counter.product("Shirt", price="10.00")
    second = make(counter, f"/products/{product}/variants", name="L", price="12.50", inventory_quantity=1)
    answer = counter.send("POST", "/cart/items", who=ada, json={"product_id": product}, status=422)
    assert "comes in 2 variants" in answer["detail"]
    for variant in (first, second["id"]):
        counter.send("POST", "/cart/items", who=ada, json={"product_id": product, "variant_id": variant})
    assert counter.send("GET", "/cart", who=ada)["subtotal"] == "22.50"
    other, _ = counter.product("Hat")
    counter.send("POST", "/cart/items", who=ada, json={"product_id": other, "variant_id": first}, status=404)


def test_a_list_is_the_same_as_json_and_as_objects(counter: Counter) -> None:
    light = counter.send("POST", "/admin/categories", who=counter.admin, json={"name": "Light"}, status=201)
    odd = {"tags": ["b", "ü"], "sku": "L-1", "compare_price": "30.00", "category_id": light["id"]}
    counter.product("Lamp “ü”\n", price="20.10", **odd)
    for number in range(4):
        counter.product(f"Cup {number}", price="3.00", is_featured=number % 2 == 0)
    wanted = [
        ListingFilters(),
        ListingFilters(
            category=light["id"], tag="ü", in_stock=True, min_price=Decimal(1), max_price=Decimal(99)
        ),
        ListingFilters(featured=True, status=None),
        ListingFilters(brand=999),
    ]
    sorts: tuple[Sort, ...] = ("newest", "name", "price", "-price")
    for filters, sort in itertools.product(wanted, sorts):
        cursor, names = None, []
        while True:
            with unit_of_work() as session:
                objects = listing.page(session, filters, sort=sort, limit=2, cursor=cursor)
                text = listing.page_json(session, filters, sort=sort, limit=2, cursor=cursor)
            assert json.loads(text) == json.loads(objects.model_dump_json())
            # and what is written is what the documentation promises
            names += [one.name for one in Page[ProductListItem].model_validate_json(text).items]
            cursor = objects.next_cursor
            if cursor is None:
                break
        assert len(names) == len(set(names)) == {0: 5, 1: 1, 2: 2, 3: 0}[wanted.index(filters)]


def test_a_product_takes_a_vector_of_the_length_of_the_others(counter: Counter) -> None:
    def stored() -> dict[int, list[float]]:
        with unit_of_work() as session:
            rows = session.scalars(select(ProductEmbedding))
            return {
                row.product_id: list(struct.unpack(f"<{len(row.vector) // 4}f", row.vector)) for row in rows
            }

    first, second = (counter.product(name)[0] for name in ("Lamp", "Rug"))
    body = {"name": "Bulb", "price": "1.00", "embedding": [0.5, -1, 2]}
    third = counter.send("POST", "/admin/products", who=counter.admin, json=body, status=201)["id"]
    paths = {each: f"/admin/products/{each}" for each in (first, second, third)}
    counter.send("PATCH", paths[first], who=counter.admin, json={"embedding": [1, 2, 3], "price": "2.00"})
    assert stored() == {first: [1, 2, 3], third: [0.5, -1, 2]}
    for wrong in ([1, 2], [1, 2, 3, 4], [], [1, 2, 1e39], [1, 2, "x"], [1] * 4097, "1 2 3", [None, 1, 2]):
        counter.send("PATCH", paths[second], who=counter.admin, json={"embedding": wrong}, status=422)
    counter.send("PATCH", paths[first], who=counter.admin, json={"price": "3.00"})
    counter.send("PATCH", paths[third], who=counter.admin, json={"embedding": None})
    assert stored() == {first: [1, 2, 3]}
    # the only product with a vector may get a longer one
    counter.send("PATCH", paths[first], who=counter.admin, json={"embedding": [1, 2, 3, 4]})
    assert stored() == {first: [1, 2, 3, 4]}
    counter.send("DELETE", paths[first], who=counter.admin, status=204)
    assert stored() == {}
