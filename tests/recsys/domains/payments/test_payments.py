"""Payments over HTTP: declines, timeouts, holds, webhooks, refunds, fraud, and card numbers nobody takes."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from recsys.domains.payments import processing
from recsys.domains.payments.sandbox import SIGNED_FOR_SECONDS, TOKENS, Sandbox, _signature, sign
from recsys.errors import Forbidden, Invalid
from tests.journeys.conftest import Counter
from tests.recsys.domains.payments.webhooks import hook
from tests.recsys.domains.users.conftest import Person


def pay(counter: Counter, who: Person, order: int, token: str, *, key: str = "pay-00001", **more: Any) -> Any:
    body = {"order_id": order, "token": token, **more}
    return counter.send("POST", "/payments", who=who, key=key, json=body, status=201)


def test_a_payment_that_got_no_answer_is_looked_up_and_never_made_twice(
    counter: Counter, bought: tuple[Person, int]
) -> None:
    ada, order = bought
    waiting = pay(counter, ada, order, "tok_timeout")
    assert (waiting["status"], [one["status"] for one in waiting["attempts"]]) == ("pending", ["timeout"])
    other = {"order_id": order, "token": "tok_visa"}
    counter.send("POST", "/payments", who=ada, key="pay-00002", json=other, status=409)
    settled = counter.shop.run("payments", "settle", "--older-than", "0", "--json")
    assert json.loads(settled.stdout)["payments"] == {str(waiting["id"]): "captured"}, settled.stderr
    seen = counter.send("GET", f"/payments/{waiting['id']}", who=ada)
    assert [one["status"] for one in seen["attempts"]] == ["timeout", "approved"]
    assert counter.send("GET", f"/orders/{order}", who=ada)["financial_status"] == "paid"
    assert json.loads(counter.shop.run("payments", "settle", "--older-than", "0", "--json").stdout) == {
        "payments": {},
        "refunds": 0,
        "asked_again": {},
    }


def test_a_charge_that_never_arrived_fails_in_the_end(counter: Counter, bought: tuple[Person, int]) -> None:
    ada, order = bought
    lost = pay(counter, ada, order, "tok_lost")["id"]
    assert processing.settle(lost) == "pending"
    assert processing.settle(lost, lost_after=timedelta(0)) == "failed"
    assert counter.send("GET", f"/payments/{lost}", who=ada)["failure_reason"] == "never_arrived"
    assert pay(counter, ada, order, "tok_visa", key="pay-00002")["status"] == "captured"


def test_money_is_held_then_captured_or_let_go(counter: Counter, bought: tuple[Person, int]) -> None:
    ada, order = bought
    held = pay(counter, ada, order, "tok_visa", capture=False)
    assert held["status"] == "authorized"
    path = f"/admin/payments/{held['id']}"
    early = {"reason": "no"}
    counter.send("POST", f"{path}/refunds", who=counter.admin, key="back-0001", json=early, status=409)
    assert counter.send("POST", f"{path}/capture", who=counter.admin)["status"] == "captured"
    assert counter.send("POST", f"{path}/capture", who=counter.admin)["status"] == "captured"
    counter.send("POST", f"{path}/void", who=counter.admin, status=409)
    product, _ = counter.product("Mug")
    second = counter.order(ada, product, key="order-0002")["id"]
    other = pay(counter, ada, second, "tok_visa", key="pay-00002", capture=False)["id"]
    assert counter.send("POST", f"/admin/payments/{other}/void", who=counter.admin)["status"] == "voided"
    assert counter.send("GET", f"/orders/{second}", who=ada)["financial_status"] == "voided"
    counter.settle_events()
    assert counter.stream("payment_events").count("payment.captured") == 1


def test_webhooks_are_taken_once_and_turn_nothing_back(counter: Counter, bought: tuple[Person, int]) -> None:
    ada, order = bought
    waiting = pay(counter, ada, order, "tok_timeout")["id"]
    message = {
        "id": "evt_1",
        "type": "payment.approved",
        "key": f"payment:{waiting}",
        "transaction_id": "ch_9",
    }
    assert hook(counter, message) == (200, {"outcome": "applied"})
    assert hook(counter, message) == (200, {"outcome": "repeated"})
    assert counter.send("GET", f"/payments/{waiting}", who=ada)["status"] == "captured"
    late = {**message, "id": "evt_2", "type": "payment.declined"}
    assert hook(counter, late) == (200, {"outcome": "ignored"})
    assert counter.send("GET", f"/payments/{waiting}", who=ada)["status"] == "captured"
    unknown = {**message, "id": "evt_3", "key": "payment:999999"}
    assert hook(counter, unknown) == (200, {"outcome": "ignored"})
    stored = counter.desk.rows("SELECT event_id, outcome FROM payments_db.webhook_events ORDER BY event_id")
    assert stored == [("evt_1", "applied"), ("evt_2", "ignored"), ("evt_3", "ignored")]


def test_a_webhook_that_is_not_the_gateway_s_changes_nothing(
    counter: Counter, bought: tuple[Person, int]
) -> None:
    ada, order = bought
    waiting = pay(counter, ada, order, "tok_timeout")["id"]
    message = {"id": "evt_1", "type": "payment.approved", "key": f"payment:{waiting}"}
    assert hook(counter, message, secret="guessed")[0] == 403
    assert hook(counter, message, at=1_600_000_000)[0] == 403
    assert hook(counter, {"id": "evt_1"})[0] == 422
    assert counter.send("GET", f"/payments/{waiting}", who=ada)["status"] == "pending"
    assert counter.desk.rows("SELECT 1 FROM payments_db.webhook_events") == []


def test_no_webhook_and_no_trace_is_taken_for_a_card_number(
    counter: Counter, bought: tuple[Person, int]
) -> None:
    ada, order = bought
    waiting = pay(counter, ada, order, "tok_timeout")["id"]
    # gateways' ids are hexadecimal: some hold digits that a card could have
    message = {
        "id": "evt_f4242424242424242a",
        "type": "payment.approved",
        "key": f"payment:{waiting}",
        "transaction_id": "ch_ab4242424242424242",
    }
    assert hook(counter, message) == (200, {"outcome": "applied"})
    trace = {"traceparent": "00-4bf92f3577b34da4242424242424242a-00f067aa0ba902b7-01"}
    counter.send("GET", f"/payments/{waiting}", who=ada, **trace)
    counter.send("GET", f"/payments/{waiting}", who=ada, status=422, X_Note="4242 4242 4242 4242")


def test_a_signature_is_of_this_body_and_this_moment() -> None:
    gateway = Sandbox("secret")
    body = b'{"id": "1"}'
    assert gateway.webhook(body, sign("secret", body)) == {"id": "1"}
    stamps = [
        f"t={stamp},v1={_signature('secret', stamp, body)}" for stamp in ("", "9" * 5000, "١٢", "-1", "1e9")
    ]
    for wrong in (sign("other", body), sign("secret", b"{}"), "", "t=abc,v1=00", "v1=00", *stamps):
        with pytest.raises(Forbidden):
            gateway.webhook(body, wrong)
    with pytest.raises(Forbidden, match=f"more than {SIGNED_FOR_SECONDS} seconds ago"):
        gateway.webhook(body, sign("secret", body, at=0))
    with pytest.raises(Invalid, match="not valid JSON"):
        gateway.webhook(b"{", sign("secret", b"{"))


def test_refunds_never_exceed_what_came_in_and_a_failed_one_can_be_asked_again(
    counter: Counter, bought: tuple[Person, int]
) -> None:
    ada, order = bought
    payment = pay(counter, ada, order, "tok_refund_fails")["id"]
    path = f"/admin/payments/{payment}/refunds"
    failed = counter.send(
        "POST", path, who=counter.admin, key="back-0001", json={"reason": "broken"}, status=201
    )
    assert (failed["status"], failed["amount"]) == ("failed", "30.00")
    # what failed did not go back: it is still there to be refunded
    again = counter.send(
        "POST", path, who=counter.admin, key="back-0002", json={"amount": "30.00", "reason": "x"}, status=201
    )
    assert again["status"] == "failed"
    more = {"amount": "30.01", "reason": "x"}
    answer = counter.send("POST", path, who=counter.admin, key="back-0003", json=more, status=409)
    assert answer["detail"] == "Only 30.00 of this payment is left to refund."
    for wrong in ("0", "-1.00", "0.001", "1e400"):
        body = {"amount": wrong, "reason": "x"}
        counter.send("POST", path, who=counter.admin, key="back-0004", json=body, status=422)
    assert counter.send("GET", f"/orders/{order}", who=ada)["financial_status"] == "paid"


def test_a_suspicious_payment_is_held_until_somebody_decides(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    product, _ = counter.product("Ring", price="2000.00", stock=10)
    order = counter.order(ada, product)["id"]
    for number in range(3):
        pay(counter, ada, order, "tok_declined", key=f"try-0000{number}")
    held = pay(counter, ada, order, "tok_visa", key="pay-00001")
    # a first order over 1,000 (2.0), an account of minutes (1.0), three failures within the hour (2.5)
    assert held["status"] == "authorized"
    (flag,) = counter.send("GET", "/admin/fraud-flags", who=counter.admin)["items"]
    assert (flag["payment_id"], flag["risk_score"]) == (held["id"], "5.50")
    assert set(flag["flags"]) == {"large_first_order", "new_account", "failed_attempts"}
    path = f"/admin/payments/{held['id']}/capture"
    counter.send("POST", path, who=counter.admin, status=409)
    decided = {"decision": "accept", "notes": "called her"}
    counter.send("POST", f"/admin/fraud-flags/{flag['id']}/resolve", who=counter.admin, json=decided)
    counter.send(
        "POST", f"/admin/fraud-flags/{flag['id']}/resolve", who=counter.admin, json=decided, status=409
    )
    assert counter.send("POST", path, who=counter.admin)["status"] == "captured"
    assert counter.send("GET", "/admin/fraud-flags", who=counter.admin)["items"] == []


def test_a_rejected_payment_lets_the_money_go(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    product, _ = counter.product("Ring", price="2000.00", stock=10)
    order = counter.order(ada, product)["id"]
    for number in range(3):
        pay(counter, ada, order, "tok_declined", key=f"try-0000{number}")
    held = pay(counter, ada, order, "tok_visa", key="pay-00001")["id"]
    (flag,) = counter.send("GET", "/admin/fraud-flags", who=counter.admin)["items"]
    decided = {"decision": "reject", "notes": "stolen"}
    counter.send("POST", f"/admin/fraud-flags/{flag['id']}/resolve", who=counter.admin, json=decided)
    assert counter.send("GET", f"/payments/{held}", who=ada)["status"] == "voided"
    assert counter.send("GET", f"/orders/{order}", who=ada)["financial_status"] == "voided"
    counter.settle_events()
    titles = [one["title"] for one in counter.send("GET", "/notifications", who=ada)["items"]]
    assert any("the payment was not accepted" in title for title in titles)
    alerts = counter.send("GET", "/notifications", who=counter.admin)["items"]
    assert any("looks suspicious" in one["title"] and one["type"] == "shop_alert" for one in alerts)
    # the order can still be paid another way
    again = pay(counter, ada, order, "tok_visa", key="pay-00002")
    assert again["status"] == "authorized"
    (flag,) = counter.send("GET", "/admin/fraud-flags", who=counter.admin)["items"]
    decided = {"decision": "accept", "notes": "the bank confirmed it"}
    counter.send("POST", f"/admin/fraud-flags/{flag['id']}/resolve", who=counter.admin, json=decided)
    assert counter.send("POST", f"/admin/payments/{again['id']}/capture", who=counter.admin)["status"] == (
        "captured"
    )
    seen = counter.send("GET", f"/orders/{order}", who=ada)
    assert (seen["status"], seen["financial_status"]) == ("processing", "paid")


def test_who_was_blocked_and_is_trusted_then_is_held_and_not_blocked_again(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    product, _ = counter.product("Ring", price="2000.00", stock=10)
    order = counter.order(ada, product)["id"]
    for number in range(10):
        pay(counter, ada, order, "tok_declined", key=f"try-0000{number}")
    blocked = pay(counter, ada, order, "tok_visa", key="pay-00001")
    assert (blocked["status"], blocked["failure_reason"]) == ("failed", "suspected_fraud")
    flags = counter.send("GET", "/admin/fraud-flags", who=counter.admin)["items"]
    (flag,) = (one for one in flags if one["payment_id"] == blocked["id"])
    decided = {"decision": "accept", "notes": "called her"}
    counter.send("POST", f"/admin/fraud-flags/{flag['id']}/resolve", who=counter.admin, json=decided)
    assert pay(counter, ada, order, "tok_visa", key="pay-00002")["status"] == "authorized"


def test_a_stored_method_shows_four_digits_and_belongs_to_one_user(counter: Counter) -> None:
    ada, bob = counter.desk.person("ada"), counter.desk.person("bob")
    first = counter.send("POST", "/payment-methods", who=ada, json={"token": "tok_visa"}, status=201)
    assert (first["last4"], first["brand"], first["is_default"]) == ("4242", "visa", True)
    assert "token" not in first
    assert "gateway_id" not in first
    same = counter.send("POST", "/payment-methods", who=ada, json={"token": "tok_visa"}, status=201)
    assert same["id"] == first["id"]
    second = counter.send(
        "POST", "/payment-methods", who=ada, json={"token": "tok_mastercard", "is_default": True}, status=201
    )
    kept = counter.send("GET", "/payment-methods", who=ada)
    assert [(one["id"], one["is_default"]) for one in kept] == [(second["id"], True), (first["id"], False)]
    unknown = counter.send("POST", "/payment-methods", who=ada, json={"token": "tok_nobody"}, status=422)
    assert "does not know the token" in unknown["detail"]
    product, _ = counter.product("Cup")
    order = counter.order(bob, product)["id"]
    body = {"order_id": order, "payment_method_id": first["id"]}
    counter.send("POST", "/payments", who=bob, key="pay-00001", json=body, status=404)
    counter.send("DELETE", f"/payment-methods/{first['id']}", who=bob, status=404)
    counter.send("DELETE", f"/payment-methods/{first['id']}", who=ada, status=204)


@pytest.mark.parametrize(
    ("method", "path", "json_body"),
    [
        ("POST", "/payments", {"order_id": 1, "token": "4242424242424242"}),
        ("POST", "/payments", {"order_id": 1, "number": "4242 4242 4242 4242"}),
        ("POST", "/payment-methods", {"token": "tok_visa", "deep": {"er": ["5555-5555-5555-4444"]}}),
        ("GET", "/payments/1?note=378282246310005", None),
    ],
)
def test_a_card_number_is_refused_and_written_nowhere(
    counter: Counter, capfd: pytest.CaptureFixture[str], method: str, path: str, json_body: Any
) -> None:
    ada = counter.desk.person("ada")
    answer = counter.send(method, path, who=ada, key="pay-00001", json=json_body, status=422)
    assert "looks like a card number" in answer["detail"]
    out, err = capfd.readouterr()
    for digits in ("4242424242424242", "4242 4242", "5555-5555", "378282246310005"):
        assert digits not in json.dumps(answer) + out + err
    assert counter.desk.rows("SELECT 1 FROM payments_db.payments") == []


def test_every_sandbox_token_answers_as_its_table_says(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    product, _ = counter.product("Cup", stock=100)
    seen = {}
    for number, token in enumerate(sorted(set(TOKENS) - {"tok_lost"})):
        who = ada if number == 0 else counter.desk.person(f"person{number}")
        order = counter.order(who, product, key=f"order-{number:04}")["id"]
        seen[token] = pay(counter, who, order, token, key=f"pay-{number:05}")["status"]
    assert seen == {
        "tok_declined": "failed",
        "tok_insufficient_funds": "failed",
        "tok_mastercard": "captured",
        "tok_refund_fails": "captured",
        "tok_timeout": "pending",
        "tok_twice": "captured",
        "tok_visa": "captured",
    }
    total = counter.one("SELECT sum(amount) FROM payments_db.payments WHERE status = 'captured'")
    assert total == Decimal("40.00")
