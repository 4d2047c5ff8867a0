"""The doctor's examinations of a shop in operation: each with its fault made, and none after one event."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import numpy as np
import psutil
import pytest
import redis

from models.registry.artifact import write_artifact
from recsys import clock
from recsys.cache import keys
from recsys.database.session import unit_of_work
from recsys.diagnosis import doctor, machine
from recsys.diagnosis.finding import Finding
from recsys.events import consumer_groups, periodic, relay
from recsys.events.consumer import Consumer
from recsys.events.publish import publish
from recsys.events.vocabulary import ProductCreated
from recsys.search.backends.factory import chosen
from recsys.settings import get_settings
from tests.support.shop import Shop


def _found(part: str) -> Finding:
    return {each.part: each for each in doctor.examine(get_settings())}[part]


def _execute(shop: Shop, statement: str, *values: object) -> None:
    with shop.connect() as connection:
        connection.execute(statement, values)


def _add_products(shop: Shop, count: int) -> None:
    _execute(
        shop,
        "INSERT INTO products_db.products (name, slug, price) "
        "SELECT 'Tea ' || n, 'tea-' || n, 3.50 FROM generate_series(1, %s) AS n",
        count,
    )


class _Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize(
    ("total_gib", "free_gib", "state"),
    [(100, 50, "ok"), (2000, 30, "ok"), (20, 9, "ok"), (100, 4, "attention"), (100, 0.3, "broken")],
)
def test_the_room_on_disk(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, total_gib: float, free_gib: float, state: str
) -> None:
    total, free = int(total_gib * 2**30), int(free_gib * 2**30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: _Usage(total, total - free, free))
    found = _found("disk")
    assert found.state == state
    assert (found.remedy is None) == (state == "ok")


def test_clocks_that_differ(shop: Shop) -> None:
    assert _found("clock").state == "ok"
    for offset, state in ((timedelta(seconds=-30), "attention"), (timedelta(hours=2), "broken")):
        with clock.frozen_at(clock.now() + offset):
            found = _found("clock")
        assert found.state == state, found
        assert ("ahead of" if offset < timedelta(0) else "behind") in found.found


@contextmanager
def _answering(status: int, body: object) -> Iterator[str]:
    """A server that answers every request so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _note_api(shop: Shop, url: str, **changes: object) -> None:
    (shop.var / "run").mkdir(exist_ok=True)
    record = {"url": url, "pid": os.getpid(), "created": psutil.Process().create_time()} | changes
    (shop.var / "run" / "api.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("status", "body", "state", "message"),
    [
        (200, {"parts": {"redis": {"well": True, "detail": "answers"}}}, "ok", "serves lists"),
        (200, {"parts": {"generation": {"well": False, "detail": "none"}}}, "ok", "serves lists"),
        (200, {"parts": {"deadline": {"well": False, "detail": "9 of 10"}}}, "attention", "9 of 10"),
        (503, {"detail": "There is nothing to show."}, "broken", "nothing to show"),
        (500, "broken", "broken", "names no reason"),
    ],
)
def test_the_api_is_asked(shop: Shop, status: int, body: object, state: str, message: str) -> None:
    with _answering(status, body) as url:
        _note_api(shop, url)
        found = _found("API")
    assert (found.state, message in found.found) == (state, True), found


