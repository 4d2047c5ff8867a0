"""Whatever stands in the streams: consumers put it aside with the reason and go on, as do the commands."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from recsys import clock
from recsys.cache import keys
from recsys.database.session import unit_of_work
from recsys.events import consumer_groups, dead_letters, relay
from recsys.events.consumer import Consumer
from recsys.events.envelope import Unreadable, fields_of, open_entry
from recsys.events.publish import announce
from recsys.events.retention import STREAMS
from recsys.events.vocabulary import ProductCreated, ProductViewed, event_types
from recsys.settings import get_settings
from serving.state import product_event_listener
from tests.recsys.events import counting
from tests.support.shop import Shop

STREAM = keys.product_events()
HUGE = 10**30
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-HUGE, HUGE) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["product_id", "user_id", "session_id", "occurred", "order_id", "lines", "x"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=8,
)
BYTES = st.binary(max_size=40)
DATA = (
    JSON.map(lambda value: json.dumps(value).encode())
    | JSON.map(lambda value: json.dumps(value).encode()[:-1])
    | st.sampled_from([b"", b"{}", b"[" * 3000, b'{"product_id": 1, "session_id": "\\u0000"}'])
    | BYTES
)
NAMES = st.sampled_from([name.encode() for name in sorted(event_types())]) | BYTES
VALUES = {
    b"name": NAMES,
    b"version": st.sampled_from([b"1", b"0", b"-1", b"99", b"9" * 5000, "１".encode()]) | BYTES,
    b"event_id": st.uuids().map(lambda one: str(one).encode()) | BYTES,
    b"occurred_at": st.sampled_from([b"2026-01-01T00:00:00+00:00", b"2026-01-01T00:00:00", b"\xff"]) | BYTES,
    b"data": DATA,
}
OTHER = st.dictionaries(
    BYTES | st.sampled_from([b"error", b"group", b"tries", b"entry", b"entry:error"]), BYTES, max_size=3
)
WHOLE = st.fixed_dictionaries(
    {
        **VALUES,
        b"version": st.just(b"1"),
        b"event_id": st.uuids().map(lambda one: str(one).encode()),
        b"occurred_at": st.just(b"2026-01-01T00:00:00+00:00"),
    }
)
ENTRIES = (
    st.builds(lambda one, other: other | one, st.fixed_dictionaries({}, optional=VALUES), OTHER) | WHOLE
).filter(bool)
damaged = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def counting_shop(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A shop with a table of handled events, whose retries do not wait."""
    monkeypatch.setenv("RECSYS_EVENTS__RETRY_SECONDS", "0.001")
    monkeypatch.setenv("RECSYS_EVENTS__ATTEMPTS", "2")
    get_settings.cache_clear()
    counting.make_table()
    return shop


def consume(group: str, subscriptions: Any = None) -> None:
    Consumer(group, subscriptions).run(threading.Event(), once=True)


def pending(client: redis.Redis) -> Iterator[int]:
    for stream in STREAMS:
        if client.exists(stream):
            yield from (one["pending"] + (one["lag"] or 0) for one in client.xinfo_groups(stream))


@damaged
@given(several=st.lists(st.tuples(st.sampled_from(STREAMS), ENTRIES), min_size=1, max_size=6))
def test_every_group_goes_on_whatever_stands_in_its_streams(
    counting_shop: Shop, redis_client: redis.Redis, several: list[tuple[str, dict[bytes, bytes]]]
) -> None:
    redis_client.flushall()
    for stream, fields in several:
        redis_client.xadd(stream, fields)  # type: ignore[arg-type]
    (number,) = {uuid4().int % 2**31}
    announce(ProductCreated(product_id=number))
    for group in consumer_groups.group_names():
        consume(group)
    consume(counting.GROUP, counting.SUBSCRIPTIONS)
    assert counting.numbers()[-1] == number, "what is well is handled"
    assert set(pending(redis_client)) <= {0}
    letters = list(dead_letters.letters(redis_client))
    assert all(letter.error and letter.command for letter in letters)
    reading = [
        one
        for one in consumer_groups.group_names()
        if STREAM in consumer_groups.streams(consumer_groups.subscriptions(one))
    ]
    unreadable = [fields for stream, fields in several if stream == STREAM and not opens(fields)]
    for group in (counting.GROUP, *reading):
        mine = [one for one in letters if one.group == group and one.stream == STREAM]
        assert len(mine) >= len(unreadable), f"{group} has put each of them aside"
    if letters:
        assert dead_letters.replay(redis_client, "all") == len(letters)
        assert list(dead_letters.letters(redis_client)) == []
        back = [fields for stream in STREAMS for _, fields in redis_client.xrange(stream)]
        assert all(fields in back for _, fields in several), "nothing of an entry is lost on the way"


