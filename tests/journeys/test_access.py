"""Every route of the API asked by nobody, by the wrong user, by a plain user: refused, nothing changed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache

import httpx
import psycopg
import pytest
from psycopg import sql

from recsys.api import create_api
from serving.server.app import create_app
from tests.journeys.conftest import Counter
from tests.journeys.victims import Route, Victim, victim_of
from tests.support.guests import guest as guest_header

REFUSED = {401, 403, 404}

PUBLIC: Mapping[Route, str] = {
    ("POST", "/api/v1/auth/register"): "for callers without an account; throttled",
    ("POST", "/api/v1/auth/guest"): "a session for a guest, who has nothing yet",
    ("POST", "/api/v1/auth/login"): "the door itself; throttled, and asks for a password",
    ("GET", "/api/v1/categories"): "the catalogue is for everybody",
    ("GET", "/api/v1/brands"): "the catalogue is for everybody",
    ("GET", "/api/v1/products"): "the catalogue is for everybody",
    ("POST", "/api/v1/products/batch"): "the catalogue is for everybody; it reads, and changes nothing",
    ("GET", "/api/v1/products/trending"): "the catalogue is for everybody",
    ("GET", "/api/v1/products/popular"): "the catalogue is for everybody",
    ("GET", "/api/v1/products/{product_id}"): "the catalogue is for everybody; hidden products are 404",
    ("GET", "/api/v1/products/{product_id}/stock"): "the catalogue is for everybody",
    ("GET", "/api/v1/products/{product_id}/reviews"): "approved reviews are shown beside the product",
    ("GET", "/api/v1/products/{product_id}/similar"): "the catalogue is for everybody",
    ("GET", "/api/v1/products/new"): "the catalogue is for everybody",
    ("GET", "/api/v1/products/{product_id}/bought-together"): "the catalogue is for everybody",
    ("GET", "/api/v1/search/products"): "the catalogue is for everybody",
    ("GET", "/api/v1/search/suggest"): "the catalogue is for everybody",
    ("POST", "/api/v1/auth/password-reset"): "answers the same whether there is an account; throttled",
    ("POST", "/api/v1/auth/password-reset/confirm"): "takes the code of a mail; throttled",
    ("POST", "/api/v1/auth/confirm-email"): "takes the code of a mail; throttled",
    ("POST", "/api/v1/search/clicks"): "as interactions",
    ("POST", "/api/v1/products/{product_id}/views"): "as interactions",
    ("POST", "/api/v1/interactions"): "in development; elsewhere a key or a user (test_keys.py)",
    ("POST", "/api/v1/recommendations/feedback"): "as interactions",
    ("POST", "/api/v1/analytics/collect"): "as interactions; guests too where the shop wants it",
    ("POST", "/api/v1/orders/lookup"): "a guest's order, for who knows its 58-bit number and its e-mail",
    ("POST", "/api/v1/payments/webhooks/{gateway}"): "the gateway has no account: its signature is checked",
    ("GET", "/api/v1/recommendations"): "as the list of a user",
    ("POST", "/api/v1/recommendations"): "as the list of a user",
    ("GET", "/api/v1/users/{user_id}/recommendations"): "in development; elsewhere a key or the very user",
    (
        "GET",
        "/api/v1/models/{name}/report",
    ): "in development; elsewhere administrators only (serving/api/reports.py)",
    ("GET", "/api/v1/consent"): "the visitor's own; for anybody else what holds without an answer",
    ("GET", "/recsys.js"): "the script of web pages, which holds nothing of anybody",
    ("GET", "/recsys.{version}.js"): "the same, by its content",
    ("GET", "/api/v1/browser-script"): "its address and integrity hash",
    **dict.fromkeys(
        (
            ("GET", "/api/v1/mail-blocks/{address}"),
            ("GET", "/api/v1/mail-blocks/{address}/{place}"),
            ("GET", "/api/v1/mail-blocks/{address}/{place}.png"),
        ),
        "opened by mail clients: the signed address is the credential (tests/serving/mail_blocks)",
    ),
    ("GET", "/health/live"): "for the machine that watches the process",
    ("GET", "/health/ready"): "for the machine that watches the process",
    ("GET", "/metrics"): "counts and durations for the machine that watches",
}
"""Asked without credentials these answer, each for its reason; every other route must refuse."""

AMONG_USERS: Mapping[Route, str] = {
    ("GET", "/api/v1/users/{user_id}"): "a public profile",
    ("GET", "/api/v1/users/by-username/{username}"): "a public profile",
    ("PUT", "/api/v1/users/me/following/{user_id}"): "the caller's own list; others are whom it is about",
    ("DELETE", "/api/v1/users/me/following/{user_id}"): "the caller's own list",
    ("PUT", "/api/v1/users/me/blocked/{user_id}"): "the caller's own list",
    ("DELETE", "/api/v1/users/me/blocked/{user_id}"): "the caller's own list",
    ("POST", "/api/v1/products/{product_id}/like"): "products are for every user",
    (
        "PUT",
        "/api/v1/products/{product_id}/review",
    ): "products are for every user; writes the caller's review",
    ("DELETE", "/api/v1/cart/items/{product_id}"): "the caller's own cart",
    ("POST", "/api/v1/reviews/{review_id}/helpful"): "approved reviews are for every user",
}
"""Routes with an id that every logged-in user may ask: what it names belongs to nobody else."""

OF_A_VISIT: Mapping[Route, str] = {
    ("GET", "/api/v1/cart"): "a guest's own cart, which is empty in a stranger's visit",
    ("DELETE", "/api/v1/cart"): "that very cart",
    ("POST", "/api/v1/cart/items"): "that very cart",
    ("PUT", "/api/v1/cart/items"): "that very cart",
    ("DELETE", "/api/v1/cart/items/{product_id}"): "that very cart",
    ("GET", "/api/v1/cart/quote"): "that very cart",
    ("POST", "/api/v1/orders"): "orders that very cart",
    ("PUT", "/api/v1/consent"): "the visit's own consent",
}
"""Routes that answer a guest who names a visit of one's own making (`X-Session-Id`)."""


