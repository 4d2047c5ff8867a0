"""Orders that nobody pays give their stock back in time, and no payment is lost to that."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import Any

import pytest

from recsys import clock
from recsys.domains.orders import expiry
from recsys.domains.orders.expiry import expire_unpaid
from recsys.events import periodic
from recsys.events.periodic import Job
from recsys.subscriptions import JOBS
from tests.journeys.conftest import ADDRESS, Counter
from tests.recsys.domains.users.conftest import Person

NOW = timedelta(0)


def left(counter: Counter, product: int) -> Any:
    return counter.one(
        "SELECT inventory_quantity FROM products_db.product_variants WHERE product_id = %s", product
    )


def anonymous(counter: Counter, product: int, place: int, pieces: int = 1) -> None:
    visit = f"visit-{place}"
    counter.send("POST", "/cart/items", guest=visit, json={"product_id": product, "quantity": pieces})
    body = {"shipping_address": ADDRESS, "email": "somebody@example.org"}
    counter.send("POST", "/orders", guest=visit, key=f"order-{place:04}", json=body, status=201)


def pay(counter: Counter, who: Person, order: int, token: str = "tok_visa") -> Any:
    body = {"order_id": order, "token": token}
    return counter.desk.client.post(
        "/api/v1/payments", headers=who.headers | {"Idempotency-Key": f"pay-{order:05}"}, json=body
    )


def test_anonymous_checkouts_do_not_empty_a_product_for_good(counter: Counter) -> None:
    product, _ = counter.product("Cup", stock=3)
    for place in range(3):
        anonymous(counter, product, place)
    assert left(counter, product) == 0
    assert expire_unpaid() == [], "they have half an hour"
    with clock.frozen_at(clock.now() + timedelta(minutes=29)):
        assert expire_unpaid() == []
    with clock.frozen_at(clock.now() + timedelta(minutes=31)):
        assert len(expire_unpaid()) == 3
        assert expire_unpaid() == [], "each once"
    assert left(counter, product) == 3
    assert counter.desk.rows(
        "SELECT DISTINCT status, financial_status, cancel_reason FROM orders_db.orders"
    ) == [("cancelled", "voided", expiry.REASON)]
    counter.settle_events()
    assert counter.stream("order_events").count("order.expired") == 3
    subjects = counter.desk.rows("SELECT subject FROM notifications_db.email_logs ORDER BY id")
    expired = [subject for (subject,) in subjects if "paid in time" in str(subject)]
    assert len(expired) == 3
    assert not any("cancelled" in str(subject) for (subject,) in subjects), "in one message, not in two"


def test_what_is_paid_or_being_paid_or_was_imported_stays(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    product, _ = counter.product("Cup", stock=10)
    paid = counter.order(ada, product, key="order-0001")["id"]
    assert pay(counter, ada, paid).status_code in (200, 201)
    asked = counter.order(ada, product, key="order-0002")["id"]
    assert pay(counter, ada, asked, "tok_timeout").status_code in (200, 201, 202)
    refused = counter.order(ada, product, key="order-0003")["id"]
    pay(counter, ada, refused, "tok_declined")
    with counter.shop.connect() as connection:
        connection.execute(
            "INSERT INTO orders_db.orders (order_number, subtotal_price, total_price, status, "
            "financial_status, created_at) VALUES ('IMPORTED', 1, 1, 'pending', 'pending', '2020-01-01')"
        )
        # the order is old, and the payment began just now
        connection.execute("UPDATE orders_db.orders SET created_at = now() - interval '31 min'")
    done = counter.shop.run("orders", "expire", "--json")
    assert json.loads(done.stdout) == {"expired": [refused]}, done.stderr
    states = dict(
        counter.desk.rows("SELECT order_number, status FROM orders_db.orders WHERE id <> %s", refused)
    )
    assert sorted(map(str, states.values())) == ["pending", "pending", "processing"]
    assert counter.send("GET", f"/orders/{paid}", who=ada)["financial_status"] == "paid"


def test_a_late_payment_goes_back(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    product, _ = counter.product("Cup", stock=2)
    order = counter.order(ada, product)["id"]
    waiting = pay(counter, ada, order, "tok_timeout").json()["id"]
    with clock.frozen_at(clock.now() + timedelta(hours=2)):
        assert expire_unpaid() == [order]
    assert left(counter, product) == 2
    settled = counter.shop.run("payments", "settle", "--older-than", "0", "--json")
    assert settled.returncode == 0, settled.stderr
    counter.settle_events()
    assert counter.send("GET", f"/payments/{waiting}", who=ada)["status"] == "refunded"
    assert counter.send("GET", f"/orders/{order}", who=ada)["status"] == "cancelled"
    assert left(counter, product) == 2


@pytest.mark.parametrize("token", ["tok_visa", "tok_timeout"])
def test_a_payment_and_an_expiry_at_once_end_in_one_of_both(counter: Counter, token: str) -> None:
    people = [counter.desk.person(f"person{place}") for place in range(8)]
    product, _ = counter.product("Cup", stock=8)
    orders = {
        counter.order(who, product, key=f"order-{place:04}")["id"]: who for place, who in enumerate(people)
    }
    start = threading.Barrier(len(orders) + 2)
    answers: list[int] = []

    def paying(order: int, who: Person) -> None:
        start.wait()
        answers.append(pay(counter, who, order, token).status_code)

    def expiring() -> None:
        start.wait()
        for _ in range(3):
            expire_unpaid(NOW)

    threads = [threading.Thread(target=paying, args=each) for each in orders.items()]
    threads += [threading.Thread(target=expiring) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) <= {200, 201, 202, 409}
    counter.shop.run("payments", "settle", "--older-than", "0")
    counter.settle_events()
    states = counter.desk.rows("SELECT status, financial_status FROM orders_db.orders")
    kept = states.count(("processing", "paid"))
    gone = [financial for status, financial in states if status == "cancelled"]
    assert kept + len(gone) == len(orders)
    assert set(gone) <= {"voided", "refunded"}
    assert left(counter, product) == 8 - kept
    moved = counter.desk.rows(
        "SELECT o.status, p.status FROM payments_db.payments p JOIN orders_db.orders o ON o.id = p.order_id"
    )
    assert set(moved) <= {("processing", "captured"), ("cancelled", "refunded"), ("cancelled", "voided")}


def test_unpaid_orders_expire_by_themselves(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(periodic, "_STANDBY_SECONDS", 0.01)
    monkeypatch.setattr(periodic, "_TICK_SECONDS", 0.01)
    stop = threading.Event()
    ada = counter.desk.person("ada")
    product, _ = counter.product("Cup", stock=1)
    order = counter.order(ada, product)["id"]
    with counter.shop.connect() as connection:
        connection.execute("UPDATE orders_db.orders SET created_at = now() - interval '31 min'")
    original = JOBS["orders expire"]

    def once() -> None:
        original.work()
        stop.set()

    periodic.run(stop, jobs={"orders expire": Job(original.interval, once)})
    assert counter.send("GET", f"/orders/{order}", who=ada)["status"] == "cancelled"
    with counter.shop.connect() as connection:
        connection.execute("SET enable_seqscan = off")
        query = expiry._DUE.replace(":unpaid", "'{pending}'").replace(":before", "now()")
        plan = "\n".join(line for (line,) in connection.execute(f"EXPLAIN {query}".encode()))
    assert "orders_pending_idx" in plan
