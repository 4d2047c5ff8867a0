"""Every route that names something takes the shop's own id, and does the same as with the number.

What a route's function receives decides what it does and answers. So each request is sent with numbers and
with own ids, and the arguments of both are compared; nothing is carried out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import fastapi.routing
import httpx
import pytest
import redis
from fastapi import Response
from sqlalchemy.orm import Session
from starlette.requests import Request

from recsys.settings import get_settings
from recsys.write_buffer.buffer import Sender
from serving.server.app import create_app
from tests.recsys.domains.users.conftest import Desk, Person
from tests.serving import shopping
from tests.serving.running import running
from tests.support.shop import Shop

Operation = tuple[str, str]
Json = dict[str, Any]

PRODUCT, VARIANT, USER, CATEGORY, BRAND = 7, 8, 3, 2, 5
OWN_IDS: dict[str, tuple[int, str]] = {
    "product_id": (PRODUCT, "sku:a/ü 7"),
    "exclude": (PRODUCT, "sku:a/ü 7"),
    "variant_id": (VARIANT, "sku:v8"),
    "user_id": (USER, "username:u/3"),
    "category_id": (CATEGORY, "slug:coffee"),
    "category": (CATEGORY, "name:Coffee"),
    "parent_id": (CATEGORY, "name:Coffee"),
    "brand_id": (BRAND, "slug:b"),
    "brand": (BRAND, "name:B & C"),
    "product_ids": (PRODUCT, "sku:a/ü 7"),
    "cart": (PRODUCT, "sku:a/ü 7"),
    "product": (PRODUCT, "sku:a/ü 7"),
    "page_product": (PRODUCT, "sku:a/ü 7"),
    "user": (USER, "username:u/3"),
}
"""Names of parameters and fields that name something, with the number and the own id of one such thing."""
OTHERS = {
    "address": "x", "place": 1,
    "address_id": 1, "at": "2026-01-01T00:00:00Z", "day": "2026-01-01", "flag_id": 1, "gateway": "sandbox",
    "id": 1, "image_id": 1, "key_prefix": "cu6goudg", "kind": "buyers", "log_id": 1, "method_id": 1,
    "name": "x", "notification_id": 1, "order_id": 1, "parcel_id": 1, "payment_id": 1, "review_id": 1,
    "rule_id": 1, "rule_set": "x", "synonym_id": 1, "username": "u1",
    "version": "0f3c9a1b2d4e5f60",
}  # fmt: skip
"""Parameters of paths that name nothing of the shop's own."""
_RULE: Json = {"name": "r", "kind": "hide", "target": {"product_ids": [7], "category_id": 2, "brand_id": 5}}
_LIST: Json = {"filters": {"category": [2], "brand": [5], "exclude": [7]}}
_PLACES: Json = {"category_id": 2, "brand_id": 5}
BODIES: dict[Operation, Json] = {
    ("POST", "/api/v1/admin/mail-blocks"): {"user_id": 3},
    ("POST", "/api/v1/recommendations"): {
        "user_id": 3, "cart": [7], "page": {"product_ids": [7], "category_id": 2}, "shelves": [_LIST]
    },
    ("PUT", "/api/v1/admin/stored-segments/{name}"): {
        "kind": "buyers", "product_ids": [7], "category_id": 2, "brand_id": 5, "user_ids": [3]
    },
    ("POST", "/api/v1/recommendations/rules"): _RULE,
    ("PUT", "/api/v1/recommendations/rules/{rule_id}"): _RULE,
    ("POST", "/api/v1/recommendations/rules/preview"): {"rule": _RULE, "user_id": 3, "product_ids": [7]},
    ("POST", "/api/v1/search/clicks"): {
        "query": "tea", "search_id": "7b3c3b86-9f5e-4a37-8c92-16b3f1a6a6f2", "product_id": 7, "position": 1
    },
    ("POST", "/api/v1/admin/categories"): {"name": "New", "parent_id": 2},
    ("PUT", "/api/v1/admin/categories/{category_id}"): {"name": "New", "parent_id": 2},
    ("POST", "/api/v1/admin/products"): {"name": "New", "price": "1.00", **_PLACES},
    ("PATCH", "/api/v1/admin/products/{product_id}"): _PLACES,
    ("POST", "/api/v1/admin/products/{product_id}/images"): {"src": "/a.png", "variant_id": 8},
    ("PUT", "/api/v1/products/{product_id}/review"): {"rating": 3, "variant_id": 8},
    ("PUT", "/api/v1/cart/items"): {"product_id": 7, "variant_id": 8, "quantity": 1},
    ("POST", "/api/v1/cart/items"): {"product_id": 7, "variant_id": 8, "quantity": 1},
    ("POST", "/api/v1/admin/notifications"): {"user_id": 3, "template": "n"},
}  # fmt: skip
"""A body with everything that it can name, by number."""
PLAIN_BODIES: dict[Operation, Json] = {
    ("POST", "/api/v1/admin/mail-blocks"): {"user_id": 3},
    ("PUT", "/api/v1/admin/brands/{brand_id}"): {"name": "New"},
    ("POST", "/api/v1/admin/products/{product_id}/variants"): {"name": "New"},
    ("PUT", "/api/v1/admin/products/{product_id}/variants/{variant_id}"): {"name": "New"},
    ("POST", "/api/v1/admin/variants/{variant_id}/stock"): {"change": 1},
}
"""Bodies that name nothing, of routes whose path does."""
EVENTS = {"/api/v1/interactions", "/api/v1/recommendations/feedback"}
"""Batches resolve own ids when they are stored; `tests/recsys/domains/recommendations` compares what is."""


