"""What happens when many do the same at once: nothing is sold, charged, moved or counted twice."""

from __future__ import annotations

import threading
from collections import Counter as Tally
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import httpx
import pytest

from recsys.domains.payments.gateway import Answer, Charge
from recsys.domains.payments.sandbox import Sandbox
from tests.journeys.conftest import ADDRESS, Counter
from tests.recsys.domains.users.conftest import Person
from tests.support.guests import guest as guest_header

Call = tuple[str, str, dict[str, str], object]


def at_once(counter: Counter, calls: Sequence[Call]) -> list[httpx.Response]:
    """The answers to requests that are all sent at the same moment, in the order of `calls`."""
    gate = threading.Barrier(len(calls))
    limits = httpx.Limits(max_connections=len(calls))
    with (
        httpx.Client(base_url=counter.desk.client.base_url, timeout=60, limits=limits) as client,
        ThreadPoolExecutor(len(calls)) as pool,
    ):

        def send(call: Call) -> httpx.Response:
            method, path, headers, body = call
            gate.wait(30)
            return client.request(method, f"/api/v1{path}", headers=headers, json=body)

        answers = list(pool.map(send, calls))
    assert [one.text for one in answers if one.status_code >= 500] == []
    return answers


def statuses(answers: Sequence[httpx.Response]) -> dict[int, int]:
    """How many answers there are of each status."""
    return dict(Tally(one.status_code for one in answers))


def keyed(who: Person | str, key: str) -> dict[str, str]:
    """The headers of a user's, or a visit's, request under a key."""
    own = guest_header(who) if isinstance(who, str) else who.headers
    return {**own, "Idempotency-Key": key}


def test_a_hundred_checkouts_of_ten_pieces_sell_ten(counter: Counter) -> None:
    product, variant = counter.product("Lamp", stock=10)
    visits = [f"visit-{number}" for number in range(100)]
    for visit in visits:
        counter.send("POST", "/cart/items", guest=visit, json={"product_id": product})
    body = {"shipping_address": ADDRESS, "email": "guest@example.org"}
    answers = at_once(counter, [("POST", "/orders", keyed(one, "order-0001"), body) for one in visits])
    assert statuses(answers) == {201: 10, 409: 90}
    assert all("Not enough in stock" in one.text for one in answers if one.status_code == 409)

    stock = "SELECT inventory_quantity FROM products_db.product_variants WHERE id = %s"
    assert counter.one(stock, variant) == 0
    assert counter.send("GET", f"/products/{product}/stock")["quantity"] == 0
    logs = counter.desk.rows(
        "SELECT old_quantity, new_quantity, notes FROM products_db.inventory_logs "
        "WHERE variant_id = %s AND reason = 'reserved' ORDER BY id",
        variant,
    )
    assert [one[:2] for one in logs] == [(left, left - 1) for left in range(10, 0, -1)]
    sold = {one.json()["order_number"] for one in answers if one.status_code == 201}
    assert {one[2] for one in logs} == sold
    orders = counter.desk.rows(
        "SELECT o.order_number, sum(i.quantity) FROM orders_db.orders o "
        "JOIN orders_db.order_items i ON i.order_id = o.id GROUP BY 1"
    )
    assert {number for number, _ in orders} == sold
    assert [pieces for _, pieces in orders] == [1] * 10
    counter.settle_events()
    assert counter.stream("order_events").count("order.placed") == 10
    # who got nothing still has the cart
    kept = [visit for visit in visits if counter.redis.exists(f"cart:session:{visit}")]
    assert len(kept) == 90


def test_orders_of_the_same_things_in_any_order_never_wait_in_a_circle(counter: Counter) -> None:
    products = [counter.product(name, stock=100)[0] for name in ("Cup", "Lamp", "Vase")]
    visits = [f"visit-{number}" for number in range(24)]
    for number, visit in enumerate(visits):
        for product in products if number % 2 else reversed(products):
            counter.send("POST", "/cart/items", guest=visit, json={"product_id": product})
    body = {"shipping_address": ADDRESS, "email": "guest@example.org"}
    answers = at_once(counter, [("POST", "/orders", keyed(one, "order-0001"), body) for one in visits])
    assert statuses(answers) == {201: 24}
    left = counter.desk.rows("SELECT DISTINCT inventory_quantity FROM products_db.product_variants")
    assert left == [(76,)]
    # and back again, half of them while the other half is paid
    calls: list[Call] = []
    for number, (visit, answer) in enumerate(zip(visits, answers, strict=True)):
        order = answer.json()["id"]
        if number % 2:
            calls.append(("POST", f"/orders/{order}/cancel", guest_header(visit), {"reason": "too late"}))
        else:
            calls.append(
                ("POST", "/payments", keyed(visit, "pay-00001"), {"order_id": order, "token": "tok_visa"})
            )
    assert statuses(at_once(counter, calls)) == {200: 12, 201: 12}
    left = counter.desk.rows("SELECT DISTINCT inventory_quantity FROM products_db.product_variants")
    assert left == [(88,)]


