"""What is posted while servers are away: accepted, known to the next answer, stored once afterwards."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from recsys import embedded
from recsys.api import create_api
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database import migrate
from recsys.database.addresses import libpq_url
from recsys.domains.recommendations.impressions.store import pack
from recsys.settings import Settings, get_settings
from recsys.write_buffer import buffer, drain, spool
from tests.recsys.domains.recommendations.impressions.answers import answered
from tests.recsys.domains.users.conftest import PASSWORD
from tests.recsys.embedded.conftest import gone, pids
from tests.serving.running import running
from tests.support.servers import temporary_var
from tests.support.shop import forget_connections

VIEW = {"product_id": 1, "interaction_type": "view"}


@pytest.fixture(scope="module")
def own_var() -> Iterator[Path]:
    """One `var/` for the servers of all these tests."""
    with temporary_var() as var:
        yield var


@pytest.fixture
def client(own_var: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """The core of a shop with servers of its own, users 101 to 103, and products 1 to 5."""
    monkeypatch.setenv("RECSYS_VAR", str(own_var))
    monkeypatch.setenv("RECSYS_INTAKE__DEADLINE_MS", "20000")
    forget_connections()
    monkeypatch.setattr(buffer.postgresql_outage, "seconds", 0.05)
    embedded.start(Settings())
    migrate.upgrade(libpq_url())
    with psycopg.connect(libpq_url()) as connection:
        connection.execute(
            "INSERT INTO users_db.users (id, email, username, full_name, password_hash) "
            "SELECT i, 'u' || i || '@example.org', 'u' || i, 'U', 'x' FROM generate_series(101, 103) i "
            "ON CONFLICT DO NOTHING"
        )
        connection.execute(
            "INSERT INTO products_db.products (id, name, slug, price) "
            "SELECT i, 'P' || i, 'p' || i, i FROM generate_series(1, 5) i ON CONFLICT DO NOTHING"
        )
    try:
        with running(create_api()) as found:
            yield found
    finally:
        forget_connections()


def kill(*names: str) -> None:
    """End servers as a power cut would."""
    found = {name: pid for name, pid in pids(get_settings()).items() if name in names}
    assert len(found) == len(names)
    for pid in found.values():
        os.kill(pid, signal.SIGKILL)
    while not all(map(gone, found.values())):
        pass


def bring_in() -> None:
    drain.run(threading.Event(), once=True)


def post(client: httpx.Client, path: str, body: object, status: int, **headers: str) -> Any:
    answer = client.post(f"/api/v1/{path}", json=body, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


def rows(query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(libpq_url()) as connection:
        return connection.execute(query.encode()).fetchall()


def log_in(client: httpx.Client, name: str) -> tuple[int, dict[str, str]]:
    body = {"email": f"{name}@example.org", "username": name, "full_name": name, "password": PASSWORD}
    post(client, "auth/register", body, 202)
    done = post(client, "auth/login", {"login": name, "password": PASSWORD}, 200)
    client.cookies.clear()
    return done["user_id"], {"Authorization": f"Bearer {done['token']}"}


def test_nothing_is_lost_or_stored_twice_while_servers_come_and_go(client: httpx.Client) -> None:
    ada, login = log_in(client, "ada")
    shown = answered("answer-1", [2, 4], user_id=ada)
    get_redis().xadd("exposures:waiting", {"data": pack([shown])})
    bring_in()
    post(client, "interactions", VIEW | {"user_id": 101, "event_id": "before"}, 200)

    kill("postgres")
    several = [
        VIEW | {"user_id": 101, "event_id": "before"},
        VIEW | {"user_id": 101, "event_id": "away"},
        VIEW | {"username": "u102", "interaction_value": 2.5},
        VIEW | {"session_id": "visit", "product_id": 3},
        VIEW | {"user_id": 101, "product_id": 99},
        VIEW | {"user_id": 101, "interaction_type": "stare"},
    ]
    answer = post(client, "interactions", several, 202)
    assert [one["status"] for one in answer["verdicts"]] == ["queued"] * 5 + ["refused"]
    assert (answer["queued"], answer["refused"]) == (5, 1)
    # sent again, as somebody would who never got the answer
    post(client, "interactions", several[:2], 202)
    click = {"request_id": "answer-1", "product_id": 4, "feedback_type": "dismissed"}
    post(client, "recommendations/feedback", click, 202, **login)
    post(client, "interactions", VIEW | {"product_id": 5}, 202, **login)
    not_ada = post(client, "interactions", VIEW | {"user_id": 101}, 422, **login)
    assert not_ada["verdicts"][0]["reason"] == "user_id: not the user who is logged in"
    assert get_redis().smembers(keys.recent_interactions(ada)) == {b"4", b"d4", b"5"}
    assert get_redis().smembers("interactions:recent:session:visit") == {b"3"}

    kill("valkey")
    for user, name in ((101, "dark"), (102, "dark")):
        post(
            client,
            "interactions",
            VIEW | {"user_id": user, "product_id": 2, "event_id": f"{name}-{user}"},
            202,
        )
    dark = {"product_id": 2, "feedback_type": "clicked", "event_id": "dark"}
    post(
        client,
        "recommendations/feedback",
        [dark, dark | {"user_id": ada}, dark | {"user_id": 101}],
        202,
        **login,
    )
    post(client, "interactions", [VIEW], 202, **login)
    post(client, "interactions", [VIEW], 202, Authorization="Bearer nobody-s")
    assert spool.of_process("posts").waiting()

    embedded.start(get_settings())
    bring_in()
    assert not spool.of_process("posts").waiting()
    assert get_redis().xlen("posts:waiting") == 0
    assert sorted(
        rows(
            "SELECT user_id, product_id, interaction_type, session_id "
            "FROM recommendations_db.user_interactions WHERE user_id IS DISTINCT FROM 103"
        ),
        key=str,
    ) == sorted(
        [
            (101, 1, "view", None),  # before
            (101, 1, "view", None),  # away
            (102, 1, "view", None),
            (None, 3, "view", "visit"),
            (ada, 4, "dismissed", None),
            (ada, 5, "view", None),
            (101, 2, "view", None),
            (102, 2, "view", None),
            (ada, 1, "view", None),
        ],
        key=str,
    )
    assert rows(
        "SELECT user_id, product_id, feedback_type, position "
        "FROM recommendations_db.recommendation_feedback f LEFT JOIN "
        "recommendations_db.feedback_exposures e ON e.feedback_id = f.id ORDER BY product_id DESC"
    ) == [(ada, 4, "dismissed", 2), (ada, 2, "clicked", None)]
    assert sorted(one["reason"] for one in drain.dead_letters()) == [
        "product_id: no such product",
        "user_id: not the user who is logged in",
        "user_id: the sender's log-in has ended",
    ]
    assert post(client, "interactions", several[1], 200)["duplicates"] == 1
    assert post(client, "recommendations/feedback", dark, 200, **login)["duplicates"] == 1


def test_what_many_post_through_an_outage_is_stored_once_each(client: httpx.Client) -> None:
    stop, done = threading.Event(), threading.Event()
    accepted: list[str] = []
    queued = []

    def people(number: int) -> None:
        count = 0
        with httpx.Client(base_url=client.base_url, timeout=30) as mine:
            while not done.is_set():
                count += 1
                one = VIEW | {"user_id": 103, "event_id": f"{number}-{count}"}
                while (answer := mine.post("/api/v1/interactions", json=one)).status_code >= 500:
                    assert answer.status_code == 503
                body = answer.json()
                accepted.append(one["event_id"])
                queued.append(body["queued"])
                if body["queued"]:
                    # as somebody would who never got the answer
                    mine.post("/api/v1/interactions", json=one)
                done.wait(0.005)

    threads = [threading.Thread(target=drain.run, args=(stop,))]
    threads += [threading.Thread(target=people, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        while len(accepted) < 20:
            done.wait(0.01)
        kill("postgres")
        while sum(queued) < 20:
            done.wait(0.01)
        embedded.start(get_settings())
        while sum(queued[-10:]):
            done.wait(0.01)
    finally:
        done.set()
        for thread in threads[1:]:
            thread.join()
        while get_redis().xlen("posts:waiting"):
            stop.wait(0.01)
        stop.set()
        threads[0].join()
    stored = rows("SELECT id FROM recommendations_db.user_interactions WHERE user_id = 103")
    assert len(stored) == len(accepted) == len(set(accepted))
