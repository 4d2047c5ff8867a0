"""Lists by the shop's own ids: the same answer as by number, for each route and each way to write an id."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.engine import Engine

from recsys.database.session import unit_of_work
from recsys.errors import Unavailable
from recsys.own_ids import resolver
from recsys.own_ids.resolver import RESOLVER, OwnIdResolver, own_ids_changed
from recsys.own_ids.scheme import IdKind, OwnId
from recsys.settings import get_settings
from tests.serving.api.answers import execute
from tests.support.shop import Shop

V1 = "/api/v1"
LISTS = [
    ("/users/1/recommendations", "/users/username:u1/recommendations"),
    (
        "/users/1/recommendations?limit=3&novelty=new",
        "/users/username%3Au1/recommendations?limit=3&novelty=new",
    ),
    (
        "/users/1/recommendations?category=4&exclude=61",
        "/users/1/recommendations?category=slug:lamps&exclude=sku:sku61",
    ),
    ("/users/1/recommendations?category=4", "/users/username:u1/recommendations?category=name:Lamps"),
    ("/recommendations?brand=5", "/recommendations?brand=name:B%20%26%20C"),
    ("/products/popular?category=2", "/products/popular?category=slug:coffee"),
    ("/products/new?brand=5", "/products/new?brand=slug:b"),
    ("/products/7/similar", "/products/sku:sku7/similar"),
    ("/products/7/bought-together", "/products/sku:sku7/bought-together"),
    # a variant's SKU names its product
    ("/products/7/similar", "/products/sku:v7/similar"),
]
BODIES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"user_id": 1}, {"user_id": {"username": "u1"}}),
    ({"user_id": 1}, {"user_id": "username:u1"}),
    ({"cart": [7, 8]}, {"cart": [{"sku": "sku7"}, "sku:sku8"]}),
    (
        {"page": {"product_ids": [7], "category_id": 2}, "shelves": [{"placement": "similar"}]},
        {
            "page": {"product_ids": [{"sku": "sku7"}], "category_id": {"slug": "coffee"}},
            "shelves": [{"placement": "similar"}],
        },
    ),
    (
        {"shelves": [{"filters": {"category": [4], "brand": [5], "exclude": [61]}}]},
        {
            "shelves": [
                {
                    "filters": {
                        "category": [{"name": "Lamps"}],
                        "brand": ["slug:b"],
                        "exclude": [{"sku": "sku61"}],
                    }
                }
            ]
        },
    ),
]


def _lists(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    found = answer.json()
    return [shelf["items"] for shelf in found["shelves"]] if "shelves" in found else found["items"]


def _ranked(answer: httpx.Response) -> Any:
    """The products and scores alone: names and own ids follow a moment after they are changed."""
    found = _lists(answer)
    lists = found if found and isinstance(found[0], list) else [found]
    return [[(item["product_id"], item["score"]) for item in items] for items in lists]


@pytest.fixture
def branded(client: httpx.Client, scored_shop: Shop) -> httpx.Client:
    """The client of a shop with a brand of three lamps."""
    execute(scored_shop, "INSERT INTO products_db.brands (id, name, slug) VALUES (5, 'B & C', 'b')")
    execute(scored_shop, "UPDATE products_db.products SET brand_id = 5 WHERE id IN (70, 71, 72)")
    return client


def test_each_route_answers_the_same_for_an_own_id(branded: httpx.Client) -> None:
    for by_number, by_own_id in LISTS:
        expected = _lists(branded.get(V1 + by_number))
        assert _lists(branded.get(V1 + by_own_id)) == expected, by_own_id
        assert _lists(branded.get(V1 + by_own_id)) == expected, f"{by_own_id} from the cache"
    for numbers, own_ids in BODIES:
        by_number = branded.post(f"{V1}/recommendations", json=numbers)
        assert _lists(branded.post(f"{V1}/recommendations", json=own_ids)) == _lists(by_number), own_ids


UNKNOWN = [
    ("/users/username:nobody/recommendations", "No user has the username 'nobody'."),
    ("/products/sku:EL%2F9/similar", "No product has the sku 'EL/9'."),
    ("/products/sku:SKU7/bought-together", "No product has the sku 'SKU7'."),
    ("/products/popular?category=slug:none", "No category has the slug 'none'."),
    ("/recommendations?brand=name:none", "No brand has the name 'none'."),
    ("/recommendations?exclude=sku:none", "No product has the sku 'none'."),
]


def test_an_unknown_own_id_is_a_404_that_names_it(client: httpx.Client) -> None:
    for path, detail in UNKNOWN:
        answer = client.get(V1 + path)
        assert (answer.status_code, answer.json()["detail"]) == (404, detail), path
    answer = client.post(f"{V1}/recommendations", json={"cart": [{"sku": "x"}, {"sku": "sku7"}, "sku:y"]})
    assert answer.status_code == 404
    assert answer.json()["detail"] == "No product has the sku 'x'. No product has the sku 'y'."


MALFORMED = ["sku:", "sku:" + "x" * 101, "username:u1", "slug:p7", "SKU:sku7", "sku7", "sku%3A%00"]


def test_what_names_no_product_is_refused(client: httpx.Client) -> None:
    for text in MALFORMED:
        answer = client.get(f"{V1}/products/{text}/similar")
        assert answer.status_code == 422, (text, answer.text)
        assert answer.json()["errors"][0]["field"] == "product_id"


AWKWARD = (
    *("a/b", "/", "//a/", "%2F", "a%2fb", "%", "100%", "e\u0301", "\u00e9", " ", " a ", "123", "7", "0"),
    *("sku:sku7", "sku:", ":", "?q=1", "#", ";", "..", ".", "a\\b", "'", '"', "{}", "\u2028", "\U0001f600"),
    *("A" * 100, "\u00e9" * 100, "new", "popular"),
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=100)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(AWKWARD) | TEXT)
def test_any_text_of_up_to_100_characters_is_an_id(client: httpx.Client, scored_shop: Shop, own: str) -> None:
    execute(scored_shop, "UPDATE products_db.products SET sku = %s WHERE id = 7", own)
    execute(scored_shop, "UPDATE users_db.users SET username = %s WHERE id = 1", own)
    RESOLVER.forget()
    path = quote(own, safe="")
    similar = _ranked(client.get(f"{V1}/products/7/similar"))
    # a client normalizes what looks like a relative path
    assert _ranked(client.get(f"{V1}/products/sku:{path}/similar")) == similar
    by_user = _ranked(client.get(f"{V1}/users/username:{path}/recommendations"))
    assert by_user == _ranked(client.get(f"{V1}/users/1/recommendations"))
    without = _ranked(
        client.get(f"{V1}/recommendations", params={"exclude": [f"sku:{own}", "8"], "limit": 100})
    )
    assert without == _ranked(client.get(f"{V1}/recommendations", params={"exclude": [7, 8], "limit": 100}))
    shelf = {"placement": "similar"}
    in_body = {"page": {"product_ids": [{"sku": own}]}, "user_id": {"username": own}, "shelves": [shelf]}
    numbers = {"page": {"product_ids": [7]}, "user_id": 1, "shelves": [shelf]}
    page = _ranked(client.post(f"{V1}/recommendations", json=in_body))
    assert page == _ranked(client.post(f"{V1}/recommendations", json=numbers))


def test_an_id_of_digits_is_no_card_number(client: httpx.Client, scored_shop: Shop) -> None:
    execute(scored_shop, "UPDATE products_db.products SET sku = '4111111111111111' WHERE id = 7")
    similar = _lists(client.get(f"{V1}/products/7/similar"))
    assert _lists(client.get(f"{V1}/products/sku:4111111111111111/similar")) == similar
    page = {"page": {"product_ids": [{"sku": "4111111111111111"}]}, "shelves": [{"placement": "similar"}]}
    assert client.post(f"{V1}/recommendations", json=page).status_code == 200


def test_a_request_takes_one_look_up_at_most(client: httpx.Client) -> None:
    queries: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        if "AS precedence" in statement:
            queries.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        body = {
            "user_id": "username:u1",
            "cart": [{"sku": f"sku{product}"} for product in range(1, 50)],
            "page": {"product_ids": ["sku:v60"], "category_id": {"name": "Coffee"}},
        }
        assert client.post(f"{V1}/recommendations", json=body).status_code == 200
        assert len(queries) == 1
        assert client.post(f"{V1}/recommendations", json=body).status_code == 200
        assert len(queries) == 1
        client.get(f"{V1}/users/1/recommendations?category=2")
        assert len(queries) == 1
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def test_a_renamed_product_is_found_by_its_new_name_alone(client: httpx.Client, scored_shop: Shop) -> None:
    assert client.get(f"{V1}/products/sku:sku7/similar").status_code == 200
    with unit_of_work() as session:
        session.connection().exec_driver_sql("UPDATE products_db.products SET sku = 'other' WHERE id = 7")
        own_ids_changed(session)
    assert client.get(f"{V1}/products/sku:sku7/similar").status_code == 404
    assert client.get(f"{V1}/products/sku:other/similar").status_code == 200


def test_another_process_sees_a_change_by_its_version(client: httpx.Client, scored_shop: Shop) -> None:
    other, own_id = OwnIdResolver(), OwnId("sku", "sku7")
    assert other.look_up([own_id]) == {(IdKind.PRODUCT, own_id): 7}
    assert other.cached([own_id]) == {(IdKind.PRODUCT, own_id): 7}
    test_a_renamed_product_is_found_by_its_new_name_alone(client, scored_shop)
    other._checked_at = -float("inf")
    assert other.cached([own_id]) is None
    assert other.look_up([own_id]) == {}


@pytest.fixture
def database_away(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Point the service to a port without a server, or back."""
    address = os.environ["RECSYS_DATABASE__URL"]

    def away(value: bool) -> None:
        monkeypatch.setenv("RECSYS_DATABASE__URL", "postgresql://x@127.0.0.1:1/x" if value else address)
        get_settings.cache_clear()

    return away


