"""From the outbox over the streams to the handlers: once, in order, with retries and dead letters."""

from __future__ import annotations

import json
import threading
import time
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import redis
from sqlalchemy import text

from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.session import copy_connection, unit_of_work
from recsys.events import consumer_groups, dead_letters, lag, relay, retention
from recsys.events.consumer import Consumer
from recsys.events.envelope import Unreadable, open_entry
from recsys.events.publish import announce, publish
from recsys.events.vocabulary import CartItemAdded, OrderLine, OrderPaid, ProductCreated, ProductLiked
from recsys.settings import get_settings
from tests.recsys.events import counting
from tests.support.shop import Shop

STREAM = keys.product_events()


@pytest.fixture
def counting_shop(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A shop with a table of handled events, whose retries do not wait."""
    monkeypatch.setenv("RECSYS_EVENTS__RETRY_SECONDS", "0.01")
    monkeypatch.setenv("RECSYS_EVENTS__ATTEMPTS", "3")
    get_settings.cache_clear()
    counting.make_table()
    return shop


def _relay() -> int:
    return relay.run(threading.Event(), once=True)


def _ids(client: redis.Redis) -> list[UUID]:
    return [open_entry(fields).event_id for _, fields in client.xrange(STREAM)]


def test_an_event_is_published_only_when_its_transaction_commits(counting_shop: Shop) -> None:
    def broken() -> None:
        with unit_of_work() as session:
            publish(session, ProductCreated(product_id=1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    counting.publish_one(ProductCreated(product_id=2))
    assert _relay() == 1
    assert counting.consume_all() == 1
    assert counting.numbers() == [2]
    assert _relay() == 0
    assert counting.consume_all() == 0


def test_an_event_id_is_published_once(counting_shop: Shop) -> None:
    with unit_of_work() as session:
        chosen = uuid4()
        assert publish(session, ProductCreated(product_id=1), event_id=chosen) == chosen
        publish(session, ProductCreated(product_id=1), event_id=chosen)
    assert _relay() == 1


def test_values_survive_the_journey_exactly(counting_shop: Shop, redis_client: redis.Redis) -> None:
    line = OrderLine(product_id=1, quantity=2, unit_price="0.10")
    event = OrderPaid(order_id=7, user_id=3, lines=(line,))
    counting.publish_one(event)
    _relay()
    ((_, fields),) = redis_client.xrange(keys.order_events())
    assert open_entry(fields).event == event
    assert json.loads(fields[b"data"])["lines"][0]["unit_price"] == "0.10"
    assert fields[b"aggregate"] == b"order:7"


def test_two_relays_keep_the_order(counting_shop: Shop, redis_client: redis.Redis) -> None:
    counting.publish_many(600)
    stop = threading.Event()
    threads = [threading.Thread(target=relay.run, args=(stop,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    counting.publish_many(600, first=601)
    _relay()
    stop.set()
    for thread in threads:
        thread.join()
    sent = [open_entry(fields).event for _, fields in redis_client.xrange(STREAM)]
    assert [event.product_id for event in sent if isinstance(event, ProductCreated)] == list(range(1, 1201))


def test_what_is_sent_twice_is_handled_once(counting_shop: Shop) -> None:
    counting.publish_many(120)
    _relay()
    counting.consume_all()
    assert retention.send_again(retention.clock.now().replace(year=2000)) == 120
    assert _relay() == 120
    counting.consume_all()
    assert sorted(counting.numbers()) == list(range(1, 121))


def test_two_consumers_share_the_work(counting_shop: Shop) -> None:
    counting.publish_many(400)
    _relay()
    stop = threading.Event()
    members = [Consumer(counting.GROUP, counting.SUBSCRIPTIONS) for _ in range(2)]
    threads = [threading.Thread(target=each.run, args=(stop,), kwargs={"once": True}) for each in members]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counting.numbers()) == list(range(1, 401))
    assert sum(each.handled for each in members) == 400


def test_a_failing_event_becomes_a_dead_letter_alone_and_is_replayed(
    counting_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting.publish_one(ProductCreated(product_id=1))
    counting.publish_one(ProductLiked(product_id=2, user_id=1))
    counting.publish_one(ProductCreated(product_id=3))
    _relay()
    counting.consume_all()
    assert counting.numbers() == [1, 3]
    (letter,) = dead_letters.letters(get_redis())
    assert (letter.event, letter.tries, letter.group) == ("product.liked", 3, counting.GROUP)
    assert "always fails" in letter.error
    shown = counting_shop.run("events", "dead", "--json")
    assert json.loads(shown.stdout)[0]["command"] == letter.command
    monkeypatch.setitem(counting.SUBSCRIPTIONS, ProductLiked, (counting.record,))
    assert counting_shop.run(*letter.command.split()[1:]).returncode == 0
    counting.consume_all()
    assert counting.numbers() == [1, 3, 2]
    assert list(dead_letters.letters(get_redis())) == []
    assert counting_shop.run(*letter.command.split()[1:]).returncode == 2


@pytest.mark.parametrize(("name", "version"), [("product.created", "99"), ("product.unheard_of", "1")])
def test_what_only_a_newer_program_can_read_is_put_aside(
    counting_shop: Shop, redis_client: redis.Redis, name: str, version: str
) -> None:
    announce(ProductCreated(product_id=5))
    ((entry, fields),) = redis_client.xrange(STREAM)
    redis_client.xdel(STREAM, entry)
    newer = {**fields, b"name": name.encode(), b"version": version.encode()}
    with pytest.raises(Unreadable, match=r"newer"):
        open_entry(newer)
    redis_client.xadd(STREAM, newer)
    counting.consume_all()
    (letter,) = dead_letters.letters(redis_client)
    assert "newer" in letter.error
    assert counting.numbers() == []


def test_a_flushed_redis_gets_everything_again(counting_shop: Shop, redis_client: redis.Redis) -> None:
    counting.publish_many(50)
    _relay()
    counting.consume_all()
    counting.publish_many(50, first=51)
    _relay()
    redis_client.flushall()
    assert _relay() == 100
    counting.consume_all()
    assert sorted(counting.numbers()) == list(range(1, 101))


def test_a_redis_that_lost_its_tail_gets_the_tail_again(
    counting_shop: Shop, redis_client: redis.Redis
) -> None:
    counting.publish_many(10)
    _relay()
    before = redis_client.get(keys.relayed())
    counting.publish_many(10, first=11)
    _relay()
    assert isinstance(before, bytes)
    redis_client.set(keys.relayed(), before)
    redis_client.xtrim(STREAM, maxlen=0, approximate=False)
    assert _relay() == 10
    counting.consume_all()
    assert sorted(counting.numbers()) == list(range(11, 21))


def test_trimming_leaves_what_a_group_has_not_read(counting_shop: Shop, redis_client: redis.Redis) -> None:
    counting.publish_many(60)
    _relay()
    redis_client.xgroup_create(STREAM, "slow", id="0")
    counting.consume_all()
    retention.trim(0)
    assert redis_client.xlen(STREAM) == 60
    redis_client.xreadgroup("slow", "a", {STREAM: ">"}, count=20)
    retention.trim(0)
    assert redis_client.xlen(STREAM) == 60, "read and not finished"
    first = [entry for entry, _ in redis_client.xrange(STREAM, count=20)]
    redis_client.xack(STREAM, "slow", *first)
    for group in consumer_groups.group_names():
        redis_client.xgroup_destroy(STREAM, group)
    retention.trim(0)
    assert redis_client.xlen(STREAM) == 40


def test_a_trimmed_stream_is_noticed(counting_shop: Shop, redis_client: redis.Redis) -> None:
    counting.publish_many(10)
    _relay()
    counting.consume_all()
    counting.publish_many(10, first=11)
    _relay()
    redis_client.xtrim(STREAM, maxlen=4, approximate=False)
    (found,) = lag.of_group(redis_client, counting.GROUP, (STREAM,))
    assert found.lost == 6


def test_old_rows_are_swept(counting_shop: Shop) -> None:
    counting.publish_many(3)
    _relay()
    counting.consume_all()
    with unit_of_work() as session:
        session.execute(text("UPDATE analytics_db.outbox SET sent_at = sent_at - interval '8 days'"))
        session.execute(text("UPDATE analytics_db.inbox SET handled_at = handled_at - interval '31 days'"))
    counting.publish_many(1, first=4)
    assert retention.sweep() == (3, 3)
    assert _relay() == 1


def test_what_lives_in_redis_is_announced_with_its_fact(
    counting_shop: Shop, redis_client: redis.Redis
) -> None:
    pipeline = redis_client.pipeline(transaction=True)
    announce(CartItemAdded(user_id=1, product_id=9, quantity=2), client=pipeline)
    assert redis_client.xlen(keys.cart_events()) == 0
    pipeline.execute()
    counting.consume_all()
    assert counting.numbers() == [9]


def test_a_relay_that_never_rests_tidies_up(counting_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    tidied: list[int] = []

    def always_something() -> int:
        if len(tidied) >= 2:
            stop.set()
        return 1

    monkeypatch.setattr(relay, "relay_batch", always_something)
    monkeypatch.setattr(relay, "_UPKEEP_SECONDS", -1.0)
    monkeypatch.setattr(retention, "tidy", lambda: tidied.append(1))
    relay.run(stop)
    assert len(tidied) >= 2


def test_a_relay_that_stands_by_tidies_up(counting_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    trimmed: list[int] = []
    monkeypatch.setattr(retention, "trim", lambda: trimmed.append(1))
    monkeypatch.setattr(retention, "forget_dead_consumers", stop.set)
    with copy_connection() as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (relay._LOCK,))
        assert relay.relay_batch() is None
        relay.run(stop)
    assert trimmed == [1]


def test_names_of_dead_consumers_go_once_nothing_hangs_on_them(
    counting_shop: Shop, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting.publish_many(3)
    _relay()
    counting.consume_all()
    counting.publish_many(1, first=4)
    _relay()
    # a consumer killed while it handled an event, and a consumer without one
    redis_client.xreadgroup(counting.GROUP, "killed-busy", {STREAM: ">"})
    redis_client.xgroup_createconsumer(STREAM, counting.GROUP, "killed-idle")

    def names() -> set[bytes]:
        return {one["name"] for one in redis_client.xinfo_consumers(STREAM, counting.GROUP)}

    assert retention.forget_dead_consumers() == 0, "they may still live"
    monkeypatch.setenv("RECSYS_EVENTS__IDLE_CONSUMER_HOURS", "1e-9")
    get_settings.cache_clear()
    assert retention.forget_dead_consumers() == 1
    assert names() == {b"killed-busy"}
    monkeypatch.setenv("RECSYS_EVENTS__TAKEOVER_SECONDS", "0.01")
    get_settings.cache_clear()
    time.sleep(0.05)
    assert counting.consume_all() == 1
    retention.forget_dead_consumers(timedelta(0))
    assert names() == set()
    assert counting.numbers() == [1, 2, 3, 4]


def test_what_is_remembered_is_forgotten_in_the_end(
    counting_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_MOST", 1)
    with unit_of_work() as session:
        for statement in (
            "INSERT INTO recommendations_db.guest_logins (session_id, logged_in_at) VALUES "
            "('old', now() - interval '91 days'), ('young', now() - interval '89 days')",
            "INSERT INTO notifications_db.sent_notices (key, created_at) VALUES "
            "('old', now() - interval '91 days'), ('older', now() - interval '92 days'), "
            "('young', now() - interval '89 days')",
            "INSERT INTO orders_db.orders (id, order_number, subtotal_price, total_price) "
            "VALUES (1, 'R-1', 9, 9)",
            "INSERT INTO payments_db.payments (id, order_id, amount, gateway, status) "
            "VALUES (1, 1, 9, 'sandbox', 'captured'), (2, 1, 9, 'sandbox', 'pending')",
            "INSERT INTO payments_db.refunds (id, payment_id, amount, status) "
            "VALUES (1, 1, 9, 'succeeded'), (2, 1, 9, 'pending')",
            "INSERT INTO payments_db.payment_keys "
            "(owner, key, fingerprint, payment_id, refund_id, created_at) "
            "SELECT 'user:1', key, 'f', payment, refund, now() - days * interval '1 day' FROM (VALUES "
            "('done', 1, NULL, 91), ('given back', NULL, 1, 91), ('none', NULL, NULL, 91), "
            "('unfinished', 2, NULL, 91), ('unanswered', NULL, 2, 91), ('young', 1, NULL, 89)) "
            "AS k(key, payment, refund, days)",
        ):
            session.execute(text(statement))
    assert retention.sweep_remembered() == {"guest_logins": 1, "sent_notices": 2, "payment_keys": 3}
    with unit_of_work() as session:
        names = "SELECT session_id FROM recommendations_db.guest_logins"
        assert session.scalars(text(names)).all() == ["young"]
        assert session.scalars(text("SELECT key FROM notifications_db.sent_notices")).all() == ["young"]
        kept = "SELECT key FROM payments_db.payment_keys ORDER BY key"
        assert session.scalars(text(kept)).all() == ["unanswered", "unfinished", "young"]
    monkeypatch.setenv("RECSYS_EVENTS__GUEST_LOGIN_DAYS", "88")
    monkeypatch.setenv("RECSYS_NOTIFICATIONS__NOTICE_DAYS", "88")
    monkeypatch.setenv("RECSYS_PAYMENTS__KEY_DAYS", "88")
    done = counting_shop.run("events", "trim", "--json")
    assert done.returncode == 0, done.stderr
    rows_deleted = json.loads(done.stdout)
    assert [rows_deleted[table] for table in ("guest_logins", "sent_notices", "payment_keys")] == [1, 1, 1]


def test_a_relay_forgets_once_an_hour(counting_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    swept: list[int] = []
    monkeypatch.setattr(retention, "sweep_remembered", lambda: swept.append(1))
    monkeypatch.setattr(retention, "_next_sweep", float("-inf"))
    retention.tidy()
    retention.tidy()
    assert swept == [1]
