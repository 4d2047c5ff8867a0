"""What nobody, the wrong user and a bad request get at each route of this domain."""

from __future__ import annotations

import pytest

from recsys.api import create_api
from tests.recsys.domains.users.conftest import Desk

OPEN = {
    ("post", f"/api/v1/auth/{name}")
    for name in ("register", "login", "guest", "password-reset", "password-reset/confirm", "confirm-email")
}


def _routes() -> list[tuple[str, str]]:
    paths = create_api().openapi()["paths"]
    return [
        (method, path)
        for path, operations in paths.items()
        for method in operations
        if path.startswith(("/api/v1/users", "/api/v1/auth"))
    ]


def test_without_a_token_only_the_door_answers(desk: Desk) -> None:
    routes = _routes()
    assert len(routes) > 20
    for method, path in routes:
        if (method, path) not in OPEN:
            filled = path.replace("{id}", "1").replace("{user_id}", "1").replace("{username}", "ada")
            answer = desk.client.request(method, filled)
            assert (path, answer.status_code) == (path, 401)


def test_every_route_documents_its_errors() -> None:
    paths = create_api().openapi()["paths"]
    for method, path in _routes():
        statuses = set(paths[path][method]["responses"])
        assert {"422", "503", "401" if (method, path) not in OPEN else "429"} <= statuses, (method, path)


def test_nobody_reads_or_ends_what_is_another_users(desk: Desk) -> None:
    ada, eve = desk.person("ada"), desk.person("eve")
    (session,) = [one["id"] for one in desk.call(ada, "GET", "/users/me/sessions").json()["items"]]
    desk.call(eve, "DELETE", f"/users/me/sessions/{session}", status=404)
    desk.call(eve, "DELETE", "/users/me/sessions", status=204)
    desk.call(ada, "GET", "/users/me")
    seen = desk.call(eve, "GET", f"/users/{ada.id}").text
    for private in ("example.org", "phone", "address", "password"):
        assert private not in seen
    activities = desk.call(eve, "GET", "/users/me/activities").json()["items"]
    assert len(activities) == 2


@pytest.mark.parametrize("given", [{"login": "ada"}, {"login": "\x00", "password": "x"}, [], "ada"])
def test_the_log_in_route_refuses_what_is_no_log_in(desk: Desk, given: object) -> None:
    assert desk.client.post("/api/v1/auth/login", json=given).status_code == 422
