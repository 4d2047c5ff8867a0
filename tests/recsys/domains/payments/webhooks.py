"""Orders to pay, and what a payment provider posts."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from recsys.domains.payments.sandbox import sign
from tests.journeys.conftest import Counter
from tests.recsys.domains.users.conftest import Person

SECRET = "sandbox-webhooks"


@pytest.fixture
def bought(counter: Counter) -> tuple[Person, int]:
    """Ada, and an order of hers over 30.00."""
    ada = counter.desk.person("ada")
    product, _ = counter.product("Cup", price="30.00", stock=100)
    return ada, counter.order(ada, product)["id"]


def hook(counter: Counter, message: dict[str, Any], *, secret: str = SECRET, at: int | None = None) -> Any:
    raw = orjson.dumps(message)
    answer = counter.desk.client.post(
        "/api/v1/payments/webhooks/sandbox",
        content=raw,
        headers={"Webhook-Signature": sign(secret, raw, at=at), "Content-Type": "application/json"},
    )
    return answer.status_code, answer.json()
