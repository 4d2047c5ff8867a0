"""The keys of a shop, and what each route answers to each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache

import httpx
import psycopg
from psycopg import sql

from recsys.api import create_api
from tests.journeys.access.victims import Route, Victim
from tests.journeys.conftest import Counter

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


@cache
def routes() -> tuple[Route, ...]:
    """Every route of the core's OpenAPI, read from the application itself."""
    paths = create_api().openapi()["paths"]
    return tuple((method.upper(), path) for path, operations in paths.items() for method in operations)


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


def is_admin(route: Route) -> bool:
    """Whether its path says that it is for those who run the shop."""
    return route[1].startswith(("/api/v1/admin/", "/api/v1/recommendations/rules", "/api/v1/search/users"))