ADMINISTRATION: Mapping[Route, str] = {
    ("POST", "/api/v1/recommendations/rules/preview"): "tests/serving/merchandising/test_rules_in_lists.py",
    ("GET", "/api/v1/admin/segments/{kind}"): "tests/serving/segments/test_segments.py",
    ("GET", "/api/v1/admin/stored-segments"): "tests/serving/segments/test_stored.py",
    ("PUT", "/api/v1/admin/stored-segments/{name}"): "tests/serving/segments/test_stored.py",
    ("POST", "/api/v1/admin/stored-segments/{name}/refresh"): "tests/serving/segments/test_stored.py",
    ("DELETE", "/api/v1/admin/stored-segments/{name}"): "tests/serving/segments/test_stored.py",
    ("POST", "/api/v1/admin/mail-blocks"): "tests/serving/mail_blocks/test_routes.py",
    ("GET", "/api/v1/recommendations/why"): "tests/serving/recommender/test_why_not.py",
    ("GET", "/api/v1/recommendations/why/past"): "tests/serving/recommender/test_why_not.py",
    **dict.fromkeys(
        (
            ("GET", "/api/v1/admin/experiments"),
            ("POST", "/api/v1/admin/experiments"),
            ("GET", "/api/v1/admin/experiments/plan"),
            ("GET", "/api/v1/admin/experiments/{name}"),
            ("POST", "/api/v1/admin/experiments/{name}/stop"),
            ("POST", "/api/v1/admin/experiments/{name}/keep"),
        ),
        "tests/serving/api/test_experiments.py",
    ),
}
"""For administrators, and serving's own; each with the module that tests who may call it."""


@cache
def routes() -> tuple[Route, ...]:
    """Every route of the core's OpenAPI, read from the application itself."""
    paths = create_api().openapi()["paths"]
    return tuple((method.upper(), path) for path, operations in paths.items() for method in operations)


def is_admin(route: Route) -> bool:
    """Whether its path says that it is for those who run the shop."""
    return route[1].startswith(("/api/v1/admin/", "/api/v1/recommendations/rules", "/api/v1/search/users"))


def test_what_is_public_is_written_down_and_there() -> None:
    everything = {
        (method.upper(), path)
        for path, operations in create_app().openapi()["paths"].items()
        for method in operations
    }
    assert set(routes()) <= everything
    # a route that only serving has is not walked below: it has to be public, and its reason written down
    assert everything - set(routes()) <= {*PUBLIC, *ADMINISTRATION}
    assert {*PUBLIC, *AMONG_USERS, *OF_A_VISIT} <= everything
    assert not any(map(is_admin, [*PUBLIC, *AMONG_USERS, *OF_A_VISIT]))
    assert len(routes()) > 90


def test_nobody_gets_in_without_credentials(counter: Counter) -> None:
    victim = victim_of(counter)
    before = everything(counter)
    for method, path in routes():
        if (method, path) in PUBLIC:
            continue
        for headers in ({}, {"Authorization": "Bearer " + "x" * 43}, guest_header("a-strangers-visit")):
            answer = ask(counter, victim, (method, path), headers)
            allowed = {401} if "Authorization" in headers else REFUSED
            if "X-Session-Id" not in headers or (method, path) not in OF_A_VISIT:
                assert answer.status_code in allowed, (method, path, headers, answer.text)
            tells_nothing(victim, answer.text)
    assert changes(before, everything(counter)) == []


def test_a_plain_user_is_no_administrator(counter: Counter) -> None:
    victim = victim_of(counter)
    eve = counter.desk.person("eve")
    before = everything(counter)
    for route in filter(is_admin, routes()):
        for who in (eve, victim.person):
            answer = ask(counter, victim, route, who.headers)
            assert answer.status_code == 403, (route, answer.text)
    assert changes(before, everything(counter)) == []


