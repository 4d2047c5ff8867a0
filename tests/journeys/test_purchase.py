"""One purchase from the first look to the refund: tables, keys, streams and messages after each step."""

from __future__ import annotations

from decimal import Decimal

import orjson

from recsys.cache import keys
from recsys.web.access.guest_sessions import with_signature
from tests.journeys.conftest import ADDRESS, Counter
from tests.recsys.domains.users.conftest import Person


def newest(counter: Counter, who: Person) -> str:
    """The title of a user's newest notification."""
    return str(counter.send("GET", "/notifications?limit=1", who=who)["items"][0]["title"])


def live(counter: Counter) -> list[str]:
    """The steps on `live_orders`, in order."""
    return [fields[b"status"].decode() for _, fields in counter.redis.xrange("live_orders")]  # type: ignore[union-attr, index]


def test_from_the_first_look_to_the_refund(counter: Counter) -> None:
    product, variant = counter.product("Lamp", price="20.00", stock=5)
    counter.settle_events()

    # browsing as a guest
    counter.send("POST", f"/products/{product}/views", guest="visit-1", status=201)
    assert counter.redis.zcard(f"product:views:{product}") == 1
    assert counter.redis.zscore("trending_products", product) is not None
    cart = counter.send("POST", "/cart/items", guest="visit-1", json={"product_id": product, "quantity": 2})
    assert (cart["subtotal"], cart["lines"][0]["variant_id"]) == ("40.00", variant)
    assert counter.redis.hgetall("cart:session:visit-1") == {f"{product}:{variant}".encode(): b"2"}
    assert counter.redis.ttl("cart:session:visit-1") > 0
    assert counter.stream("cart_events") == ["cart.item_added"]
    assert counter.redis.xlen("cart:analytics") == 1
    counter.settle_events()
    kinds = counter.desk.rows(
        "SELECT interaction_type, session_id FROM recommendations_db.user_interactions ORDER BY id"
    )
    assert sorted(kinds) == [("add_to_cart", "visit-1"), ("view", "visit-1")]

    # logging in brings the cart along at the next request
    counter.desk.register("ada")
    login = counter.desk.log_in("ada", X_Session_Id=with_signature("visit-1")).json()
    ada = Person(counter.one("SELECT id FROM users_db.users WHERE username = 'ada'"), "ada", login["token"])
    assert counter.send("GET", "/cart", who=ada, guest="visit-1")["subtotal"] == "40.00"
    assert not counter.redis.exists("cart:session:visit-1")
    assert counter.redis.hgetall(f"cart:{ada.id}") == {f"{product}:{variant}".encode(): b"2"}
    counter.settle_events()
    assert counter.one("SELECT user_id FROM products_db.product_view_history") == ada.id
    assert counter.desk.rows("SELECT DISTINCT user_id FROM recommendations_db.user_interactions") == [
        (ada.id,)
    ]

    # checkout
    order = counter.send(
        "POST", "/orders", who=ada, key="order-0001", json={"shipping_address": ADDRESS}, status=201
    )
    assert (order["status"], order["financial_status"], order["total_price"]) == (
        "pending",
        "pending",
        "40.00",
    )
    assert order["shipping_address"]["city"] == "London"
    assert counter.one("SELECT inventory_quantity FROM products_db.product_variants") == 3
    assert counter.send("GET", f"/products/{product}/stock")["quantity"] == 3
    assert counter.redis.get(f"product:inventory:{product}") == b"3"
    assert not counter.redis.exists(f"cart:{ada.id}")
    again = counter.send("POST", "/orders", who=ada, key="order-0001", json={"shipping_address": ADDRESS})
    assert again["id"] == order["id"]
    counter.settle_events()
    assert live(counter) == ["pending"]
    number = order["order_number"]
    assert counter.desk.rows(
        "SELECT old_quantity, new_quantity, reason, notes FROM products_db.inventory_logs "
        "WHERE variant_id = %s ORDER BY id",
        variant,
    ) == [(0, 5, "first stock", None), (5, 3, "reserved", number)]
    assert counter.desk.rows("SELECT name, quantity, price FROM orders_db.order_items") == [
        ("Lamp", 2, Decimal("20.00"))
    ]
    assert newest(counter, ada) == f"Order {number}: received"

    # declined, then paid
    pay = {"order_id": order["id"], "token": "tok_declined"}
    declined = counter.send("POST", "/payments", who=ada, key="pay-00001", json=pay, status=201)
    assert (declined["status"], declined["failure_reason"]) == ("failed", "card_declined")
    assert counter.send("GET", f"/orders/{order['id']}", who=ada)["financial_status"] == "failed"
    counter.settle_events()
    assert newest(counter, ada) == f"Order {number}: the payment did not go through"
    assert counter.stream("payment_events") == ["payment.failed"]
    assert counter.stream("order_events") == ["order.placed"]
    pay = {"order_id": order["id"], "token": "tok_visa"}
    paid = counter.send("POST", "/payments", who=ada, key="pay-00002", json=pay, status=201)
    assert (paid["status"], paid["amount"]) == ("captured", "40.00")
    counter.send("POST", "/payments", who=ada, key="pay-00003", json=pay, status=409)
    counter.settle_events()
    bought = counter.desk.rows(
        "SELECT product_id, interaction_value FROM recommendations_db.user_interactions "
        "WHERE interaction_type = 'purchase' AND user_id = %s",
        ada.id,
    )
    assert bought == [(product, Decimal("2.00"))]
    tries = "SELECT attempt_number, status, failure_reason FROM payments_db.payment_attempts ORDER BY id"
    assert counter.desk.rows(tries) == [(1, "declined", "card_declined"), (1, "approved", None)]
    assert live(counter) == ["pending", "processing"]
    assert newest(counter, ada) == f"Order {number}: paid"
    assert counter.redis.smembers(keys.recent_interactions(ada.id))

    # shipped and delivered
    parcel = counter.send(
        "POST",
        f"/admin/orders/{order['id']}/parcels",
        who=counter.admin,
        json={"carrier": "DHL", "tracking_number": "JD014600003"},
        status=201,
    )
    counter.settle_events()
    assert live(counter)[-1] == "shipped"
    assert newest(counter, ada) == f"Order {number}: on its way"
    sent = "SELECT carrier, tracking_number, delivered_at IS NULL FROM orders_db.order_tracking"
    assert counter.desk.rows(sent) == [("DHL", "JD014600003", True)]
    counter.send("PATCH", f"/admin/parcels/{parcel['id']}", who=counter.admin, json={"delivered": True})
    counter.settle_events()
    assert live(counter)[-1] == "delivered"
    assert newest(counter, ada) == f"Order {number}: delivered"
    assert counter.desk.rows(sent) == [("DHL", "JD014600003", False)]
    seen = counter.send("GET", f"/orders/{order['id']}", who=ada)
    assert (seen["status"], seen["fulfillment_status"]) == ("delivered", "delivered")
    assert [one["status"] for one in seen["history"]] == ["pending", "processing", "shipped", "delivered"]

    # reviewed, as a verified purchase
    review = counter.send("PUT", f"/products/{product}/review", who=ada, json={"rating": 5}, status=201)
    assert review["is_verified_purchase"] is True
    counter.send("POST", f"/admin/reviews/{review['id']}/approve", who=counter.admin)
    assert Decimal(counter.send("GET", f"/products/{product}")["rating"]) == 5
    assert Decimal(orjson.loads(counter.redis.hget(f"product:{product}", "json") or b"")["rating"]) == 5
    counter.settle_events()
    assert counter.stream("product_events")[-2:] == ["product.review_posted", "product.review_approved"]
    reviewed = (
        "SELECT interaction_value FROM recommendations_db.user_interactions WHERE interaction_type = %s"
    )
    assert counter.desk.rows(reviewed, "review") == [(Decimal("5.00"),)]

    # refunded in parts, never beyond
    path = f"/admin/payments/{paid['id']}/refunds"
    part = {"amount": "15.00", "reason": "a scratch"}
    counter.send("POST", path, who=counter.admin, key="back-0001", json=part, status=201)
    counter.send("POST", path, who=counter.admin, key="back-0001", json=part, status=201)
    counter.send(
        "POST", path, who=counter.admin, key="back-0002", json={"amount": "25.01", "reason": "x"}, status=409
    )
    rest = counter.send(
        "POST", path, who=counter.admin, key="back-0003", json={"reason": "all of it"}, status=201
    )
    assert rest["amount"] == "25.00"
    seen = counter.send("GET", f"/payments/{paid['id']}", who=ada)
    assert (seen["status"], seen["refunded"]) == ("refunded", "40.00")
    assert counter.send("GET", f"/orders/{order['id']}", who=ada)["financial_status"] == "refunded"

    assert counter.desk.rows(
        "SELECT amount, status, reason, processed_by FROM payments_db.refunds ORDER BY id"
    ) == [
        (Decimal("15.00"), "succeeded", "a scratch", counter.admin.id),
        (Decimal("25.00"), "succeeded", "all of it", counter.admin.id),
    ]

    # the notifications of everybody
    counter.settle_events()
    assert newest(counter, ada) == f"Order {number}: refund"
    assert counter.redis.llen(f"notifications:{ada.id}") > 0
    titles = [one["title"] for one in counter.send("GET", "/notifications?limit=49", who=ada)["items"]]
    for words in ("received", "did not go through", "paid", "on its way", "delivered", "refund"):
        assert any(number in title and words in title for title in titles), (words, titles)
    queued = counter.desk.rows(
        "SELECT DISTINCT status FROM notifications_db.email_logs WHERE to_email = 'ada@example.org'"
    )
    assert queued == [("queued",)]
    assert counter.stream("order_events") == [
        "order.placed",
        "order.status_changed",
        "order.paid",
        "order.status_changed",
        "order.shipped",
        "order.status_changed",
        "order.delivered",
        "order.refunded",
        "order.refunded",
    ]
    assert counter.stream("payment_events") == [
        "payment.failed",
        "payment.captured",
        "payment.refund_succeeded",
        "payment.refund_succeeded",
    ]
    assert not counter.redis.exists("order_events:dead", "payment_events:dead", "cart_events:dead")