def test_one_key_orders_once_and_one_cart_is_ordered_once(counter: Counter) -> None:
    product, variant = counter.product("Lamp", stock=100)
    ada = counter.desk.person("ada")
    body = {"shipping_address": ADDRESS}
    counter.send("POST", "/cart/items", who=ada, json={"product_id": product, "quantity": 2})
    answers = at_once(counter, [("POST", "/orders", keyed(ada, "order-0001"), body)] * 10)
    assert statuses(answers) == {201: 1, 200: 9}
    assert len({one.json()["id"] for one in answers}) == 1
    counter.send("POST", "/cart/items", who=ada, json={"product_id": product, "quantity": 3})
    calls: list[Call] = [("POST", "/orders", keyed(ada, f"order-1{one:03}"), body) for one in range(10)]
    answers = at_once(counter, calls)
    # ordered by another request, and then the cart is empty
    assert statuses(answers)[201] == 1
    assert set(statuses(answers)) <= {201, 409, 422}
    assert counter.one("SELECT count(*) FROM orders_db.orders") == 2
    left = counter.one("SELECT inventory_quantity FROM products_db.product_variants WHERE id = %s", variant)
    assert left == 95


class Ledger:
    """A gateway that keeps books: the same key moves money once, and two requests at once really meet."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, meet: int) -> None:
        self.moved: dict[str, Decimal] = {}
        self.calls: list[str] = []
        self._meeting = threading.Barrier(meet)
        charge, capture, refund = Sandbox.charge, Sandbox.capture, Sandbox.refund

        def charged(gateway: Sandbox, asked: Charge) -> Answer:
            self._book(asked.key, asked.amount)
            return charge(gateway, asked)

        def captured(gateway: Sandbox, transaction_id: str, amount: Decimal, *, key: str) -> Answer:
            self._book(key, amount)
            return capture(gateway, transaction_id, amount, key=key)

        def refunded(gateway: Sandbox, transaction_id: str, amount: Decimal, *, key: str) -> Answer:
            self._book(key, amount)
            return refund(gateway, transaction_id, amount, key=key)

        monkeypatch.setattr(Sandbox, "charge", charged)
        monkeypatch.setattr(Sandbox, "capture", captured)
        monkeypatch.setattr(Sandbox, "refund", refunded)

    def _book(self, key: str, amount: Decimal) -> None:
        self.calls.append(key)
        self.moved.setdefault(key, amount)
        try:
            # a single request goes on alone
            self._meeting.wait(0.5)
        except threading.BrokenBarrierError:
            return


def _ordered(counter: Counter, *, price: str = "40.00") -> tuple[Person, int]:
    product, _ = counter.product("Lamp", price=price)
    ada = counter.desk.person("ada")
    return ada, counter.order(ada, product)["id"]


def test_captures_at_once_charge_once(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, order = _ordered(counter)
    pay = {"order_id": order, "token": "tok_visa", "capture": False}
    payment = counter.send("POST", "/payments", who=ada, key="pay-00001", json=pay, status=201)
    assert payment["status"] == "authorized"
    ledger = Ledger(monkeypatch, meet=2)
    path = f"/admin/payments/{payment['id']}/capture"
    answers = at_once(counter, [("POST", path, counter.admin.headers, None)] * 6)
    assert statuses(answers) == {200: 6}
    assert ledger.moved == {f"capture:{payment['id']}": Decimal("40.00")}
    tries = counter.desk.rows(
        "SELECT status FROM payments_db.payment_attempts WHERE payment_id = %s ORDER BY id", payment["id"]
    )
    assert [status for (status,) in tries].count("capture_approved") == 1
    counter.settle_events()
    assert counter.stream("payment_events").count("payment.captured") == 1
    assert counter.stream("order_events").count("order.paid") == 1
    assert counter.send("GET", f"/orders/{order}", who=ada)["financial_status"] == "paid"


def test_a_capture_and_a_void_at_once_do_one_of_the_two(counter: Counter) -> None:
    ada, order = _ordered(counter)
    pay = {"order_id": order, "token": "tok_visa", "capture": False}
    payment = counter.send("POST", "/payments", who=ada, key="pay-00001", json=pay, status=201)["id"]
    calls: list[Call] = [
        ("POST", f"/admin/payments/{payment}/{step}", counter.admin.headers, None)
        for step in ("capture", "void") * 4
    ]
    answers = at_once(counter, calls)
    assert statuses(answers) == {200: 4, 409: 4}
    status = counter.send("GET", f"/payments/{payment}", who=ada)["status"]
    assert {one.json()["status"] for one in answers if one.status_code == 200} <= {status}
    assert status in ("captured", "voided")


def test_payments_at_once_pay_an_order_once(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, order = _ordered(counter)
    ledger = Ledger(monkeypatch, meet=2)
    pay = {"order_id": order, "token": "tok_visa"}
    calls: list[Call] = [
        ("POST", "/payments", keyed(ada, f"pay-0000{number % 2}"), pay) for number in range(8)
    ]
    answers = at_once(counter, calls)
    assert statuses(answers) == {201: 1, 200: 3, 409: 4}
    assert list(ledger.moved.values()) == [Decimal("40.00")]
    assert counter.one("SELECT count(*) FROM payments_db.payments") == 1


def test_refunds_at_once_never_exceed_what_came_in(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, order = _ordered(counter)
    pay = {"order_id": order, "token": "tok_visa"}
    payment = counter.send("POST", "/payments", who=ada, key="pay-00001", json=pay, status=201)["id"]
    ledger = Ledger(monkeypatch, meet=2)
    path = f"/admin/payments/{payment}/refunds"
    body = {"amount": "15.00", "reason": "a scratch"}
    # four keys, each sent twice at once
    keys = [f"back-000{number % 4}" for number in range(8)]
    answers = at_once(counter, [("POST", path, keyed(counter.admin, key), body) for key in keys])
    assert statuses(answers) == {201: 4, 409: 4}
    assert len({one.json()["id"] for one in answers if one.status_code == 201}) == 2
    assert sorted(ledger.moved.values()) == [Decimal("15.00"), Decimal("15.00")]
    seen = counter.send("GET", f"/payments/{payment}", who=ada)
    assert (seen["status"], seen["refunded"]) == ("partially_refunded", "30.00")
    rest = [
        ("POST", path, keyed(counter.admin, f"rest-000{number}"), {"reason": "rest"}) for number in (1, 2)
    ]
    assert statuses(at_once(counter, rest)) == {201: 1, 409: 1}
    assert sum(ledger.moved.values()) == Decimal("40.00")
    seen = counter.send("GET", f"/payments/{payment}", who=ada)
    assert (seen["status"], seen["refunded"]) == ("refunded", "40.00")


def test_no_piece_is_lost_or_doubled_between_adding_and_merging(counter: Counter) -> None:
    product, variant = counter.product("Lamp", stock=500)
    ada = counter.desk.person("ada")
    again = counter.desk.again(ada)
    field = f"{product}:{variant}".encode()
    one = {"product_id": product}
    assert statuses(at_once(counter, [("POST", "/cart/items", ada.headers, one)] * 20)) == {200: 20}
    assert counter.redis.hgetall(f"cart:{ada.id}") == {field: b"20"}
    counter.send("POST", "/cart/items", guest="visit-1", json={**one, "quantity": 7})
    # two devices bring the same visit along, again and again
    both: list[Call] = [
        ("GET", "/cart", {**who.headers, **guest_header("visit-1")}, None) for who in (ada, again) * 6
    ]
    assert statuses(at_once(counter, both)) == {200: 12}
    assert counter.redis.hgetall(f"cart:{ada.id}") == {field: b"27"}
    assert counter.stream("cart_events").count("cart.merged") == 1
    # and while the visit's other windows still put things in
    adding: list[Call] = [("POST", "/cart/items", guest_header("visit-1"), one)] * 12
    assert statuses(at_once(counter, [*adding, *both])) == {200: 24}
    counter.send("GET", "/cart", who=ada, guest="visit-1")
    assert counter.redis.hgetall(f"cart:{ada.id}") == {field: b"39"}
    assert not counter.redis.exists("cart:session:visit-1")


def test_moves_of_categories_at_once_close_no_circle(counter: Counter) -> None:
    made = {
        name: counter.send("POST", "/admin/categories", who=counter.admin, json={"name": name}, status=201)[
            "id"
        ]
        for name in ("A", "B", "C", "D")
    }
    names = list(made)
    calls: list[Call] = [
        (
            "PUT",
            f"/admin/categories/{made[name]}",
            counter.admin.headers,
            {"name": name, "parent_id": made[names[(number + step) % 4]]},
        )
        for step in (1, 2, 3)
        for number, name in enumerate(names)
    ]
    answers = at_once(counter, calls)
    assert set(statuses(answers)) == {200, 422}
    # from any category the way up ends at the top
    parents = {
        one[0]: one[1] for one in counter.desk.rows("SELECT id, parent_id FROM products_db.categories")
    }
    for start in parents:
        here: object = start
        for _ in parents:
            here = parents[here] if here is not None else None
        assert here is None
