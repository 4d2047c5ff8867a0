"""Readiness says that PostgreSQL takes no writes, and how much waits for it; lists go on."""

from __future__ import annotations

import httpx
import pytest

from recsys.database.session import dispose_engines
from recsys.write_buffer import buffer
from tests.serving.api.answers import ask
from tests.support.faults import read_only
from tests.support.shop import Shop


def test_readiness_tells_of_a_database_that_takes_no_writes(
    client: httpx.Client, scored_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffer.postgresql_outage, "seconds", 0.0)
    assert client.get("/health/ready").json()["parts"]["postgresql"]["well"] is True
    with read_only(scored_shop):
        dispose_engines()
        seen = {"user_id": 1, "product_id": 1, "interaction_type": "view"}
        assert client.post("/api/v1/interactions", json=seen).status_code == 202
        ready = client.get("/health/ready")
        assert ready.status_code == 200
        parts = ready.json()["parts"]
        assert ready.json()["status"] == "degraded"
        assert parts["postgresql"]["well"] is False
        assert "read-only" in parts["postgresql"]["detail"]
        assert parts["write_buffer"] == {
            "well": False,
            "detail": "1 posts wait in Redis for PostgreSQL, or for the lists that they are about",
        }
        assert len(ask(client, 2)["items"]) == 20
    dispose_engines()
