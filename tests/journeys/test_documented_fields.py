"""Documented fields that a shop expects to fill: each has a route, and is shown to those who may see it."""

from __future__ import annotations

import httpx
import pytest

from recsys.domains.analytics.anonymisation import place_of
from recsys.settings import AnalyticsSettings, get_settings
from tests.journeys.conftest import Counter
from tests.recsys.domains.analytics.conftest import BROWSER
from tests.support.guests import guest

SIZE = {"length": 30.0, "width": 20.5, "height": 1.0, "unit": "cm"}


def test_products_have_dimensions_search_texts_and_costs(counter: Counter) -> None:
    admin = counter.admin
    body = {
        "name": "Lamp",
        "price": "20.00",
        "dimensions": SIZE,
        "seo_title": "Lamps",
        "seo_description": "L",
    }
    product = counter.send("POST", "/admin/products", who=admin, json=body, status=201)["id"]
    variant = {"sku": "L-1", "price": "21.00", "cost_price": "7.50"}
    counter.send("POST", f"/admin/products/{product}/variants", who=admin, json=variant, status=201)
    shown = counter.send("GET", f"/products/{product}")
    assert (shown["dimensions"], shown["seo_title"], shown["seo_description"]) == (SIZE, "Lamps", "L")
    assert "cost_price" not in shown["variants"][0], "no shopper sees what it costs the shop"
    assert str(counter.one("SELECT cost_price FROM products_db.product_variants")) == "7.50"
    change = {"dimensions": SIZE | {"height": 2.0}, "seo_title": "Light"}
    counter.send("PATCH", f"/admin/products/{product}", who=admin, json=change)
    shown = counter.send("GET", f"/products/{product}")
    assert (shown["dimensions"]["height"], shown["seo_title"]) == (2.0, "Light")
    wrong = {"dimensions": SIZE | {"height": 0}}
    counter.send("PATCH", f"/admin/products/{product}", who=admin, json=wrong, status=422)


def test_orders_have_internal_notes_and_can_be_returned(counter: Counter) -> None:
    ada, admin = counter.desk.person("ada"), counter.admin
    product, _ = counter.product("Lamp", stock=5)
    order = counter.order(ada, product)["id"]
    path = f"/admin/orders/{order}"
    noted = counter.send("PATCH", path, who=admin, json={"internal_notes": "calls often"})
    assert noted["internal_notes"] == "calls often"
    assert "internal_notes" not in counter.send("GET", f"/orders/{order}", who=ada)
    counter.send("PATCH", path, who=ada, json={"internal_notes": "x"}, status=403)
    counter.send("POST", f"{path}/return", who=admin, json={"reason": "too small"}, status=409)
    payment = {"order_id": order, "token": "tok_visa"}
    counter.send("POST", "/payments", who=ada, key="pay-00001", json=payment, status=201)
    parcel = {"carrier": "DHL", "tracking_number": "JD1"}
    counter.send("POST", f"{path}/parcels", who=admin, json=parcel, status=201)
    stock = "SELECT sum(inventory_quantity) FROM products_db.product_variants"
    before = int(str(counter.one(stock)))
    returned = counter.send("POST", f"{path}/return", who=admin, json={"reason": "too small"})
    assert returned["fulfillment_status"] == "returned"
    assert (returned["history"][-1]["status"], returned["history"][-1]["notes"]) == ("returned", "too small")
    assert int(str(counter.one(stock))) > before
    counter.send("POST", f"{path}/return", who=admin, json={"reason": "again"}, status=409)
    counter.settle_events()
    live = counter.send("GET", "/admin/live-orders", who=admin)
    assert [entry["fields"]["status"] for entry in live["items"]][-1] == "returned"
    assert counter.send("GET", f"/admin/live-orders?after={live['after']}", who=admin)["items"] == []
    carts = counter.send("GET", "/admin/cart-events?limit=1", who=admin)["items"]
    assert carts[0]["fields"]["product_id"] == str(product)
    counter.send("GET", "/admin/cart-events", who=ada, status=403)
    subjects = counter.desk.rows("SELECT subject FROM notifications_db.email_logs ORDER BY id")
    assert any("returned" in str(subject) for (subject,) in subjects)