def test_a_user_reaches_nothing_of_another_user(counter: Counter) -> None:
    victim = victim_of(counter)
    eve = counter.desk.person("eve")
    before = everything(counter)
    walked = []
    for route in routes():
        if "{" in route[1] and route not in PUBLIC and route not in AMONG_USERS and not is_admin(route):
            for headers in (eve.headers, {**eve.headers, **guest_header("a-strangers-visit")}):
                answer = ask(counter, victim, route, headers)
                assert answer.status_code == 404, (route, answer.text)
                tells_nothing(victim, answer.text)
            walked.append(route)
    assert len(walked) >= 9
    assert changes(before, everything(counter)) == []
    # the same is there for its owner: the refusals above are about who asks
    for route in walked:
        if route[0] == "GET":
            assert ask(counter, victim, route, victim.person.headers).status_code == 200, route


def test_an_id_in_a_body_opens_nothing_either(counter: Counter) -> None:
    victim = victim_of(counter)
    eve = counter.desk.person("eve")
    own = counter.order(eve, int(victim.ids["product_id"]), key="eves-order-1")["id"]
    method = int(victim.ids["method_id"])
    counter.send(
        "POST", "/cart/items", who=eve, json={"product_id": int(victim.ids["product_id"]), "quantity": 1}
    )
    before = everything(counter)
    tries = [
        ("/payments", {"order_id": int(victim.ids["unpaid"]), "token": "tok_visa"}),
        ("/payments", {"order_id": int(victim.ids["unpaid"]), "payment_method_id": method}),
        ("/payments", {"order_id": own, "payment_method_id": method}),
        ("/orders", {"shipping_address_id": int(victim.ids["address_id"])}),
    ]
    for number, (path, body) in enumerate(tries):
        counter.send("POST", path, who=eve, key=f"eve-tries-{number}", json=body, status=404)
    assert changes(before, everything(counter)) == []


def test_lists_hold_the_callers_own_only(counter: Counter) -> None:
    victim = victim_of(counter)
    eve = counter.desk.person("eve")
    lists = [
        route
        for route in routes()
        if route[0] == "GET" and "{" not in route[1] and route not in PUBLIC and not is_admin(route)
    ]
    assert len(lists) >= 15
    responses = ""
    for route in lists:
        answer = ask(counter, victim, route, eve.headers)
        assert answer.status_code in (200, 422), (route, answer.text)
        tells_nothing(victim, answer.text)
        responses += ask(counter, victim, route, victim.person.headers).text
    # the lists do contain the secrets when their owner reads them
    assert [secret for secret in victim.secrets if secret not in responses] == []


def ask(counter: Counter, victim: Victim, route: Route, headers: Mapping[str, str]) -> httpx.Response:
    method, path = route
    names = re.findall(r"{(\w+)}", path)
    unknown = [name for name in names if name not in victim.ids]
    assert not unknown, f"{method} {path}: say in victims.py what {unknown[0]} of the victim's to ask for"
    filled = path.format_map(victim.ids)
    answer = counter.desk.client.request(
        method,
        filled,
        headers={"Idempotency-Key": "walking-0001", **headers},
        json=victim.bodies.get(route),
    )
    counter.desk.client.cookies.clear()
    return answer


def tells_nothing(victim: Victim, text: str) -> None:
    assert [secret for secret in victim.secrets if secret in text] == []


def everything(counter: Counter) -> dict[str, str]:
    """A fingerprint of each table and of each key in Redis, but for what every request may touch."""
    with counter.shop.connect() as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname LIKE '%\\_db' ORDER BY 1, 2"
        ).fetchall()
        assert len(tables) > 40
        found = dict(_fingerprints(connection, tables))
    for key in sorted(counter.redis.scan_iter("*")):
        # copies of a product or a profile that reading makes, and how often a caller asked
        if not key.startswith((b"product:", b"user:", b"limit:")):
            found[f"redis {key.decode()}"] = str(counter.redis.dump(key))
    return found


def _fingerprints(connection: psycopg.Connection, tables: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for schema, table in tables:
        # the moments of a caller's last request are no change of anything
        query = sql.SQL(
            "SELECT count(*), md5(coalesce(string_agg(line, ';' ORDER BY line), '')) FROM ("
            "SELECT (to_jsonb(t) - '{{last_activity, last_seen, last_used_at}}'::text[])::text AS line "
            "FROM {} t) AS lines"
        ).format(sql.Identifier(schema, table))
        row = connection.execute(query).fetchone()
        yield f"{schema}.{table}", str(row)


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


@pytest.mark.parametrize("name", ["orders_db.orders", "redis cart:1"])
def test_a_change_would_be_seen(counter: Counter, name: str) -> None:
    before = everything(counter)
    if name.startswith("redis"):
        counter.redis.hset("cart:1", "1", "1")
    else:
        with counter.shop.connect() as connection:
            connection.execute(
                "INSERT INTO orders_db.orders (order_number, subtotal_price, total_price) VALUES ('X', 1, 1)"
            )
    assert changes(before, everything(counter)) == [name]
