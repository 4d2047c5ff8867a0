"""Clocks that differ: what the shop made or accepted keeps its moment, what others send is kept and named."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
import redis

from recsys import clock
from recsys.cache.client import get_redis
from recsys.database.session import unit_of_work
from recsys.events import consumer_groups, dead_letters, relay
from recsys.events.consumer import Consumer
from recsys.events.publish import announce, publish
from recsys.events.vocabulary import (
    CartItemAdded,
    Event,
    OrderLine,
    OrderPaid,
    ProductLiked,
    ProductViewed,
    ReviewPosted,
    SearchResultClicked,
)
from recsys.write_buffer import buffer, drain
from recsys.write_buffer.buffer import Post
from tests.support.shop import Shop

SKEWS = [timedelta(days=-1), timedelta(minutes=-3), timedelta(minutes=3), timedelta(days=1)]
VIEW = {"user_id": 1, "product_id": 1, "interaction_type": "view"}


def rows(shop: Shop, query: str) -> list[tuple[Any, ...]]:
    with shop.connect() as connection:
        return connection.execute(query.encode()).fetchall()


def interactions(shop: Shop) -> list[tuple[Any, ...]]:
    return rows(
        shop,
        "SELECT interaction_type, created_at FROM recommendations_db.user_interactions "
        "ORDER BY interaction_type",
    )


@pytest.mark.parametrize("skew", SKEWS)
def test_no_event_of_the_shop_is_judged_by_the_clock_of_a_consumer(small_shop: Shop, skew: timedelta) -> None:
    before = clock.now()
    line = OrderLine(product_id=4, quantity=1, unit_price=Decimal(1))
    made: list[Event] = [
        ProductViewed(product_id=1, user_id=1, occurred=before),
        ProductLiked(product_id=2, user_id=1),
        OrderPaid(order_id=1, user_id=1, lines=(line,)),
        ReviewPosted(review_id=1, product_id=5, user_id=1, rating=4),
        SearchResultClicked(query="tea", product_id=1, position=1, user_id=2),
    ]
    with unit_of_work() as session:
        for event in made:
            publish(session, event)
    announce(CartItemAdded(user_id=1, product_id=3, quantity=1))
    after = clock.now()
    with clock.frozen_at(clock.now() + skew):
        relay.run(threading.Event(), once=True)
        for group in consumer_groups.group_names():
            Consumer(group).run(threading.Event(), once=True)
    found = interactions(small_shop)
    assert [kind for kind, _ in found] == ["add_to_cart", "like", "purchase", "review", "view", "view"]
    assert all(before <= moment <= after for _, moment in found), "each keeps the moment at which it was made"
    assert list(dead_letters.letters(get_redis())) == []


def test_an_event_that_cannot_be_stored_for_a_mistake_of_ours_is_a_dead_letter(small_shop: Shop) -> None:
    line = OrderLine(product_id=1, quantity=10**12, unit_price=Decimal(1))
    with unit_of_work() as session:
        publish(session, OrderPaid(order_id=1, user_id=1, lines=(line,)))
        publish(session, ProductLiked(product_id=99, user_id=1))
    relay.run(threading.Event(), once=True)
    small_shop.run("consume", "core", "--once", RECSYS_EVENTS__RETRY_SECONDS="0.001")
    (letter,) = dead_letters.letters(get_redis())
    assert (letter.event, letter.group) == ("order.paid", "core")
    assert "interaction_value" in letter.error


@pytest.mark.parametrize("skew", SKEWS)
def test_what_was_accepted_is_stored_by_an_intake_of_any_clock(small_shop: Shop, skew: timedelta) -> None:
    now = clock.now()
    given = VIEW | {"event_id": "one", "created_at": now.isoformat()}
    liked = {"user_id": 1, "product_id": 2, "feedback_type": "dismissed", "created_at": now.isoformat()}
    unknown = {"request_id": "not-yet-there", "product_id": 2, "feedback_type": "clicked"}
    several = [
        Post("interactions", given, now.timestamp()),
        Post("feedback", liked, now.timestamp()),
        Post("feedback", unknown, now.timestamp()),
    ]
    buffer.to_redis([buffer.pack(one) for one in several])
    with clock.frozen_at(now + skew):
        drain.run(threading.Event(), once=True)
    assert interactions(small_shop) == [("dismissed", now), ("view", now)]
    assert drain.dead_letters() == []
    assert get_redis().xlen("posts:waiting") == 1, "the answer that it is about may still become known"


AHEAD = [timedelta(minutes=3), timedelta(days=1), timedelta(days=365_000)]


@pytest.mark.parametrize("ahead", AHEAD)
@pytest.mark.parametrize("away", [False, True])
def test_what_comes_from_a_clock_that_runs_ahead_is_kept_and_named(
    core_client: httpx.Client,
    small_shop: Shop,
    redis_client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    ahead: timedelta,
    away: bool,
) -> None:
    before = clock.now()
    if away:
        monkeypatch.setattr(buffer.postgresql_outage, "is_on", lambda: True)
    body = [
        VIEW | {"created_at": (before + ahead).isoformat()},
        VIEW,
        VIEW | {"created_at": before.isoformat()},
    ]
    answer = core_client.post("/api/v1/interactions", json=body).json()
    assert answer["queued" if away else "stored"] == 3
    remarks = [one["reason"] or "" for one in answer["verdicts"]]
    assert ["ahead of the server's clock" in one for one in remarks] == [True, False, False]
    dismissed = {"user_id": 1, "product_id": 2, "feedback_type": "dismissed"}
    answer = core_client.post(
        "/api/v1/recommendations/feedback", json=dismissed | {"created_at": (before + ahead).isoformat()}
    ).json()
    assert "ahead of the server's clock" in answer["verdicts"][0]["reason"]
    monkeypatch.undo()
    drain.run(threading.Event(), once=True)
    found = interactions(small_shop)
    assert len(found) == 4
    assert all(before <= moment <= clock.now() for _, moment in found)
    ((given,),) = rows(small_shop, "SELECT created_at FROM recommendations_db.recommendation_feedback")
    assert before <= given <= clock.now()


def test_a_clock_that_is_a_little_ahead_is_not_worth_a_word(core_client: httpx.Client) -> None:
    soon = (clock.now() + timedelta(seconds=30)).isoformat()
    answer = core_client.post("/api/v1/interactions", json=VIEW | {"created_at": soon}).json()
    assert answer["verdicts"][0] | {"event_id": None} == {
        "index": 0, "status": "stored", "event_id": None, "reason": None,
    }  # fmt: skip


def test_the_earliest_moment_stays_a_mistake(core_client: httpx.Client) -> None:
    early = datetime(1969, 1, 1, tzinfo=UTC).isoformat()
    assert core_client.post("/api/v1/interactions", json=VIEW | {"created_at": early}).status_code == 422
