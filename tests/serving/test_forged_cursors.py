"""A cursor that this service did not issue writes no impression."""

from __future__ import annotations

import base64
import threading

import httpx
import pytest

from recsys.domains.recommendations.reasons import Kind, ReasonCode
from recsys.domains.recommendations.stored_lists.codec import Entry, pack_entries
from recsys.write_buffer import drain
from serving.recommender import pagination
from serving.recommender.request import RecommendationRequest
from tests.serving.api.answers import ask, execute
from tests.support.guests import guest
from tests.support.shop import Shop

PATH = "/api/v1/users/1/recommendations"


def forged(*, signature: bytes) -> str:
    """A cursor of a model and products of the forger's choice, in the right form."""
    head = pagination._HEADER.pack(
        pagination.FORMAT, pagination._fingerprint(RecommendationRequest(user=1)), 0, 1, 1, 0, 5, 1
    )
    body = (
        head + b"mine!" + b"9" + pack_entries([Entry(7, 9_000, Kind.POPULAR, ReasonCode.POPULAR, -1, True)])
    )
    return base64.urlsafe_b64encode(signature + body).rstrip(b"=").decode()


@pytest.mark.parametrize("signature", [b"", b"\0" * 16, b"x" * 16])
def test_a_forged_cursor_is_refused_and_nothing_is_written(
    client: httpx.Client, scored_shop: Shop, signature: bytes
) -> None:
    answer = client.get(PATH, params={"cursor": forged(signature=signature)})
    assert answer.status_code == 422
    assert "not from this service" in answer.json()["detail"]
    drain.run(threading.Event(), once=True)
    assert execute(scored_shop, "SELECT FROM recommendations_db.exposures WHERE model = 'mine!'") == []


def test_a_cursor_is_of_one_user_or_guest(client: httpx.Client) -> None:
    cursor = ask(client, 1, limit=5)["next_cursor"]
    assert client.get(PATH, params={"cursor": cursor, "limit": 3}).status_code == 200
    other = client.get("/api/v1/users/2/recommendations", params={"cursor": cursor})
    assert other.status_code == 422
    assert "another request" in other.json()["detail"]
    guests = "/api/v1/recommendations"
    cursor_of_guest = client.get(guests, params={"limit": 3}, headers=guest("one")).json()["next_cursor"]
    for session, status in (("one", 200), ("two", 422)):
        next_page = client.get(guests, params={"cursor": cursor_of_guest}, headers=guest(session))
        assert next_page.status_code == status