def test_own_ids_that_were_read_are_resolved_while_postgresql_is_away(
    client: httpx.Client, database_away: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{V1}/users/username:u1/recommendations"
    expected = _lists(client.get(path))
    database_away(True)
    # entries count as old at once, as they would after a minute
    monkeypatch.setattr(resolver, "_FRESH_SECONDS", 0.0)
    assert _lists(client.get(path)) == expected
    unread = client.get(f"{V1}/users/username:u2/recommendations")
    assert unread.status_code == 503
    assert int(unread.headers["Retry-After"]) > 0
    assert "database" in unread.json()["detail"]
    assert unread.headers["Content-Type"] == "application/problem+json"
    database_away(False)
    assert client.get(f"{V1}/users/username:u2/recommendations").status_code == 200


def test_older_entries_end_with_a_change(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a change may have made wrong is not used, even while PostgreSQL is away."""
    mine, own_id = OwnIdResolver(), OwnId("sku", "sku7")
    expected = {(IdKind.PRODUCT, own_id): 7}
    assert mine.look_up([own_id]) == expected
    reading = resolver._read

    def refuse(_: object) -> None:
        raise Unavailable("away")

    monkeypatch.setattr(resolver, "_read", refuse)
    monkeypatch.setattr(resolver, "_FRESH_SECONDS", 0.0)
    assert mine.look_up([own_id]) == expected
    with unit_of_work() as session:
        own_ids_changed(session)
    mine._checked_at = -float("inf")
    with pytest.raises(Unavailable):
        mine.look_up([own_id])
    monkeypatch.setattr(resolver, "_read", reading)
    assert mine.look_up([own_id]) == expected


def test_entries_are_old_while_redis_is_away(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, own_id = OwnIdResolver(), OwnId("sku", "sku7")
    mine.look_up([own_id])
    reads: list[object] = []
    reading = resolver._read
    monkeypatch.setattr(resolver, "_read", lambda own_ids: (reads.append(own_ids), reading(own_ids))[1])
    mine.look_up([own_id])
    assert reads == []
    connecting = resolver.get_redis

    def refuse() -> None:
        raise Unavailable("away")

    monkeypatch.setattr(resolver, "get_redis", refuse)
    mine._checked_at = -float("inf")
    mine.look_up([own_id])
    assert len(reads) == 1
    monkeypatch.setattr(resolver, "get_redis", connecting)
    mine._checked_at = -float("inf")
    # a change may have been missed
    mine.look_up([own_id])
    mine.look_up([own_id])
    assert len(reads) == 2