@pytest.fixture
def everything(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Desk, Person]]:
    """All routes of a shop with awkward ids, and its administrator."""
    monkeypatch.setenv("RECSYS_USERS__ARGON2_TIME_COST", "1")
    monkeypatch.setenv("RECSYS_USERS__ARGON2_MEMORY_KIB", "64")
    get_settings.cache_clear()
    shopping.open_shop(shop.database_url)
    with shop.connect() as connection:
        for statement in (
            "INSERT INTO products_db.brands (id, name, slug) VALUES (5, 'B & C', 'b')",
            "UPDATE products_db.products SET sku = 'a/ü 7', brand_id = 5 WHERE id = 7",
            "UPDATE users_db.users SET username = 'u/3' WHERE id = 3",
        ):
            connection.execute(statement)
    with running(create_app()) as client, redis.Redis.from_url(shop.redis_url) as store:
        desk = Desk(client, shop, store)
        root = desk.person("root")
        with shop.connect() as connection:
            connection.execute("UPDATE users_db.users SET is_admin = true WHERE id = %s", (root.id,))
        yield desk, desk.again(root)


def _operations(document: Json) -> Iterator[tuple[Operation, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield (method.upper(), path), operation


def _takes_own_ids(schema: object) -> bool:
    if isinstance(schema, dict):
        pattern = str(schema.get("pattern", ""))
        return pattern.startswith(("^(sku)", "^(username)", "^(slug|name)")) or any(
            map(_takes_own_ids, schema.values())
        )
    return isinstance(schema, list) and any(map(_takes_own_ids, schema))


def _fields(document: Json, schema: Json, seen: frozenset[str] = frozenset()) -> Iterator[tuple[str, Json]]:
    """The fields of a body at any depth, with their schemas."""
    reference = schema.get("$ref")
    if reference is not None:
        name = reference.rpartition("/")[2]
        if name not in seen:
            yield from _fields(document, document["components"]["schemas"][name], seen | {name})
        return
    for name, field in schema.get("properties", {}).items():
        yield name, field
        yield from _fields(document, field, seen)
    for part in ("anyOf", "oneOf", "allOf"):
        for each in schema.get(part, ()):
            yield from _fields(document, each, seen)
    if isinstance(schema.get("items"), dict):
        yield from _fields(document, schema["items"], seen)


def _body(document: Json, operation: Json) -> dict[str, Json]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return dict(_fields(document, content.get("schema", {})))


def test_everything_that_names_something_takes_own_ids() -> None:
    document = create_app().openapi()
    unknown, numbers_only = set(), []
    for (method, path), operation in _operations(document):
        for parameter in operation.get("parameters", ()):
            name = parameter["name"]
            if parameter["in"] == "path" and name not in OWN_IDS | OTHERS:
                unknown.add(name)
            if parameter["in"] != "header" and name in OWN_IDS and not _takes_own_ids(parameter["schema"]):
                numbers_only.append((method, path, name))
        for name, field in _body(document, operation).items():
            if path not in EVENTS and name in OWN_IDS and not _takes_own_ids(field):
                numbers_only.append((method, path, name))
    assert not unknown, "say in OWN_IDS or OTHERS what these parameters name"
    assert numbers_only == []


def _with_own_ids(body: Any, form: str) -> Any:
    """The body with own ids in the place of numbers, as text or as objects."""

    def written(name: str) -> Any:
        own_id = OWN_IDS[name][1]
        scheme, _, value = own_id.partition(":")
        return own_id if form == "text" else {scheme: value}

    if not isinstance(body, dict):
        return [_with_own_ids(each, form) for each in body] if isinstance(body, list) else body
    return {
        name: ([written(name)] if isinstance(value, list) else written(name))
        if name in OWN_IDS
        else _with_own_ids(value, form)
        for name, value in body.items()
    }


def _comparable(values: Json) -> Json:
    # what belongs to one request and not to what it asks for
    return {
        name: replace(value, deadline=None) if isinstance(value, Sender) else value
        for name, value in values.items()
        if not isinstance(value, Request | Response | Session)
    }


def test_each_route_receives_the_same(
    everything: tuple[Desk, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, admin = everything
    received: list[Json] = []

    async def note(*, dependant: Any, values: Json, is_coroutine: bool) -> Response:
        received.append(_comparable(values))
        return Response(status_code=204)

    monkeypatch.setattr(fastapi.routing, "run_endpoint_function", note)
    document = create_app().openapi()
    compared = 0
    for (method, path), operation in _operations(document):
        named = [
            parameter
            for parameter in operation.get("parameters", ())
            if parameter["in"] in ("path", "query") and parameter["name"] in OWN_IDS
        ]
        body = BODIES.get((method, path))
        takes = any(name in OWN_IDS for name in _body(document, operation)) and path not in EVENTS
        assert takes == (body is not None), (method, path, "give it a body in BODIES")
        if not named and body is None:
            continue
        others = {
            parameter["name"]: str(OTHERS[parameter["name"]])
            for parameter in operation.get("parameters", ())
            if parameter["in"] == "query" and parameter["required"] and parameter["name"] not in OWN_IDS
        }
        compared += 1
        body = body or PLAIN_BODIES.get((method, path))
        numbers = _send(desk, admin, method, path, named, others, body, form="number")
        for form in ("text", "object"):
            own = _send(desk, admin, method, path, named, others, body, form=form)
            assert (numbers.status_code, own.status_code) == (204, 204), (
                method,
                path,
                numbers.text,
                own.text,
            )
            assert received[-1] == received[0], (method, path, form)
        received.clear()
    assert compared > 40


def _send(
    desk: Desk,
    admin: Person,
    method: str,
    path: str,
    named: list[Json],
    others: dict[str, str],
    body: Json | None,
    *,
    form: str,
) -> httpx.Response:
    place = {name: str(value) for name, value in OTHERS.items()}
    query = dict(others)
    for parameter in named:
        number, own_id = OWN_IDS[parameter["name"]]
        text = str(number) if form == "number" else own_id
        if parameter["in"] == "path":
            place[parameter["name"]] = quote(text, safe="")
        else:
            query[parameter["name"]] = text
    headers = {**admin.headers, "If-Match": '"1"'}
    sent = body if form == "number" else _with_own_ids(body, form)
    try:
        return desk.client.request(
            method, path.format_map(place), params=query, headers=headers, json=sent if body else None
        )
    finally:
        desk.client.cookies.clear()


# pages add what they like to the addresses of scripts, which changes nothing there
SCRIPTS = {"/recsys.js", "/recsys.{version}.js"}


def test_an_unknown_query_parameter_is_refused_on_every_route(everything: tuple[Desk, Person]) -> None:
    desk, admin = everything
    for (method, path), operation in _operations(create_app().openapi()):
        if path in SCRIPTS:
            continue
        place = {**OTHERS, **{name: number for name, (number, _) in OWN_IDS.items()}}
        names = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
        wrong = f"{names[0]}x" if names else "nonsense"
        answer = desk.client.request(
            method, path.format_map(place), params={wrong: "1"}, headers=admin.headers
        )
        assert answer.status_code == 422, (method, path, answer.text)
        detail = answer.json()["detail"]
        assert detail.startswith("There is no parameter of that name."), (method, path, detail)
        assert (f"Did you mean {names[0]}?" if names else "Known are none.") in detail, (method, path, detail)
