"""Drills of alerts about models, lists, events, writes, jobs and imports."""

from __future__ import annotations

import json
import threading
import time
from datetime import datetime, timedelta

import pytest
import redis

from recsys import clock
from recsys.cache import keys
from recsys.cli import run
from recsys.database.session import unit_of_work
from recsys.events import consumer_groups, periodic, relay
from recsys.events.consumer import Consumer
from recsys.events.publish import publish
from recsys.events.vocabulary import ProductCreated
from recsys.jobs.runner import JobRunner
from recsys.settings import get_settings
from tests.recsys.observation.drill import Drill, drill_of
from tests.serving import shopping

__all__: list[str] = []


def _execute(drill: Drill, statement: str, *values: object) -> None:
    with drill.shop.connect() as connection:
        connection.execute(statement, values)


def _publish(occurred_at: datetime | None = None) -> None:
    with unit_of_work() as session:
        publish(session, ProductCreated(product_id=1), occurred_at=occurred_at)


def _relay() -> None:
    relay.run(threading.Event(), once=True)


def _consume() -> int:
    return sum(Consumer(group).run(threading.Event(), once=True) for group in consumer_groups.group_names())


# --- models and lists ----------------------------------------------------------------------------


@drill_of("ModelMissing", "trained_shop")
def model_missing(drill: Drill) -> None:
    assert not drill.firing()
    _execute(drill, "UPDATE recommendations_db.recommendation_models SET is_active = false")
    assert drill.firing()
    drill.follow(NAME="knn-v1")
    assert not drill.firing()


@drill_of("ModelOld", "trained_shop")
def model_old(drill: Drill) -> None:
    _execute(
        drill,
        "UPDATE recommendations_db.recommendation_models SET last_trained_at = %s",
        clock.now() - timedelta(days=4),
    )
    assert drill.firing()
    # the end of a training, without its search for the best model
    assert drill.starts("recsys train run --all")
    shopping.promote(shopping.fit(), "knn-v2", 2)
    assert not drill.firing()


@drill_of("ListsExpiring", "scored_shop")
def lists_expiring(drill: Drill) -> None:
    assert not drill.firing()
    _execute(
        drill,
        "UPDATE recommendations_db.recommendation_generations SET expires_at = %s",
        clock.now() + timedelta(hours=1),
    )
    assert drill.firing()
    drill.follow()
    assert not drill.firing()


@drill_of("ListsOfFormerModel", "scored_shop")
def lists_of_former_model(drill: Drill) -> None:
    shopping.promote(shopping.fit(), "knn-v2", 2)
    assert drill.firing()
    drill.follow()
    assert not drill.firing()


@drill_of("ListsNotInRedis", "scored_shop")
def lists_not_in_redis(drill: Drill, redis_client: redis.Redis) -> None:
    redis_client.flushall()
    assert drill.firing()
    drill.follow()
    assert not drill.firing()


@drill_of("FeaturesOld", "open_shop")
def features_old(drill: Drill) -> None:
    assert run(["features", "build"]) == 0
    path = drill.shop.var / "datasets" / "current.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"built_at": (clock.now() - timedelta(days=8)).isoformat()}))
    assert drill.firing()
    drill.follow()
    assert not drill.firing()


# --- events and writes ---------------------------------------------------------------------------


@drill_of("RelayBehind")
def relay_behind(drill: Drill) -> None:
    _publish(clock.now() - timedelta(minutes=10))
    assert drill.firing()
    drill.follow("--once")
    assert not drill.firing()


@drill_of("ConsumerBehind")
def consumer_behind(drill: Drill) -> None:
    _publish()
    _relay()
    later = clock.now() + timedelta(minutes=10)
    with clock.frozen_at(later):
        groups = {dict(labels)["group"] for labels in drill.firing()}
    assert consumer_groups.CORE in groups
    for group in groups:
        drill.follow("--once", GROUP=group)
    with clock.frozen_at(later):
        assert not drill.firing()


@drill_of("EventsTrimmed")
def events_trimmed(drill: Drill, redis_client: redis.Redis) -> None:
    _publish()
    _relay()
    _consume()
    before = clock.now()
    _publish()
    _relay()
    redis_client.xtrim(keys.product_events(), maxlen=0, approximate=False)
    assert drill.firing()
    drill.follow(MOMENT=before.isoformat())
    _relay()
    assert _consume() > 0
    assert not drill.firing()


