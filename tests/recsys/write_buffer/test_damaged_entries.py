"""Whatever stands in the streams of the intake: it is put aside with the reason, and the rest is stored."""

from __future__ import annotations

import json
import threading
from typing import Any
from uuid import uuid4

import orjson
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from recsys import clock
from recsys.cache import keys
from recsys.database.session import unit_of_work
from recsys.domains.orders.carts import store as carts
from recsys.domains.orders.carts.abandoned_carts import store_abandoned
from recsys.domains.orders.carts.store import CartLine, Owner
from recsys.domains.recommendations.impressions import store as impressions
from recsys.write_buffer import buffer as write_buffer
from recsys.write_buffer import drain
from recsys.write_buffer.buffer import Post
from tests.recsys.domains.recommendations.impressions.answers import answered
from tests.support.shop import Shop

STREAMS = [keys.exposures_waiting(), keys.posts_waiting()]
BYTES = st.binary(max_size=40)
SMALL = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=6)
PIECES = st.dictionaries(
    st.sampled_from(["user_id", "product_id", "interaction_type", "event_id", "context", "login"]), SMALL
)
POSTS = st.tuples(
    st.sampled_from(["interactions", "feedback", "other"]) | SMALL,
    PIECES | SMALL,
    SMALL,
    st.none() | st.text(max_size=3) | SMALL,
)
LISTS = st.lists(
    st.tuples(
        SMALL,
        SMALL,
        SMALL,
        st.lists(SMALL, max_size=3) | SMALL,
        st.lists(SMALL, max_size=3) | SMALL,
        st.sampled_from(["2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00", "x"]) | SMALL,
        *[SMALL] * 7,
    )
    | SMALL,
    max_size=3,
)
WRITTEN = (POSTS | LISTS).map(lambda one: json.dumps(one).encode())
DATA = WRITTEN | WRITTEN.map(lambda one: one[:-1]) | BYTES | st.just(b"[" * 3000)
OTHER = st.dictionaries(
    BYTES | st.sampled_from([b"reason", b"at", b"stream", b"entry:at"]), BYTES, max_size=3
)
ENTRIES = st.builds(
    lambda one, other: other | one, st.fixed_dictionaries({}, optional={b"data": DATA}), OTHER
).filter(bool)
damaged = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def bring_in() -> None:
    drain.run(threading.Event(), once=True)


def count(table: str, where: str = "true") -> int:
    with unit_of_work() as session:
        query = f"SELECT count(*) FROM recommendations_db.{table} WHERE {where}"  # noqa: S608
        return int(session.scalar(text(query)) or 0)


@damaged
@given(several=st.lists(st.tuples(st.sampled_from(STREAMS), ENTRIES), min_size=1, max_size=6))
def test_the_intake_goes_on_whatever_stands_in_its_streams(
    small_shop: Shop, redis_client: redis.Redis, several: list[tuple[str, dict[bytes, bytes]]]
) -> None:
    redis_client.flushall()
    for stream, fields in several:
        redis_client.xadd(stream, fields)  # type: ignore[arg-type]
    mark = uuid4().hex
    redis_client.xadd(STREAMS[0], {"data": impressions.pack([answered(mark, [1])])})
    well = {"user_id": 1, "product_id": 2, "interaction_type": "view", "event_id": mark, "session_id": mark}
    write_buffer.to_redis([write_buffer.pack(Post("interactions", well, clock.now().timestamp()))])
    bring_in()
    assert count("exposures", f"request_id = '{mark}'") == 1
    assert count("user_interactions", f"session_id = '{mark}'") == 1
    assert all(redis_client.xlen(stream) == 0 for stream in STREAMS[:1])
    letters = drain.dead_letters()
    assert all(letter["reason"] for letter in letters)
    formless = [fields for _, fields in several if b"data" not in fields]
    kept = [fields for stream in STREAMS for _, fields in redis_client.xrange(keys.dead_letters(stream))]
    assert len([one for one in kept if b"data" not in one]) == len(formless)
    if letters:
        assert drain.replay("all") == len(letters)
        back = [fields for stream in STREAMS for _, fields in redis_client.xrange(stream)]
        assert all(fields in back for fields in formless), "nothing of an entry is lost on the way"
    bring_in()
    assert len(drain.dead_letters()) == len(letters), "each is put aside again"


@pytest.mark.parametrize("stream", STREAMS)
def test_an_entry_without_its_field_stops_nobody(
    small_shop: Shop, redis_client: redis.Redis, stream: str
) -> None:
    redis_client.xadd(stream, {b"reason": b"of the entry", b"\xff": b"\xfe"})
    assert small_shop.run("serve", "intake", "--once").returncode == 0
    shown = small_shop.run("serve", "intake", "--dead")
    assert shown.returncode == 0, shown.stderr
    assert "the entry has no field 'data'" in shown.stdout
    assert small_shop.run("serve", "intake", "--replay", "all").returncode == 0
    ((_, fields),) = redis_client.xrange(stream)
    assert fields == {b"reason": b"of the entry", b"\xff": b"\xfe"}


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("dead", [False, True])
def test_a_key_that_is_no_stream_is_set_aside(
    small_shop: Shop, redis_client: redis.Redis, stream: str, dead: bool
) -> None:
    key = keys.dead_letters(stream) if dead else stream
    redis_client.hset(key, "not", "a stream")
    if dead:
        redis_client.xadd(stream, {"x": "y"})
    bring_in()
    assert redis_client.hgetall(next(redis_client.scan_iter("*:set-aside:*"))) == {b"not": b"a stream"}
    assert len(drain.dead_letters()) == dead


def test_an_unreadable_answer_on_its_way_is_none(small_shop: Shop, redis_client: redis.Redis) -> None:
    pipeline = redis_client.pipeline()
    impressions.remember(pipeline, [answered("request-1", [1])])
    pipeline.execute()
    (key,) = redis_client.scan_iter("exposures:recent:*")
    for wrong in (b"\xff", b"[[1]]", orjson.dumps([tuple(answered("request-2", [1])._replace(products=7))])):  # type: ignore[arg-type]
        redis_client.hset(key, "request-2", wrong)
        found = impressions.recall(redis_client, ["request-1", "request-2"])
        assert list(found) == ["request-1"]


@damaged
@given(
    owners=st.dictionaries(
        BYTES | st.sampled_from([b"user:99999999999", b"user:x", b"session:", b"session:\x00", b"user:1"]),
        st.floats(0, 1e9) | st.just(1e300),
        max_size=4,
    ),
    lines=st.dictionaries(BYTES | st.sampled_from([b"1:2:3", b"99999999999", b"1:x"]), BYTES, max_size=3),
)
def test_the_job_of_carts_goes_on_whatever_is_on_its_list(
    small_shop: Shop, redis_client: redis.Redis, owners: dict[bytes, float], lines: dict[bytes, Any]
) -> None:
    redis_client.flushall()
    ours = Owner(session_id=uuid4().hex)
    carts.add(ours, CartLine(3, None, 2))
    for field, value in lines.items():
        redis_client.hset(ours.key, field, value)  # type: ignore[arg-type]
    redis_client.zadd(keys.changed_carts(), {**owners, ours.name: 1.0})
    with unit_of_work() as session:
        assert store_abandoned(session).stored >= 1
    assert [one.product_id for one in carts.read(ours).lines if one.product_id == 3] == [3]
    assert redis_client.zscore(keys.changed_carts(), ours.name) is None
