"""Card numbers are found however they are written, on every route; prices, ids and bar codes pass."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.api import create_api
from recsys.web.pan_filter import holds_card_number, is_typed_card_number
from tests.journeys.conftest import ADDRESS, Counter


@pytest.mark.parametrize(
    "text",
    [
        "4242424242424242",
        "my card is 4242 4242 4242 4242, thanks",
        "5555-5555-5555-4444",
        "378282246310005",  # 15 digits
        '{"a":{"b":["6011111111111117"]}}',
        "note=4242%204242%204242%204242",
        "4242+4242+4242+4242",
        "4222222222222",  # 13 digits
    ],
)
def test_a_card_number_is_found(text: str) -> None:
    assert holds_card_number(["nothing", text])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4242424242424241",  # wrong check digit
        "1242424242424242",  # no card begins with 1
        "42424242424242424242424242",  # longer than any
        "+49 30 901820",
        "2026-11-23T10:15:30",
        "0e0a36c0-4a5a-4bb1-9d0b-6d1e1d9a3c11",
        "price 1299.99, order 4242",
    ],
)
def test_other_numbers_pass(text: str) -> None:
    assert not holds_card_number([text])


def _luhn(payload: str) -> str:
    total = 0
    for place, digit in enumerate(reversed(payload)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return payload + str(-total % 10)


@given(
    st.sampled_from("23456"),
    st.text("0123456789", min_size=11, max_size=17),
    st.sampled_from(["", " ", "-", "."]),
)
def test_every_number_with_a_right_check_digit_is_found_and_no_other(
    first: str, rest: str, apart: str
) -> None:
    right = _luhn(first + rest)
    wrong = right[:-1] + str((int(right[-1]) + 1) % 10)
    assert holds_card_number([f"x{apart.join(right)}y"])
    assert not holds_card_number([f"x{apart.join(wrong)}y"])


@pytest.mark.parametrize(
    "text",
    [
        "4242424242424242",
        "my card is 4242 4242 4242 4242, thanks",
        "(5555-5555-5555-4444)",
        "line\n378282246310005\nline",
        "3056 930902 5904",  # Diners, 14 digits
        "2223003122003222",  # Mastercard's second range
        "6011111111111117.",
        "3530 1113 3330 0000",
        "ends with 6759649826438453",
    ],
)
def test_a_typed_card_number_is_found(text: str) -> None:
    assert is_typed_card_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "4242424242424241",  # wrong check digit
        "4006381333931",  # EAN-13 with a check digit that suits a card, too
        "04242424242424242424",  # longer than any
        "R-4242424242424242",  # part of a code
        "order_4242424242424242",
        "4242424242424242x",
        "42424242-4242-4242-4242-424242424242",
        "GA1.2.4242424242.4242424242",
        "4242424242424242.50",
        "5900000000000008",  # no network's
        "2026-11-23T10:15:30.123456+00:00",
        "+49 30 901820",
    ],
)
def test_what_machines_write_passes(text: str) -> None:
    assert not is_typed_card_number(text)


@given(st.uuids())
def test_a_uuid_is_no_card_number(one: uuid.UUID) -> None:
    assert not is_typed_card_number(f"{one}")


REFUSED: list[tuple[str, str, Any]] = [
    ("POST", "/auth/register", {"email": "a@b.org", "username": "a", "full_name": "4242 4242 4242 4242"}),
    ("PATCH", "/users/me", {"bio": "pay me: 4242-4242-4242-4242"}),
    ("PUT", "/users/me/settings", {"deep": [{"4242424242424242": True}]}),
    ("POST", "/orders", {"shipping_address": ADDRESS, "notes": "card\n4242424242424242"}),
    ("POST", "/addresses", {**ADDRESS, "address2": "4242424242424242"}),
    ("PUT", "/products/1/review", {"rating": 5, "content": "my card \u0034242424242424242 works"}),
    ("POST", "/analytics/collect", [{"type": "event", "properties": {"q": "4242424242424242"}}]),
    ("POST", "/interactions", {"context": {"search": "4242 4242 4242 4242"}}),
    ("POST", "/recommendations/feedback", {"text": "4242424242424242"}),
    ("GET", "/products?tag=4242%204242%204242%204242", None),
    ("GET", "/users/by-username/4242424242424242", None),
]  # fmt: skip


def test_no_route_takes_a_card_number(counter: Counter, capfd: pytest.CaptureFixture[str]) -> None:
    ada = counter.desk.person("ada")
    for number, (method, path, body) in enumerate(REFUSED):
        answer = counter.send(method, path, who=ada, key=f"order-000{number}", json=body, status=422)
        assert "looks like a card number" in answer["detail"], (method, path, answer)
        assert answer["request_id"]
    # JSON in its own escapes, and what is no JSON at all
    for raw in (rb'{"bio": "\u0034\u0032424242\u00342424242"}', b"{bio: 4242424242424242"):
        answer = counter.desk.client.patch("/api/v1/users/me", content=raw, headers=ada.headers)
        assert answer.status_code == 422, answer.text
        assert "looks like a card number" in answer.text
    answer = counter.desk.client.get("/api/v1/cart", headers={"User-Agent": "my card: 4242424242424242"})
    assert answer.status_code == 422
    out, err = capfd.readouterr()
    assert not any("42424242" in text for text in (out, err))
    assert "4242" not in json.dumps(counter.desk.rows("SELECT to_jsonb(p) FROM users_db.user_profiles p"))


CARD = "4242424242424242"
HIDDEN: list[Any] = [
    {"text": f"my card: {CARD}"},
    {"amount": int(CARD)},
    [{"deep": {"list": [1, int(CARD)]}}],
    {"user_id": "4242 4242 4242 4242"},
    {"session_id": "4242-4242-4242-4242"},
    {"card_id": CARD},
    {"cc_number_id": CARD},
    {"payment_id": int(CARD)},
    {CARD: None},
    CARD,
    int(CARD),
]


def test_no_route_that_changes_anything_takes_one_in_any_field(
    counter: Counter, capfd: pytest.CaptureFixture[str]
) -> None:
    routes = [
        (method.upper(), re.sub(r"\{[a-z_]+\}", "1", path))
        for path, operations in create_api().openapi()["paths"].items()
        for method in operations
        if method in ("post", "put", "patch", "delete")
    ]
    assert len(routes) > 60
    headers = {**counter.admin.headers, "Idempotency-Key": "order-0001"}
    before = counter.desk.rows("SELECT count(*) FROM recommendations_db.user_interactions")
    for number, (method, path) in enumerate(routes):
        # each way of hiding it somewhere, and all of them on every route that takes free text
        for body in HIDDEN if number % 7 == 0 else [HIDDEN[number % len(HIDDEN)], HIDDEN[0]]:
            answer = counter.desk.client.request(method, path, json=body, headers=headers)
            assert (answer.status_code, "card number" in answer.text) == (422, True), (method, path, body)
            assert CARD not in answer.text
    assert counter.desk.rows("SELECT count(*) FROM recommendations_db.user_interactions") == before
    out, err = capfd.readouterr()
    assert "42424242" not in (out + err).replace(" ", "").replace("-", "")


def test_one_is_never_logged_as_the_id_of_a_request(
    counter: Counter, capfd: pytest.CaptureFixture[str]
) -> None:
    for sent in (CARD, "4242-4242-4242-4242"):
        answer = counter.desk.client.get("/api/v1/categories", headers={"X-Request-ID": sent})
        assert answer.headers["x-request-id"] != sent
    assert "42424242" not in "".join(capfd.readouterr()).replace("-", "")
    kept = counter.desk.client.get("/api/v1/categories", headers={"X-Request-ID": "r-4242424242424242"})
    assert kept.headers["x-request-id"] == "r-4242424242424242"


def test_numbers_of_machines_are_taken(counter: Counter) -> None:
    bars = {"name": "Lamp", "price": "9.99", "sku": "4242424242424242", "description": "EAN 4006381333931"}
    made = counter.send("POST", "/admin/products", who=counter.admin, json=bars, status=201)
    event = {
        "user_id": counter.admin.id,
        "product_id": made["id"],
        "interaction_type": "view",
        "event_id": "4242424242424242",
        "context": {
            "nanoseconds": 1_764_000_000_424_242_424,
            "x_id": "4242424242424242",
            "y_id": 4242424242424242,
            "share": 4242.4242424242424242,
        },
    }
    counter.send("POST", "/interactions", json=event)


def test_a_large_body_is_looked_at_whole(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    many: list[Any] = [{"type": "event", "event_type": "x", "event_id": f"e-{n}"} for n in range(90)]
    many.append({"type": "event", "event_type": "x", "properties": {"text": "words " * 12_000}})
    counter.send("POST", "/analytics/collect", who=ada, json=many[:90])
    many[-1]["properties"]["text"] += "4242424242424242"
    answer = counter.send("POST", "/analytics/collect", who=ada, json=many, status=422)
    assert "looks like a card number" in answer["detail"]
