"""Every route of the API: HEAD answers as GET without a body, each error is a problem with its request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import redis
from fastapi import FastAPI

from recsys.settings import get_settings
from serving.server.app import create_app
from tests.journeys.routes.every import NAMED, Route, routes_of
from tests.recsys.domains.users.conftest import Desk, Person
from tests.serving import shopping
from tests.serving.running import running
from tests.support.shop import Shop, forget_connections

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
OF_ONE_REQUEST = {"date", "x-request-id", "set-cookie", "ratelimit", "content-length", "transfer-encoding"}
"""Headers that may differ between two requests for the same thing, or say how the body is sent."""
ENDING = ("/api/v1/auth/logout", "/api/v1/users/me/deactivate", "/api/v1/users/me/sessions")
"""Routes that may end the session of who asks."""
REQUEST_ID = "a-request-of-tests"


@pytest.fixture
def opened(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Desk, Person, FastAPI]]:
    """The whole application over a shop that can serve, and its administrator."""
    monkeypatch.setenv("RECSYS_USERS__ARGON2_TIME_COST", "1")
    monkeypatch.setenv("RECSYS_USERS__ARGON2_MEMORY_KIB", "64")
    get_settings.cache_clear()
    shopping.open_shop(shop.database_url)
    app = create_app()
    with running(app) as client, redis.Redis.from_url(shop.redis_url) as store:
        desk = Desk(client, shop, store)
        root = desk.person("root")
        with shop.connect() as connection:
            connection.execute("UPDATE users_db.users SET is_admin = true WHERE id = %s", (root.id,))
        yield desk, desk.again(root), app


def ask(desk: Desk, method: str, path: str, **options: Any) -> httpx.Response:
    headers = {"X-Request-ID": REQUEST_ID, **options.pop("headers", {})}
    answer = desk.client.request(method, path, headers=headers, **options)
    desk.client.cookies.clear()
    return answer


def heads(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in OF_ONE_REQUEST}


def test_head_is_get_without_the_body(opened: tuple[Desk, Person, FastAPI]) -> None:
    desk, admin, app = opened
    asked = 0
    for route in routes_of(app):
        if "GET" not in route.methods:
            continue
        for headers in ({}, admin.headers):
            for query in ("", "?nonsense=1"):
                whole = ask(desk, "GET", route.path + query, headers=headers)
                head = ask(desk, "HEAD", route.path + query, headers=headers)
                label = f"{route.path}{query} {whole.status_code}"
                assert (head.status_code, head.content) == (whole.status_code, b""), label
                assert heads(head) == heads(whole), label
                if "content-length" in whole.headers:
                    assert "content-length" in head.headers, label
                asked += 1
    assert asked > 300


def fault_of(answer: httpx.Response) -> str | None:
    """Why an answer is no problem as RFC 9457 and our own rules want it; None where it is one."""
    if answer.headers.get("content-type") != "application/problem+json":
        return f"{answer.headers.get('content-type')}: {answer.text[:100]}"
    problem = answer.json()
    expected = {
        "status": answer.status_code,
        "request_id": REQUEST_ID,
    }
    wrong = [name for name, value in expected.items() if problem.get(name) != value]
    wrong += [name for name in ("type", "title", "detail") if not problem.get(name)]
    if answer.headers["x-request-id"] != REQUEST_ID:
        wrong.append("X-Request-ID")
    if answer.status_code == 401 and "www-authenticate" not in answer.headers:
        wrong.append("WWW-Authenticate")
    allowed = answer.headers.get("allow", "").split(", ")
    if answer.status_code == 405 and (not all(allowed) or ("GET" in allowed) != ("HEAD" in allowed)):
        wrong.append("Allow")
    if answer.status_code in (429, 503) and "retry-after" not in answer.headers:
        wrong.append("Retry-After")
    return ", ".join(wrong) or None


def errors_of(route: Route, others: list[Route]) -> Iterator[tuple[str, str, dict[str, Any], int | None]]:
    """Wrong requests of a route: method, path, options, and the expected status where it is certain."""
    body = {"Content-Type": "application/json"}
    for method in METHODS:
        if method not in route.methods:
            # /orders/lookup is an /orders/{order_id} as well
            handled = any(method in other.methods and other.matches(route.path) for other in others)
            yield method, route.path, {}, None if handled else 405
            continue
        yield method, f"{route.path}?nonsense=1", {}, None
        yield method, route.path, {"headers": {"Authorization": "Bearer nonsense"}}, None
        if method in ("POST", "PUT", "PATCH"):
            yield method, route.path, {"content": b'{"a": ', "headers": body}, None
            yield method, route.path, {"content": b"[]", "headers": body}, None
            brotli = {**body, "Content-Encoding": "br"}
            yield method, route.path, {"content": b"x", "headers": brotli}, 415
            yield method, route.path, {"content": b"x", "headers": {**body, "Content-Encoding": "gzip"}}, None
            yield method, route.path, {"content": b" " * (4 * 2**20 + 1), "headers": body}, 413
        for name in re.findall(r"{([^}:]+)", route.template):
            for wrong in ("1_000", "%00", "9" * 30, "x" * 300):
                pattern = "{" + name + "(:[^}]+)?}"
                rest = re.sub(r"{([^}:]+)[^}]*}", lambda match: NAMED.get(match[1], "1"),
                              re.sub(pattern, "WRONG", route.template))  # fmt: skip
                yield method, rest.replace("WRONG", wrong), {}, None


def test_every_error_is_a_problem_with_its_request_id(opened: tuple[Desk, Person, FastAPI]) -> None:
    desk, admin, app = opened
    faults: list[str] = []
    seen: dict[int, int] = {}
    routes = routes_of(app)
    for route in routes:
        for method, path, options, status in errors_of(route, routes):
            signed = route.path.startswith(ENDING) or "Authorization" in options.get("headers", {})
            credentials = {} if signed else admin.headers
            sent = {**options, "headers": {**credentials, **options.get("headers", {})}}
            answer = ask(desk, method, path, **sent)
            seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
            label = f"{method} {path[:80]} {list(options)}: {answer.status_code}"
            if status is not None and answer.status_code != status:
                faults.append(f"{label} in place of {status}")
            if answer.status_code >= 500:
                faults.append(f"{label} {answer.text[:200]}")
            elif answer.status_code >= 400 and (fault := fault_of(answer)) is not None:
                faults.append(f"{label}: {fault}")
    assert not faults, "\n".join(faults)
    assert {400, 401, 404, 405, 413, 415, 422} <= seen.keys()
    assert sum(seen[code] for code in seen if code >= 400) > 1000


SECRETS = ("127.0.0.1", "secretuser", "secretpassword", "secretdb", "RECSYS_", "recsys up")


@pytest.mark.parametrize(
    ("variable", "address"),
    [
        ("RECSYS_DATABASE__URL", "postgresql://secretuser:secretpassword@127.0.0.1:1/secretdb"),
        ("RECSYS_REDIS__URL", "redis://secretuser:secretpassword@127.0.0.1:1/0"),
    ],
)
def test_no_answer_of_an_outage_names_a_server(
    opened: tuple[Desk, Person, FastAPI], monkeypatch: pytest.MonkeyPatch, variable: str, address: str
) -> None:
    desk, admin, app = opened
    monkeypatch.setenv(variable, address)
    forget_connections()
    faults: list[str] = []
    unavailable = 0
    for route in routes_of(app):
        # health is for operators: it names what it misses
        if route.path.startswith("/health"):
            continue
        for method in sorted(route.methods):
            for headers in ({},) if route.path.startswith(ENDING) else ({}, admin.headers):
                answer = ask(desk, method, route.path, headers=headers, json={} if method != "GET" else None)
                label = f"{method} {route.path}: {answer.status_code}"
                if answer.status_code >= 500 and answer.status_code != 503:
                    faults.append(f"{label} {answer.text[:200]}")
                if answer.status_code >= 400:
                    unavailable += answer.status_code == 503
                    faults += [f"{label}: {fault}" for fault in [fault_of(answer)] if fault is not None]
                    faults += [f"{label}: {secret}" for secret in SECRETS if secret in answer.text]
    assert not faults, "\n".join(faults)
    # without Redis little is away: PostgreSQL answers in its place, but for carts
    assert unavailable > (50 if "DATABASE" in variable else 0)
