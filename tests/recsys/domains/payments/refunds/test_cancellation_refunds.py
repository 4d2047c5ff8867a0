"""Money of cancelled orders that the gateway refuses to give back: staff hear of it, it is asked again."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from recsys.domains.payments import processing
from recsys.domains.payments.gateway import Answer, GatewayOutcome, GatewayTimeout
from recsys.domains.payments.refunds import cancellation_refunds, refunds
from recsys.domains.payments.sandbox import Sandbox
from recsys.errors import Unavailable
from tests.journeys.conftest import Counter
from tests.recsys.domains.users.conftest import Person


class Door:
    """A gateway whose way back can be closed; it keeps what went through, by key."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = False
        self.asked: list[str] = []
        self.moved: dict[str, Decimal] = {}
        self.known: dict[str, Answer] = {}

        def refund(gateway: Sandbox, transaction_id: str, amount: Decimal, *, key: str) -> Answer:
            return self._answer(key, amount)

        def void(gateway: Sandbox, transaction_id: str, *, key: str) -> Answer:
            return self._answer(key, Decimal(0))

        monkeypatch.setattr(Sandbox, "refund", refund)
        monkeypatch.setattr(Sandbox, "void", void)

    def _answer(self, key: str, amount: Decimal) -> Answer:
        self.asked.append(key)
        # as gateways do: a key that is known is answered as before
        if key not in self.known:
            outcome = GatewayOutcome.APPROVED if self.open else GatewayOutcome.DECLINED
            self.known[key] = Answer(outcome, f"re_{len(self.known)}", None if self.open else "closed", {})
            if self.open:
                self.moved[key] = amount
        return self.known[key]


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    return Door(monkeypatch)


def cancelled(counter: Counter, *, capture: bool = True) -> tuple[Person, dict[str, Any], int]:
    """Ada's cancelled order over 30.00, and its payment."""
    ada = counter.desk.person("ada")
    product, _ = counter.product("Cup", price="30.00")
    order = counter.order(ada, product)
    body = {"order_id": order["id"], "token": "tok_visa", "capture": capture}
    payment = counter.send("POST", "/payments", who=ada, key="pay-00001", json=body, status=201)["id"]
    counter.send("POST", f"/orders/{order['id']}/cancel", who=ada, json={"reason": "too late"})
    counter.settle_events()
    return ada, order, payment


def alerts(counter: Counter) -> list[str]:
    items = counter.send("GET", "/notifications?limit=49", who=counter.admin)["items"]
    return [one["title"] for one in items if one["type"] == "shop_alert"]


def test_a_refused_refund_is_reported_and_tried_again(counter: Counter, door: Door) -> None:
    ada, order, payment = cancelled(counter)
    subject = f"Order {order['order_number']}: the payment gateway refused a refund"
    assert alerts(counter) == [subject]
    assert door.asked == [f"cancelled:{payment}"]
    assert cancellation_refunds.again() == {}, "not before its time"
    assert cancellation_refunds.again(first_pause=timedelta(0)) == {payment: "captured"}
    counter.settle_events()
    assert alerts(counter) == [subject, subject]
    door.open = True
    assert cancellation_refunds.again(first_pause=timedelta(0)) == {payment: "refunded"}
    assert cancellation_refunds.again(first_pause=timedelta(0)) == {}
    assert sum(door.moved.values()) == Decimal("30.00")
    assert len(set(door.asked)) == 3, "a key that was refused is answered the same for ever"
    assert counter.send("GET", f"/payments/{payment}", who=ada)["refunded"] == "30.00"
    assert counter.send("GET", f"/orders/{order['id']}", who=ada)["financial_status"] == "refunded"


def test_a_refused_void_is_reported_and_tried_again(counter: Counter, door: Door) -> None:
    ada, _, payment = cancelled(counter, capture=False)
    assert len(alerts(counter)) == 1
    door.open = True
    assert cancellation_refunds.again(first_pause=timedelta(0)) == {payment: "voided"}
    assert door.asked == [f"void:{payment}", f"void:{payment}:1"]
    titles = [one["title"] for one in counter.send("GET", "/notifications", who=ada)["items"]]
    assert not any("not accepted" in title for title in titles), "a cancelled order asks for no other payment"


def test_pauses_grow_and_it_is_not_asked_for_ever(counter: Counter, door: Door) -> None:
    cancelled(counter)
    for _ in range(cancellation_refunds.MOST_TRIES + 2):
        cancellation_refunds.again(first_pause=timedelta(0))
    assert len(door.asked) == cancellation_refunds.MOST_TRIES
    counter.settle_events()
    assert len(alerts(counter)) == cancellation_refunds.MOST_TRIES


def test_what_got_no_answer_is_asked_under_its_old_key(
    counter: Counter, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, payment = cancelled(counter)

    def silent(gateway: Sandbox, transaction_id: str, amount: Decimal, *, key: str) -> Answer:
        door.asked.append(key)
        door.moved[key] = amount
        raise GatewayTimeout("The payment gateway did not answer in time.")

    answering = Sandbox.refund
    monkeypatch.setattr(Sandbox, "refund", silent)
    assert cancellation_refunds.again(first_pause=timedelta(0)) == {payment: "captured"}
    assert cancellation_refunds.again(first_pause=timedelta(0)) == {payment: "captured"}
    assert len(door.asked) == 2, "what is on its way is not asked for a second time"
    door.open = True
    monkeypatch.setattr(Sandbox, "refund", answering)
    assert refunds.settle_refunds() == 1
    assert door.asked[1] == door.asked[2]
    assert sum(door.moved.values()) == Decimal("30.00")


def test_a_gateway_that_is_gone_keeps_no_other_payment_waiting(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = counter.desk.person("ada")
    product, _ = counter.product("Cup")
    ids = []
    for number in range(2):
        order = counter.order(ada, product, key=f"order-000{number}")["id"]
        body = {"order_id": order, "token": "tok_timeout"}
        ids.append(counter.send("POST", "/payments", who=ada, key=f"pay-0000{number}", json=body, status=201))
    found = Sandbox.find

    def first_is_away(gateway: Sandbox, key: str, token: str) -> Answer:
        if key == f"payment:{ids[0]['id']}":
            raise Unavailable("The gateway can't be reached.")
        return found(gateway, key, token)

    monkeypatch.setattr(Sandbox, "find", first_is_away)
    assert processing.settle_all(older_than=timedelta(0)) == {
        ids[0]["id"]: "unanswered",
        ids[1]["id"]: "captured",
    }
