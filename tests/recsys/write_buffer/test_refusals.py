"""A database that refuses, is locked or does not answer in time: posts are kept and brought in later."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import httpx
import pytest
import redis
from sqlalchemy import text

from recsys.database import absence
from recsys.database.session import dispose_engines, get_engine, unit_of_work
from recsys.diagnosis.doctor import examine
from recsys.errors import Unavailable
from recsys.events import consumer_groups, dead_letters, relay
from recsys.events.consumer import Consumer
from recsys.events.publish import publish
from recsys.events.vocabulary import ProductLiked
from recsys.settings import get_settings
from recsys.write_buffer import buffer, drain, spool
from tests.recsys.domains.users.conftest import Desk, Person
from tests.support.faults import full, read_only, replica
from tests.support.guests import guest as guest_header
from tests.support.shop import Shop

VIEW = {"user_id": 1, "product_id": 1, "interaction_type": "view"}
LIKED = {"user_id": 2, "product_id": 2, "feedback_type": "dismissed"}


def post(client: httpx.Client, status: int) -> None:
    for path, body in (("interactions", VIEW), ("recommendations/feedback", LIKED)):
        answer = client.post(f"/api/v1/{path}", json=body)
        assert answer.status_code == status, answer.text
        assert answer.json()["queued" if status == 202 else "stored"] == 1


def bring_in() -> int:
    return drain.run(threading.Event(), once=True)


def stored(shop: Shop) -> list[tuple[Any, ...]]:
    with shop.connect() as connection:
        return connection.execute(
            "SELECT user_id, interaction_type FROM recommendations_db.user_interactions ORDER BY 1, 2"
        ).fetchall()


def test_a_read_only_database_is_an_absence_like_any_other(client: httpx.Client, small_shop: Shop) -> None:
    post(client, 200)
    with read_only(small_shop):
        dispose_engines()
        post(client, 202)
        post(client, 202)
        found = {each.part: each for each in examine(get_settings())}
        assert found["PostgreSQL"].state == "broken"
        assert "read-only" in found["PostgreSQL"].found
        assert "4 posts wait" in found["write buffer"].found
        with pytest.raises(absence.DatabaseAway, match="read-only"):
            bring_in()
        assert client.get("/api/v1/products/1").status_code == 200, "what only reads goes on"
        registered = {
            "email": "a@example.org",
            "username": "ann",
            "full_name": "A",
            "password": "long enough 1",
        }
        assert client.post("/api/v1/auth/register", json=registered).status_code == 503
    dispose_engines()
    assert bring_in() == 4
    assert stored(small_shop) == [(1, "view")] * 3 + [(2, "dismissed")] * 3
    assert drain.dead_letters() == []
    assert {each.part: each.state for each in examine(get_settings())}["write buffer"] == "ok"
    counted = client.get("/metrics").text
    assert 'recsys_database_absences_total{kind="refuses"}' in counted
    assert 'recsys_posts_queued_total{kind="interactions"}' in counted


CODES = [
    "53100",
    "53200",
    "53300",
    "25006",
    "58030",
    "57014",
    "55P03",
    "40P01",
    "40001",
    "57P01",
    "57P03",
    "08006",
]


@pytest.mark.one_server
@pytest.mark.parametrize("code", CODES)
def test_every_code_of_an_absence_queues(client: httpx.Client, small_shop: Shop, code: str) -> None:
    with small_shop.connect(autocommit=True) as admin:
        admin.execute(
            "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '{code}'; END $$".encode()
        )
        admin.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON recommendations_db.user_interactions "
            "FOR EACH STATEMENT EXECUTE FUNCTION public.refuse()"
        )
        post(client, 202)
        assert stored(small_shop) == []
        admin.execute("DROP TRIGGER refuse ON recommendations_db.user_interactions")
        admin.execute("DROP FUNCTION public.refuse")
    assert bring_in() == 2
    assert stored(small_shop) == [(1, "view"), (2, "dismissed")]
    assert drain.dead_letters() == []


@pytest.mark.parametrize(
    "lock",
    [
        "LOCK TABLE recommendations_db.user_interactions",
        "LOCK TABLE users_db.users",
        "LOCK TABLE products_db.products",
        "SELECT FROM users_db.users FOR UPDATE",
    ],
)
def test_a_post_does_not_wait_for_a_lock(client: httpx.Client, small_shop: Shop, lock: str) -> None:
    with small_shop.connect() as other:
        other.execute(lock.encode())
        # the lock is held until the answers came: a request that waited for it would never end
        post(client, 202)
    assert bring_in() == 2
    assert stored(small_shop) == [(1, "view"), (2, "dismissed")]


def test_a_post_does_not_wait_for_a_connection(client: httpx.Client, small_shop: Shop) -> None:
    taken = [get_engine().connect() for _ in range(4)]
    try:
        post(client, 202)
    finally:
        for connection in taken:
            connection.close()
    assert bring_in() == 2
    assert len(stored(small_shop)) == 2


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="Windows cannot stop a process")
def test_a_post_does_not_wait_for_a_server_that_hangs(client: httpx.Client, small_shop: Shop) -> None:
    post(client, 200)
    with small_shop.connect() as admin:
        pids = [
            pid
            for (pid,) in admin.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        ]
        assert pids
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            for _ in range(4):
                answer = client.post("/api/v1/interactions", json=VIEW)
                assert answer.status_code in (200, 202)
            assert "posts_queued" in client.get("/metrics").text
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
    bring_in()
    assert len([one for one in stored(small_shop) if one == (1, "view")]) == 5, "each stored once"


def test_a_locked_user_holds_up_nobody_else(client: httpx.Client, small_shop: Shop) -> None:
    with small_shop.connect() as other:
        other.execute("LOCK TABLE users_db.users")
        for user in (1, 2, 1, 2, 2):
            assert client.post("/api/v1/interactions", json=VIEW | {"user_id": user}).status_code == 202
        other.rollback()
        other.execute("SELECT FROM users_db.users WHERE id = 1 FOR UPDATE")
        bring_in()
        assert stored(small_shop) == [(2, "view")] * 3
    bring_in()
    assert stored(small_shop) == [(1, "view")] * 2 + [(2, "view")] * 3


def test_who_is_logged_in_does_not_wait_either(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    ada: Person = desk.person("ada")
    with desk.shop.connect() as connection:
        connection.execute("INSERT INTO products_db.products (id, name, slug, price) VALUES (1, 'P', 'p', 1)")
    monkeypatch.setenv("RECSYS_INTAKE__DEADLINE_MS", "500")
    get_settings.cache_clear()
    monkeypatch.setattr(buffer.postgresql_outage, "seconds", 0.0)
    with desk.shop.connect() as other:
        other.execute("LOCK TABLE users_db.users, users_db.user_sessions")
        answer = desk.call(
            ada, "POST", "/interactions", json={"product_id": 1, "interaction_type": "like"}, status=202
        ).json()
        assert answer["queued"] == 1
    bring_in()
    assert stored(desk.shop) == [(ada.id, "like")]


def test_consumers_bury_nothing_while_the_database_reads_only(
    small_shop: Shop, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_EVENTS__ATTEMPTS", "1")
    monkeypatch.setenv("RECSYS_EVENTS__TAKEOVER_SECONDS", "0.01")
    get_settings.cache_clear()
    with unit_of_work() as session:
        for product in (1, 2, 3):
            publish(session, ProductLiked(product_id=product, user_id=1))
    relay.run(threading.Event(), once=True)
    with read_only(small_shop):
        dispose_engines()
        for _ in range(3):
            with pytest.raises(Unavailable, match="read-only"):
                Consumer("core").run(threading.Event(), once=True)
            time.sleep(
                0.05
            )  # the next consumer takes over what this one left, once it is idle for long enough
        with pytest.raises(absence.DatabaseAway, match="read-only"), unit_of_work() as session:
            publish(session, ProductLiked(product_id=4, user_id=1))
    dispose_engines()
    Consumer("core").run(threading.Event(), once=True)
    assert list(dead_letters.letters(redis_client)) == []
    assert stored(small_shop) == [(1, "like")] * 3


@pytest.mark.parametrize("state", [full, replica])
def test_a_redis_that_takes_no_writes_is_an_absence(
    client: httpx.Client, small_shop: Shop, redis_client: redis.Redis, state: Any
) -> None:
    visit = guest_header("visit")
    line = {"product_id": 1, "quantity": 2}
    assert client.post("/api/v1/cart/items", json=line, headers=visit).status_code == 200
    with state(redis_client):
        answer = client.post("/api/v1/cart/items", json=line, headers=visit)
        assert answer.status_code == 503, answer.text
        assert answer.headers["Retry-After"]
        if not get_settings().redis.is_cluster:
            # there the cart and its events are on several servers, and a full one still deletes
            assert client.delete("/api/v1/cart", headers=visit).status_code == 503
        post(client, 200)
        with small_shop.connect() as other:
            other.execute("LOCK TABLE users_db.users")
            post(client, 202)
        assert spool.of_process("posts").waiting(), "neither of them takes it: it waits on disk"
    bring_in()
    assert stored(small_shop) == [(1, "view")] * 2 + [(2, "dismissed")] * 2
    assert client.get("/api/v1/cart", headers=visit).json()["lines"][0]["quantity"] == 2


def test_an_event_is_not_to_blame_for_a_full_redis(
    small_shop: Shop, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_EVENTS__ATTEMPTS", "1")
    get_settings.cache_clear()

    def fill(session: Any, envelope: Any) -> None:
        redis_client.set("x", "y")
        session.execute(text("SELECT 1"))

    with unit_of_work() as session:
        publish(session, ProductLiked(product_id=1, user_id=1))
    relay.run(threading.Event(), once=True)
    consumer_groups.ensure(redis_client, "tests", ("product_events",))
    consumer = Consumer("tests", {ProductLiked: (fill,)})
    with full(redis_client), pytest.raises(Exception, match="went away"):
        consumer.run(threading.Event(), once=True)
    monkeypatch.setenv("RECSYS_EVENTS__TAKEOVER_SECONDS", "0.001")
    get_settings.cache_clear()
    Consumer("tests", {ProductLiked: (fill,)}).run(threading.Event(), once=True)
    assert redis_client.get("x") == b"y"
    assert list(dead_letters.letters(redis_client)) == []
