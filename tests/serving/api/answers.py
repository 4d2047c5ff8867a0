"""Lists as the API answers them, and rows as a test reads and changes them."""

from __future__ import annotations

from typing import Any

import httpx

from serving.api.schemas import RecommendationsOut
from tests.support.shop import Shop


def execute(shop: Shop, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """One statement, committed."""
    with shop.connect() as connection:
        cursor = connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []


def ask(client: httpx.Client, user: int = 1, **parameters: object) -> dict[str, Any]:
    """A user's list, checked against the documented shape."""
    answer = client.get(f"/api/v1/users/{user}/recommendations", params=parameters)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    RecommendationsOut.model_validate_json(answer.content, strict=True)
    found: dict[str, Any] = answer.json()
    assert len({item["product_id"] for item in found["items"]}) == len(found["items"])
    return found


def ids(answer: dict[str, Any]) -> list[int]:
    return [item["product_id"] for item in answer["items"]]


def touched(shop: Shop, user: int) -> set[int]:
    rows = execute(
        shop, "SELECT product_id FROM recommendations_db.user_interactions WHERE user_id = %s", user
    )
    return {row[0] for row in rows}
