"""Orders to pay, and what a payment provider posts."""

from __future__ import annotations

from typing import Any

import orjson

from recsys.domains.payments.sandbox import sign
from tests.journeys.conftest import Counter

SECRET = "sandbox-webhooks"


def hook(counter: Counter, message: dict[str, Any], *, secret: str = SECRET, at: int | None = None) -> Any:
    raw = orjson.dumps(message)
    answer = counter.desk.client.post(
        "/api/v1/payments/webhooks/sandbox",
        content=raw,
        headers={"Webhook-Signature": sign(secret, raw, at=at), "Content-Type": "application/json"},
    )
    return answer.status_code, answer.json()
