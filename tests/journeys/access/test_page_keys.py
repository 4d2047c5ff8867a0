"""Every route with a publishable key: only what pages may ask answers, and nobody else's is in it."""

from __future__ import annotations

import json

import pytest

from recsys.database.session import unit_of_work
from recsys.domains.users.api_keys import service as api_keys
from recsys.settings import get_settings
from recsys.web.access.pages import PAGE_ROUTES
from recsys.web.access.signing import user_token_secrets
from recsys.web.access.user_tokens import make_user_token
from serving.server.app import create_app
from tests.journeys.access.answers import ask, changes, everything, routes, tells_nothing
from tests.journeys.access.victims import Route, victim_of
from tests.journeys.conftest import Counter

ORIGIN = "https://shop.example"
OTHER = "https://other.example"
SECRET = "a-secret-for-the-tokens-of-this-test"


@pytest.fixture
def page(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The headers of a page of a shop in production."""
    monkeypatch.setenv("RECSYS_ENVIRONMENT", "production")
    monkeypatch.setenv("RECSYS_PAYMENTS__WEBHOOK_SECRET", "a-secret-for-this-test-only")
    monkeypatch.setenv("RECSYS_API__USER_TOKEN_SECRETS", json.dumps([SECRET]))
    monkeypatch.setenv("RECSYS_API__PAGE_RATE_PER_SECOND", "0")
    get_settings.cache_clear()
    with unit_of_work() as session:
        created = api_keys.publish(session, "page", [ORIGIN], by="tests")
        api_keys.publish(session, "other", [OTHER], by="tests")
    return {"X-Api-Key": created.key, "Origin": ORIGIN}


def _token(key: str, user: str) -> str:
    with unit_of_work() as session:
        row = api_keys.publishable(session, key)
        return make_user_token(user_token_secrets(row.prefix, row.signing_epoch)[0], user)


def test_page_routes_exist() -> None:
    paths = create_app().openapi()["paths"]
    existing = {(method.upper(), path) for path, operations in paths.items() for method in operations}
    assert set(PAGE_ROUTES) <= existing


def test_all_other_routes_refuse_a_publishable_key(counter: Counter, page: dict[str, str]) -> None:
    victim = victim_of(counter)
    get_settings.cache_clear()
    token = {"Authorization": f"Bearer {_token(page['X-Api-Key'], victim.person.name)}"}
    before = everything(counter)
    refused: list[Route] = []
    for route in routes():
        if route in PAGE_ROUTES or route == ("GET", "/metrics"):
            continue
        # also with the token of the user whom all of this belongs to
        for headers in (page, page | token):
            answer = ask(counter, victim, route, headers)
            assert answer.status_code == 403, (route, answer.text)
            assert "publishable key" in answer.json()["detail"], route
            tells_nothing(victim, answer.text)
        refused.append(route)
    assert len(refused) > 80
    assert changes(before, everything(counter)) == []


def test_no_route_answers_a_page_of_another_origin(counter: Counter, page: dict[str, str]) -> None:
    victim = victim_of(counter)
    get_settings.cache_clear()
    key = {"X-Api-Key": page["X-Api-Key"]}
    for origin in (
        {},
        {"Origin": OTHER},
        {"Origin": "null"},
        {"Origin": f"{ORIGIN}.evil.example"},
        # of this server, which the key is not for
        {"Sec-Fetch-Site": "same-origin"},
    ):
        for route in routes():
            if route == ("GET", "/metrics"):
                continue
            answer = ask(counter, victim, route, key | origin)
            assert answer.status_code == 403, (route, origin, answer.text)
            assert "access-control-allow-origin" not in answer.headers
    answer = ask(counter, victim, ("GET", "/api/v1/products/popular"), key | {"Origin": OTHER})
    assert ORIGIN in answer.json()["detail"]


def test_a_page_of_the_server_itself_needs_no_origin_header(counter: Counter, page: dict[str, str]) -> None:
    # as browsers send it: no Origin with a GET to the page's own server
    key = {"X-Api-Key": page["X-Api-Key"], "Host": ORIGIN.removeprefix("https://")}
    for site, status in (("same-origin", 200), ("same-site", 403), ("cross-site", 403), ("none", 403)):
        headers = key | {"Sec-Fetch-Site": site}
        answer = counter.desk.client.get("/api/v1/search/suggest?prefix=tea", headers=headers)
        assert answer.status_code == status, (site, answer.text)


def test_a_page_posts_for_its_visitor_alone(counter: Counter, page: dict[str, str]) -> None:
    eve, bob = counter.desk.person("eve"), counter.desk.person("bob")
    tea, _ = counter.product("Tea")
    get_settings.cache_clear()
    client, view = counter.desk.client, {"product_id": tea, "interaction_type": "view", "event_id": "1"}
    guests = [client.post("/api/v1/auth/guest", headers=page).json()["session_id"] for _ in range(2)]
    client.cookies.clear()
    evil = page | {"Authorization": f"Bearer {_token(page['X-Api-Key'], 'eve')}"}
    for path, body in (
        ("interactions", view),
        ("recommendations/feedback", {"product_id": tea, "feedback_type": "clicked", "request_id": "r" * 8}),
    ):
        for headers in (evil, page | {"X-Session-Id": guests[0]}):
            others: tuple[dict[str, object], ...] = (
                {"user_id": bob.id},
                {"username": "bob"},
                {"session_id": guests[1]},
            )
            for fields in others:
                answer = client.post(f"/api/v1/{path}", headers=headers, json=[body, body | fields])
                assert answer.status_code == 403, answer.text
                assert "visitor alone" in answer.json()["detail"]
        # nobody in particular has no events; an id that the server did not issue is no visitor
        assert client.post(f"/api/v1/{path}", headers=page, json=body).status_code == 401
        for forged in ("a-guest", guests[0][:-1] + "!", guests[0].partition(".")[0]):
            answer = client.post(f"/api/v1/{path}", headers=page | {"X-Session-Id": forged}, json=body)
            assert answer.status_code == 422, answer.text
    # the log-in of an account, and a cookie, are no token of a page
    wrong = [page | eve.headers]
    assert [client.post("/api/v1/interactions", headers=one, json=view).status_code for one in wrong] == [401]
    cookie = page | {"Cookie": f"recsys_token={eve.token}; recsys_session={guests[1]}"}
    assert client.post("/api/v1/interactions", headers=cookie, json=view).status_code == 401
    # the same event id of several visitors is several events, and of one visitor one event
    senders = [evil, page | {"X-Session-Id": guests[0]}, page | {"X-Session-Id": guests[1]}]
    for status in ("stored", "duplicate"):
        for headers in senders:
            answer = client.post("/api/v1/interactions", headers=headers, json=view)
            assert answer.json()["verdicts"][0]["status"] == status, answer.text
    assert sorted(
        counter.desk.rows(
            "SELECT coalesce(user_id, 0), session_id FROM recommendations_db.user_interactions"
        ),
        key=str,
    ) == sorted([(eve.id, None), *((0, guest.partition(".")[0]) for guest in guests)], key=str)


def test_a_user_who_is_not_stored_yet_is_a_guest(counter: Counter, page: dict[str, str]) -> None:
    tea, _ = counter.product("Tea")
    get_settings.cache_clear()
    guest = counter.desk.client.post("/api/v1/auth/guest", headers=page).json()["session_id"]
    headers = page | {
        "Authorization": f"Bearer {_token(page['X-Api-Key'], 'newcomer')}",
        "X-Session-Id": guest,
    }
    view = {"product_id": tea, "interaction_type": "view"}
    assert counter.desk.client.post("/api/v1/interactions", headers=headers, json=view).status_code == 200
    assert counter.one("SELECT user_id FROM recommendations_db.user_interactions") is None


def test_a_user_claims_the_history_of_the_guest(counter: Counter, page: dict[str, str]) -> None:
    eve = counter.desk.person("eve")
    tea, _ = counter.product("Tea")
    get_settings.cache_clear()
    client = counter.desk.client
    guest = {"X-Session-Id": client.post("/api/v1/auth/guest", headers=page).json()["session_id"]}
    view = {"product_id": tea, "interaction_type": "view"}
    assert client.post("/api/v1/interactions", headers=page | guest, json=view).status_code == 200
    assert client.post("/api/v1/auth/guest/claim", headers=page | guest).status_code == 401
    token = {"Authorization": f"Bearer {_token(page['X-Api-Key'], 'eve')}"}
    assert client.post("/api/v1/auth/guest/claim", headers=page | token).status_code == 422
    assert client.post("/api/v1/auth/guest/claim", headers=page | guest | token).status_code == 204
    assert counter.one("SELECT user_id FROM recommendations_db.user_interactions") == eve.id


def test_preflights_are_answered_for_the_origins_of_keys(counter: Counter, page: dict[str, str]) -> None:
    client = counter.desk.client

    def preflight(origin: str, path: str) -> tuple[int, str | None]:
        answer = client.options(
            f"/api/v1{path}", headers={"Origin": origin, "Access-Control-Request-Method": "POST"}
        )
        assert answer.headers["vary"] == "Origin"
        return answer.status_code, answer.headers.get("access-control-allow-origin")

    # a preflight carries no key: the servers know a new one within a second
    client.get("/api/v1/products/popular", headers=page)
    assert preflight(ORIGIN, "/interactions") == (204, ORIGIN)
    assert preflight(ORIGIN, "/products/7/similar") == (204, ORIGIN)
    assert preflight(OTHER, "/interactions") == (204, OTHER)
    assert preflight("https://evil.example", "/interactions") == (403, None)
    assert preflight("null", "/interactions") == (403, None)
    assert preflight(ORIGIN, "/orders") == (403, None)
    answer = client.get("/api/v1/search/suggest?prefix=te", headers=page)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, ORIGIN)
    # a page reads why it was refused
    answer = client.get("/api/v1/orders", headers=page)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (403, ORIGIN)
    # without a key, or with that of another origin, no page reads anything
    for headers in ({"Origin": ORIGIN}, page | {"Origin": OTHER}):
        answer = client.get("/api/v1/search/suggest?prefix=te", headers=headers)
        assert "access-control-allow-origin" not in answer.headers


def test_each_visitor_has_a_limit(counter: Counter, page: dict[str, str]) -> None:
    with unit_of_work() as session:
        key = api_keys.publish(session, "slow", [ORIGIN], rate_per_second=0.25, by="tests").key
    client = counter.desk.client
    answers = [
        client.get("/api/v1/search/suggest?prefix=te", headers=page | {"X-Api-Key": key}) for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].headers["access-control-allow-origin"] == ORIGIN
    assert client.get("/api/v1/search/suggest?prefix=te", headers=page).status_code == 200


def test_administrators_create_list_and_revoke_publishable_keys(counter: Counter) -> None:
    path, admin = "/admin/publishable-keys", counter.admin
    body = {"name": "web-page", "origins": [ORIGIN]}
    created = counter.desk.call(admin, "POST", path, status=201, json=body).json()
    assert created["key"].startswith(f"pk_{created['prefix']}_")
    assert len(created["signing_secret"]) == 64
    listed = counter.desk.call(admin, "GET", path).json()
    assert [(row["name"], row["origins"], row["state"]) for row in listed] == [
        ("web-page", [ORIGIN], "active")
    ]
    assert created["key"] not in str(listed)
    assert created["signing_secret"] not in str(listed)
    for origin in (
        "shop.example",
        "https://shop.example/",
        "*",
        "http://shop.example",
        "https://shop.example:443",
    ):
        wrong = body | {"origins": [origin]}
        assert "origin" in counter.desk.call(admin, "POST", path, status=422, json=wrong).text
    counter.desk.call(admin, "DELETE", f"{path}/{created['prefix']}", status=204)
    counter.desk.call(admin, "DELETE", f"{path}/aaaaaaaa", status=404)
    assert counter.desk.call(admin, "GET", path).json()[0]["state"] == "revoked"
