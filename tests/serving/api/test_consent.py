"""Consent by purpose is respected from the next request on: lists, features, page views, impressions."""

from __future__ import annotations

import threading
from typing import Any
from uuid import uuid4

import httpx
import pytest
from redis import Redis

from features.build.builder import build_reported
from recsys import clock
from recsys.cache import keys
from recsys.database.session import unit_of_work
from recsys.domains.products import views
from recsys.domains.recommendations.stored_lists import generations
from recsys.domains.recommendations.stored_lists.user_lists import store_lists
from recsys.errors import Unavailable
from recsys.privacy import consent
from recsys.privacy.consent import ALLOWED, Consent
from recsys.settings import get_settings
from recsys.write_buffer import drain
from serving.batch import scoring
from serving.batch.refresh import refresh_lists
from tests.support.guests import guest
from tests.support.shop import Shop

NOT_PERSONAL = Consent(personalisation=False)


def allow(given: Consent, *, user: int | None = None, session_id: str | None = None) -> None:
    with unit_of_work() as session:
        consent.change(session, user, session_id, given)


def ids(client: httpx.Client, path: str, **headers: str) -> list[int]:
    answer = client.get(f"/api/v1{path}", headers=headers)
    assert answer.status_code == 200, answer.text
    return [item["product_id"] for item in answer.json()["items"]]


def rows(shop: Shop, query: str) -> list[tuple[Any, ...]]:
    with shop.connect() as connection:
        return connection.execute(query.encode()).fetchall()


def test_a_user_who_refuses_gets_the_list_of_everybody_at_once(
    client: httpx.Client, scored_shop: Shop, redis_client: Redis
) -> None:
    personal = ids(client, "/users/1/recommendations")
    everybody = ids(client, "/recommendations")
    assert personal != everybody
    allow(NOT_PERSONAL, user=1)
    assert ids(client, "/users/1/recommendations") == everybody
    # neither a scoring nor a refresh makes another one
    scoring.score()
    redis_client.sadd(keys.recent_interactions(1), "5")
    with unit_of_work() as session:
        assert refresh_lists(session, [1, 2]) <= {2}
    redis_client.delete(keys.recent_interactions(1))
    stored = "SELECT user_id FROM recommendations_db.stored_lists WHERE user_id = 1"
    assert rows(scored_shop, stored) == []
    assert ids(client, "/users/1/recommendations") == everybody
    # others keep theirs, and so does the user who allows it again
    allow(ALLOWED, user=1)
    assert set(ids(client, "/users/1/recommendations")) & set(personal)
    assert ids(client, "/users/1/recommendations") != everybody


def test_lists_that_were_made_before_a_refusal_are_not_stored(scored_shop: Shop) -> None:
    with unit_of_work() as session:
        generation, _ = generations.start(session, "knn-v1", "1")
    allow(NOT_PERSONAL, user=1)
    allow(Consent(analytics=False), user=2)
    with unit_of_work() as session:
        assert store_lists(session, generation, {1: b"a", 2: b"b", 999_999: b"c"}) == {2: b"b"}
    lists = f"SELECT user_id FROM recommendations_db.stored_lists WHERE generation_id = {generation}"  # noqa: S608
    assert rows(scored_shop, lists) == [(2,)]


def test_a_guest_who_refuses_by_http_gets_the_list_of_everybody(
    client: httpx.Client, scored_shop: Shop
) -> None:
    visitor = guest("visit-5")
    event = {"product_id": 65, "interaction_type": "like", "session_id": "visit-5"}
    assert client.post("/api/v1/interactions", json=event, headers=visitor).status_code == 200
    everybody = ids(client, "/recommendations")
    assert client.get("/api/v1/consent", headers=visitor).json() == {
        "personalisation": True,
        "analytics": True,
    }
    refused = {"personalisation": False, "analytics": True}
    assert client.put("/api/v1/consent", headers=visitor, json=refused).json() == refused
    assert client.get("/api/v1/consent", headers=visitor).json() == refused
    assert ids(client, "/recommendations", **visitor) == everybody
    assert client.put("/api/v1/consent", json=refused).status_code == 401
    assert client.put("/api/v1/consent", headers=visitor, json={"analytics": 1}).status_code == 422


def test_no_snapshot_holds_who_refuses(trained_shop: Shop) -> None:
    with trained_shop.connect() as connection:
        connection.execute(
            "INSERT INTO recommendations_db.user_interactions (product_id, interaction_type, session_id, "
            "created_at) VALUES (5, 'view', 'visit-6', now()), (6, 'view', 'visit-7', now())"
        )
        connection.execute(
            "INSERT INTO recommendations_db.user_preferences (user_id, category_preferences) "
            """VALUES (1, '{"Coffee": 1}'), (2, '{"Coffee": 1}')"""
        )
    settings = get_settings()
    before = build_reported(settings).dataset
    assert {1, 2} <= set(before.users.ids.tolist())
    allow(NOT_PERSONAL, user=1)
    allow(NOT_PERSONAL, session_id="visit-6")
    refused = build_reported(settings)
    assert refused.whole == "other people refuse personalisation by now"
    assert set(before.users.ids.tolist()) - set(refused.dataset.users.ids.tolist()) == {1}
    assert refused.guests == 1
    again = build_reported(settings)
    assert (again.new, again.dataset.fingerprint) == (0, refused.dataset.fingerprint)
    allow(ALLOWED, user=1)
    assert 1 in build_reported(settings).dataset.users