def test_a_guest_orders_and_finds_the_order_again(counter: Counter) -> None:
    product, _ = counter.product("Cup", price="3.50")
    counter.send("POST", "/cart/items", guest="visit-2", json={"product_id": product})
    body = {"shipping_address": ADDRESS, "email": "guest@example.org"}
    counter.send(
        "POST", "/orders", guest="visit-2", key="guest-001", json={"shipping_address": ADDRESS}, status=422
    )
    order = counter.send("POST", "/orders", guest="visit-2", key="guest-002", json=body, status=201)
    found = counter.send(
        "POST",
        "/orders/lookup",
        json={"order_number": order["order_number"], "email": "Guest@example.org"},
    )
    assert found["id"] == order["id"]
    counter.send("GET", f"/orders/{order['id']}", guest="visit-2")
    counter.send("GET", f"/orders/{order['id']}", guest="visit-3", status=404)
    wrong = {"order_number": order["order_number"], "email": "other@example.org"}
    counter.send("POST", "/orders/lookup", json=wrong, status=404)
    paid = counter.send(
        "POST",
        "/payments",
        guest="visit-2",
        key="guest-pay",
        json={"order_id": order["id"], "token": "tok_visa"},
        status=201,
    )
    assert paid["status"] == "captured"
    counter.settle_events()
    mails = counter.desk.rows("SELECT to_email, subject FROM notifications_db.email_logs ORDER BY id")
    assert {to for to, _ in mails} == {"root@example.org", "guest@example.org"}


def test_a_cancelled_order_gives_stock_and_money_back(counter: Counter) -> None:
    product, variant = counter.product("Vase", stock=4)
    ada = counter.desk.person("ada")
    order = counter.order(ada, product, 3)
    pay = {"order_id": order["id"], "token": "tok_visa"}
    payment = counter.send("POST", "/payments", who=ada, key="pay-00001", json=pay, status=201)
    counter.send("POST", f"/orders/{order['id']}/cancel", who=ada, json={"reason": "too late"})
    counter.send("POST", f"/orders/{order['id']}/cancel", who=ada, json={"reason": "again"}, status=409)
    assert (
        counter.one("SELECT inventory_quantity FROM products_db.product_variants WHERE id = %s", variant) == 4
    )
    counter.settle_events()
    seen = counter.send("GET", f"/payments/{payment['id']}", who=ada)
    assert (seen["status"], seen["refunded"]) == ("refunded", "30.00")
    logs = counter.desk.rows(
        "SELECT adjustment, reason FROM products_db.inventory_logs WHERE variant_id = %s ORDER BY id", variant
    )
    assert logs == [(4, "first stock"), (-3, "reserved"), (3, "cancelled")]
