"""Servers that answer and take no writes, as they really come about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
import redis
from psycopg import sql

from recsys.cache.client import servers
from recsys.settings import get_settings
from tests.support.shop import Shop

__all__ = ["full", "read_only", "replica"]


@contextmanager
def read_only(shop: Shop) -> Iterator[None]:
    """The database as a failover leaves it: every new connection reads only."""
    name = shop.database_url.rpartition("/")[2].partition("?")[0]
    change = sql.SQL("ALTER DATABASE {} {} default_transaction_read_only {}")
    with shop.connect(autocommit=True) as admin:
        admin.execute("SET default_transaction_read_only = off")
        admin.execute(change.format(sql.Identifier(name), sql.SQL("SET"), sql.SQL("= on")))
        _end_all(admin)
        try:
            yield
        finally:
            admin.execute(change.format(sql.Identifier(name), sql.SQL("RESET"), sql.SQL("")))
            _end_all(admin)


def _end_all(admin: psycopg.Connection) -> None:
    admin.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )


@contextmanager
def full(client: redis.Redis) -> Iterator[None]:
    """A Redis that takes nothing more."""
    for server in servers(client):
        server.config_set("maxmemory-policy", "noeviction")
        server.config_set("maxmemory", 1)
    try:
        yield
    finally:
        for server in servers(client):
            server.config_set("maxmemory", 0)


@contextmanager
def replica(client: redis.Redis) -> Iterator[None]:
    """A Redis that a failover has made a replica."""
    if get_settings().redis.is_cluster:
        pytest.skip("a master of a cluster takes no REPLICAOF")
    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        yield
    finally:
        client.execute_command("REPLICAOF", "NO", "ONE")
