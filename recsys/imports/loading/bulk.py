"""Loads into empty tables: rows first, then their indexes and foreign keys, each built once.

Keeping five indexes and checking three foreign keys row by row takes four fifths of the database's time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import polars as pl
import psycopg
from psycopg import sql

from recsys.errors import Conflict
from recsys.imports.loading.staging import Connection, batch_transaction, copy_into

__all__ = ["BulkLoad", "bulk_load"]

_LOCK_TIMEOUT = "3s"
_OWNED = b"""
SELECT bool_and(pg_has_role(c.relowner, 'USAGE')) FROM pg_class AS c WHERE c.oid = ANY(%s::regclass[])
"""
_SUPERUSER = b"SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
# constraints that tie the tables to each other, then keys and indexes that no other table refers to
_CONSTRAINTS = b"""
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(c.oid), contype::text
FROM pg_constraint AS c
WHERE conrelid = ANY(%(tables)s::regclass[])
    AND (contype = 'f' AND confrelid = ANY(%(tables)s::regclass[])
        OR contype IN ('p', 'u') AND NOT EXISTS (
            SELECT FROM pg_constraint AS f WHERE f.contype = 'f' AND f.conindid = c.conindid
                AND f.conrelid <> ALL(%(tables)s::regclass[])))
ORDER BY contype = 'f' DESC, conname
"""
_INDEXES = b"""
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index AS i
WHERE indrelid = ANY(%(tables)s::regclass[])
    AND NOT EXISTS (SELECT FROM pg_constraint AS c WHERE c.conindid = i.indexrelid)
ORDER BY 1
"""
_EMPTIED = b"""
SELECT t.oid::regclass::text FROM unnest(%(tables)s::regclass[]) AS t (oid)
WHERE NOT EXISTS (SELECT FROM pg_constraint AS f WHERE f.contype = 'f' AND f.confrelid = t.oid
    AND f.conrelid <> ALL(%(tables)s::regclass[]))
"""
_OUTWARD = b"""
SELECT c.conrelid::regclass::text, a.attname, c.confrelid::regclass::text, b.attname
FROM pg_constraint AS c
    JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
    JOIN pg_attribute AS b ON b.attrelid = c.confrelid AND b.attnum = c.confkey[1]
WHERE c.contype = 'f' AND c.conrelid = ANY(%(tables)s::regclass[])
    AND c.confrelid <> ALL(%(tables)s::regclass[])
"""


@dataclass
class BulkLoad:
    """One transaction into tables that are locked, empty and without indexes.

    `finish` builds what was taken off; without it nothing of the load is kept.
    """

    connection: Connection
    tables: Sequence[str]
    definitions: list[sql.Composed]
    unchecked: bool

    def copy(self, table: str, frame: pl.DataFrame) -> None:
        """Append the frame, whose columns are those of the table."""
        copy_into(self.connection, sql.Identifier(*table.split(".")), frame.columns, frame)

    def reserve(self, table: str, rows: int) -> int:
        """The first of so many ids in a row of the table's sequence, which nobody else gets."""
        row = self.connection.execute(
            "SELECT setval(s.name, nextval(s.name) + %s) FROM pg_get_serial_sequence(%s, 'id') AS s (name)",
            (rows, table),
        ).fetchone()
        if row is None:
            raise RuntimeError(f"{table} has no sequence")
        return int(row[0]) - rows

    def finish(self) -> None:
        """Build the indexes and keys. Raises Conflict when a row refers to a deleted row."""
        self.connection.execute("SET LOCAL maintenance_work_mem = '256MB'")
        for definition in self.definitions:
            self.connection.execute(definition)
        if not self.unchecked:
            return
        self.connection.execute("SET LOCAL session_replication_role = origin")
        outward = self.connection.execute(_OUTWARD, {"tables": list(self.tables)}).fetchall()
        for table, column, other, key in outward:
            names = {
                "table": _table(table),
                "column": sql.Identifier(column),
                "other": _table(other),
                "key": sql.Identifier(key),
            }
            # until the end, which is near, nobody deletes what the rows refer to
            self.connection.execute(sql.SQL("LOCK TABLE {other} IN SHARE MODE").format(**names))
            lost = self.connection.execute(
                sql.SQL(
                    "SELECT 1 FROM {table} AS t WHERE t.{column} IS NOT NULL "
                    "AND NOT EXISTS (SELECT FROM {other} AS o WHERE o.{key} = t.{column}) LIMIT 1"
                ).format(**names)
            ).fetchone()
            if lost is not None:
                raise Conflict(f"rows of {other} were deleted during the import; run it again")


@contextmanager
def bulk_load(group: str, tables: Sequence[str]) -> Iterator[BulkLoad | None]:
    """Lock the tables ("schema.table") and take their indexes off; None where that is not possible.

    It is possible where all are empty and owned by this role, and nobody holds them for long. Until the end
    of the block nobody else reads or writes them.

    Parameters
    ----------
    group
        One of `staging.LOCKS`.
    tables
        The tables, as "schema.table".
    """
    with ExitStack() as stack:
        connection = stack.enter_context(batch_transaction(group))
        if not _claim(connection, tables):
            stack.close()
            yield None
            return
        (is_superuser,) = connection.execute(_SUPERUSER).fetchone() or (False,)
        definitions = _strip(connection, tables)
        if is_superuser:
            # foreign keys to other tables stay, and are checked once by `finish`
            connection.execute("SET LOCAL session_replication_role = replica")
        yield BulkLoad(connection, tables, definitions, bool(is_superuser))


def _claim(connection: Connection, tables: Sequence[str]) -> bool:
    """Lock the tables; whether they are ours and empty."""
    owned = connection.execute(_OWNED, (list(tables),)).fetchone()
    if owned is None or not owned[0] or not _empty(connection, tables):
        return False
    try:
        with connection.transaction():
            connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(_LOCK_TIMEOUT))
            connection.execute(
                sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(
                    sql.SQL(", ").join(map(_table, tables))
                )
            )
    except psycopg.errors.LockNotAvailable:
        return False
    return _empty(connection, tables)


def _empty(connection: Connection, tables: Sequence[str]) -> bool:
    return not any(
        connection.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(_table(table))).fetchone()
        for table in tables
    )


def _strip(connection: Connection, tables: Sequence[str]) -> list[sql.Composed]:
    """Take constraints and indexes off; the statements that make them again, in their order."""
    named = {"tables": list(tables)}
    keys: list[sql.Composed] = []
    foreign: list[sql.Composed] = []
    for table, name, definition, kind in connection.execute(_CONSTRAINTS, named).fetchall():
        parts = {"table": _table(table), "name": sql.Identifier(name), "definition": sql.SQL(definition)}
        connection.execute(sql.SQL("ALTER TABLE {table} DROP CONSTRAINT {name}").format(**parts))
        made = sql.SQL("ALTER TABLE {table} ADD CONSTRAINT {name} {definition}").format(**parts)
        (foreign if kind == "f" else keys).append(made)
    indexes: list[sql.Composed] = []
    for name, definition in connection.execute(_INDEXES, named).fetchall():
        connection.execute(sql.SQL("DROP INDEX {}").format(_table(name)))
        indexes.append(sql.Composed([sql.SQL(definition)]))
    emptied = [table for (table,) in connection.execute(_EMPTIED, named).fetchall()]
    if emptied:
        # rows of a table that this transaction has emptied need no write-ahead log (wal_level minimal)
        connection.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(map(_table, emptied))))
    return [*keys, *indexes, *foreign]


def _table(name: str) -> sql.Identifier:
    return sql.Identifier(*(part.strip('"') for part in name.split(".")))