def test_without_analytics_nothing_names_the_visitor(client: httpx.Client, scored_shop: Shop) -> None:
    visitor = guest("visit-8") | {"User-Agent": "Mozilla/5.0 (X11)"}
    allow(Consent(analytics=False), session_id="visit-8")
    page = {"type": "page_view", "event_id": "p-1", "page_url": "https://shop.example/"}
    answer = client.post("/api/v1/analytics/collect", json=page, headers=visitor).json()
    assert (answer["ignored"], answer["stored"]) == (1, 0)
    assert client.post("/api/v1/products/5/views", headers=visitor).status_code == 201
    ids(client, "/recommendations", **visitor)
    for table in ("page_views", "user_events", "user_sessions"):
        assert rows(scored_shop, f"SELECT * FROM analytics_db.{table}") == []  # noqa: S608
    views = rows(scored_shop, "SELECT session_id, user_id, user_agent FROM products_db.product_view_history")
    assert views == [(None, None, None)]


@pytest.mark.parametrize("personalisation", [True, False])
@pytest.mark.parametrize("analytics", [True, False])
def test_a_view_names_its_visitor_where_a_purpose_is_allowed(
    personalisation: bool, analytics: bool, client: httpx.Client, scored_shop: Shop
) -> None:
    allow(Consent(personalisation, analytics), session_id="visit-8")
    assert client.post("/api/v1/products/5/views", headers=guest("visit-8")).status_code == 201
    (views,) = rows(scored_shop, "SELECT session_id FROM products_db.product_view_history")
    assert views == ("visit-8" if analytics else None,)
    event = "SELECT data->>'session_id' FROM analytics_db.outbox WHERE name = 'product.viewed'"
    assert rows(scored_shop, event) == [("visit-8" if analytics or personalisation else None,)]


def test_a_user_and_a_guest_session_that_each_refuse_one_purpose_refuse_both(scored_shop: Shop) -> None:
    allow(NOT_PERSONAL, user=1)
    allow(Consent(analytics=False), session_id="visit-8")
    view = views.PostedView(
        event_id=uuid4(), product_id=5, user_id=1, session_id="visit-8", viewed_at=clock.now()
    )
    with unit_of_work() as session:
        assert views._store(session, [view]) == {view.event_id}
    event = (
        "SELECT data->>'user_id', data->>'session_id' FROM analytics_db.outbox WHERE name = 'product.viewed'"
    )
    assert rows(scored_shop, event) == [(None, None)]


@pytest.mark.parametrize("own", [ALLOWED, NOT_PERSONAL])
@pytest.mark.parametrize("as_guest", [ALLOWED, NOT_PERSONAL, Consent(analytics=False), Consent(False, False)])
def test_what_a_guest_refuses_stays_refused_at_the_log_in(
    own: Consent, as_guest: Consent, scored_shop: Shop, redis_client: Redis
) -> None:
    allow(own, user=1)
    allow(as_guest, session_id="visit-9")
    with unit_of_work() as session:
        consent.adopt(session, "visit-9", 1)
    with unit_of_work() as session:
        adopted = consent.of_visitor(session, 1, None)
    assert adopted.personalisation == (own.personalisation and as_guest.personalisation)
    assert adopted.analytics == (own.analytics and as_guest.analytics)
    assert consent.refuses_in_redis(1, None) is not adopted.personalisation


def test_impressions_of_who_refuses_analytics_are_stored_without_them(
    client: httpx.Client, scored_shop: Shop
) -> None:
    allow(Consent(analytics=False), user=1)
    for user in (1, 2):
        ids(client, f"/users/{user}/recommendations")
    seen: list[tuple[Any, ...]] = []
    waited = threading.Event()
    for _ in range(100):
        drain.run(threading.Event(), once=True)
        seen = rows(scored_shop, "SELECT user_id FROM recommendations_db.exposures ORDER BY 1 NULLS FIRST")
        if len(seen) == 2:
            break
        waited.wait(0.1)
    assert seen == [(None,), (2,)]


def test_a_refusal_is_not_taken_while_redis_would_display_the_list(
    scored_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away:
        def pipeline(self, **_: object) -> None:
            raise ConnectionError("away")

    monkeypatch.setattr(consent, "get_redis", Away)
    with pytest.raises(Unavailable):
        allow(NOT_PERSONAL, user=1)
    assert rows(scored_shop, "SELECT owner FROM users_db.consents") == []


def test_a_log_in_waits_for_redis_only_where_the_guest_refuses_more(
    scored_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise ConnectionError("away")

    allow(NOT_PERSONAL, session_id="visit-9")
    monkeypatch.setattr(consent, "get_redis", away)
    with unit_of_work() as session:
        consent.adopt(session, "visit-10", 1)
    with pytest.raises(Unavailable), unit_of_work() as session:
        consent.adopt(session, "visit-9", 1)
    assert rows(scored_shop, "SELECT owner FROM users_db.consents") == [("session:visit-9",)]
