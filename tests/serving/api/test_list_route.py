"""A plain request has the same response as one whose parameters are solved by FastAPI."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from cachetools import LRUCache

from recsys.own_ids.resolver import RESOLVER
from recsys.web.access.signing import SIZE, blake2, is_signed
from serving.server.app import create_app
from tests.serving.api.answers import ask, execute, ids
from tests.serving.running import running
from tests.serving.shopping import PRODUCTS, USERS
from tests.support.shop import Shop

QUERIES = ["", "?limit=1", "?limit=100", "?novelty=new", "?novelty=any", "?limit=7&novelty=new",
           "?novelty=new&limit=7", "?limit=07", "?limit=%37", "?unknown=1", "?limit=5&limit=6"]  # fmt: skip
FILTERS = ["?in_stock=true", "?category=2&limit=5", "?min_price=10&max_price=50",
           "?created_since=2023-12-01T00:00:00",
           "?category=slug:lamps", "?exclude=1&exclude=2", "?tags=none", "?brand=1", "?diversity=0.5",
           "?fields=price,sku&in_stock=true", "?attr.sku=sku3",
           "?category=4&novelty=new&limit=100"]  # fmt: skip
WRONG = [
    "?category=slug:none",
    "?min_price=5&max_price=1",
    "?diversity=2",
    "?fields=colour",
    "?attr.x=1",
    "?limit=0",
    "?limit=101",
    "?limit=",
    "?limit=1e1",
    "?novelty=old",
    "?novelty=",
    "?limit=-1",
]


def _plain(answer: httpx.Response) -> tuple[int, str, Any]:
    body = answer.json()
    provenance = body.get("provenance", body)
    provenance.pop("request_id")
    provenance.pop("features_age_seconds", None)  # the clock goes on between two requests
    if body.get("next_cursor"):
        whole = base64.urlsafe_b64decode(body["next_cursor"] + "==")
        signature, packed = whole[:SIZE], whole[SIZE:]
        # in between the second in which the list was made, which is signed, too
        assert is_signed(b"list", packed, signature, blake2)
        body["next_cursor"] = packed[:22] + packed[26:]
    return answer.status_code, answer.headers["content-type"], body


class _Forgetful(dict[Any, Any]):
    """Keeps no query, so that FastAPI parses each."""

    def __setitem__(self, query: Any, parsed: Any) -> None:
        pass


class _Counting(LRUCache[Any, Any]):
    """Counts the queries that need no FastAPI."""

    hits = 0

    def get(self, query: Any, default: Any = None) -> Any:
        self.hits += query in self
        return super().get(query, default)


@pytest.fixture
def slow(scored_shop: Shop) -> Iterator[httpx.Client]:
    """An application in which FastAPI handles all requests."""
    app = create_app()
    app.state.parsed_queries.by_query = _Forgetful()
    with running(app) as found:
        yield found


@pytest.fixture
def quick(scored_shop: Shop) -> Iterator[tuple[httpx.Client, _Counting]]:
    """An application as it is, and its queries."""
    app = create_app()
    queries = app.state.parsed_queries.by_query = _Counting(100)
    with running(app) as found:
        yield found, queries


def test_both_ways_respond_the_same(slow: httpx.Client, quick: tuple[httpx.Client, _Counting]) -> None:
    client, queries = quick
    for user in ("1", "11", "29", "999999", "2147483647", "0", "01", "1.0", "999999999999", "%31",
                 "username:u1", "username:nobody"):  # fmt: skip
        path = f"/api/v1/users/{user}/recommendations"
        for query in [*QUERIES, *FILTERS, *WRONG] if user == "1" else QUERIES[:1]:
            expected = _plain(slow.get(path + query))
            for _ in range(2):
                assert _plain(client.get(path + query)) == expected, path + query
    assert queries.hits > 20
    path = "/api/v1/users/1/recommendations"
    assert client.get(path).headers.keys() == slow.get(path).headers.keys()
    assert client.post(path).status_code == slow.post(path).status_code == 405
    assert client.head(path).status_code == slow.head(path).status_code


@pytest.mark.parametrize(
    "product",
    ["popular", "new", "1/similar", "61/bought-together", "sku:sku7/similar", "0/similar", "sku:none/similar",
     "999/similar", "2147483648/bought-together"],
)  # fmt: skip
def test_both_ways_respond_the_same_for_products(
    slow: httpx.Client, quick: tuple[httpx.Client, _Counting], product: str
) -> None:
    client, queries = quick
    for query in [*QUERIES, *FILTERS, *WRONG]:
        path = f"/api/v1/products/{product}{query}"
        expected = _plain(slow.get(path))
        for _ in range(2):
            assert _plain(client.get(path)) == expected, path
    assert queries.hits > 10 or slow.get(f"/api/v1/products/{product}").status_code in (404, 422)


def test_a_query_with_an_own_id_is_parsed_each_time(client: httpx.Client, scored_shop: Shop) -> None:
    path = "/api/v1/products/popular?limit=100&category=slug:lamps"
    lamps = _products(client, path)
    assert min(lamps) > 60
    execute(scored_shop, "UPDATE products_db.categories SET slug = 'old' WHERE slug = 'lamps'")
    execute(scored_shop, "UPDATE products_db.categories SET slug = 'lamps' WHERE slug = 'coffee'")
    RESOLVER.forget()
    assert max(_products(client, path)) <= 60


def _products(client: httpx.Client, path: str) -> list[int]:
    return [item["product_id"] for item in client.get(path).json()["items"]]


@pytest.mark.parametrize("novelty", ["any", "new"])
@pytest.mark.parametrize(
    ("query", "passes"),
    [
        ({"in_stock": True}, lambda product: True),
        ({"min_price": 20}, lambda product: product >= 20),
        ({"category": [4]}, lambda product: 61 <= product <= 90),
        ({"category": [1], "max_price": 40}, lambda product: product <= 39),
        ({"exclude": [1, 61, 91]}, lambda product: product not in (1, 61, 91)),
    ],
)
def test_a_filter_chooses_from_the_stored_list_while_three_pages_of_it_pass(
    client: httpx.Client, query: dict[str, Any], passes: Callable[[int], bool], novelty: str
) -> None:
    sources = set()
    for user in range(1, USERS + 1):
        whole = ask(client, user, limit=100, novelty=novelty)
        expected = [product for product in ids(whole) if passes(product)]
        for limit in (3, 15):
            answer = ask(client, user, limit=limit, novelty=novelty, **query)
            assert all(map(passes, ids(answer)))
            sources.add(answer["provenance"]["source"])
            qualified = sum(map(passes, range(1, PRODUCTS + 1)))
            if whole["provenance"]["source"] == "stored" and len(expected) >= min(3 * limit, qualified):
                assert ids(answer) == expected[:limit]
                assert answer["provenance"]["source"] == "stored"
                assert answer["provenance"]["filters"]["qualified"] == sum(
                    map(passes, range(1, PRODUCTS + 1))
                )
    assert "stored" in sources


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
