"""Who may do what in the console: every route with every role."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import psycopg
import pytest
from psycopg import sql

from recsys.domains.users.roles import Role
from recsys.settings import get_settings
from recsys.web.numbers import with_dependencies
from recsys.web.route_names import all_routes
from serving.console.rendering import ConsoleRoute
from serving.server.app import create_app
from tests.serving.console.conftest import PASSWORD, LogIn
from tests.serving.running import running
from tests.support.shop import Shop
from tests.support.web.pages import form_token, send_form

PUBLIC = {
    ("GET", "/console/log-in"): "the door itself",
    ("POST", "/console/log-in"): "the door itself; throttled",
    ("POST", "/console/theme"): "a cookie of one's own browser",
}
OF_EVERY_ROLE = {("POST", "/console/log-out"): "ends one's own session"}


@dataclass(frozen=True)
class ConsoleAddress:
    """A method, an address, and the role that it needs; None where no log-in is needed."""

    method: str
    path: str
    role: Role | None


def console_addresses() -> list[ConsoleAddress]:
    found = []
    for route in all_routes(create_app().routes):
        if not route.path.startswith("/console"):
            continue
        needed = [each.call.role for each in with_dependencies(route.dependant) if hasattr(each.call, "role")]
        needs = max(needed, default=None)
        found += [ConsoleAddress(method, route.path, needs) for method in route.methods]
    return found


def filled(path: str) -> str:
    return re.sub(r"{[^}]+}", "1", path)


def tables(shop: Shop) -> Iterator[tuple[str, str]]:
    """A fingerprint of each table, without the moments that every request touches."""
    with shop.connect() as connection:
        names = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname LIKE '%\\_db' ORDER BY 1, 2"
        ).fetchall()
        for schema, table in names:
            query = sql.SQL(
                "SELECT md5(coalesce(string_agg(line, ';' ORDER BY line), '')) FROM (SELECT (to_jsonb(t) - "
                "'{{last_activity, last_seen, updated_at}}'::text[])::text AS line FROM {} t) AS lines"
            ).format(sql.Identifier(schema, table))
            yield f"{schema}.{table}", str(connection.execute(query).fetchone())


def test_every_route_asks_for_a_role_or_is_public_for_a_reason() -> None:
    addresses = console_addresses()
    assert len(addresses) >= 6
    open_ones = {(each.method, each.path) for each in addresses if each.role is None}
    assert open_ones == set(PUBLIC)
    assert set(OF_EVERY_ROLE) <= {(each.method, each.path) for each in addresses}


def test_what_changes_something_needs_more_than_a_viewer() -> None:
    for each in console_addresses():
        key = (each.method, each.path)
        if each.method != "GET" and key not in PUBLIC and key not in OF_EVERY_ROLE:
            assert each.role is not None, key
            assert each.role > Role.VIEWER, key
            # a merchandiser changes rules and synonyms, and nothing else
            if each.role is Role.MERCHANDISER:
                assert re.match(r"/console/(rules|search|studio|placements|segments/stored)", each.path), key


def test_every_route_is_one_of_pages_so_that_forms_are_checked() -> None:
    from serving.console.router import SCREENS

    routes = [route for router in SCREENS for route in router.routes]
    assert [route for route in routes if not isinstance(route, ConsoleRoute)] == []


@pytest.mark.parametrize("role", list(Role)[:-1], ids=lambda role: role.label)
def test_a_role_changes_nothing_that_needs_a_higher_one(staff: Shop, log_in: LogIn, role: Role) -> None:
    client = log_in(role.label)
    before = dict(tables(staff))
    for each in console_addresses():
        if each.method == "GET" or each.role is None or each.role <= role:
            continue
        answer = send_form(client, filled(each.path), {})
        assert answer.status_code == 403, (each, answer.text)
    assert dict(tables(staff)) == before


def test_without_a_session_every_screen_leads_to_the_log_in(staff: Shop) -> None:
    with running(create_app()) as client:
        for each in console_addresses():
            if each.role is None:
                continue
            if each.method == "GET":
                answer = client.get(filled(each.path), params={})
                assert answer.status_code == 303, each
                assert answer.headers["location"].startswith("/console/log-in?next=/console")
                as_json = client.get(filled(each.path), params={"format": "json"})
                assert as_json.status_code == 401, each
            else:
                answer = send_form(client, filled(each.path), {}, page="/console/log-in")
                assert answer.status_code == 401, each


def test_no_address_of_a_screen_ends_in_a_server_error(client: httpx.Client) -> None:
    for each in console_addresses():
        if each.method == "GET":
            names = re.findall(r"{([^}:]+)[^}]*}", each.path)
            path = filled(each.path)
            odd = [httpx.URL(path, params={name: "\x00"}) for name in ("q", "user", "product", "job", "name")]
            odd += [httpx.URL(re.sub(r"{[^}]+}", "%00", each.path))] * bool(names)
            for address in odd:
                answer = client.get(address)
                assert answer.status_code < 500, (address, answer.text)


def test_wrong_passwords_of_others_do_not_keep_a_known_device_out(staff: Shop, log_in: LogIn) -> None:
    known = log_in("viewer")
    right = {"login": "viewer", "password": PASSWORD}
    with running(create_app()) as others:
        wrong = {**right, "password": "wrong-passphrase"}
        statuses = {
            send_form(others, "/console/log-in", wrong, page="/console/log-in").status_code for _ in range(40)
        }
        assert 429 in statuses
        assert send_form(others, "/console/log-in", right, page="/console/log-in").status_code == 429
    assert send_form(known, "/console/log-in", right, page="/console/log-in").status_code == 303


def test_a_customer_and_a_wrong_password_stay_outside(staff: Shop) -> None:
    with running(create_app()) as client:
        for fields, status in (
            ({"login": "customer", "password": PASSWORD}, 403),
            ({"login": "viewer", "password": "wrong-passphrase"}, 401),
            ({"login": "nobody-at-all", "password": PASSWORD}, 401),
        ):
            answer = send_form(client, "/console/log-in", fields, page="/console/log-in")
            assert answer.status_code == status
            assert "recsys_token" not in answer.headers.get("set-cookie", "")
            assert 'role="alert"' in answer.text
            assert client.get("/console").status_code == 303


def test_a_session_ends_with_the_log_out_and_with_the_role(staff: Shop, log_in: LogIn) -> None:
    client = log_in("operator")
    assert "Operator" in client.get("/console").text
    token = client.cookies["recsys_token"]
    with psycopg.connect(staff.database_url) as connection:
        connection.execute("DELETE FROM users_db.staff_roles WHERE role = 'operator'")
    assert client.get("/console").status_code == 303
    viewer = log_in("viewer")
    kept = viewer.cookies["recsys_token"]
    assert send_form(viewer, "/console/log-out", {}).status_code == 303
    for old in (kept, token):
        assert viewer.get("/console", headers={"Cookie": f"recsys_token={old}"}).status_code == 303


def test_the_page_that_was_asked_for_comes_after_the_log_in(staff: Shop) -> None:
    with running(create_app()) as client:
        asked = client.get("/console?format=html").headers["location"]
        page = client.get(asked)
        assert 'name="next" value="/console?format=html"' in page.text
        fields = {"login": "viewer", "password": PASSWORD, "next": "//evil.example"}
        assert send_form(client, "/console/log-in", fields, page="/console/log-in").status_code == 422


def test_in_development_only_a_name_of_this_machine_opens_the_console(client: httpx.Client) -> None:
    assert get_settings().environment == "development"
    assert client.get("/console").status_code == 200
    # another site's name that leads to 127.0.0.1
    assert client.get("/console", headers={"Host": "evil.example"}).status_code == 303
    token = form_token(client, "/console")
    foreign = {"Host": "evil.example"}
    assert client.post("/console/log-out", data={"form_token": token}, headers=foreign).status_code == 401
