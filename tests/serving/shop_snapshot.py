"""The contents of a shop, made once and copied into the shops of other tests: training takes most of them."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from recsys.cache.client import connect
from recsys.database.addresses import other_urls
from recsys.database.servers.placement import SERVER_NAMES
from tests.support.shop import Shop, forget_connections

__all__ = ["ShopSnapshots"]

_OWN = frozenset(
    {"RECSYS_VAR", "RECSYS_DATABASE__URL", "RECSYS_REDIS__URL"}
    | {f"RECSYS_DATABASE__{name.upper()}_URL" for name in SERVER_NAMES}
)
"""Settings that differ between the shops of two tests, and that nothing stored depends on."""
_TABLES = """SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' ORDER BY 1, 2"""
_SEQUENCES = """SELECT schemaname, sequencename, last_value FROM pg_sequences WHERE last_value IS NOT NULL"""


@dataclass(frozen=True)
class _Database:
    """Rows in binary form, and positions of sequences."""

    rows: dict[tuple[str, str], bytes]
    sequences: list[tuple[str, str, int]]


@dataclass(frozen=True)
class _Snapshot:
    """Contents of each database, values of Redis with their end, and the copy of `var/`."""

    databases: list[_Database]
    values: list[tuple[bytes, bytes, int | None]]
    folder: Path


class ShopSnapshots:
    """The shops of one pytest process, each made once for the settings it was made under.

    `folder` keeps the copies of `var/`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._snapshots: dict[tuple[str, tuple[tuple[str, str], ...]], _Snapshot] = {}

    def fill(self, shop: Shop, name: str, make: Callable[[Shop], object]) -> None:
        """Put what `make` makes of an empty shop into this empty shop; `make` runs once per settings."""
        settings = {k: v for k, v in os.environ.items() if k.startswith("RECSYS_") and k not in _OWN}
        key = (name, tuple(sorted({**settings, "servers": str(sorted(other_urls()))}.items())))
        snapshot = self._snapshots.get(key)
        if snapshot is None:
            make(shop)
            # the shop that was made here has connections and caches that a filled one has not
            forget_connections()
            self._snapshots[key] = _taken(shop, self._folder / str(len(self._snapshots)))
        else:
            _put(snapshot, shop)


def _addresses(shop: Shop) -> list[str]:
    return [shop.database_url, *(f"postgresql://{url.partition('://')[2]}" for url in other_urls().values())]


def _taken(shop: Shop, folder: Path) -> _Snapshot:
    databases = [_contents(url) for url in _addresses(shop)]
    with connect(shop.redis_url) as client:
        values = []
        for key in client.scan_iter():
            left = client.pttl(key)
            values.append((key, client.dump(key), int(time.time() * 1000) + left if left >= 0 else None))
    shutil.copytree(shop.var, folder, symlinks=True)
    own = str(shop.var).encode()
    stored = [each for database in databases for each in database.rows.values()]
    assert not any(own in each for each in (*stored, *(value for _, value, _ in values)))
    return _Snapshot(databases, values, folder)


def _contents(url: str) -> _Database:
    rows: dict[tuple[str, str], bytes] = {}
    with psycopg.connect(url) as connection:
        for schema, table in connection.execute(_TABLES).fetchall():
            place = sql.Identifier(schema, table)
            if connection.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(place)).fetchone() is None:
                continue
            query = sql.SQL("COPY (SELECT * FROM {}) TO STDOUT (FORMAT binary)").format(place)
            with connection.cursor().copy(query) as copy:
                rows[schema, table] = b"".join(bytes(part) for part in copy)
        return _Database(rows, connection.execute(_SEQUENCES).fetchall())


def _put(snapshot: _Snapshot, shop: Shop) -> None:
    for url, database in zip(_addresses(shop), snapshot.databases, strict=True):
        _fill(url, database)
    with connect(shop.redis_url) as client, client.pipeline(transaction=False) as pipeline:
        for key, value, end in snapshot.values:
            pipeline.restore(key, end or 0, value, absttl=end is not None)
        pipeline.execute()
    shutil.copytree(snapshot.folder, shop.var, symlinks=True, dirs_exist_ok=True)


def _fill(url: str, database: _Database) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        places = {table: sql.Identifier(*table) for table in database.rows}
        connection.execute(
            sql.SQL("; ").join(sql.SQL("DELETE FROM {}").format(each) for each in places.values())
        )
        for table, data in database.rows.items():
            copying = sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(places[table])
            with connection.cursor().copy(copying) as copy:
                copy.write(data)
        connection.execute(
            "SELECT setval(format('%%I.%%I', s, n)::regclass, v)"
            " FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS t(s, n, v)",
            [[each[place] for each in database.sequences] for place in range(3)],
        )
