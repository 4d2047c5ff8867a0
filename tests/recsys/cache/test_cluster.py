"""Redis Cluster of three masters answers as one Redis does, and what belongs together lies in one slot."""

from __future__ import annotations

import contextlib
import inspect
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.crc import key_slot

from recsys.cache import keys
from recsys.cache.client import connect, get_redis
from recsys.cache.cluster import Cluster, login_and_nodes
from recsys.domains.orders.carts import store as carts
from recsys.domains.orders.carts.store import CartLine, Owner
from recsys.domains.recommendations.interactions import recent
from recsys.events import relay
from recsys.events.consumer import Consumer
from recsys.settings import Settings, get_settings
from tests.recsys.cache.own_keys import OWN
from tests.recsys.events import counting
from tests.support.hosts.redis_cluster import RunningCluster, redis_cluster
from tests.support.servers import Servers
from tests.support.shop import Shop, forget_connections

NAMES = [f"key{number}" for number in range(8)]
SESSIONS = st.text(st.characters(codec="utf-8", exclude_characters="{}\0"), min_size=1, max_size=40)
USERS = st.integers(1, 2**31 - 1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RunningCluster]:
    """The cluster on which every shop of this module runs."""
    with redis_cluster() as running:
        yield running


def slot(key: str) -> int:
    return key_slot(key.encode())


@pytest.mark.parametrize(
    ("url", "nodes"),
    [
        ("redis+cluster://a:1,b:2,c:3", [("a", 1), ("b", 2), ("c", 3)]),
        ("redis+cluster://a,b:7/0", [("a", 6379), ("b", 7)]),
        ("rediss+cluster://me:p%40ss@[::1]:7,b", [("::1", 7), ("b", 6379)]),
    ],
)
def test_an_address_names_several_nodes(url: str, nodes: list[tuple[str, int]]) -> None:
    arguments, found = login_and_nodes(url)
    assert found == nodes
    assert arguments.get("ssl", False) is url.startswith("rediss")
    assert arguments["password"] == ("p@ss" if "@" in url else None)
    assert Settings(redis={"url": url}).redis.is_cluster


@pytest.mark.parametrize(
    "url",
    ["redis+cluster://", "redis+cluster://a:x", "redis+cluster://a:1/3", "redis+cluster://a:1,,b:2"],
)
def test_an_address_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"expected redis://.*redis\+cluster://"):
        Settings(redis={"url": url})


