"""Orders over HTTP: what can't be ordered, keys and carts that order once, steps, carts left behind."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
import redis

from recsys.cache import keys
from recsys.domains.orders.carts import store as carts
from recsys.settings import get_settings
from tests.journeys.conftest import ADDRESS, Counter
from tests.recsys.domains.users.conftest import Person

BILLING = {"name": "Ada", "address1": "x", "city": "London", "zip": "1"}


def test_what_can_not_be_ordered_says_why_and_changes_nothing(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    product, variant = counter.product("Lamp", stock=1)
    to = {"shipping_address": ADDRESS}
    empty = counter.send("POST", "/orders", who=ada, key="order-0001", json=to, status=422)
    assert "The cart is empty" in empty["detail"]
    counter.send("POST", "/cart/items", who=ada, json={"product_id": product, "quantity": 2})
    short = counter.send("POST", "/orders", who=ada, key="order-0002", json=to, status=409)
    assert short["detail"] == "Not enough in stock: Lamp (1 left, 2 wanted)."
    counter.send("PUT", "/cart/items", who=ada, json={"product_id": product, "quantity": 1})
    nowhere = counter.send("POST", "/orders", who=ada, key="order-0003", json={}, status=422)
    assert "shipping_address" in nowhere["detail"]
    unknown = counter.send(
        "POST", "/orders", who=ada, key="order-0004", json={**to, "discount_code": "FREE"}, status=422
    )
    assert unknown["detail"] == "There is no such discount code."
    counter.send("POST", "/orders", who=ada, json=to, status=422)
    assert counter.desk.rows("SELECT 1 FROM orders_db.orders") == []
    assert counter.desk.rows("SELECT 1 FROM orders_db.checkouts") == []
    assert (
        counter.one("SELECT inventory_quantity FROM products_db.product_variants WHERE id = %s", variant) == 1
    )
    counter.send("POST", "/orders", who=ada, key="order-0005", json=to, status=201)


def test_wrong_input_is_answered_with_what_to_send_instead(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    product, _ = counter.product("Cup")

    def expected(status: int, method: str, path: str, body: object, who: Person = ada) -> dict[str, str]:
        answer = counter.send(method, path, who=who, json=body, status=status)
        return {one["field"]: one["expected"] for one in answer.get("errors", [])} or {"": answer["detail"]}

    code = "two letters as in ISO 3166-1, such as DE or US"
    for country in ("Germany", "D", "4Z", ""):
        assert expected(422, "POST", "/addresses", {**ADDRESS, "country": country}) == {"country": code}
    assert expected(422, "POST", "/addresses", {**ADDRESS, "city": "", "zip": "x" * 300}) == {
        "city": "a text of at least 1 character",
        "zip": "a text of at most 20 characters",
    }
    bill = {"token": "tok_visa", "billing_address": {**BILLING, "country": "Germany"}}
    assert expected(422, "POST", "/payment-methods", bill) == {"billing_address.country": code}
    short = {"name": "Dent", "inventory_quantity": -3}
    path = f"/admin/products/{product}/variants"
    assert expected(422, "POST", path, short, counter.admin) == {
        "": "inventory_quantity is -3; a stock below zero needs the inventory_policy `continue`."
    }
    back_order = {**short, "inventory_policy": "continue"}
    made = counter.send("POST", path, who=counter.admin, json=back_order, status=201)
    assert made["inventory_quantity"] == -3


def test_a_key_orders_once_and_means_one_request(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    product, _ = counter.product("Cup")
    first = counter.order(ada, product)
    again = {"shipping_address": ADDRESS}
    assert counter.send("POST", "/orders", who=ada, key="order-0001", json=again)["id"] == first["id"]
    other = {"shipping_address": {**ADDRESS, "city": "Paris"}}
    clash = counter.send("POST", "/orders", who=ada, key="order-0001", json=other, status=409)
    assert "used for another request" in clash["detail"]
    # another person's key of the same text is another key
    bob = counter.desk.person("bob")
    assert counter.order(bob, product)["id"] != first["id"]


def test_a_cart_whose_redis_kept_it_is_not_ordered_twice(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    product, variant = counter.product("Cup", stock=5)
    counter.send("POST", "/cart/items", who=ada, json={"product_id": product})
    kept = counter.redis.dump(f"cart:{ada.id}"), counter.redis.get(keys.cart_id(f"user:{ada.id}"))
    to = {"shipping_address": ADDRESS}
    order = counter.send("POST", "/orders", who=ada, key="order-0001", json=to, status=201)
    # as if Redis had been away right after the order
    counter.redis.restore(f"cart:{ada.id}", 0, kept[0])  # type: ignore[arg-type]
    counter.redis.set(keys.cart_id(f"user:{ada.id}"), kept[1])  # type: ignore[arg-type]
    counter.redis.delete(keys.cart_ordered(order["id"], f"cart:{ada.id}"))
    twice = counter.send("POST", "/orders", who=ada, key="order-0002", json=to, status=409)
    assert "ordered already" in twice["detail"]
    counter.settle_events()
    assert counter.send("GET", "/cart", who=ada)["lines"] == []
    assert (
        counter.one("SELECT inventory_quantity FROM products_db.product_variants WHERE id = %s", variant) == 4
    )


def test_a_cart_without_an_id_gets_one_and_is_still_ordered_once(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    product, variant = counter.product("Cup", stock=5)
    counter.send("POST", "/cart/items", who=ada, json={"product_id": product})
    counter.redis.delete(keys.cart_id(f"user:{ada.id}"))
    kept = counter.redis.dump(f"cart:{ada.id}")
    to = {"shipping_address": ADDRESS}
    order = counter.send("POST", "/orders", who=ada, key="order-0001", json=to, status=201)
    cart_id = counter.one("SELECT cart_id FROM orders_db.checkouts")
    assert cart_id is not None
    # as if the cart had not been emptied yet
    counter.redis.restore(f"cart:{ada.id}", 0, kept)  # type: ignore[arg-type]
    counter.redis.set(keys.cart_id(f"user:{ada.id}"), cart_id)
    counter.redis.delete(keys.cart_ordered(order["id"], f"cart:{ada.id}"))
    counter.send("POST", "/orders", who=ada, key="order-0002", json=to, status=409)
    assert (
        counter.one("SELECT inventory_quantity FROM products_db.product_variants WHERE id = %s", variant) == 4
    )


def test_tax_shipping_and_discount_follow_the_settings(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = {
        "RECSYS_SHOP__TAX_RATE": "0.1",
        "RECSYS_SHOP__SHIPPING_FLAT": "4.00",
        "RECSYS_SHOP__DISCOUNTS": json.dumps({"TEN": {"percent": "10"}}),
    }
    for name, value in shop.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    ada = counter.desk.person("ada")
    product, _ = counter.product("Desk", price="99.95")
    counter.send("POST", "/cart/items", who=ada, json={"product_id": product, "quantity": 2})
    answer = counter.send("GET", "/cart/quote?discount_code=TEN", who=ada)
    sums = ("subtotal", "discount", "tax", "shipping", "total")
    assert [answer[name] for name in sums] == ["199.90", "19.99", "17.99", "4.00", "201.90"]
    body = {"shipping_address": ADDRESS, "discount_code": "TEN"}
    order = counter.send("POST", "/orders", who=ada, key="order-0001", json=body, status=201)
    assert (order["total_price"], order["items"][0]["total_discount"]) == ("201.90", "19.99")


def test_a_product_that_is_no_longer_sold_leaves_the_cart_and_is_named(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    product, _ = counter.product("Old", price="5.00")
    other, _ = counter.product("New", price="7.00")
    for one in (product, other):
        counter.send("POST", "/cart/items", who=ada, json={"product_id": one})
    counter.send("PATCH", f"/admin/products/{product}", who=counter.admin, json={"status": "archived"})
    gone = counter.send("GET", "/cart/quote", who=ada, status=409)
    assert f"Product {product} is no longer sold" in gone["detail"]
    cart = counter.send("GET", "/cart", who=ada)
    assert (cart["subtotal"], cart["unavailable"]) == ("7.00", [product])
    assert counter.send("GET", "/cart", who=ada)["unavailable"] == []
    counter.send("POST", "/cart/items", who=ada, json={"product_id": product}, status=404)


def test_steps_that_may_not_follow_are_refused(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    product, _ = counter.product("Cup")
    order = counter.order(ada, product)["id"]
    parcel = {"carrier": "DHL", "tracking_number": "1"}
    unpaid = counter.send(
        "POST", f"/admin/orders/{order}/parcels", who=counter.admin, json=parcel, status=409
    )
    assert "only a paid order is shipped" in unpaid["detail"]
    step = {"status": "completed"}
    early = counter.send("POST", f"/admin/orders/{order}/status", who=counter.admin, json=step, status=409)
    assert early["detail"] == (
        "The order is pending and can't become completed; what may follow: cancelled, processing."
    )
    pay = {"order_id": order, "token": "tok_visa"}
    counter.send("POST", "/payments", who=ada, key="pay-00001", json=pay, status=201)
    first = counter.send(
        "POST", f"/admin/orders/{order}/parcels", who=counter.admin, json=parcel, status=201
    )["id"]
    second = counter.send(
        "POST", f"/admin/orders/{order}/parcels", who=counter.admin, json=parcel, status=201
    )["id"]
    counter.send("POST", f"/orders/{order}/cancel", who=ada, json={"reason": "no"}, status=409)
    counter.send("PATCH", f"/admin/parcels/{first}", who=counter.admin, json={"delivered": True})
    assert counter.send("GET", f"/orders/{order}", who=ada)["status"] == "shipped"
    counter.send("PATCH", f"/admin/parcels/{second}", who=counter.admin, json={"delivered": True})
    assert counter.send("GET", f"/orders/{order}", who=ada)["status"] == "delivered"


def test_orders_come_in_pages_that_new_ones_do_not_shift(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    product, _ = counter.product("Cup", stock=100)
    made = [counter.order(ada, product, key=f"order-{number:04}")["id"] for number in range(5)]
    page = counter.send("GET", "/orders?limit=2", who=ada)
    seen = [one["id"] for one in page["items"]]
    counter.order(ada, product, key="order-late")
    while page["next_cursor"]:
        page = counter.send("GET", f"/orders?limit=2&cursor={page['next_cursor']}", who=ada)
        seen += [one["id"] for one in page["items"]]
    assert seen == made[::-1]


def test_addresses_have_one_default_and_belong_to_one_user(counter: Counter) -> None:
    ada, bob = counter.desk.person("ada"), counter.desk.person("bob")
    first = counter.send("POST", "/addresses", who=ada, json=ADDRESS, status=201)
    assert first["is_default"] is True
    second = counter.send(
        "POST", "/addresses", who=ada, json={**ADDRESS, "city": "Bath", "is_default": True}, status=201
    )
    kept = counter.send("GET", "/addresses", who=ada)
    assert [(one["id"], one["is_default"]) for one in kept] == [(second["id"], True), (first["id"], False)]
    counter.send("PUT", f"/addresses/{first['id']}", who=bob, json=ADDRESS, status=404)
    counter.send("DELETE", f"/addresses/{first['id']}", who=bob, status=404)
    product, _ = counter.product("Cup")
    counter.send("POST", "/cart/items", who=ada, json={"product_id": product})
    order = counter.send("POST", "/orders", who=ada, key="order-0001", json={}, status=201)
    counter.send("DELETE", f"/addresses/{second['id']}", who=ada, status=204)
    assert counter.send("GET", f"/orders/{order['id']}", who=ada)["shipping_address"]["city"] == "Bath"


def test_a_cart_that_is_left_is_stored_once_reminded_of_once_and_recovered(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    product, _ = counter.product("Cup", price="4.00")
    counter.send("POST", "/cart/items", who=ada, json={"product_id": product, "quantity": 3})
    fresh = counter.shop.run("orders", "abandoned-carts", "--json")
    assert json.loads(fresh.stdout) == {"stored": 0, "looked_at": 0}, fresh.stderr
    left = counter.shop.run("orders", "abandoned-carts", "--idle-hours", "0", "--json")
    assert left.returncode == 0, left.stderr
    assert json.loads(left.stdout) == {"stored": 1, "looked_at": 1}
    again = counter.shop.run("orders", "abandoned-carts", "--idle-hours", "0", "--json")
    assert json.loads(again.stdout)["stored"] == 0
    counter.settle_events()
    ((items, total, sent),) = counter.desk.rows(
        "SELECT items, total_price, recovery_email_sent FROM orders_db.abandoned_carts"
    )
    assert (items[0]["quantity"], total, sent) == (3, Decimal("12.00"), True)  # type: ignore[index]
    # changed and left again: the same row, no second reminder
    counter.send("POST", "/cart/items", who=ada, json={"product_id": product})
    counter.shop.run("orders", "abandoned-carts", "--idle-hours", "0")
    counter.settle_events()
    assert counter.one("SELECT total_price FROM orders_db.abandoned_carts") == Decimal("16.00")
    mails = "SELECT count(*) FROM notifications_db.email_logs WHERE subject LIKE 'You left%%'"
    assert counter.one(mails) == 1
    counter.send("POST", "/orders", who=ada, key="order-0001", json={"shipping_address": ADDRESS}, status=201)
    assert counter.one("SELECT recovered_at IS NOT NULL FROM orders_db.abandoned_carts") is True
    counter.settle_events()
    assert counter.stream("cart_events").count("cart.recovered") == 1


def test_without_redis_carts_are_unavailable_and_orders_are_not(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = counter.desk.person("ada")
    product, _ = counter.product("Cup")
    order = counter.order(ada, product)["id"]

    def away() -> redis.Redis:
        raise redis.ConnectionError("away")

    monkeypatch.setattr(carts, "get_redis", away)
    for method, path, body in (
        ("GET", "/cart", None),
        ("POST", "/cart/items", {"product_id": product}),
        ("DELETE", "/cart", None),
    ):
        answer = counter.send(method, path, who=ada, json=body, status=503)
        assert answer["detail"] == "Redis does not answer; try again in a moment."
    answer = counter.send(
        "POST", "/orders", who=ada, key="order-0009", json={"shipping_address": ADDRESS}, status=503
    )
    assert counter.one("SELECT count(*) FROM orders_db.checkouts") == 1
    assert counter.send("GET", f"/orders/{order}", who=ada)["id"] == order
