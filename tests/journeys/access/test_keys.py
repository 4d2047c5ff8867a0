"""Every route in production, without a key and with each kind of key: only what a scope opens answers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from recsys.database.session import unit_of_work
from recsys.domains.users.api_keys import service as api_keys
from recsys.settings import get_settings
from tests.journeys.access.answers import (
    OF_A_VISIT,
    PUBLIC,
    REFUSED,
    ask,
    changes,
    everything,
    is_admin,
    routes,
    tells_nothing,
)
from tests.journeys.access.victims import Route, victim_of
from tests.journeys.conftest import Counter

NEEDS: Mapping[Route, str] = {
    ("POST", "/api/v1/interactions"): "events",
    ("POST", "/api/v1/recommendations/feedback"): "events",
    ("POST", "/api/v1/analytics/collect"): "events",
}
"""Open in development, and in production to a key with this scope (or to a user for what is their own)."""


@pytest.fixture
def production(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> Counter:
    """The counter of a shop that has opened."""
    monkeypatch.setenv("RECSYS_ENVIRONMENT", "production")
    monkeypatch.setenv("RECSYS_PAYMENTS__WEBHOOK_SECRET", "a-secret-for-this-test-only")
    return counter


def test_what_needs_a_key_says_so_to_everybody_else(production: Counter) -> None:
    victim = victim_of(production)
    with unit_of_work() as session:
        made = {scope: api_keys.create(session, scope, [scope], by="tests").key for scope in api_keys.SCOPES}
        revoked = api_keys.create(session, "gone", list(api_keys.SCOPES), by="tests").key
        api_keys.revoke(session, "gone", by="tests")
    get_settings.cache_clear()
    before = everything(production)
    for route in routes():
        if route == ("GET", "/metrics"):
            continue  # for the machine that watches, whose door is elsewhere
        # a wrong key opens nothing, not even what is public
        for wrong in (revoked, made["admin"][:-1] + "-"):
            answer = ask(production, victim, route, {"X-Api-Key": wrong})
            assert answer.status_code == 401, (route, answer.text)
            tells_nothing(victim, answer.text)
        needed = NEEDS.get(route)
        if route in OF_A_VISIT or (needed is None and route in PUBLIC):
            continue
        answer = ask(production, victim, route, {})
        assert answer.status_code in REFUSED, (route, answer.text)
        tells_nothing(victim, answer.text)
        for scope in api_keys.SCOPES:
            # what else a key with `admin` opens is walked below
            if scope != needed and (scope != "admin" or needed is not None):
                answer = ask(production, victim, route, {"X-Api-Key": made[scope]})
                expected = {403} if needed is not None or is_admin(route) else REFUSED
                assert answer.status_code in expected, (route, scope, answer.text)
                tells_nothing(victim, answer.text)
    assert changes(before, everything(production)) == []


def test_what_a_key_opens_is_open(production: Counter) -> None:
    victim = victim_of(production)
    with unit_of_work() as session:
        made = {scope: api_keys.create(session, scope, [scope], by="tests").key for scope in api_keys.SCOPES}
    get_settings.cache_clear()
    for route in routes():
        needed = "admin" if is_admin(route) else NEEDS.get(route)
        if needed is not None:
            answer = ask(production, victim, route, {"X-Api-Key": made[needed]})
            assert answer.status_code not in (401, 403), (route, answer.text)
            assert answer.status_code < 500, (route, answer.text)


def test_a_user_tells_of_oneself_and_of_nobody_else(production: Counter) -> None:
    eve, bob = production.desk.person("eve"), production.desk.person("bob")
    tea, _ = production.product("Tea")
    get_settings.cache_clear()
    own = {"product_id": tea, "interaction_type": "view", "event_id": "page-1"}
    assert production.send("POST", "/interactions", who=eve, json=own)["stored"] == 1
    assert production.send("POST", "/interactions", who=eve, json=own)["duplicates"] == 1
    assert production.send("POST", "/interactions", who=bob, json=own)["stored"] == 1
    others = [{**own, "user_id": bob.id}, {**own, "user_id": 10**6}, {**own, "username": "bob"}]
    answer = production.send("POST", "/interactions", who=eve, json=others, status=422)
    # one word for all of them: whether there is such a user is nobody's business
    assert {one["reason"] for one in answer["verdicts"]} == {"user_id: not the user who is logged in"}
    with production.shop.connect() as connection:
        stored = connection.execute(
            "SELECT user_id, product_id FROM recommendations_db.user_interactions ORDER BY user_id"
        ).fetchall()
    assert stored == sorted([(eve.id, tea), (bob.id, tea)])


def test_guests_are_counted_from_their_browser_only_where_the_shop_wants_it(
    production: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    get_settings.cache_clear()
    seen = {"type": "page_view", "event_id": "1", "page_url": "https://shop.example/tea"}
    agent = {"User_Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
    production.send("POST", "/analytics/collect", guest="a-visit", json=seen, status=401, **agent)
    monkeypatch.setenv("RECSYS_API__GUESTS_MAY_COLLECT", "true")
    get_settings.cache_clear()
    assert production.send("POST", "/analytics/collect", guest="a-visit", json=seen, **agent)["stored"] == 1
