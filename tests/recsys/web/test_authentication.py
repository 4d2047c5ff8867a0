"""Keys, limits, headers and origins at the edge, over HTTP, as a shop in production meets them."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import pytest
import redis
from fastapi import Depends

from recsys import log
from recsys.api import create_api
from recsys.database.session import unit_of_work
from recsys.domains.users import sessions
from recsys.domains.users.api_keys import service as api_keys
from recsys.settings import Settings, get_settings
from recsys.web.access.api_key_dependencies import Reporter, require
from recsys.web.dependencies import AdminUser, CurrentUser, MaybeUser
from recsys.web.metrics import REGISTRY
from tests.serving.running import running
from tests.support.shop import Shop


@dataclass
class Edge:
    """An application in production, with a key for each scope and a token for users 1 and 2."""

    client: httpx.Client
    keys: dict[str, str]
    tokens: dict[int, str]

    def status(self, path: str, *, key: str | None = None, token: str | None = None) -> int:
        """What is answered to a GET."""
        headers = {} if key is None else {"X-Api-Key": key}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return self.client.get(path, headers=headers).status_code


@pytest.fixture
def edge(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Edge]:
    """Routes of each kind, in production."""
    with shop.connect() as connection:
        connection.execute(
            "INSERT INTO users_db.users (id, email, username, full_name, password_hash, is_admin) VALUES "
            "(1, 'a@example.org', 'admin', 'A', '!', true), (2, 'u@example.org', 'user', 'U', '!', NULL)"
        )
    tokens = {}
    with unit_of_work() as session:
        for number in (1, 2):
            user = sessions.lock_user(session, number)
            tokens[number], _ = sessions.start(session, user, sessions.Device())
        made: dict[str, str] = {
            scope: api_keys.create(session, scope, [scope], by="tests").key for scope in api_keys.SCOPES
        }
        made["slow"] = api_keys.create(session, "slow", ["recommend"], rate_per_second=0.001, by="tests").key
        made["gone"] = api_keys.create(session, "gone", ["recommend"], by="tests").key
        api_keys.revoke(session, "gone", by="tests")
    monkeypatch.setenv("RECSYS_ENVIRONMENT", "production")
    monkeypatch.setenv("RECSYS_API__CORS_ORIGINS", '["https://shop.example"]')
    get_settings.cache_clear()
    app = create_api()

    @app.get("/api/lists/{user_id}", dependencies=[Depends(require("recommend", about="user_id"))])
    async def lists(user_id: int) -> int:
        return user_id

    @app.get("/api/any", dependencies=[Depends(require("recommend"))])
    async def whatever() -> str:
        return "any"

    @app.get("/api/outcome")
    def reported_user(reporter: Reporter) -> int | None:
        return reporter.user_id

    @app.get("/api/maybe")
    def maybe(caller: MaybeUser) -> int | None:
        return None if caller is None else caller.user_id

    @app.get("/api/current")
    def current(caller: CurrentUser) -> int:
        return caller.user_id

    @app.get("/api/admin")
    def admin(who: AdminUser) -> list[object]:
        return [who.user_id, who.key is not None]

    @app.get("/plain")
    async def plain() -> str:
        return "plain"

    with running(app) as client:
        yield Edge(client, made, tokens)


def test_a_scope_or_oneself_opens_a_personal_list(edge: Edge) -> None:
    path = "/api/lists/2"
    assert edge.status(path) == 401
    assert edge.status(path, key=edge.keys["recommend"]) == 200
    assert edge.status(path, key=edge.keys["events"]) == 403
    assert edge.status(path, token=edge.tokens[2]) == 200
    assert edge.status(path, token=edge.tokens[1]) == 403
    assert edge.status(path, token="x" * 43) == 401
    assert edge.status(path, key=edge.keys["events"], token=edge.tokens[2]) == 200
    assert edge.status("/api/any") == 401
    assert edge.status("/api/any", token=edge.tokens[2]) == 403
    assert edge.status("/api/any", key=edge.keys["recommend"]) == 200
    # nobody learns from the refusal whether there is such a user, or whether it could be one
    for headers in ({}, {"X-Api-Key": edge.keys["events"]}, {"Authorization": f"Bearer {edge.tokens[2]}"}):
        answers = []
        for user in ("1", "999", "0", "-1", "x", "99999999999999999999"):
            answer = edge.client.get(f"/api/lists/{user}", headers=headers)
            body = answer.json()
            body.pop("request_id")
            answers.append((answer.status_code, body))
        assert all(one == answers[0] for one in answers), answers
        assert answers[0][0] in (401, 403)


def test_a_key_may_stand_where_a_token_does(edge: Edge) -> None:
    assert edge.status("/api/any", token=edge.keys["recommend"]) == 200
    assert edge.status("/api/maybe", token=edge.keys["recommend"]) == 200
    assert edge.status("/api/current", token=edge.keys["admin"]) == 401
    assert edge.status("/api/admin", token=edge.keys["admin"]) == 200


def test_a_wrong_key_is_a_401_everywhere_but_for_those_who_watch(edge: Edge) -> None:
    wrong = [edge.keys["gone"], edge.keys["events"][:-1] + "-", "rk_", "", "x" * 5000, "rk_ÿ"]
    for key in wrong:
        for path in ("/plain", "/api/any", "/api/maybe", "/nothing"):
            answer = edge.client.get(path, headers={b"X-Api-Key": key.encode("latin-1")})
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), (key, path)
            assert answer.headers["content-type"] == "application/problem+json"
            assert key not in answer.text or not key
    assert edge.status("/metrics", key="rk_") == 200


def test_an_admin_key_acts_without_a_user(edge: Edge) -> None:
    def who(**headers: str) -> object:
        answer = edge.client.get(
            "/api/admin", headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        return answer.json() if answer.status_code == 200 else answer.status_code

    admin, plain = (f"Bearer {edge.tokens[n]}" for n in (1, 2))
    assert who() == 401
    assert who(X_Api_Key=edge.keys["recommend"]) == 403
    assert who(X_Api_Key=edge.keys["admin"]) == [None, True]
    assert who(Authorization=admin) == [1, False]
    assert who(Authorization=admin, X_Api_Key=edge.keys["recommend"]) == [1, False]
    assert who(Authorization=plain) == 403
    assert who(Authorization=plain, X_Api_Key=edge.keys["admin"]) == [None, True]


def test_who_tells_of_whom(edge: Edge) -> None:
    def outcome(**headers: str) -> object:
        answer = edge.client.get(
            "/api/outcome", headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        return answer.json() if answer.status_code == 200 else f"{answer.status_code}"

    assert outcome() == "401"
    assert outcome(X_Api_Key=edge.keys["events"]) is None
    assert outcome(X_Api_Key=edge.keys["recommend"]) == "403"
    assert outcome(Authorization=f"Bearer {edge.tokens[2]}") == 2
    assert outcome(Authorization=f"Bearer {edge.tokens[2]}", X_Api_Key=edge.keys["recommend"]) == 2
    assert outcome(Authorization=f"Bearer {edge.tokens[2]}", X_Api_Key=edge.keys["events"]) is None


def test_readers_who_are_logged_in_read_on_while_postgresql_is_away(
    edge: Edge, monkeypatch: pytest.MonkeyPatch, redis_client: redis.Redis
) -> None:
    monkeypatch.setenv("RECSYS_DATABASE__URL", "postgresql://nobody@127.0.0.1:1/shop")
    get_settings.cache_clear()
    assert edge.status("/api/lists/2", token=edge.tokens[2]) == 200
    assert edge.status("/api/lists/1", token=edge.tokens[2]) == 403
    assert edge.status("/api/lists/2", token="x" * 43) == 503
    assert edge.status("/api/lists/2", key=edge.keys["recommend"]) == 200
    assert edge.status("/api/lists/2") == 401
    # what changes something waits for PostgreSQL
    assert edge.status("/api/outcome", token=edge.tokens[2]) == 503
    monkeypatch.setenv("RECSYS_REDIS__URL", "redis://127.0.0.1:1")
    get_settings.cache_clear()


def test_a_limited_key_hears_when_to_come_again(edge: Edge) -> None:
    headers = {"X-Api-Key": edge.keys["slow"]}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: edge.client.get("/api/any", headers=headers), range(24)))
    assert sorted(one.status_code for one in answers) == [200] + [429] * 23
    for answer in answers:
        assert answer.headers["ratelimit-policy"].startswith('"key";q=1;w=')
        assert answer.headers["ratelimit"].startswith('"key";r=0;t=')
    refused = next(one for one in answers if one.status_code == 429)
    assert refused.headers["content-type"] == "application/problem+json"
    assert 900 < int(refused.headers["retry-after"]) <= 1000
    assert refused.json()["title"] == "Too many requests"
    assert edge.status("/api/any", key=edge.keys["recommend"]) == 200


def test_without_a_key_it_is_the_address_that_is_limited(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_API__RATE_PER_SECOND", "0.001")
    monkeypatch.setenv("RECSYS_API__BURST", "3")
    get_settings.cache_clear()
    # guesses of keys count for the address as well
    assert [edge.status("/plain", key=key) for key in (None, "rk_1", "rk_2", "rk_3", None)] == [
        200,
        401,
        401,
        429,
        429,
    ]
    assert edge.status("/plain", key=edge.keys["recommend"]) == 200
    assert edge.status("/metrics") == 200
    monkeypatch.setenv("RECSYS_API__RATE_PER_SECOND", "0")
    get_settings.cache_clear()
    answer = edge.client.get("/plain")
    assert (answer.status_code, "ratelimit" in answer.headers) == (200, False)


def test_what_the_gate_refuses_is_counted_under_its_route(edge: Edge) -> None:
    def count(method: str, route: str, status: int) -> float:
        labels = {"method": method, "route": route, "status": str(status)}
        return REGISTRY.get_sample_value("recsys_http_requests_total", labels) or 0.0

    user, login = "/api/lists/{user_id}", "/api/v1/auth/login"
    asked = [
        ("GET", user, 401),
        ("GET", user, 429),
        ("POST", login, 401),
        ("POST", user, 401),
        ("GET", "unmatched", 401),
    ]
    before = [count(*one) for one in asked]
    paths = ("/api/lists/1", "/api/lists/2", "/api/lists/x", "/nothing", "/nothing/else")
    answers = [edge.status(path, key="rk_wrong") for path in paths]
    answers += [
        edge.client.post(path, headers={"X-Api-Key": "rk_"}).status_code for path in ("/api/lists/1", login)
    ]
    answers += [edge.status("/api/lists/7", key=edge.keys["slow"]) for _ in range(3)]
    assert answers == [401] * 7 + [200, 429, 429]
    assert [count(*one) - was for one, was in zip(asked, before, strict=True)] == [3, 2, 1, 1, 2]


def test_every_answer_carries_safe_headers(edge: Edge) -> None:
    for path, kept in (("/plain", None), ("/api/any", "no-store"), ("/api/nothing", "no-store")):
        answer = edge.client.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers.get("cache-control") == kept
        assert "strict-transport-security" not in answer.headers
    # as a proxy of this machine says it, which took the request in over TLS
    secured = edge.client.get("/plain", headers={"X-Forwarded-Proto": "https"})
    assert secured.headers["strict-transport-security"].startswith("max-age=")


def test_only_pages_of_known_origins_may_read(edge: Edge) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    ours, theirs = {"Origin": "https://shop.example"}, {"Origin": "https://evil.example"}
    allowed = edge.client.options("/api/any", headers=ours | asked)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
    assert (
        "access-control-allow-origin" not in edge.client.options("/api/any", headers=theirs | asked).headers
    )
    for header in ("if-match", "idempotency-key", "x-session-id", "x-request-id", "authorization"):
        answer = edge.client.options(
            "/api/any", headers=ours | asked | {"Access-Control-Request-Headers": header}
        )
        assert answer.status_code == 200, header
        assert header in answer.headers["access-control-allow-headers"].lower().split(", ")
    read = (
        edge.client.get("/plain", headers=ours).headers["access-control-expose-headers"].lower().split(", ")
    )
    assert {"etag", "retry-after", "ratelimit", "ratelimit-policy", "x-request-id"} <= set(read)
    # errors as well, or a page could not tell its visitor what is wrong
    for path, status in (("/plain", 200), ("/api/any", 401)):
        answer = edge.client.get(path, headers=ours)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, ours["Origin"])
        assert "access-control-allow-origin" not in edge.client.get(path, headers=theirs).headers


def test_no_origin_is_known_by_default_and_no_star_is_taken() -> None:
    assert get_settings().api.cors_origins == ()
    for wrong in ("*", "https://*.example", "shop.example", "https://shop.example/", "null"):
        with pytest.raises(ValueError, match="origins"):
            Settings.model_validate({"api": {"cors_origins": [wrong]}})


def test_nothing_secret_gets_into_the_log(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    log.configure("DEBUG", json=True)
    for client in ("httpx", "httpcore"):  # the asking side, in the same process
        monkeypatch.setattr(logging.getLogger(client), "disabled", True)
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    # a key's first two parts are its public name, which the log may say; a token is secret as a whole
    secrets = {key: key.rpartition("_")[2] for key in edge.keys.values()} | {edge.tokens[2]: edge.tokens[2]}
    try:
        for secret in secrets:
            edge.status("/api/lists/2", key=secret)
            edge.status("/api/lists/2?key=1", token=secret)
        answer = edge.client.get("/api/lists/424242")
    finally:
        root.handlers, root.level = handlers, level
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert len([line for line in lines if line["event"] == "request"]) == 2 * len(secrets) + 1
    assert [secret for secret in secrets.values() if secret in written.getvalue()] == []
    assert min(map(len, secrets.values())) > 20
    assert "424242" not in written.getvalue()
    assert "/api/lists/{user_id}" in written.getvalue()
    assert "424242" not in answer.text