def test_documented_keys_keep_their_names_in_a_cluster(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    functions = {
        name: function for name, function in inspect.getmembers(keys, inspect.isfunction) if name not in OWN
    }
    in_a_cluster = {name: _called(function) for name, function in functions.items()}
    monkeypatch.setenv("RECSYS_REDIS__URL", "redis://127.0.0.1:6379/0")
    get_settings.cache_clear()
    assert in_a_cluster == {name: _called(function) for name, function in functions.items()}


def _called(function: Callable[..., str]) -> str:
    return function(*(f"<{name}>" for name in inspect.signature(function).parameters))


@settings(max_examples=50)
@given(user=USERS, session=SESSIONS, number=USERS)
def test_what_changes_together_lies_in_one_slot(
    shop_of_module: Shop, user: int, session: str, number: int
) -> None:
    together = [
        [keys.stored_recommendations(number, user), keys.recent_interactions(user)],
        [keys.notifications(user), keys.notifications_epoch(user)],
        [keys.product(user), keys.product_epoch(user, keys.product(user))],
        [keys.product_inventory(user), keys.product_epoch(user, keys.product_inventory(user))],
        [keys.trending_products(), keys.trending_landmark()],
        [keys.user_events(), keys.dead_letters(keys.user_events())],
        [keys.user_events(), keys.set_aside(keys.user_events(), "x")],
        [keys.dead_letters(keys.user_events()), keys.set_aside(keys.dead_letters(keys.user_events()), "x")],
    ]
    together += [
        [
            owner.key,
            keys.cart_id(owner.name),
            keys.cart_ordered(number, owner.key),
            keys.cart_moving(owner.key, "user:1"),
            keys.cart_moved(owner.key, "session:x"),
        ]
        for owner in (Owner(user_id=user), Owner(session_id=session))
    ]
    for names in together:
        assert len({slot(name) for name in names}) == 1, names


@pytest.fixture(scope="module")
def shop_of_module(cluster: RunningCluster) -> Iterator[None]:
    """Settings that name the cluster, for tests that draw many examples."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECSYS_REDIS__URL", cluster.url)
        forget_connections()
        yield
    forget_connections()


COMMANDS = st.one_of(
    st.tuples(st.just("set"), st.sampled_from(NAMES), st.integers(0, 9)),
    st.tuples(st.just("incr"), st.sampled_from(NAMES)),
    st.tuples(st.just("get"), st.sampled_from(NAMES)),
    st.tuples(st.just("expire"), st.sampled_from(NAMES), st.just(1000)),
    st.tuples(st.just("exists"), st.sampled_from(NAMES)),
    st.tuples(st.just("delete"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("sadd"), st.sampled_from([f"set{name}" for name in NAMES]), st.integers(0, 5)),
    st.tuples(st.just("smembers"), st.sampled_from([f"set{name}" for name in NAMES])),
    st.tuples(st.just("hset"), st.sampled_from([f"hash{name}" for name in NAMES]), st.just("a"), st.just(1)),
    st.tuples(st.just("hgetall"), st.sampled_from([f"hash{name}" for name in NAMES])),
    st.tuples(st.just("zadd"), st.just("sorted"), st.fixed_dictionaries({"a": st.integers(0, 5)})),
    st.tuples(st.just("zscore"), st.just("sorted"), st.sampled_from("abc")),
)  # fmt: skip


@settings(max_examples=60)
@given(commands=st.lists(COMMANDS, max_size=25), transaction=st.booleans())
def test_a_pipeline_answers_as_that_of_one_redis(
    cluster: RunningCluster, servers: Servers, commands: list[Any], transaction: bool
) -> None:
    answers = []
    for url in (servers.redis_url, cluster.url):
        with connect(url) as client:
            client.flushall()
            pipeline = client.pipeline(transaction=transaction)
            for name, *arguments in commands:
                getattr(pipeline, name)(*arguments)
            answers.append(pipeline.execute())
            client.flushall()
    assert answers[0] == answers[1]


def test_watched_keys_make_changes_of_many_one_after_the_other(shop: Shop) -> None:
    client = get_redis()

    def count(_: int) -> None:
        def add(pipeline: Any) -> None:
            now = int(pipeline.get("counter") or 0)
            pipeline.multi()
            pipeline.set("counter", now + 1)
            pipeline.rpush("sent", now + 1)

        for _ in range(20):
            client.transaction(add, "counter")

    threads = [threading.Thread(target=count, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.get("counter") == b"120"
    assert sorted(map(int, client.lrange("sent", 0, -1))) == list(range(1, 121))


@pytest.mark.parametrize("killed_after", range(4))
def test_a_guest_s_cart_that_a_killed_log_in_left_on_its_way_arrives_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, killed_after: int
) -> None:
    user, guest = Owner(user_id=5), Owner(session_id="visit-1")
    carts.add(user, CartLine(1, None, 1))
    carts.add(guest, CartLine(1, None, 2))
    carts.add(guest, CartLine(2, None, 3))
    steps, really = iter(range(100)), carts._transaction

    def killed(*arguments: Any) -> object:
        if next(steps) == killed_after:
            raise KeyboardInterrupt
        return really(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(carts, "_transaction", killed)
        with contextlib.suppress(KeyboardInterrupt):
            carts.merge("visit-1", 5)
    # the guest goes on with the same session, and logs in again
    carts.add(guest, CartLine(3, None, 1))
    carts.merge("visit-1", 5)
    carts.merge("visit-1", 5)
    held = {line.product_id: line.quantity for line in carts.read(user).lines}
    assert held == {1: 3, 2: 3, 3: 1}
    assert carts.read(guest).lines == ()


def test_ten_log_ins_at_once_move_a_cart_once(shop: Shop) -> None:
    for turn in range(5):
        carts.add(Owner(session_id=f"visit-{turn}"), CartLine(1, None, 2))
        threads = [threading.Thread(target=carts.merge, args=(f"visit-{turn}", 5)) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert carts.read(Owner(user_id=5)).lines == (CartLine(1, None, 2 * (turn + 1)),)


def test_a_guest_s_interactions_go_to_the_user(shop: Shop) -> None:
    client = get_redis()
    client.sadd(keys.recent_session_interactions("visit-1"), "1", "d2")
    recent.add({5: {"3"}})
    recent.inherit("visit-1", 5)
    assert client.smembers(keys.recent_interactions(5)) == {b"1", b"d2", b"3"}
    assert not client.exists(keys.recent_session_interactions("visit-1"))


def test_events_of_all_streams_arrive_once(shop: Shop) -> None:
    counting.make_table()
    counting.publish_many(120)
    relay.run(threading.Event(), once=True)
    counting.consume_all()
    assert sorted(counting.numbers()) == list(range(1, 121))
    assert Consumer("core").run(threading.Event(), once=True) >= 0


def test_all_keys_of_all_masters_are_found(shop: Shop) -> None:
    client = get_redis()
    assert isinstance(client, Cluster)
    for number in range(300):
        client.set(f"found:{number}", number)
    assert len(list(client.scan_iter("found:*"))) == 300
    assert client.dbsize() == 300
    assert [bool(server.dbsize()) for server in client.servers()] == [True] * 3


def test_a_master_that_dies_is_an_outage_like_any_other(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    with redis_cluster() as running:
        monkeypatch.setenv("RECSYS_REDIS__URL", running.url)
        forget_connections()
        get_redis().set("a", 1)
        running.processes[0].kill()
        running.processes[0].wait(30)
        end = time.monotonic() + 60
        failures: set[str] = set()
        while len(failures) < 3 and time.monotonic() < end:
            for number in range(20):
                try:
                    get_redis().set(f"key{number}", 1)
                except redis.RedisError as error:
                    failures.add(type(error).__name__)
            with pytest.raises(redis.RedisError):
                get_redis().ping()
            if "ClusterDownError" in failures:
                break
        assert failures & {"ClusterDownError", "ConnectionError"}
        # what is always allowed without Redis is allowed now
        recent.add({})
        recent.forget(5, 1)
        assert shop.run("events", "dead").returncode == 1
    forget_connections()


def test_a_change_is_no_failure_when_only_its_event_could_not_be_sent(shop: Shop) -> None:
    client = get_redis()
    assert isinstance(client, Cluster)
    owner = Owner(user_id=5)
    full = client.get_redis_connection(client.get_node_from_key(keys.cart_events()))
    owners = client.get_redis_connection(client.get_node_from_key(owner.key))
    while full is owners:
        owner = Owner(user_id=(owner.user_id or 0) + 1)
        owners = client.get_redis_connection(client.get_node_from_key(owner.key))
    full.config_set("maxmemory", 1)
    try:
        carts.add(owner, CartLine(1, None, 2))
    finally:
        full.config_set("maxmemory", 0)
    assert carts.read(owner).lines == (CartLine(1, None, 2),)