def opens(fields: dict[bytes, bytes]) -> bool:
    try:
        open_entry(fields)
    except Unreadable:
        return False
    return True


@damaged
@given(fields=ENTRIES)
def test_a_dead_letter_of_any_form_is_listed_and_replayed(
    counting_shop: Shop, redis_client: redis.Redis, fields: dict[bytes, bytes]
) -> None:
    redis_client.flushall()
    entry = redis_client.xadd(keys.dead_letters(STREAM), fields)  # type: ignore[arg-type]
    (letter,) = dead_letters.letters(redis_client)
    assert letter.id == entry.decode()
    ours = {b"group", b"error", b"tries", b"failed_at", b"entry"}
    if fields.keys() <= ours:
        assert not dead_letters.restore(redis_client, STREAM, entry, ours)
    else:
        assert dead_letters.replay(redis_client, f"{STREAM}/{letter.id}") == 1
        assert redis_client.xlen(STREAM) == 1


def test_the_commands_need_no_healthy_entry(counting_shop: Shop, redis_client: redis.Redis) -> None:
    announce(ProductViewed(product_id=1, session_id="s", occurred=clock.now()))
    redis_client.xadd(STREAM, {b"name": b"\xff\xfe", b"\xff": b"\x00"})
    assert counting_shop.run("consume", "core", "--once").returncode == 0
    shown = counting_shop.run("events", "dead", "--json")
    assert shown.returncode == 0, shown.stderr
    (letter,) = json.loads(shown.stdout)
    assert (letter["event"], letter["group"]) == ("\\xff\\xfe", "core")
    assert counting_shop.run("events", "replay", "--dead", "all").returncode == 0
    assert {b"name": b"\xff\xfe", b"\xff": b"\x00"} in [fields for _, fields in redis_client.xrange(STREAM)]


def test_two_who_replay_at_once_move_it_once(counting_shop: Shop, redis_client: redis.Redis) -> None:
    redis_client.xadd(STREAM, {"x": "y"})
    consume(counting.GROUP, counting.SUBSCRIPTIONS)
    ((entry, _),) = redis_client.xrange(keys.dead_letters(STREAM))
    with ThreadPoolExecutor(4) as pool:
        moved = [pool.submit(dead_letters.restore, redis_client, STREAM, entry, ()) for _ in range(4)]
    assert sum(each.result() for each in moved) == 1
    assert redis_client.xlen(STREAM) == 2


@pytest.mark.parametrize("name", [str, keys.dead_letters])
def test_a_key_that_is_no_stream_is_set_aside(
    counting_shop: Shop, redis_client: redis.Redis, name: Callable[[str], str]
) -> None:
    stream = name(STREAM)
    redis_client.set(stream, b"not a stream")
    counting.publish_many(1)
    relay.run(threading.Event(), once=True)
    redis_client.xadd(STREAM, {"x": "y"})
    consume(counting.GROUP, counting.SUBSCRIPTIONS)
    assert counting.numbers() == [1]
    assert len(list(dead_letters.letters(redis_client))) == 1
    (aside,) = redis_client.scan_iter("*:set-aside:*")
    assert redis_client.get(aside) == b"not a stream"


@pytest.mark.parametrize("noted", [b"\xff", b"yesterday", b"2026-01-01T00:00:00"])
def test_an_unreadable_mark_of_the_relay_counts_as_lost(
    counting_shop: Shop, redis_client: redis.Redis, noted: bytes
) -> None:
    counting.publish_many(2)
    relay.run(threading.Event(), once=True)
    redis_client.set(keys.relayed(), noted)
    assert relay.run(threading.Event(), once=True) == 2
    redis_client.delete(keys.relayed())
    redis_client.rpush(keys.relayed(), "a list")
    assert relay.run(threading.Event(), once=True) == 2


def test_the_tail_follows_only_what_can_be_a_product(counting_shop: Shop) -> None:
    for data, wanted in ((b'{"product_id": 7}', 7), (b'{"product_id": 99999999999}', None), (b"\xff", None)):
        fields = fields_of(uuid4(), "product.created", 1, "product:7", clock.now(), "")
        raw = {name.encode(): value.encode() for name, value in fields.items()} | {b"data": data}
        assert product_event_listener._product_of(raw) == wanted


def test_nothing_of_this_is_stored(counting_shop: Shop, redis_client: redis.Redis) -> None:
    for each in (b'{"product_id": 1, "session_id": "\\u0000"}', b'{"product_id": 1e400}'):
        fields = fields_of(uuid4(), "product.viewed", 1, "product:1", clock.now(), "")
        redis_client.xadd(STREAM, {**fields, "data": each})
    consume("core")
    with unit_of_work() as session:
        assert session.scalar(text("SELECT count(*) FROM recommendations_db.user_interactions")) == 0
    assert len(list(dead_letters.letters(redis_client))) == 2
