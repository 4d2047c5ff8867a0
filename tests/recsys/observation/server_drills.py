"""Drills of alerts about servers, requests and the machine."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import subprocess
import time
from contextlib import ExitStack
from datetime import timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
import redis

from recsys import clock
from recsys.api import create_api
from recsys.database import replica
from recsys.database.addresses import replica_url
from recsys.database.session import dispose_engines, get_engine, unit_of_work
from recsys.domains.recommendations.impressions.store import Answered
from recsys.settings import get_settings
from serving.ranking import user_context
from serving.server.app import create_app
from serving.state.impression_log import ImpressionLog
from tests.recsys.observation.drill import Drill, drill_of, environment_of
from tests.serving.running import running
from tests.support.hosts.streaming_replica import Replicated, replicated
from tests.support.shop import forget_connections

__all__: list[str] = []


def _use(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    forget_connections()


@drill_of("ApiDown")
def api_down(drill: Drill) -> None:
    with running(create_api()) as client:
        assert not drill.firing(drill.scrape(client=client))
        url = client.base_url
    with httpx.Client(base_url=url) as client:
        assert drill.firing(drill.scrape(client=client))
    assert drill.starts("recsys serve api")
    with running(create_api(), port=url.port or 0) as client:
        assert not drill.firing(drill.scrape(client=client))


@drill_of("ServerDown")
def server_down(drill: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    _use(monkeypatch, RECSYS_REDIS__URL="redis://127.0.0.1:1")
    assert [dict(labels) for labels in drill.firing()] == [{"server": "redis"}]
    # `recsys up` starts the embedded one: the drill's stands at another address
    assert drill.starts("recsys up")
    _use(monkeypatch, RECSYS_REDIS__URL=drill.shop.redis_url)
    assert not drill.firing()


@drill_of("DatabaseReadOnly")
def database_read_only(drill: Drill) -> None:
    name = urlsplit(drill.shop.database_url).path[1:]

    def execute(*statements: str) -> None:
        with drill.shop.connect(autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)
        dispose_engines()

    execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert drill.firing()
    (command,) = drill.commands
    words = shlex.split(command)
    assert words[:2] == ["psql", "$DATABASE_URL"]
    execute(*(word.replace("DATABASE recsys", f"DATABASE {name}") for word in words[3::2]))
    assert not drill.firing()


@drill_of("ErrorShareHigh")
def error_share_high(drill: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(create_api()) as client:
        _use(monkeypatch, RECSYS_DATABASE__URL="postgresql://nobody@127.0.0.1:1/none")
        # a series grows from its first sample on
        assert client.get("/api/v1/products/1").status_code == 503
        drill.scrape(0, client=client)
        statuses = {client.get("/api/v1/products/1").status_code for _ in range(25)}
        assert statuses == {503}
        assert drill.firing(drill.scrape(60, client=client))
        assert drill.starts("recsys up")
        _use(monkeypatch, RECSYS_DATABASE__URL=drill.shop.database_url)
        drill.scrape(400, client=client)
        assert {client.get("/api/v1/products/1").status_code for _ in range(25)} == {404}
        assert not drill.firing(drill.scrape(460, client=client))


@drill_of("LateShareHigh", "scored_shop")
def late_share_high(drill: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    look = user_context.user_interactions

    def slowly(*arguments: object, **options: object) -> object:
        time.sleep(0.3)
        return look(*arguments, **options)  # type: ignore[arg-type]

    def ask(client: httpx.Client) -> None:
        for _ in range(25):
            assert client.get("/api/v1/users/1/recommendations?category=4").status_code == 200

    monkeypatch.setenv("RECSYS_SERVING__DEADLINE_MS", "10")
    get_settings.cache_clear()
    with monkeypatch.context() as patch, running(create_app()) as client:
        drill.scrape(0, client=client)
        patch.setattr(user_context, "user_interactions", slowly)
        ask(client)
        assert drill.firing(drill.scrape(60, client=client))
    # more workers give lists more processor time; here they get it by the deadline
    assert drill.starts("recsys serve api --workers 4")
    monkeypatch.setenv("RECSYS_SERVING__DEADLINE_MS", "20000")
    get_settings.cache_clear()
    with running(create_app()) as client:
        drill.scrape(400, client=client)
        ask(client)
        assert not drill.firing(drill.scrape(460, client=client))


@drill_of("PoolExhausted")
def pool_exhausted(drill: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    # the figures themselves need up to two connections, so there is room for them
    _use(monkeypatch, RECSYS_DATABASE__POOL_SIZE="10")
    with ExitStack() as lent:
        for _ in range(18):
            lent.enter_context(get_engine().connect())
        assert drill.firing()
        assert drill.commands == ["RECSYS_DATABASE__POOL_SIZE=20 recsys serve api"]
        _use(monkeypatch, RECSYS_DATABASE__POOL_SIZE="20")
        with unit_of_work():
            pass
        assert not drill.firing()


@drill_of("ImpressionsLost")
def impressions_lost(drill: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    def note(lists: int) -> None:
        async def run() -> None:
            async with ImpressionLog(seconds=60, max_lists=10) as log:
                for number in range(lists):
                    log.note(Answered(f"request-{number}", "for_you", "live", [1], [0.5], clock.now()))

        asyncio.run(run())

    # neither Redis nor the disk takes anything
    _use(monkeypatch, RECSYS_REDIS__URL="redis://127.0.0.1:1")
    (drill.shop.var / "spool").write_text("no folder")
    drill.scrape(0)
    note(15)
    assert drill.firing(drill.scrape(60))
    assert drill.starts("recsys up")
    (drill.shop.var / "spool").unlink()
    _use(monkeypatch, RECSYS_REDIS__URL=drill.shop.redis_url)
    drill.scrape(1000)
    note(8)
    assert not drill.firing(drill.scrape(1060))


@drill_of("ReplicaBehind")
def replica_behind(drill: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(both: Replicated) -> None:
        with monkeypatch.context() as patch:
            _use(patch, RECSYS_DATABASE__URL=both.primary_url, RECSYS_DATABASE__REPLICA_URL=both.replica_url)
            patch.setattr(replica, "_EVERY_SECONDS", -1.0)
            url = replica_url()
            assert url is not None
            replica.measure(url)
        forget_connections()

    with replicated() as both:
        both.wait()
        measured(both)
        assert not drill.firing()
        both.pause()
        both.execute(both.primary_url, "CREATE TABLE later (x integer)")
        # what stood where a minute ago is not known any more
        replica.forget()
        measured(both)
        assert drill.firing()
        (command,) = drill.commands
        words = shlex.split(command)
        assert words[:3] == ["psql", "$RECSYS_DATABASE__REPLICA_URL", "-c"]
        both.execute(both.replica_url, words[3])
        both.wait()
        measured(both)
        assert not drill.firing()


@drill_of("RedisMemoryHigh")
def redis_memory_high(drill: Drill, redis_client: redis.Redis) -> None:
    used = int(redis_client.info("memory")["used_memory"])
    redis_client.config_set("maxmemory-policy", "noeviction")
    try:
        redis_client.config_set("maxmemory", str(int(used / 0.95)))
        assert drill.firing()
        (command,) = drill.commands
        redis_client.execute_command(*command.split()[3:])
        assert not drill.firing()
    finally:
        redis_client.config_set("maxmemory", "0")


class _Usage(NamedTuple):
    total: int
    used: int
    free: int


@drill_of("DiskFilling")
def disk_filling(drill: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = drill.shop.var / "imports" / "old-refused.csv"
    refused.parent.mkdir()
    refused.write_text("a row")
    os.utime(refused, (1e9, 1e9))
    gib = 2**30

    def measure(_: object) -> _Usage:
        free = 4 * gib if refused.exists() else 30 * gib
        return _Usage(100 * gib, 100 * gib - free, free)

    monkeypatch.setattr(shutil, "disk_usage", measure)
    assert drill.firing()
    (command,) = drill.commands
    subprocess.run(
        ["bash", "-c", command], check=True, env=environment_of({"RECSYS_VAR": str(drill.shop.var)})
    )
    assert not drill.firing()


@drill_of("ClockOff")
def clock_off(drill: Drill) -> None:
    with clock.frozen_at(clock.now() - timedelta(minutes=1)):
        assert drill.firing()
    assert drill.commands == ["timedatectl set-ntp true"]
    assert not drill.firing()
