"""Ids of guests in the bodies of events: what this server issued acts for its guest when it is signed."""

from __future__ import annotations

import httpx
import pytest

from recsys.database.session import unit_of_work
from recsys.domains.users.api_keys import service as api_keys
from recsys.web.access.guest_sessions import signed_id
from tests.support.shop import Shop

BODIES = {
    "/api/v1/interactions": {"product_id": 3, "interaction_type": "view"},
    "/api/v1/recommendations/feedback": {
        "product_id": 3, "feedback_type": "dismissed", "request_id": "0123456789abcdef"
    },
}  # fmt: skip


def _sessions(shop: Shop) -> list[str]:
    with shop.connect() as connection:
        rows = connection.execute("SELECT session_id FROM recommendations_db.user_interactions").fetchall()
    return [session for (session,) in rows]


@pytest.mark.parametrize("path", sorted(BODIES))
def test_an_issued_id_needs_its_signature_or_a_key(
    core_client: httpx.Client, small_shop: Shop, path: str
) -> None:
    token = core_client.post("/api/v1/auth/guest").json()["session_id"]
    core_client.cookies.clear()
    guest = signed_id(token)
    assert guest is not None
    body = BODIES[path]
    refused = core_client.post(path, json={**body, "session_id": guest})
    assert refused.status_code == 422
    (verdict,) = refused.json()["verdicts"]
    assert verdict["reason"].startswith("session_id: an id without its signature")
    assert _sessions(small_shop) == []
    # neither an id of the shop's own nor the other parts of the batch are affected
    good = {"user_id": 2, "product_id": 3, **{name: body[name] for name in body if name.endswith("_type")}}
    mixed = core_client.post(path, json=[{**body, "session_id": guest}, good])
    assert [verdict["status"] for verdict in mixed.json()["verdicts"]] == ["refused", "stored"]
    for session_id, headers in ((token, {}), (guest, {"X-Api-Key": _key()}), ("till-4", {})):
        answer = core_client.post(path, json={**body, "session_id": session_id}, headers=headers)
        assert answer.status_code in (200, 202), answer.text
    if path.endswith("interactions"):
        assert sorted(filter(None, _sessions(small_shop))) == sorted([guest, guest, "till-4"])


def _key() -> str:
    with unit_of_work() as session:
        return api_keys.create(session, "shop", ["events"], by="tests").key
