"""Numbers of every route's address: plain ASCII digits, and none that ends in a 5xx."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from recsys.api import create_api
from recsys.database.session import unit_of_work
from recsys.domains.users import sessions
from tests.serving.running import running
from tests.support.shop import Shop

OTHER_SPELLINGS = ("1_000", "+1", " 1", "1 ", "1.0", "1e0", "１", "١", "1\u00a0", "0_1")
EXTREME_NUMBERS = ("nan", "inf", "-inf", "5e-324", "-5e-324", "1e-310", "1e308", "-0.0", "1e999", "0")


@pytest.fixture
def administrator(shop: Shop) -> Iterator[httpx.Client]:
    """The core's API asked by an administrator with the id 1000."""
    with shop.connect() as connection:
        connection.execute(
            "INSERT INTO users_db.users (id, email, username, full_name, password_hash, is_admin) VALUES "
            "(1000, 'a@example.org', 'admin', 'A', '!', true)"
        )
    with unit_of_work() as session:
        token, _ = sessions.start(session, sessions.lock_user(session, 1000), sessions.Device())
    with running(create_api()) as client:
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def numeric_parameters() -> list[tuple[str, str, str, str, str]]:
    """(method, path, where, name, kind) of each number that a route takes in its address."""
    document = create_api().openapi()
    return [
        (method.upper(), path, parameter["in"], parameter["name"], kind)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        for parameter in operation.get("parameters", ())
        for kind in kinds(parameter["schema"]) & {"integer", "number"}
        if parameter["in"] in ("path", "query")
    ]


def kinds(schema: dict[str, Any]) -> set[str]:
    """The JSON types that a parameter may have, the items of a list included."""
    parts = [*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())]
    return {str(schema.get("type"))}.union(*map(kinds, parts))


def send(client: httpx.Client, method: str, path: str, where: str, name: str, value: str) -> httpx.Response:
    filled = re.sub(r"{(\w+)}", lambda match: value if where == "path" and match[1] == name else "1", path)
    return client.request(
        method,
        filled,
        params={name: value} if where == "query" else {},
        json={} if method in ("POST", "PUT", "PATCH") else None,
        headers={"Idempotency-Key": "numbers-0001"},
    )


def test_a_number_in_another_spelling_is_refused_on_every_route(administrator: httpx.Client) -> None:
    parameters = numeric_parameters()
    assert len(parameters) > 90
    for method, path, where, name, kind in parameters:
        for value in OTHER_SPELLINGS:
            if kind == "number" and value in ("1.0", "1e0"):
                continue
            answer = send(administrator, method, path, where, name, value)
            assert answer.status_code in (404, 422), (method, path, name, value, answer.text)
            if answer.status_code == 422:
                named = answer.json().get("field") or answer.json()["detail"]
                assert name in named, (method, path, name, value, answer.text)


def test_no_number_ends_in_a_server_error(administrator: httpx.Client) -> None:
    tried = 0
    for method, path, where, name, kind in numeric_parameters():
        if kind == "number" or method == "GET":
            for value in EXTREME_NUMBERS:
                answer = send(administrator, method, path, where, name, value)
                assert answer.status_code < 500, (method, path, name, value, answer.text)
                tried += 1
    for lat in ("5e-324", "90", "-0.0"):
        for within in (*EXTREME_NUMBERS, "0.001", "20100"):
            place = {"lat": lat, "lon": "5e-324", "within_km": within, "sort": "distance"}
            answer = administrator.get("/api/v1/search/users", params=place)
            assert answer.status_code < 500, (place, answer.text)
    assert tried > 300


def test_a_plain_number_is_read(administrator: httpx.Client) -> None:
    assert administrator.get("/api/v1/users/1000").json()["username"] == "admin"
    assert administrator.get("/api/v1/users/0001000").status_code == 422
    assert administrator.get("/api/v1/users/1_000").status_code == 422
