"""Parts are killed under load: every answer is a list all the same, and nothing that was taken in is lost."""

from __future__ import annotations

import collections
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from features.user_history import UserInteractions
from recsys import embedded
from recsys.database import migrate
from recsys.database.addresses import libpq_url
from recsys.database.session import unit_of_work
from recsys.settings import Settings
from recsys.write_buffer import drain
from serving.batch import scoring
from serving.ranking import user_context
from serving.server.app import create_app
from tests.recsys.embedded.conftest import gone, pids
from tests.serving import shopping
from tests.serving.api.answers import ask, ids
from tests.serving.running import running
from tests.support.servers import temporary_var
from tests.support.shop import Shop, forget_connections
from tests.support.waiting import until


@pytest.fixture
def own_servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The scored shop on servers of its own, which a test may kill."""
    with temporary_var() as var:
        monkeypatch.setenv("RECSYS_VAR", str(var))
        forget_connections()
        settings = Settings()
        embedded.start(settings)
        migrate.upgrade(libpq_url())
        shopping.open_shop(libpq_url())
        shopping.promote(shopping.fit(), "knn-v1")
        scoring.score()
        yield settings
        forget_connections()


def _kill(name: str, settings: Settings) -> None:
    """End a server as a power cut would."""
    pid = pids(settings)[name]
    os.kill(pid, signal.SIGKILL)
    while not gone(pid):
        time.sleep(0.01)


@contextmanager
def under_load(client: httpx.Client) -> Iterator[list[httpx.Response]]:
    """Two threads that ask all the time, for stored lists and for lists that are made."""
    answers: list[httpx.Response] = []
    done = threading.Event()

    def ask_on(paths: list[str]) -> None:
        while not done.is_set():
            answers.extend(client.get(f"/api/v1/{path}") for path in paths)

    loads = [
        ["users/1/recommendations", "users/2/recommendations?category=1", "products/popular"],
        ["users/11/recommendations?novelty=new", "products/5/similar", "recommendations"],
    ]
    threads = [threading.Thread(target=ask_on, args=(paths,)) for paths in loads]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        done.set()
        for thread in threads:
            thread.join()


def check(answers: list[httpx.Response]) -> collections.Counter[str]:
    sources: collections.Counter[str] = collections.Counter()
    for answer in answers:
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["items"], "never an empty shelf"
        sources[body["provenance"]["source"]] += 1
    return sources


def test_time_runs_out_and_the_answer_says_so(
    short_deadline: None, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = user_context.user_interactions

    def slowly(session: Session, users: list[int], limit: int | None) -> list[UserInteractions]:
        time.sleep(1.0)
        return look(session, users, limit)

    monkeypatch.setattr(user_context, "user_interactions", slowly)
    started = time.monotonic()
    answer = ask(client, 1, category=4, limit=10)
    assert time.monotonic() - started < 0.9
    assert answer["provenance"]["complete"] is False
    assert len(ids(answer)) == 10
    assert all(61 <= one <= 90 for one in ids(answer)), "the filter holds all the same"
    event = {"user_id": 1, "product_id": 70, "interaction_type": "view"}
    client.post("/api/v1/interactions", json=event)
    late = ask(client, 1)
    assert late["provenance"]["complete"] is False
    assert late["provenance"]["source"] == "stored", "the stored list is at hand"


def metrics(client: httpx.Client, name: str) -> float:
    lines = [one for one in client.get("/metrics").text.splitlines() if one.startswith(name + " ")]
    return float(lines[0].split()[1])


def test_late_answers_are_counted(
    short_deadline: None, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = metrics(client, "recsys_answers_late_total")

    look = user_context.user_interactions

    def slowly(session: Session, users: list[int], limit: int | None) -> list[UserInteractions]:
        time.sleep(0.5)
        return look(session, users, limit)

    monkeypatch.setattr(user_context, "user_interactions", slowly)
    ask(client, 1, category=4)
    assert metrics(client, "recsys_answers_late_total") == before + 1
    until(lambda: "1 of 1 lists" in client.get("/health/ready").json()["parts"]["deadline"]["detail"])


def test_without_a_model_answers_are_popular_ones(open_shop: Shop) -> None:
    with running(create_app()) as client:
        answer: dict[str, Any] = ask(client, 1)
        assert answer["provenance"]["source"] == "popular"
        assert len(ids(answer)) == 20
        for shelf in ("similar", "bought_together", "because_you_viewed", "trending", "new_arrivals"):
            query = {"shelf": shelf}
            assert len(ids(ask(client, 1, **query))) == 20, shelf


def test_load_alone_is_answered(client: httpx.Client) -> None:
    with under_load(client) as answers:
        time.sleep(1.0)
    sources = check(answers)
    assert sources["stored"]
    assert sources["live"]


def test_redis_dies_under_load_and_comes_back(own_servers: Settings) -> None:
    with running(create_app()) as client:
        until(lambda: ask(client)["provenance"]["source"] == "stored")
        with under_load(client) as answers:
            time.sleep(0.5)
            _kill("valkey", own_servers)
            time.sleep(1.5)
            event = {"user_id": 1, "product_id": 70, "interaction_type": "purchase"}
            assert client.post("/api/v1/interactions", json=event).json()["stored"] == 1
            without = len(answers)
            embedded.start(own_servers)
            until(lambda: client.get("/health/ready").json()["parts"]["redis"]["well"])
            time.sleep(0.5)
        check(answers)
        assert len(answers) > without


def test_postgresql_dies_under_load_and_nothing_is_lost(own_servers: Settings) -> None:
    with running(create_app()) as client:
        until(lambda: ask(client)["provenance"]["source"] == "stored")
        with under_load(client) as answers:
            time.sleep(0.5)
            _kill("postgres", own_servers)
            time.sleep(1.0)
            for product in (70, 71):
                event = {"user_id": 1, "product_id": product, "interaction_type": "view"}
                taken = client.post("/api/v1/interactions", json=event)
                assert (taken.status_code, taken.json()["verdicts"][0]["status"]) == (202, "queued")
            embedded.start(own_servers)
            until(lambda: client.get("/health/ready").json()["parts"]["postgresql"]["well"], 30)
        check(answers)
        drain.run(threading.Event(), once=True)
        with unit_of_work() as session:
            stored = session.scalars(
                text(
                    "SELECT product_id FROM recommendations_db.user_interactions "
                    "WHERE user_id = 1 AND interaction_type = 'view' AND product_id IN (70, 71)"
                )
            ).all()
        assert sorted(stored) == [70, 71]
