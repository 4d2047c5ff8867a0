"""A visit from its campaign to its order: carts and orders join it, and the money is its conversion."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

from typer.testing import CliRunner

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.analytics.cli import app
from recsys.domains.analytics.handlers import count_cart
from recsys.events.envelope import Envelope
from recsys.events.vocabulary import CartItemAdded
from recsys.web.access.guest_sessions import with_signature
from tests.journeys.conftest import ADDRESS
from tests.recsys.domains.analytics.conftest import BROWSER, Counter, Person, page

VISIT = (
    "SELECT user_id, page_views, events, bounce, converted, conversion_value::text, utm_source "
    "FROM analytics_db.user_sessions ORDER BY start_time"
)


def rollup(*args: str) -> Any:
    done = CliRunner().invoke(app, ["rollup", *args, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def look(counter: Counter, url: str, *, guest: str, event_id: str, minutes_ago: float = 0) -> None:
    counter.send(
        "POST",
        "/analytics/collect",
        guest=guest,
        json=page(event_id, clock.now() - timedelta(minutes=minutes_ago), url),
        User_Agent=BROWSER,
    )


def pay(counter: Counter, order: Any, who: Person) -> None:
    body = {"order_id": order["id"], "token": "tok_visa"}
    counter.send("POST", "/payments", who=who, key=f"pay-{order['id']:08}", json=body, status=201)
    counter.settle_events()


def test_a_guest_becomes_a_customer(counter: Counter) -> None:
    product, _ = counter.product("Tea", price="10.00")
    look(counter, "/?utm_source=letter", guest="tab", event_id="1", minutes_ago=2)
    counter.send("POST", f"/products/{product}/views", guest="tab", status=201)
    counter.send("POST", "/cart/items", guest="tab", json={"product_id": product, "quantity": 2})
    counter.settle_events()
    assert counter.desk.rows(VISIT) == [(None, 1, 1, False, False, "0.00", "letter")]

    # who logs in brings the visit along
    ada = counter.desk.person("ada")
    counter.desk.log_in("ada", X_Session_Id=with_signature("tab"))
    counter.settle_events()
    assert counter.desk.rows(VISIT) == [(ada.id, 1, 1, False, False, "0.00", "letter")]
    assert counter.one("SELECT user_id FROM analytics_db.page_views") == ada.id

    # a user's order names no session, and belongs to the visit all the same; once it is paid, it counts
    order = counter.send(
        "POST", "/orders", who=ada, key="order-01", json={"shipping_address": ADDRESS}, status=201
    )
    counter.settle_events()
    assert counter.desk.rows(VISIT) == [(ada.id, 1, 2, False, False, "0.00", "letter")]
    pay(counter, order, ada)
    assert counter.desk.rows(VISIT) == [(ada.id, 1, 2, False, True, order["total_price"], "letter")]
    day = clock.now().date().isoformat()
    made = rollup()
    assert (made["days"], made["visits"], made["product_rows"], made["until"]) == (2, 1, 1, day)

    sales = counter.send("GET", f"/admin/analytics/sales?since={day}", who=counter.admin)["items"]
    assert sales == [
        {
            "date": day, "total_sales": order["total_price"], "order_count": 1,
            "average_order_value": order["total_price"], "unique_customers": 1, "returning_customers": 0,
            "conversion_rate": "1.0000",
        }
    ]  # fmt: skip
    products = counter.send("GET", f"/admin/analytics/products?product_id={product}", who=counter.admin)[
        "items"
    ]
    assert products == [
        {
            "product_id": product, "sku": None, "date": day, "views": 1, "unique_views": 1, "add_to_carts": 1,
            "purchases": 1, "revenue": "20.00", "conversion_rate": "1.0000",
        }
    ]  # fmt: skip
    again = rollup()
    assert (again["sales_changed"], again["products_changed"], again["products_dropped"]) == (0, 0, 0)


def test_an_order_called_off_brings_nothing_and_a_page_that_came_late_takes_it_in(counter: Counter) -> None:
    product, _ = counter.product("Tea", price="10.00")
    bob = counter.desk.person("bob")
    order = counter.order(bob, product)
    counter.settle_events()
    # nothing is known yet of the visit that the order was placed in
    assert counter.desk.rows(VISIT) == []
    counter.send(
        "POST", "/analytics/collect", who=bob, guest="tab", User_Agent=BROWSER,
        json=page("late", clock.now() - timedelta(minutes=3)),
    )  # fmt: skip
    pay(counter, order, bob)
    rollup()
    assert counter.desk.rows(VISIT) == [(bob.id, 1, 2, False, True, order["total_price"], None)]

    counter.send("POST", f"/orders/{order['id']}/cancel", who=bob, json={"reason": "no tea after all"})
    counter.settle_events()
    assert counter.desk.rows(VISIT) == [(bob.id, 1, 2, False, False, "0.00", None)]
    rollup()
    assert counter.one("SELECT sum(order_count) FROM analytics_db.sales_metrics") == 0


def test_a_repeated_event_counts_once(counter: Counter) -> None:
    product, _ = counter.product("Tea")
    envelope = Envelope(uuid4(), clock.now(), CartItemAdded(session_id="tab", product_id=product))
    for _ in range(2):
        with unit_of_work() as session:
            count_cart(session, envelope)
    assert counter.desk.rows("SELECT session_id, properties FROM analytics_db.user_events") == [
        ("tab", {"product_id": product, "quantity": 1})
    ]
    assert counter.desk.rows("SELECT page_views, events FROM analytics_db.user_sessions") == [(0, 1)]
