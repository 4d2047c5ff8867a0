"""Frames into temporary tables by COPY, one transaction and one import at a time per batch."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import polars as pl
import psycopg
from psycopg import sql

from recsys.database.servers.placement import server_of
from recsys.database.session import copy_connection

__all__ = ["Connection", "analyze", "batch_transaction", "copy_into", "count", "stage"]

Connection = psycopg.Connection[Any]

LOCKS = {"catalogue": 7_303_014_117_001, "orders": 7_303_014_117_002, "interactions": 7_303_014_117_003}
"""Advisory locks of what a batch writes, taken in this order: two imports at once take turns."""


@contextmanager
def batch_transaction(*writes: str) -> Iterator[Connection]:
    """One batch into some groups of tables (keys of LOCKS): committed at the end, or nothing is written.

    Interactions are written by a batch of their own, as they may lie on another server.

    The commit does not wait for the disk: an import that a power cut interrupts is simply run again.
    """
    with copy_connection("recommendations" if writes == ("interactions",) else None) as connection:
        connection.execute("SET LOCAL synchronous_commit = off")
        # the turn of another import may take longer than what a person's request should wait
        connection.execute("SET LOCAL lock_timeout = '10min'")
        for group, lock in LOCKS.items():
            if group in writes:
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (lock,))
        yield connection


def stage(
    connection: Connection, name: str, columns: Mapping[str, str], frame: pl.DataFrame
) -> sql.Identifier:
    """Create the temporary table `name` (gone at commit) with `columns` (name → SQL type) and fill it."""
    table = sql.Identifier(name)
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP").format(
            table,
            # the types are constants of this package
            sql.SQL(", ").join(
                sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(kind))
                for column, kind in columns.items()
            ),
        )
    )
    copy_into(connection, table, list(columns), frame)
    return table


def copy_into(
    connection: Connection, table: sql.Identifier, columns: Sequence[str], frame: pl.DataFrame
) -> None:
    """Append these columns of the frame to the table."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(
        table, sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    buffer = io.BytesIO()
    frame.select(columns).write_csv(
        buffer, include_header=False, datetime_format="%Y-%m-%dT%H:%M:%S%.6f%:z", quote_style="necessary"
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(buffer.getbuffer())


def analyze(tables: Iterable[str]) -> None:
    """Refresh the planner's statistics of the tables ("schema.table"), so that the next reader plans well."""
    for table in tables:
        with copy_connection(server_of(table)) as connection:
            connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(*table.split("."))))


def count(
    connection: Connection, statement: str, parameters: Mapping[str, Any] | None = None
) -> tuple[int, ...]:
    """The one row of counts that the statement returns."""
    return tuple(int(value) for value in one_row(connection, statement, parameters))


def one_row(
    connection: Connection, statement: str, parameters: Mapping[str, Any] | None = None
) -> tuple[Any, ...]:
    """The one row that the statement returns."""
    row: tuple[Any, ...] | None = connection.execute(statement.encode(), parameters).fetchone()
    if row is None:
        raise RuntimeError("a statement that returns one row returned none")
    return row
