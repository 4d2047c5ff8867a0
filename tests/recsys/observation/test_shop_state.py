"""The figures of the whole shop at `/metrics`, on real servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from sqlalchemy import text

from recsys import clock
from recsys.cache import keys
from recsys.database.absence import DatabaseAway
from recsys.database.session import get_engine, unit_of_work
from recsys.events import consumer_groups, relay
from recsys.events.publish import publish
from recsys.events.vocabulary import ProductCreated
from recsys.imports.history import recorded
from recsys.imports.refusals import Refusals
from recsys.imports.report import ImportReport
from recsys.observation.samples import HELP
from recsys.observation.shop_state import ShopState
from recsys.settings import get_settings
from recsys.web.metrics import render
from tests.recsys.observation.scrapes import Scrape, read_scrape, scrape_shop
from tests.support.servers import ROOT
from tests.support.shop import Shop

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _value(scrape: Scrape, name: str, /, **labels: str) -> float | None:
    return scrape.get((name, frozenset(labels.items())))


def _execute(shop: Shop, statement: str, *values: object) -> None:
    with shop.connect() as connection:
        connection.execute(statement, values)


def _job_run(shop: Shop, job: str, state: str, at: datetime, missed: int = 0) -> None:
    _execute(
        shop,
        "INSERT INTO analytics_db.job_runs "
        "(job, arguments, state, cause, due_at, started_at, ended_at, missed_starts) "
        "VALUES (%s, '{}', %s, 'schedule', %s, %s, %s, %s)",
        job, state, at, at, None if state == "running" else at, missed,
    )  # fmt: skip


def test_an_empty_shop_has_figures_of_what_there_is(shop: Shop) -> None:
    scrape = scrape_shop()
    for server in ("postgresql", "redis", "search"):
        assert _value(scrape, "recsys_server_up", server=server) == 1
    assert _value(scrape, "recsys_database_writable") == 1
    assert abs(_value(scrape, "recsys_database_clock_offset_seconds") or 99) < 1
    assert _value(scrape, "recsys_models_active") == 0
    assert _value(scrape, "recsys_generation_live") == 0
    assert _value(scrape, "recsys_model_trained_timestamp_seconds") is None
    assert (_value(scrape, "recsys_disk_free_bytes") or 0) > 0
    assert {stream for name, labels in scrape if name == "recsys_dead_letters" for _, stream in labels} >= {
        keys.order_events(),
        keys.posts_waiting(),
        keys.exposures_waiting(),
    }


def test_the_ages_of_model_generation_and_features(shop: Shop, redis_client: redis.Redis) -> None:
    _execute(
        shop,
        "INSERT INTO recommendations_db.recommendation_models "
        "(name, version, is_active, last_trained_at) VALUES ('als-v1', '1', true, %s)",
        NOW,
    )
    _execute(
        shop,
        "INSERT INTO recommendations_db.recommendation_generations "
        "(model_name, model_version, status, users, rows, started_at, live_at) "
        "VALUES ('als-v1', '1', 'live', 2, 80, %s, %s)",
        NOW, NOW,
    )  # fmt: skip
    (shop.var / "datasets").mkdir()
    record = {
        "folder": "a",
        "moment": NOW.isoformat(),
        "built_at": NOW.isoformat(),
        "events": 3,
        "until": None,
    }
    (shop.var / "datasets" / "current.json").write_text(json.dumps(record))

    scrape = scrape_shop()
    for name in (
        "recsys_model_trained_timestamp_seconds",
        "recsys_generation_live_timestamp_seconds",
        "recsys_features_built_timestamp_seconds",
        "recsys_features_until_timestamp_seconds",
    ):
        assert _value(scrape, name) == NOW.timestamp(), name
    expires_after = timedelta(hours=shop.settings.serving.expires_after_hours)
    assert _value(scrape, "recsys_generation_expires_timestamp_seconds") == (NOW + expires_after).timestamp()
    assert _value(scrape, "recsys_generation_of_active_model") == 1
    assert _value(scrape, "recsys_generation_in_redis") == 0
    assert _value(scrape, "recsys_redis_bytes_per_user") is None

    redis_client.set(keys.live_generation(), 1)
    redis_client.set(keys.stored_recommendations(1, 7), b"x" * 5000)
    redis_client.sadd(keys.recent_interactions(7), *range(400))
    redis_client.set(keys.stored_recommendations(2, 8), b"of another generation" * 9999)
    scrape = scrape_shop()
    assert _value(scrape, "recsys_generation_in_redis") == 1
    sizes = [
        redis_client.memory_usage(key)
        for key in (keys.stored_recommendations(1, 7), keys.recent_interactions(7))
    ]
    assert _value(scrape, "recsys_redis_bytes_per_user") == sum(size or 0 for size in sizes)


def test_the_lag_of_each_group(shop: Shop, redis_client: redis.Redis) -> None:
    with unit_of_work() as session:
        publish(session, ProductCreated(product_id=1), occurred_at=clock.now() - timedelta(minutes=5))
    scrape = scrape_shop()
    assert _value(scrape, "recsys_outbox_unsent") == 1
    assert 299 < (_value(scrape, "recsys_outbox_oldest_seconds") or 0) < 400

    relay.prepare()
    relay.relay_batch()
    stream = keys.product_events()
    redis_client.xadd(stream, {"name": "old"}, id=f"{int(clock.now().timestamp() * 1000) + 60_000}-0")
    scrape = scrape_shop()
    assert _value(scrape, "recsys_outbox_unsent") == 0
    groups = {
        dict(labels)["group"]: value for (name, labels), value in scrape.items()
        if name == "recsys_consumer_unread" and dict(labels)["stream"] == stream
    }  # fmt: skip
    assert set(groups.values()) == {2}
    group = consumer_groups.CORE
    assert 0 <= (_value(scrape, "recsys_consumer_oldest_seconds", group=group, stream=stream) or 0) < 60

    # what was read is not finished
    redis_client.xreadgroup(group, "a", {stream: ">"})
    scrape = scrape_shop()
    assert _value(scrape, "recsys_consumer_unread", group=group, stream=stream) == 0
    assert _value(scrape, "recsys_consumer_pending", group=group, stream=stream) == 2
    with clock.frozen_at(clock.now() + timedelta(minutes=30)):
        scrape = scrape_shop()
    assert 1790 < (_value(scrape, "recsys_consumer_oldest_seconds", group=group, stream=stream) or 0) < 1900

    for entry, _ in redis_client.xrange(stream):
        redis_client.xack(stream, group, entry)
    scrape = scrape_shop()
    assert _value(scrape, "recsys_consumer_oldest_seconds", group=group, stream=stream) == 0


def test_dead_letters_and_queued_writes(shop: Shop, redis_client: redis.Redis) -> None:
    redis_client.xadd(keys.dead_letters(keys.order_events()), {"name": "a"})
    hour_ago = int((clock.now() - timedelta(hours=1)).timestamp() * 1000)
    redis_client.xadd(keys.posts_waiting(), {"data": "{}"}, id=f"{hour_ago}-0")
    (shop.var / "spool" / "posts").mkdir(parents=True)
    (shop.var / "spool" / "posts" / "1-a.waiting").write_bytes(b"x" * 123)
    scrape = scrape_shop()
    assert _value(scrape, "recsys_dead_letters", stream=keys.order_events()) == 1
    assert _value(scrape, "recsys_dead_letters", stream=keys.user_events()) == 0
    assert _value(scrape, "recsys_write_buffer_entries", buffer="posts") == 1
    assert 3590 < (_value(scrape, "recsys_write_buffer_oldest_seconds", buffer="posts") or 0) < 3700
    assert _value(scrape, "recsys_write_buffer_entries", buffer="exposures") == 0
    assert _value(scrape, "recsys_spool_bytes") == 123


def test_jobs_since_their_last_success(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_JOBS__SCHEDULES", '{"train": "0 3 * * 1,2", "score": "0 * * * *"}')
    get_settings.cache_clear()
    _job_run(shop, "train", "failed", NOW - timedelta(days=3))
    _job_run(shop, "train", "done", NOW - timedelta(days=2))
    _job_run(shop, "train", "failed", NOW - timedelta(days=1))
    _job_run(shop, "train", "lost", NOW - timedelta(hours=2))
    _job_run(shop, "train", "missed", NOW, missed=4)
    _job_run(shop, "measure", "running", clock.now() - timedelta(minutes=10))
    scrape = scrape_shop()
    assert _value(scrape, "recsys_job_last_success_timestamp_seconds", name="train") == (
        NOW - timedelta(days=2)
    ).timestamp()  # fmt: skip
    assert _value(scrape, "recsys_job_failures", name="train") == 2
    assert _value(scrape, "recsys_job_missed_starts", name="train") == 4
    assert _value(scrape, "recsys_job_interval_seconds", name="train") == timedelta(days=6).total_seconds()
    assert _value(scrape, "recsys_job_scheduled", name="train") == 1
    assert _value(scrape, "recsys_job_scheduled", name="measure") == 0
    assert _value(scrape, "recsys_job_failures", name="score") == 0
    assert 599 < (_value(scrape, "recsys_job_running_seconds", name="measure") or 0) < 700
    assert _value(scrape, "recsys_scheduler_up") == 0


def test_imports_are_noted_with_how_they_ended(shop: Shop, tmp_path: Path) -> None:
    products = tmp_path / "products.csv"
    products.write_text("product,name,price\na,Tea,3.50\nb,Milk,wrong\n")
    assert shop.run("import", "csv", "--products", products).returncode == 0
    scrape = scrape_shop()
    rows = {
        outcome: _value(scrape, "recsys_import_rows", outcome=outcome)
        for outcome in ("read", "stored", "refused")
    }
    assert rows == {"read": 2, "stored": 1, "refused": 1}
    assert _value(scrape, "recsys_imports_failed") == 0

    def broken() -> ImportReport:
        raise RuntimeError("no file")

    with pytest.raises(RuntimeError):
        recorded("csv", broken)
    refusals = Refusals(tmp_path / "refused.csv")
    refusals.counts = {"products.csv": {"no name": 3}}
    recorded("csv", lambda: ImportReport(refusals))
    scrape = scrape_shop()
    assert _value(scrape, "recsys_imports_failed") == 2
    assert _value(scrape, "recsys_import_rows", outcome="stored") == 1


def test_figures_of_a_server_that_is_away_are_left_out(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_REDIS__URL", "redis://127.0.0.1:1")
    _reconnect()
    scrape = scrape_shop()
    assert _value(scrape, "recsys_server_up", server="redis") == 0
    assert _value(scrape, "recsys_server_up", server="postgresql") == 1
    assert not [name for name, _ in scrape if name == "recsys_dead_letters"]

    monkeypatch.setenv("RECSYS_REDIS__URL", shop.redis_url)
    monkeypatch.setenv("RECSYS_DATABASE__URL", "postgresql://a:secret@127.0.0.1:1/none")
    _reconnect()
    text_of_state = render(ShopState(fresh_seconds=0)).decode()
    assert "secret" not in text_of_state
    scrape = read_scrape(text_of_state)
    assert _value(scrape, "recsys_server_up", server="redis") == 1
    assert _value(scrape, "recsys_server_up", server="postgresql") == 0
    assert _value(scrape, "recsys_server_up", server="search") == 0
    assert not [name for name, _ in scrape if name.startswith("recsys_job")]


def _reconnect() -> None:
    from tests.support.shop import forget_connections

    forget_connections()


def test_the_stores_are_not_read_at_each_scrape(shop: Shop, redis_client: redis.Redis) -> None:
    state = ShopState(fresh_seconds=3600)
    before = render(state)
    redis_client.xadd(keys.dead_letters(keys.order_events()), {"name": "a"})
    assert _shop_lines(render(state)) == _shop_lines(before)
    assert _shop_lines(render(ShopState())) != _shop_lines(before)


def _shop_lines(written: bytes) -> list[str]:
    return [line for line in written.decode().splitlines() if line.startswith("recsys_dead_letters")]


def test_only_labels_with_few_values_are_used(shop: Shop) -> None:
    labels = {label for _, pairs in scrape_shop() for label, _ in pairs}
    assert labels <= {"server", "group", "stream", "buffer", "name", "outcome"}
    assert all(name.startswith("recsys_") and text.endswith(".") for name, text in HELP.items())


def test_the_pool_in_use(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_use() -> float:
        return read_scrape(render().decode())[
            ("recsys_database_pool_in_use", frozenset({("server", "shop")}))
        ]

    before = in_use()
    with unit_of_work(), get_engine().connect() as connection:
        connection.execute(text("SELECT 1"))
        assert in_use() == before + 2
        connection.invalidate()
    assert in_use() == before
    monkeypatch.setenv("RECSYS_DATABASE__URL", "postgresql://a:b@127.0.0.1:1/none")
    get_settings.cache_clear()
    with pytest.raises(DatabaseAway), unit_of_work():
        pass
    assert in_use() == before
    # each server has a pool of its own, beside the shop's
    limit = read_scrape(render().decode())[("recsys_database_pool_limit", frozenset())]
    assert limit == 2 * shop.settings.database.pool_size


def test_a_gauge_of_a_process_that_died_is_dropped_and_its_counters_stay() -> None:
    script = """
import os
from recsys.web.shared_metrics import counted_together, forget_process
with counted_together():
    from recsys.database import pool_metrics
    from recsys.web.metrics import observe_request, render
    child = os.fork()
    if child == 0:
        pool_metrics._IN_USE.labels("shop").set(17)
        observe_request("GET", "/a", 200, 0.01)
        os._exit(0)
    os.waitpid(child, 0)
    pool_metrics._IN_USE.labels("shop").set(3)
    assert b'recsys_database_pool_in_use{server="shop"} 17.0' in render()
    forget_process(child)
    written = render()
    assert b'recsys_database_pool_in_use{server="shop"} 3.0' in written, written
    assert b'recsys_http_requests_total{method="GET",route="/a",status="200"} 1.0' in written
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("RECSYS_")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
