"""Requests that are wrong get a problem that says what was expected."""

from __future__ import annotations

import re

import httpx
import pytest

USER = "/api/v1/users/{}/recommendations"


def test_wrong_requests_are_problems(bare_client: httpx.Client) -> None:
    cases = [
        (USER.format("abc"), "user_id"),
        (USER.format(0), "user_id"),
        (USER.format(-1), "user_id"),
        (USER.format(2**31), "user_id"),
        (USER.format(10**30), "user_id"),
        (USER.format(1) + "?limit=0", "limit"),
        (USER.format(1) + "?limit=101", "limit"),
        (USER.format(1) + "?limit=ten", "limit"),
        (USER.format(1) + "?novelty=old", "novelty"),
        ("/api/v1/products/x/similar", "product_id"),
        (f"/api/v1/products/{2**31}/similar", "product_id"),
        ("/api/v1/products/popular?limit=1000", "limit"),
    ]
    for path, field in cases:
        answer = bare_client.get(path)
        assert answer.status_code == 422, path
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert [error["field"] for error in problem["errors"]] == [field]
        assert problem["errors"][0]["expected"]
        assert field in problem["detail"]


@pytest.mark.parametrize("path", [USER, "/api/v1/products/{}/similar", "/api/v1/products/popular"])
def test_every_route_is_documented(bare_client: httpx.Client, path: str) -> None:
    document = bare_client.get("/openapi.json").json()
    path = path.replace("users/{}", "users/{user_id}").replace("products/{}", "products/{product_id}")
    responses = document["paths"][path]["get"]["responses"]
    assert responses["200"]["content"]["application/json"]["schema"]["$ref"].endswith("RecommendationsOut")
    assert "application/problem+json" in responses["422"]["content"]


def test_the_docs_page_needs_no_network(bare_client: httpx.Client) -> None:
    page = bare_client.get("/docs").text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(loaded) >= 2
    for address in loaded:
        assert address.startswith("/")
        assert bare_client.get(address).status_code == 200
