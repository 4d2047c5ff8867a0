"""Scoring on Spark: the same lists as on this machine, and none twice whatever happens to its workers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import redis

from recsys import cli
from recsys.cache import keys
from recsys.domains.recommendations.stored_lists.codec import StoredList, unpack
from recsys.errors import Unavailable
from recsys.settings import get_settings
from serving.batch import scoring
from serving.batch.scoring import ScoringReport
from serving.batch.spark_lists import SparkListWriter
from tests.serving.api.answers import execute
from tests.support.shop import Shop
from tests.support.waiting import until

pytestmark = pytest.mark.spark
USERS = 29
"""Of the shop, with stored lists."""
WAITING = """
    SELECT client_port FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND query LIKE '%%FOR KEY SHARE%%'
"""


@pytest.fixture
def small_tasks(monkeypatch: pytest.MonkeyPatch, scored_shop: Shop) -> Shop:
    monkeypatch.setenv("RECSYS_SPARK__USERS_PER_TASK", "10")
    get_settings.cache_clear()
    return scored_shop


def lists_of(shop: Shop, generation: int) -> dict[int, StoredList]:
    rows = execute(
        shop, "SELECT user_id, list FROM recommendations_db.stored_lists WHERE generation_id = %s", generation
    )
    return {user: unpack(packed) for user, packed in rows}


def in_redis(client: redis.Redis, generation: int) -> dict[int, bytes | None]:
    names = list(client.scan_iter(f"recommendations:{generation}:*"))
    # on a cluster the user is a tag: {14}
    users = {int(name.rsplit(b":", 1)[1].strip(b"{}")): name for name in names if name.count(b":") == 2}
    return {user: client.get(name) for user, name in users.items()}


def statuses(shop: Shop) -> list[tuple[int, str]]:
    return execute(shop, "SELECT id, status FROM recommendations_db.recommendation_generations ORDER BY id")


class Scoring(threading.Thread):
    """A scoring on Spark in a thread."""

    def __init__(self, session: Any) -> None:
        super().__init__()
        self.session = session
        self.report: ScoringReport | None = None
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.report = scoring.score(write=SparkListWriter(self.session))
        except Exception as error:  # noqa: BLE001 the test looks at it
            self.error = error


def waiting_ports(shop: Shop) -> set[int]:
    return {row[0] for row in execute(shop, WAITING)}


def kill_worker(shop: Shop, port: int) -> None:
    """Kill the process that talks to PostgreSQL from this port, as a lost machine would."""
    server = urlsplit(shop.database_url).port
    # another process may have the same port in a connection to another server
    owners = [
        each.pid
        for each in psutil.net_connections("tcp")
        if each.laddr.port == port and each.raddr and each.raddr.port == server
    ]
    assert len(owners) == 1
    worker = psutil.Process(owners[0])
    assert "pyspark" in " ".join(worker.cmdline())
    worker.kill()


@dataclass
class HeldScoring:
    """A scoring that runs in another thread, and cannot store the list of user 15 until it is released."""

    running: Scoring
    release: Callable[[], None]


@pytest.fixture
def held(spark_session: Any, small_tasks: Shop) -> Iterator[HeldScoring]:
    running = Scoring(spark_session)
    with psycopg.connect(small_tasks.database_url) as holder:
        holder.execute("SELECT FROM users_db.users WHERE id = 15 FOR UPDATE")
        running.start()
        try:
            yield HeldScoring(running, holder.rollback)
        finally:
            holder.rollback()
            running.join(120)


def test_lists_are_those_of_this_machine(
    spark_session: Any, small_tasks: Shop, redis_client: redis.Redis
) -> None:
    redis_client.sadd(keys.recent_interactions(11), b"65")
    report = scoring.score(write=SparkListWriter(spark_session))
    assert (report.generation, report.users, report.redis) == (2, USERS, True)
    former, fresh = lists_of(small_tasks, 1), lists_of(small_tasks, 2)
    assert former.keys() == fresh.keys()
    assert len(fresh) == USERS
    for user, stored in fresh.items():
        assert stored.generation == 2
        assert (stored.entries, stored.new) == (former[user].entries, former[user].new)
    assert {user: unpack(packed or b"") for user, packed in in_redis(redis_client, 2).items()} == fresh
    assert redis_client.get("recommendations:generation") == b"2"
    assert not redis_client.exists(keys.recent_interactions(11)), "the new list considers it"


def test_a_worker_killed_in_the_middle_changes_nothing(
    small_tasks: Shop, held: HeldScoring, redis_client: redis.Redis
) -> None:
    until(lambda: bool(waiting_ports(small_tasks)), 60)
    first = waiting_ports(small_tasks)
    kill_worker(small_tasks, *first)
    # the task runs again, and its first connection is still there: PostgreSQL does not know yet
    until(lambda: bool(waiting_ports(small_tasks) - first), 60)
    held.release()
    held.running.join(120)
    assert held.running.error is None
    assert held.running.report is not None
    assert (held.running.report.users, held.running.report.redis) == (USERS, True)
    assert statuses(small_tasks) == [(1, "former"), (2, "live")]
    stored = lists_of(small_tasks, 2)
    assert len(stored) == USERS
    assert {user: unpack(packed or b"") for user, packed in in_redis(redis_client, 2).items()} == stored
    rows = execute(
        small_tasks, "SELECT count(*), count(DISTINCT (user_id, product_id)) "
        "FROM recommendations_db.product_recommendations",
    )  # fmt: skip
    assert rows == [(USERS * 100, USERS * 100)]


def test_where_a_task_fails_for_good_the_former_lists_stay(
    small_tasks: Shop, held: HeldScoring, redis_client: redis.Redis
) -> None:
    before = lists_of(small_tasks, 1)
    killed: set[int] = set()
    for _ in range(4):
        until(lambda: bool(waiting_ports(small_tasks) - killed), 60)
        port = (waiting_ports(small_tasks) - killed).pop()
        kill_worker(small_tasks, port)
        killed.add(port)
    held.release()
    held.running.join(120)
    assert isinstance(held.running.error, Unavailable)
    assert "Spark did not score all users" in held.running.error.message
    assert statuses(small_tasks) == [(1, "live"), (2, "failed")]
    assert lists_of(small_tasks, 1) == before
    assert lists_of(small_tasks, 2) == {}
    assert in_redis(redis_client, 2) == {}
    assert redis_client.get("recommendations:generation") == b"1"


def test_the_command_scores_on_spark(
    spark_session: Any, small_tasks: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["serve", "score", "--engine", "spark", "--master", "local[2]", "--json"]) == 0
    assert '"generation": 2' in capsys.readouterr().out
    assert len(lists_of(small_tasks, 2)) == USERS
