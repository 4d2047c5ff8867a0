"""Reviews and views: one review each, votes that count once, and what trends now."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
import redis

from recsys import clock
from recsys.cache import keys
from recsys.domains.products import views
from recsys.events import relay
from recsys.events.consumer import Consumer
from recsys.web.access.guest_sessions import with_signature
from tests.journeys.conftest import Counter
from tests.support.shop import Shop


def test_a_review_is_one_for_each_user_and_shown_once_approved(counter: Counter) -> None:
    ada, bob = counter.desk.person("ada"), counter.desk.person("bob")
    product, _ = counter.product("Lamp")
    path = f"/products/{product}"
    first = counter.send("PUT", f"{path}/review", who=ada, json={"rating": 2}, status=201)
    again = counter.send("PUT", f"{path}/review", who=ada, json={"rating": 4, "title": "Better"})
    assert (again["id"], again["rating"], again["is_verified_purchase"]) == (first["id"], 4, False)
    assert counter.send("GET", f"{path}/reviews")["items"] == []
    waiting = counter.send("GET", "/admin/reviews", who=counter.admin)["items"]
    assert [one["id"] for one in waiting] == [first["id"]]
    counter.send("POST", f"/reviews/{first['id']}/helpful", who=bob, status=404)
    counter.send("POST", f"/admin/reviews/{first['id']}/approve", who=counter.admin)
    shown = counter.send("GET", path)
    assert (shown["rating"], shown["reviews"]) == ("4.00", 1)
    for _ in range(2):
        assert counter.send("POST", f"/reviews/{first['id']}/helpful", who=bob)["helpful_count"] == 1
    counter.send("POST", f"/reviews/{first['id']}/helpful", who=ada, status=403)
    for rating in (0, 6, 2.5, "5"):
        counter.send("PUT", f"{path}/review", who=bob, json={"rating": rating}, status=422)
    counter.settle_events()
    kinds = (
        "SELECT interaction_value FROM recommendations_db.user_interactions WHERE interaction_type = 'review'"
    )
    assert counter.desk.rows(kinds)
    counter.send("DELETE", f"/admin/reviews/{first['id']}", who=counter.admin, status=204)
    assert counter.send("GET", path)["reviews"] == 0


def test_liking_counts_as_an_interaction(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    product, _ = counter.product("Lamp")
    counter.send("POST", f"/products/{product}/like", who=ada, status=204)
    counter.send("POST", f"/products/{product}/like", status=401)
    counter.settle_events()
    liked = (
        "SELECT user_id, product_id FROM recommendations_db.user_interactions WHERE interaction_type = 'like'"
    )
    assert counter.desk.rows(liked) == [(ada.id, product)]


def test_what_was_looked_at_of_late_trends_over_what_once_was(
    shop: Shop, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now().timestamp()
    day = timedelta(days=1).total_seconds()
    for _ in range(3):
        views._count(1, now)
    # two half-lives later one view weighs as much as four of then
    views._count(2, now + 2 * day)
    assert views._ranked(10) == [2, 1]
    for _ in range(2):
        views._count(1, now + 2 * day)
    assert views._ranked(10) == [1, 2]
    # long after, the weights start over without changing the order
    views._count(3, now + 100 * day)
    assert views._ranked(10) == [3, 1, 2]
    assert float(redis_client.get(keys.trending_landmark()) or 0) == now + 100 * day
    weights = [score for _, score in redis_client.zrange("trending_products", 0, -1, withscores=True)]  # type: ignore[union-attr, misc]
    assert max(weights) == 1.0


def test_views_of_a_day_are_counted_and_older_ones_go(shop: Shop, redis_client: redis.Redis) -> None:
    now = clock.now().timestamp()
    views._count(1, now - 86_000)
    views._count(1, now - 90_000)
    views._count(1, now)
    assert views.recent_views(1) == 2


def test_a_view_names_user_or_guest_and_hidden_products_have_none(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    product, _ = counter.product("Lamp")
    assert counter.send("POST", f"/products/{product}/views", who=ada, status=201)["views"] == 1
    assert counter.send("POST", f"/products/{product}/views", guest="v1", status=201)["views"] == 2
    seen = counter.desk.rows(
        "SELECT user_id, session_id, host(ip_address) FROM products_db.product_view_history ORDER BY id"
    )
    assert seen == [(ada.id, None, "127.0.0.1"), (None, "v1", "127.0.0.1")]
    trend = counter.send("GET", "/products/trending")["products"]
    assert [one["id"] for one in trend] == [product]
    other, _ = counter.product("Rug")
    counter.send("POST", f"/products/{other}/views", guest="v1", status=201)
    # the first in rank is hidden: the next one takes its place
    counter.send("PATCH", f"/admin/products/{product}", who=counter.admin, json={"status": "draft"})
    shown = counter.send("GET", "/products/trending?limit=1")["products"]
    assert [one["id"] for one in shown] == [other]
    counter.send("DELETE", f"/admin/products/{other}", who=counter.admin, status=204)
    counter.send("POST", f"/products/{product}/views", who=ada, status=404)
    assert counter.send("GET", "/products/trending")["products"] == []


def test_a_view_is_kept_and_trends_are_reported_while_redis_is_away(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    product, _ = counter.product("Lamp")

    def away() -> redis.Redis:
        raise redis.ConnectionError("away")

    monkeypatch.setattr(views, "get_redis", away)
    for _ in range(2):
        seen = counter.send("POST", f"/products/{product}/views", guest="v1", status=201)
        assert seen["views"] is None
    assert counter.one("SELECT count(*) FROM products_db.product_view_history") == 2
    assert [one["id"] for one in counter.send("GET", "/products/trending")["products"]] == [product]


def test_a_review_before_the_purchase_is_verified_by_it(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    product, _ = counter.product("Lamp")
    review = counter.send("PUT", f"/products/{product}/review", who=ada, json={"rating": 5}, status=201)
    assert review["is_verified_purchase"] is False
    order = counter.order(ada, product)["id"]
    body = {"order_id": order, "token": "tok_visa"}
    counter.send("POST", "/payments", who=ada, key="pay-00001", json=body, status=201)
    counter.settle_events()
    assert counter.one("SELECT is_verified_purchase FROM products_db.product_reviews") is True


def test_a_guests_look_that_was_stored_during_the_log_in_is_the_users(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    product, _ = counter.product("Lamp")
    counter.desk.register("ada")
    owners = "SELECT user_id FROM products_db.product_view_history ORDER BY id"
    looking, logged_in = threading.Event(), threading.Event()
    publish = views.publish_all

    def late(*args: Any, **options: Any) -> Any:
        # the row is written and not committed while the guest logs in
        looking.set()
        assert logged_in.wait(30)
        return publish(*args, **options)

    monkeypatch.setattr(views, "publish_all", late)
    guest = {"guest": "visit-1", "status": 201}
    look = threading.Thread(target=counter.send, args=("POST", f"/products/{product}/views"), kwargs=guest)
    look.start()
    assert looking.wait(30)
    ada = counter.desk.log_in("ada", X_Session_Id=with_signature("visit-1")).json()["user_id"]
    relay.run(threading.Event(), once=True)
    Consumer("core").run(threading.Event(), once=True)
    logged_in.set()
    look.join()
    assert counter.desk.rows(owners) == [(None,)]
    counter.settle_events()
    assert counter.desk.rows(owners) == [(ada,)]
    # after the user left, views are a guest's again until the next log-in
    monkeypatch.setattr(views, "publish_all", publish)
    counter.send("POST", f"/products/{product}/views", guest="visit-1", status=201)
    counter.settle_events()
    assert counter.desk.rows(owners) == [(ada,), (None,)]
    bob = counter.desk.account("bob")
    counter.desk.log_in("bob", X_Session_Id=with_signature("visit-1"))
    assert counter.desk.rows(owners) == [(ada,), (bob,)]
