"""The commands, the API that carries events itself, and what the shop's events tell the recommender."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from decimal import Decimal
from uuid import uuid4

import pytest
from sqlalchemy import text

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.products.tables import Product
from recsys.domains.recommendations import handlers
from recsys.domains.users.tables import User
from recsys.events import consumer_groups
from recsys.events.consumer import Consumer
from recsys.events.envelope import Envelope
from recsys.events.vocabulary import (
    FAMILIES,
    CartItemAdded,
    Event,
    OrderLine,
    OrderPaid,
    ProductLiked,
    ProductViewed,
    ReviewPosted,
    event_types,
)
from recsys.subscriptions import SUBSCRIPTIONS
from tests.recsys.events import counting
from tests.support import warm
from tests.support.shop import Shop


def test_every_event_and_field_is_documented(shop: Shop) -> None:
    listed = json.loads(shop.run("events", "list", "--json").stdout)
    assert {each["name"] for each in listed} == set(event_types())
    assert {each["stream"] for each in listed} == {f"{family}_events" for family in FAMILIES}
    assert [each["name"] for each in listed if not each["about"]] == []
    assert [
        (each["name"], field["name"]) for each in listed for field in each["fields"] if not field["about"]
    ] == []
    assert "order.paid v1" in shop.run("events", "list").stdout


def test_a_name_belongs_to_one_event() -> None:
    with pytest.raises(TypeError, match=r"both named|begin with its family"):

        class Wrong(Event):
            name = "order.paid"
            family = "user"


def test_every_subscription_is_an_event_with_handlers() -> None:
    assert all(event.name in event_types() and handlers for event, handlers in SUBSCRIPTIONS.items())
    assert consumer_groups.group_names()[0] == consumer_groups.CORE


def test_relay_consume_and_lag_as_commands(shop: Shop) -> None:
    user, product = _user_and_product()
    counting.publish_one(ProductLiked(product_id=product, user_id=user))
    assert json.loads(shop.run("events", "lag", "--json").stdout)["outbox"] == 1
    assert shop.run("relay", "--once").returncode == 0
    assert "1 unread" in shop.run("status").stdout
    done = shop.run("consume", "core", "--once")
    assert done.returncode == 0, done.stderr
    assert _kinds() == ["like"]
    assert shop.run("events", "trim").returncode == 0
    assert shop.run("consume", "nobody").returncode == 2
    assert shop.run("events", "replay").returncode == 2
    assert shop.run("events", "replay", "--since", "2020-01-01").stdout.startswith("1 events")


def test_the_api_relays_and_consumes_by_itself(shop: Shop) -> None:
    user, product = _user_and_product()
    process = warm.start(
        *("-m", "recsys", "serve", "api", "--port", "18230"),
        env={**os.environ, "RECSYS_EVENTS__INSIDE_API": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        counting.publish_one(ProductLiked(product_id=product, user_id=user))
        end = time.monotonic() + 60
        while not _kinds() and time.monotonic() < end:
            time.sleep(0.1)
        assert _kinds() == ["like"]
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors


def test_each_event_becomes_one_interaction_however_often_it_is_delivered(shop: Shop) -> None:
    user, product = _user_and_product()
    now = clock.now()
    lines = tuple(OrderLine(product_id=product, quantity=n, unit_price=Decimal(1)) for n in (1, 2))
    handled = [
        (handlers.remember_view, ProductViewed(product_id=product, session_id="guest", occurred=now)),
        (handlers.remember_like, ProductLiked(product_id=product, user_id=user)),
        (handlers.remember_cart, CartItemAdded(user_id=user, product_id=product, quantity=3)),
        (handlers.remember_purchase, OrderPaid(order_id=1, user_id=user, lines=lines)),
        (handlers.remember_purchase, OrderPaid(order_id=1, user_id=None, lines=lines)),
        (handlers.remember_review, ReviewPosted(review_id=1, product_id=product, user_id=user, rating=4)),
        (handlers.remember_like, ProductLiked(product_id=product + 1, user_id=user)),
    ]
    envelopes = [(handler, Envelope(uuid4(), now, event)) for handler, event in handled]
    for _ in range(2):
        for handler, envelope in envelopes:
            with unit_of_work() as session:
                handler(session, envelope)
    with unit_of_work() as session:
        rows = session.execute(
            text(
                "SELECT interaction_type, interaction_value::float, user_id IS NULL "
                "FROM recommendations_db.user_interactions ORDER BY id"
            )
        ).all()
    # the lines of one order are stored in the order of their ids, which are hashes
    assert sorted(map(str, rows)) == sorted(
        str(row)
        for row in [
            ("view", None, True),
            ("like", None, False),
            ("add_to_cart", 3.0, False),
            ("purchase", 1.0, False),
            ("purchase", 2.0, False),
            ("review", 4.0, False),
        ]
    )


def test_a_lost_group_is_made_again(shop: Shop) -> None:
    counting.make_table()
    consumer = Consumer(counting.GROUP, counting.SUBSCRIPTIONS)
    stop = threading.Event()
    thread = threading.Thread(target=consumer.run, args=(stop,))
    thread.start()
    try:
        time.sleep(0.3)
        assert shop.run("relay", "--once").returncode == 0
        from recsys.cache.client import get_redis

        get_redis().flushall()
        counting.publish_many(5)
        assert shop.run("relay", "--once").returncode == 0
        end = time.monotonic() + 20
        while len(counting.numbers()) < 5 and time.monotonic() < end:
            time.sleep(0.1)
    finally:
        stop.set()
        thread.join()
    assert sorted(counting.numbers()) == [1, 2, 3, 4, 5]


def _user_and_product() -> tuple[int, int]:
    with unit_of_work() as session:
        user = User(email="a@example.com", username="ann", full_name="Ann", password_hash="!")
        product = Product(name="Tea", slug="tea", price=Decimal("3.50"))
        session.add_all([user, product])
        session.flush()
        return user.id, product.id


def _kinds() -> list[str]:
    with unit_of_work() as session:
        return list(
            session.scalars(text("SELECT interaction_type FROM recommendations_db.user_interactions"))
        )
