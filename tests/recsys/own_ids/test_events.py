"""Events by the shop's own ids: what is stored is what would be stored by number."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.shop import Shop

INTERACTIONS, FEEDBACK = "/api/v1/interactions", "/api/v1/recommendations/feedback"
OWN: dict[str, list[dict[str, Any]]] = {
    "user_id": [{"username": "a/b"}, {"user_id": "username:a/b"}, {"user_id": {"username": "a/b"}}],
    "product_id": [
        {"sku": "sku:1"},
        {"product_id": "sku:sku:1"},
        {"product_id": {"sku": "sku:1"}},
        # of a variant
        {"sku": "123"},
    ],
}


@pytest.fixture
def named_shop(small_shop: Shop) -> Shop:
    """User 2 is `a/b`; product 3 is `sku:1` and has a variant `123`; product 4's variant has its SKU."""
    with small_shop.connect() as connection:
        connection.execute("UPDATE users_db.users SET username = 'a/b' WHERE id = 2")
        connection.execute("UPDATE products_db.products SET sku = 'sku:1' WHERE id = 3")
        connection.execute(
            "INSERT INTO products_db.product_variants (product_id, sku) VALUES (3, '123'), (4, 'sku:1')"
        )
    return small_shop


def _rows(shop: Shop, table: str, columns: str) -> list[tuple[Any, ...]]:
    with shop.connect() as connection:
        query = f"SELECT user_id, product_id, {columns} FROM recommendations_db.{table} ORDER BY id"  # noqa: S608
        return connection.execute(query).fetchall()  # type: ignore[arg-type]


def test_an_interaction_by_own_ids_is_that_of_the_numbers(
    core_client: httpx.Client, named_shop: Shop
) -> None:
    events = [
        {"interaction_type": "view", **user, **product}
        for user in OWN["user_id"]
        for product in OWN["product_id"]
    ]
    answer = core_client.post(INTERACTIONS, json=events)
    assert answer.json()["stored"] == len(events), answer.text
    assert set(_rows(named_shop, "user_interactions", "interaction_type")) == {(2, 3, "view")}


def test_feedback_by_own_ids_is_that_of_the_numbers(core_client: httpx.Client, named_shop: Shop) -> None:
    pieces = [
        {"feedback_type": "clicked", **user, **product}
        for user in OWN["user_id"]
        for product in OWN["product_id"]
    ]
    answer = core_client.post(FEEDBACK, json=pieces)
    assert answer.json()["stored"] == len(pieces), answer.text
    assert set(_rows(named_shop, "recommendation_feedback", "feedback_type")) == {(2, 3, "clicked")}


REFUSED = [
    ({"user_id": 2, "sku": "none"}, "sku: no such product"),
    ({"user_id": 2, "product_id": "sku:none"}, "sku: no such product"),
    ({"username": "none", "product_id": 3}, "username: no such user"),
    ({"user_id": 2, "sku": "sku:1", "product_id": 3}, "either product_id or sku, not both"),
    ({"user_id": 2, "username": "a/b", "product_id": 3}, "either user_id or username, not both"),
    ({"user_id": 2, "sku": "x" * 101}, "sku: String should have at most 100 characters"),
    ({"user_id": 2, "sku": "a\0"}, "sku: text without NUL"),
    ({"user_id": 2, "product_id": "username:a/b"}, "product_id: Input should be a valid integer"),
]


def test_what_names_nothing_is_refused_by_itself(core_client: httpx.Client, named_shop: Shop) -> None:
    good = {"user_id": 2, "sku": "sku:1"}
    for path, kind in (
        (INTERACTIONS, {"interaction_type": "view"}),
        (FEEDBACK, {"feedback_type": "clicked"}),
    ):
        body = [names | kind for names, _ in REFUSED] + [good | kind]
        verdicts = core_client.post(path, json=body).json()["verdicts"]
        for (names, reason), verdict in zip(REFUSED, verdicts, strict=False):
            assert (verdict["status"], reason in verdict["reason"]) == ("refused", True), (names, verdict)
        assert verdicts[-1]["status"] == "stored"
