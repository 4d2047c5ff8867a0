"""A whole shop for one test: own database, Redis and `var/`, found by code and by commands alike."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import redis

from recsys.cache import client as cache
from recsys.database.servers.placement import SERVER_NAMES, ServerName
from recsys.own_ids.resolver import RESOLVER
from recsys.settings import Settings, get_settings
from tests.support import warm
from tests.support.databases import Databases
from tests.support.hosts.pgbouncer import pgbouncer, through
from tests.support.hosts.redis_cluster import RunningCluster, redis_cluster
from tests.support.hosts.routed_connection import connected
from tests.support.servers import ROOT, Servers


@dataclass(frozen=True)
class Shop:
    """Where the shop is, and a way to run its commands."""

    settings: Settings
    var: Path
    database_url: str
    redis_url: str

    def connect(self, *, autocommit: bool = False) -> psycopg.Connection:
        """A connection to the shop's rows, in whichever databases they lie."""
        return connected(self.database_url, autocommit=autocommit)

    def run(
        self, *args: object, timeout: float = 120, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """`recsys ARGS…` as a real process, from another folder; keyword arguments join its environment."""
        return run_recsys(*args, folder=self.var, timeout=timeout, **environment)


def run_recsys(
    *args: object, folder: Path, timeout: float = 120, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The command as a real process with this environment, RECSYS_* of the test included."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    everything = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200", **environment}
    return warm.run("-m", "recsys", *map(str, args), cwd=folder, env=everything, timeout=timeout)


def forget_connections() -> None:
    """Close what this process keeps open, and read the settings again at the next use."""
    from recsys.database import session as database

    database.dispose_engines()
    RESOLVER.forget()
    cache.close()
    get_settings.cache_clear()


@pytest.fixture(scope="session")
def pooler(servers: Servers) -> Iterator[int | None]:
    """The port of PgBouncer where TESTS_BEHIND_PGBOUNCER=1 asks for it: any test of a shop runs behind it."""
    if os.environ.get("TESTS_BEHIND_PGBOUNCER") != "1":
        yield None
        return
    with pgbouncer(servers.database_url) as port:
        yield port


@pytest.fixture(scope="session")
def cluster() -> Iterator[RunningCluster | None]:
    """Three masters where TESTS_REDIS=cluster asks for them: any test of a shop runs on them."""
    if os.environ.get("TESTS_REDIS") != "cluster":
        yield None
        return
    with redis_cluster() as running:
        yield running


@pytest.fixture
def redis_client(servers: Servers, cluster: RunningCluster | None) -> Iterator[redis.Redis]:
    """A client of the test server, or of the cluster, which is empty before and after the test."""
    with cache.connect(servers.redis_url if cluster is None else cluster.url) as client:
        client.flushall()
        yield client
        client.flushall()


@pytest.fixture
def other_servers(
    other_databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[ServerName, str]]:
    """The addresses of a database for each server beside the shop's, which the settings name."""
    with ExitStack() as lent:
        urls = {name: lent.enter_context(other_databases.lent()) for name in SERVER_NAMES}
        for name, url in urls.items():
            monkeypatch.setenv(f"RECSYS_DATABASE__{name.upper()}_URL", url)
        forget_connections()
        yield urls
        forget_connections()


@pytest.fixture
def _several_servers(request: pytest.FixtureRequest) -> None:
    """Where TESTS_DATABASES=several asks for it, any test of a shop runs on several databases."""
    if os.environ.get("TESTS_DATABASES") == "several":
        if request.node.get_closest_marker("one_server") is not None:
            pytest.skip("it is about a shop whose tables lie in one database")
        request.getfixturevalue("other_servers")


@pytest.fixture
def shop(
    _several_servers: None,
    servers: Servers,
    cluster: RunningCluster | None,
    pooler: int | None,
    fresh_database: str,
    redis_client: redis.Redis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Shop]:
    """An empty, migrated shop; settings, `unit_of_work()`, `get_redis()` and `shop.run()` all work on it."""
    var = tmp_path / "var"
    var.mkdir()
    # where keys are optional; without the consumers that development runs inside of the API
    monkeypatch.setenv("RECSYS_ENVIRONMENT", "development")
    monkeypatch.setenv("RECSYS_EVENTS__INSIDE_API", "false")
    monkeypatch.setenv("RECSYS_JOBS__SCHEDULES", "{}")
    # what is posted is stored however busy the machine is; tests of the deadline set their own
    monkeypatch.setenv("RECSYS_INTAKE__DEADLINE_MS", "20000")
    monkeypatch.setenv("RECSYS_VAR", str(var))
    monkeypatch.setenv("RECSYS_DATABASE__URL", fresh_database)
    if pooler is not None:
        monkeypatch.setenv("RECSYS_DATABASE__URL", through(pooler, fresh_database))
        monkeypatch.setenv("RECSYS_DATABASE__DIRECT_URL", fresh_database)
    redis_url = servers.redis_url if cluster is None else cluster.url
    monkeypatch.setenv("RECSYS_REDIS__URL", redis_url)
    forget_connections()
    try:
        yield Shop(get_settings(), var, fresh_database, redis_url)
    finally:
        forget_connections()