def test_an_api_that_hangs_or_was_killed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _found("API").state == "ok"
    monkeypatch.setattr(machine, "_API_SECONDS", 0.2)
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        _note_api(shop, f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert _found("API").state == "broken"
    _note_api(shop, "http://127.0.0.1:1", created=1.0)
    found = _found("API")
    assert (found.state, found.remedy) == ("attention", "recsys serve api")


def test_the_index_is_compared_with_the_catalogue(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    _add_products(shop, 300)
    empty = _found("index")
    assert (empty.state, empty.remedy) == ("attention", "recsys search reindex")
    assert shop.run("search", "reindex").returncode == 0
    assert _found("index").state == "ok"
    # products that are on their way to the index are no fault
    _execute(shop, "DELETE FROM products_db.product_search WHERE product_id <= 50")
    assert _found("index").state == "ok"
    _execute(shop, "DELETE FROM products_db.product_search WHERE product_id <= 200")
    assert _found("index").state == "attention"

    monkeypatch.setenv("RECSYS_SEARCH__URL", "http://127.0.0.1:1")
    monkeypatch.setenv("RECSYS_SEARCH__ENGINE", "opensearch")
    get_settings.cache_clear()
    assert chosen().name == "opensearch"
    assert _found("index").state == "broken"


def test_an_auxiliary_artifact_with_a_wrong_byte(shop: Shop) -> None:
    folder = shop.var / "models" / "similar-v1"
    checksum = write_artifact(folder, {"algorithm": "similar_items"}, {"items": np.arange(4, dtype=np.int32)})
    _execute(
        shop,
        "INSERT INTO recommendations_db.recommendation_models (name, version, algorithm, parameters) "
        "VALUES ('similar-v1', '1', 'similar_items', %s)",
        json.dumps({"artifact": "models/similar-v1", "checksum": checksum}),
    )
    assert _found("artifacts").state == "ok"
    whole = (folder / "items.npy").read_bytes()
    (folder / "items.npy").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    found = _found("artifacts")
    assert (found.state, "similar-v1" in found.found) == ("attention", True)


def test_events_that_wait_too_long(shop: Shop, redis_client: redis.Redis) -> None:
    with unit_of_work() as session:
        publish(session, ProductCreated(product_id=1), occurred_at=clock.now() - timedelta(minutes=10))
    found = _found("events")
    assert (found.state, found.remedy) == ("attention", "recsys relay")
    stop = threading.Event()
    relay.run(stop, once=True)
    assert _found("events").state == "ok"
    with clock.frozen_at(clock.now() + timedelta(minutes=10)):
        found = _found("events")
    assert found.state == "attention"
    assert (found.remedy or "").startswith("recsys consume ")
    for group in consumer_groups.group_names():
        Consumer(group).run(stop, once=True)
    with clock.frozen_at(clock.now() + timedelta(minutes=10)):
        assert _found("events").state == "ok"

    # what no group had read is gone
    with unit_of_work() as session:
        publish(session, ProductCreated(product_id=2))
    relay.run(stop, once=True)
    redis_client.xtrim(keys.product_events(), maxlen=0, approximate=False)
    assert "trimmed" in _found("events").found


def test_dead_letters_until_they_are_replayed(shop: Shop, redis_client: redis.Redis) -> None:
    stream = keys.product_events()
    relay.prepare()
    redis_client.xadd(stream, {"name": "unknown"})
    stop = threading.Event()
    Consumer(consumer_groups.CORE).run(stop, once=True)
    found = _found("dead letters")
    assert (found.state, found.found) == ("attention", f"1 of {stream}")
    assert shop.run("events", "replay", "--dead", "all").returncode == 0
    assert _found("dead letters").state == "ok"


def test_writes_that_wait_too_long(shop: Shop, redis_client: redis.Redis) -> None:
    now = int(clock.now().timestamp() * 1000)
    redis_client.xadd(keys.posts_waiting(), {"data": "{}"}, id=f"{now}-0")
    assert _found("write buffer").state == "ok"
    with clock.frozen_at(clock.now() + timedelta(minutes=5)):
        assert _found("write buffer").state == "attention"
    redis_client.delete(keys.posts_waiting())
    spooled = shop.var / "spool" / "posts" / "1-a.waiting"
    spooled.parent.mkdir(parents=True)
    spooled.write_text("{}\n")
    assert _found("write buffer").state == "ok"
    os.utime(spooled, (now / 1000 - 600, now / 1000 - 600))
    found = _found("write buffer")
    assert (found.state, "on disk" in found.found) == ("attention", True)


def _run_of(shop: Shop, state: str, ago: timedelta) -> None:
    moment = clock.now() - ago
    _execute(
        shop,
        "INSERT INTO analytics_db.job_runs (job, arguments, state, cause, due_at, started_at, ended_at) "
        "VALUES ('train', '{}', %s, 'schedule', %s, %s, %s)",
        state, moment, moment, moment,
    )  # fmt: skip


@pytest.fixture
def nightly_shop(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A shop that trains each night, with a process that starts jobs."""
    monkeypatch.setenv("RECSYS_JOBS__SCHEDULES", '{"train": "0 3 * * *"}')
    get_settings.cache_clear()
    stop = threading.Event()
    leader = threading.Thread(target=periodic.run, args=(stop,), kwargs={"jobs": {}})
    leader.start()
    while _found("schedules").state != "ok":
        assert leader.is_alive()
    try:
        yield shop
    finally:
        stop.set()
        leader.join()


def test_schedules_that_no_process_starts(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _found("schedules").state == "ok"
    monkeypatch.setenv("RECSYS_JOBS__SCHEDULES", '{"train": "0 3 * * *"}')
    get_settings.cache_clear()
    assert "no process starts jobs" in _found("schedules").found


def test_jobs_that_fail_again_and_again(nightly_shop: Shop) -> None:
    _run_of(nightly_shop, "done", timedelta(days=2))
    _run_of(nightly_shop, "failed", timedelta(days=1))
    # it is tried again in the next night
    assert _found("schedules").state == "ok"
    _run_of(nightly_shop, "failed", timedelta(hours=1))
    found = _found("schedules")
    assert (found.state, "failed 2 times" in found.found) == ("attention", True)
    _run_of(nightly_shop, "done", timedelta(0))
    assert _found("schedules").state == "ok"


def test_jobs_that_are_overdue(nightly_shop: Shop) -> None:
    _run_of(nightly_shop, "done", timedelta(days=2))
    assert _found("schedules").state == "ok"
    with clock.frozen_at(clock.now() + timedelta(days=1)):
        found = _found("schedules")
    assert (found.state, "overdue" in found.found) == ("attention", True)
    assert (found.remedy or "").startswith("recsys jobs history --job train")


def test_an_hourly_job_is_not_overdue_before_six_hours(
    nightly_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_JOBS__SCHEDULES", '{"train": "5 * * * *"}')
    get_settings.cache_clear()
    _run_of(nightly_shop, "done", timedelta(hours=5))
    assert _found("schedules").state == "ok"
    with clock.frozen_at(clock.now() + timedelta(hours=2)):
        assert "overdue" in _found("schedules").found


def test_one_event_on_its_way_changes_nothing(shop: Shop, redis_client: redis.Redis) -> None:
    """Each kind of work that waits for a moment, each once and all together."""
    before = {each.part: each.state for each in doctor.examine(get_settings())}
    relay.prepare()
    _add_products(shop, 1)
    chosen_index = chosen()
    with unit_of_work() as session:
        chosen_index.reindex(session)
        publish(session, ProductCreated(product_id=1))
    _execute(
        shop,
        "INSERT INTO recommendations_db.user_interactions "
        "(product_id, interaction_type, session_id, created_at) VALUES (1, 'view', 'guest', now())",
    )
    redis_client.xadd(keys.product_events(), {"name": "on its way"})
    redis_client.xadd(keys.posts_waiting(), {"data": "{}"})
    redis_client.xadd(keys.exposures_waiting(), {"data": "{}"})
    redis_client.xreadgroup(consumer_groups.CORE, "a", {keys.product_events(): ">"})
    _run_of(shop, "failed", timedelta(0))
    assert {each.part: each.state for each in doctor.examine(get_settings())} == before
