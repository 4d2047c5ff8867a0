"""A plain request has the same response as one whose parameters are solved by FastAPI."""

from __future__ import annotations

import base64
from functools import partial
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from recsys.web.access.signing import SIZE, is_signed
from serving.api.user_list_route import UserListRoute
from serving.server.app import create_app
from tests.serving.running import running
from tests.support.shop import Shop

QUERIES = ["", "?limit=1", "?limit=100", "?novelty=new", "?novelty=any", "?limit=7&novelty=new",
           "?novelty=new&limit=7", "?limit=07", "?limit=%37", "?unknown=1", "?limit=5&limit=6"]  # fmt: skip
WRONG = ["?limit=0", "?limit=101", "?limit=", "?limit=1e1", "?novelty=old", "?novelty=", "?limit=-1"]


def _plain(answer: httpx.Response) -> tuple[int, str, Any]:
    body = answer.json()
    provenance = body.get("provenance", body)
    provenance.pop("request_id")
    provenance.pop("features_age_seconds", None)  # the clock goes on between two requests
    if body.get("next_cursor"):
        whole = base64.urlsafe_b64decode(body["next_cursor"] + "==")
        signature, packed = whole[:SIZE], whole[SIZE:]
        # in between the second in which the list was made, which is signed, too
        assert is_signed(b"list", packed, signature)
        body["next_cursor"] = packed[:22] + packed[26:]
    return answer.status_code, answer.headers["content-type"], body


def test_both_ways_respond_the_same(
    scored_shop: Shop, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app()
    (route,) = (route for route in app.routes if isinstance(route, UserListRoute))
    monkeypatch.setattr(route, "handle", partial(APIRoute.handle, route))
    with running(app) as slow:
        for user in ("1", "11", "29", "999999", "2147483647", "0", "01", "1.0", "999999999999", "%31"):
            path = f"/api/v1/users/{user}/recommendations"
            for query in [*QUERIES, *WRONG] if user == "1" else QUERIES[:1]:
                assert _plain(client.get(path + query)) == _plain(slow.get(path + query)), path + query
        path = "/api/v1/users/1/recommendations"
        assert client.get(path).headers.keys() == slow.get(path).headers.keys()
        assert client.post(path).status_code == slow.post(path).status_code == 405
        assert client.head(path).status_code == slow.head(path).status_code


@pytest.mark.parametrize("query", ["", "?limit=3"])
def test_it_is_counted_by_its_template(client: httpx.Client, query: str) -> None:
    def count() -> float:
        name = "recsys_http_requests_total"
        line = f'{name}{{method="GET",route="/api/v1/users/{{user_id}}/recommendations",status="200"}} '
        found = [one for one in client.get("/metrics").text.splitlines() if one.startswith(line)]
        return float(found[0].removeprefix(line)) if found else 0.0

    before = count()
    answer = client.get(f"/api/v1/users/1/recommendations{query}", headers={"X-Request-ID": "abc-12345"})
    assert answer.headers["X-Request-ID"] == answer.json()["provenance"]["request_id"] == "abc-12345"
    assert count() == before + 1