def test_payment_methods_have_metadata(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    body = {"token": "tok_visa", "metadata": {"label": "work", "limits": [1, 2]}}
    made = counter.send("POST", "/payment-methods", who=ada, json=body, status=201)
    assert made["metadata"] == body["metadata"]
    (shown,) = counter.send("GET", "/payment-methods", who=ada)
    assert shown["metadata"] == body["metadata"]


def test_messages_have_copies_and_receipts(counter: Counter) -> None:
    ada, admin = counter.desk.person("ada"), counter.admin
    counter.send("PATCH", "/users/me", who=ada, json={"phone": "+4912345"})
    counter.send("PUT", "/notification-preferences", who=ada, json={"sms": True})
    body = {"user_id": ada.id, "template": "welcome", "values": {"name": "Ada"}, "channels": ["email", "sms"]}
    copies = {"cc": ["team@example.org"], "bcc": ["archive@example.org"]}
    message_ids = counter.send("POST", "/admin/notifications", who=admin, json=body | copies, status=201)[
        "messages"
    ]
    mails = counter.send("GET", "/admin/email-logs", who=admin)["items"]
    (mail,) = [mail for mail in mails if mail["id"] == message_ids["email"]]
    assert (mail["cc_email"], mail["bcc_email"]) == (copies["cc"], copies["bcc"])
    receipt = f"/admin/sms-logs/{message_ids['sms']}/receipt"
    counter.send("POST", receipt, who=admin, json={"delivered": True}, status=409)
    assert counter.shop.run("notifications", "send").returncode == 0
    arrived = counter.send("POST", receipt, who=admin, json={"delivered": True})
    assert arrived["status"] == "delivered"
    assert arrived["delivered_at"] is not None
    late = counter.send("POST", receipt, who=admin, json={"delivered": False})
    assert late["status"] == "delivered", "a message that arrived stays delivered"


def test_visits_have_the_place_that_a_proxy_names(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    page = {"type": "page_view", "event_id": "1", "page_url": "/tea"}
    headers = {"User-Agent": BROWSER, **guest("v"), "CF-IPCountry": "de", "X-City": "K%C3%B6ln"}
    client = counter.desk.client
    assert client.post("/api/v1/analytics/collect", json=page, headers=headers).status_code == 200
    place = "SELECT country, city FROM analytics_db.user_sessions ORDER BY id DESC LIMIT 1"
    assert counter.desk.rows(place) == [(None, None)], "a header that no setting names is not trusted"
    monkeypatch.setenv("RECSYS_ANALYTICS__COUNTRY_HEADER", "CF-IPCountry")
    monkeypatch.setenv("RECSYS_ANALYTICS__CITY_HEADER", "X-City")
    get_settings.cache_clear()
    page["event_id"] = "2"
    second = headers | guest("w")
    assert client.post("/api/v1/analytics/collect", json=page, headers=second).status_code == 200
    assert counter.desk.rows(place) == [("DE", "Köln")]
    assert counter.desk.rows("SELECT country, city FROM analytics_db.page_views ORDER BY id") == [
        (None, None),
        ("DE", "Köln"),
    ]


@pytest.mark.parametrize(
    ("country", "city", "expected"),
    [
        ("FR", "Paris", ("FR", "Paris")),
        ("XX", "", (None, None)),
        ("T1", "x" * 200, (None, "x" * 100)),
        ("DEU", "K\u00c3\u00b6ln", (None, "Köln")),
        ("", "a\x00b", (None, "ab")),
    ],
)
def test_a_place_that_is_none_is_left_out(country: str, city: str, expected: tuple[object, object]) -> None:
    settings = AnalyticsSettings(country_header="C", city_header="T")
    assert (
        place_of(httpx.Headers([(b"C", country.encode()), (b"T", city.encode("latin-1"))]), settings)
        == expected
    )
    assert place_of({}, settings) == (None, None)