@drill_of("DeadLetters")
def dead_letters(drill: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise LookupError("the mail server is away")

    monkeypatch.setenv("RECSYS_EVENTS__ATTEMPTS", "1")
    get_settings.cache_clear()
    _publish()
    _relay()
    Consumer(consumer_groups.CORE, {ProductCreated: (fail,)}).run(threading.Event(), once=True)
    assert [dict(labels) for labels in drill.firing()] == [{"stream": keys.product_events()}]
    drill.follow()
    mended = Consumer(consumer_groups.CORE, {ProductCreated: (lambda *_: None,)})
    assert mended.run(threading.Event(), once=True) == 1
    assert not drill.firing()


@drill_of("WritesWaiting")
def writes_waiting(drill: Drill, redis_client: redis.Redis) -> None:
    before = int((clock.now() - timedelta(minutes=10)).timestamp() * 1000)
    redis_client.xadd(keys.posts_waiting(), {"data": "{}"}, id=f"{before}-0")
    assert drill.firing()
    drill.follow("--once")
    assert not drill.firing()


# --- jobs and imports ----------------------------------------------------------------------------


def _schedule(monkeypatch: pytest.MonkeyPatch, job: str, expression: str) -> None:
    monkeypatch.setenv("RECSYS_JOBS__SCHEDULES", json.dumps({job: expression}))
    get_settings.cache_clear()


def _run_of(drill: Drill, job: str, state: str, ago: timedelta) -> None:
    moment = clock.now() - ago
    _execute(
        drill,
        "INSERT INTO analytics_db.job_runs (job, arguments, state, cause, due_at, started_at, ended_at) "
        "VALUES (%s, '{}', %s, 'schedule', %s, %s, %s)",
        job, state, moment, moment, moment,
    )  # fmt: skip


def _run_queued(drill: Drill, job: str) -> None:
    """What the relay does with a run that was requested, until it has ended."""
    runner = JobRunner()
    try:
        while not _has_ended(drill, job):
            runner.tick()
            time.sleep(0.05)
    finally:
        runner.close()


def _has_ended(drill: Drill, job: str) -> bool:
    with drill.shop.connect() as connection:
        query = "SELECT state FROM analytics_db.job_runs WHERE job = %s AND state <> 'planned' "
        query += "ORDER BY id DESC LIMIT 1"
        row = connection.execute(query, [job]).fetchone()
    return row is not None and row[0] in ("done", "failed", "lost")


@drill_of("SchedulerDown")
def scheduler_down(drill: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not drill.firing()
    _schedule(monkeypatch, "rollup", "0 3 * * *")
    assert drill.firing()
    assert drill.starts("recsys relay")
    stop = threading.Event()
    leader = threading.Thread(target=periodic.run, args=(stop,), kwargs={"jobs": {}})
    leader.start()
    try:
        while drill.firing():
            assert leader.is_alive()
    finally:
        stop.set()
        leader.join()


@drill_of("JobFailing")
def job_failing(drill: Drill) -> None:
    _run_of(drill, "rollup", "done", timedelta(hours=3))
    _run_of(drill, "rollup", "failed", timedelta(hours=2))
    assert not drill.firing()
    _run_of(drill, "rollup", "lost", timedelta(hours=1))
    assert [dict(labels) for labels in drill.firing()] == [{"name": "rollup"}]
    drill.follow(NAME="rollup")
    _run_queued(drill, "rollup")
    assert not drill.firing()


@drill_of("JobOverdue")
def job_overdue(drill: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    _schedule(monkeypatch, "rollup", "5 * * * *")
    _run_of(drill, "rollup", "done", timedelta(hours=5))
    assert not drill.firing()
    _execute(drill, "UPDATE analytics_db.job_runs SET ended_at = ended_at - interval '2 hours'")
    assert [dict(labels) for labels in drill.firing()] == [{"name": "rollup"}]
    drill.follow(NAME="rollup")
    monkeypatch.setenv("RECSYS_JOBS__SCHEDULES", json.dumps({"rollup": "5 * * * *"}))
    _run_queued(drill, "rollup")
    assert not drill.firing()


@drill_of("ImportsFailing")
def imports_failing(drill: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    products = drill.shop.var / "products.csv"
    products.write_text("product,name,price\na,Tea,free\n")
    for _ in range(2):
        assert run(["import", "csv", "--products", str(products)]) == 1
    assert drill.firing()
    monkeypatch.chdir(drill.shop.var)
    drill.follow()
    products.write_text("product,name,price\na,Tea,3.50\n")
    assert run(["import", "csv", "--products", str(products)]) == 0
    assert not drill.firing()
