"""A user who has one of everything, for tests that try to reach it."""

from __future__ import annotations

from dataclasses import dataclass, field

from recsys.web.browser.script import script
from tests.journeys.conftest import ADDRESS, Counter
from tests.recsys.domains.users.conftest import Person

Route = tuple[str, str]


@dataclass
class Victim:
    """A user with one of everything, and the ids of it."""

    person: Person
    ids: dict[str, str]
    bodies: dict[Route, object]
    secrets: list[str] = field(default_factory=list)


def victim_of(counter: Counter, person: Person | None = None) -> Victim:
    """Ada, or `person`, with an address, a card, orders, a payment, a message, a review, a full cart."""
    product, variant = counter.product("Lamp", price="20.00", stock=50)
    desk, admin = counter.desk, counter.admin
    ada = person or desk.person("ada")
    address = counter.send("POST", "/addresses", who=ada, json=ADDRESS, status=201)["id"]
    card = {"token": "tok_mastercard"}
    method = counter.send("POST", "/payment-methods", who=ada, json=card, status=201)["id"]
    order = counter.order(ada, product, key="adas-order-1")
    paying = {"order_id": order["id"], "payment_method_id": method}
    payment = counter.send("POST", "/payments", who=ada, key="adas-pay-1", json=paying, status=201)["id"]
    unpaid = counter.order(ada, product, key="adas-order-2")
    parcel = {"carrier": "DHL", "tracking_number": "JD014600003"}
    review = counter.send("PUT", f"/products/{product}/review", who=ada, json={"rating": 4}, status=201)["id"]
    category = desk.call(admin, "POST", "/admin/categories", status=201, json={"name": "Light"}).json()["id"]
    brand = desk.call(admin, "POST", "/admin/brands", status=201, json={"name": "Lumen"}).json()["id"]
    hide = {"name": "No lamps", "kind": "hide", "target": {"product_ids": [product]}, "enabled": False}
    rule = desk.call(admin, "POST", "/recommendations/rules", status=201, json=hide).json()
    phrases = {"phrases": ["lamp", "lantern"]}
    synonym = desk.call(admin, "POST", "/admin/search/synonyms", status=201, json=phrases).json()
    page = {"name": "page", "origins": ["https://shop.example"]}
    page_key = desk.call(admin, "POST", "/admin/publishable-keys", status=201, json=page).json()
    picture = {"src": "/lamp.png"}
    image = desk.call(admin, "POST", f"/admin/products/{product}/images", status=201, json=picture).json()
    counter.send("POST", "/cart/items", who=ada, json={"product_id": product, "quantity": 7})
    counter.settle_events()
    notification = counter.send("GET", "/notifications", who=ada)["items"][0]
    sessions = counter.send("GET", "/users/me/sessions", who=ada)["items"]
    flag = _flag(counter, payment)
    ids = {
        "product_id": product,
        "variant_id": variant,
        "image_id": image["id"],
        "category_id": category,
        "brand_id": brand,
        "review_id": review,
        "order_id": order["id"],
        "unpaid": unpaid["id"],
        "parcel_id": _parcel(counter, order["id"], parcel),
        "address_id": address,
        "method_id": method,
        "payment_id": payment,
        "flag_id": flag,
        "notification_id": notification["id"],
        "log_id": counter.one("SELECT min(id) FROM notifications_db.email_logs"),
        "id": sessions[0]["id"],
        "user_id": ada.id,
        "username": ada.name,
        "name": "order_placed",
        "gateway": "sandbox",
        "day": "2026-01-01",
        "rule_id": rule["id"],
        "rule_set": "winter",
        "synonym_id": synonym["id"],
        "key_prefix": page_key["prefix"],
        "version": script().path.split(".")[1],
    }
    bodies: dict[Route, object] = {
        ("POST", "/api/v1/orders/{order_id}/cancel"): {"reason": "mine now"},
        ("PUT", "/api/v1/addresses/{address_id}"): {**ADDRESS, "city": "Elsewhere"},
        ("POST", "/api/v1/orders"): {"shipping_address": ADDRESS, "email": "eve@example.org"},
        ("POST", "/api/v1/payments"): {"order_id": unpaid["id"], "token": "tok_visa"},
    }
    secrets = [f"{ada.name}@example.org", "St James", order["order_number"], unpaid["order_number"], '"4444"']
    return Victim(ada, {name: str(value) for name, value in ids.items()}, bodies, secrets)


def _parcel(counter: Counter, order_id: int, parcel: object) -> int:
    made = counter.send(
        "POST", f"/admin/orders/{order_id}/parcels", who=counter.admin, json=parcel, status=201
    )
    return int(made["id"])


def _flag(counter: Counter, payment_id: int) -> int:
    with counter.shop.connect() as connection:
        row = connection.execute(
            "INSERT INTO payments_db.fraud_flags (payment_id, risk_score) VALUES (%s, 5) RETURNING id",
            (payment_id,),
        ).fetchone()
    assert row is not None
    return int(row[0])
