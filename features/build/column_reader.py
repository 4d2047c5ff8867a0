"""Reads a table as columns: PostgreSQL packs them, binary COPY brings them, numpy decodes them.

A row of its own for each record costs more on both sides than the data itself; a column packed by
`string_agg(int4send(…), '')` is a big-endian array already. The table is read in ranges of its pages
(`ctid`), so memory is bounded by one range for each reader, and several readers share one snapshot.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import orjson
import psycopg
from psycopg import sql

from features.build.binary_copy import records
from recsys.database.addresses import connect_arguments, libpq_url, libpq_url_of
from recsys.database.session import reaching
from recsys.settings import Settings

__all__ = [
    "NO_ID",
    "UNDATED",
    "Column",
    "Progress",
    "Snapshot",
    "join_snapshot",
    "open_shop",
    "open_snapshot",
    "page_bounds",
]

Kind = Literal["int2", "int4", "int8", "float4", "timestamptz", "text", "xor"]
Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

PAGES_PER_READ = 768
READERS = 2
POSTGRES_EPOCH = 946_684_800_000_000
"""2000-01-01 UTC in microseconds since 1970-01-01 UTC: what PostgreSQL's binary timestamps count from."""
UNDATED = -62_135_596_800_000_000
"""0001-01-01 UTC, stands for a moment that was never written down; older than all, and safe to subtract."""

NO_ID = int(np.iinfo(np.int32).min)
"""Stands for an id that is NULL; no sequence ever gives it."""

_SEND = {
    "int2": "int2send",
    "int4": "int4send",
    "int8": "int8send",
    "float4": "float4send",
    "timestamptz": "timestamptz_send",
}
_BIG_ENDIAN = {
    "int2": ">i2",
    "int4": ">i4",
    "int8": ">i8",
    "float4": ">f4",
    "timestamptz": ">i8",
    "xor": ">i8",
}
_INFINITE = np.iinfo(np.int64)


@dataclass(frozen=True)
class Column:
    """One column of the answer: an SQL expression that is never NULL, of the type `kind`.

    Decoded to native int16, int32, int64 or float32; timestamptz to int64 microseconds since 1970-01-01 UTC
    (-infinity becomes UNDATED, infinity the largest number there is); text to a list of str. "xor" is one
    int64 for all rows of a range, the XOR of the expression's values.
    """

    expression: str
    kind: Kind


Columns = dict[str, Any]


class Snapshot:
    """One read-only state of the database, read by one connection or several at once."""

    def __init__(
        self, connections: Sequence[psycopg.Connection[Any]], events: Snapshot | None = None
    ) -> None:
        self.connections = tuple(connections)
        self._events = events

    @property
    def events(self) -> Snapshot:
        """The state of the database that has interactions and preferences, which may be another one."""
        return self if self._events is None else self._events

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The first of the connections, for small questions."""
        return self.connections[0]

    def read(
        self,
        table: sql.Composable,
        columns: dict[str, Column],
        *,
        where: sql.Composable | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[Columns]:
        """Yield the columns of one range of pages after the other, in the order of the pages.

        Parameters
        ----------
        table
        columns
            By the name that each gets.
        where
            An SQL condition on the rows; None: all of them.
        progress
            Called with the ranges done and the number of ranges.
        """
        ranges = self.ranges(table)
        free: queue.SimpleQueue[psycopg.Connection[Any]] = queue.SimpleQueue()
        for connection in self.connections:
            free.put(connection)

        def read_from(i: int) -> Columns:
            connection = free.get()
            try:
                asked = _statement(table, columns, where, *page_bounds(i, ranges, PAGES_PER_READ))
                return _read_range(connection, asked, columns)
            finally:
                free.put(connection)

        readers = ThreadPoolExecutor(max_workers=len(self.connections))
        try:
            # a few ahead: what is read must not wait in memory for a slower consumer
            waiting = deque(
                readers.submit(read_from, i) for i in range(min(ranges, 2 * len(self.connections)))
            )
            for done in range(1, ranges + 1):
                yield waiting.popleft().result()
                if done + len(waiting) < ranges:
                    waiting.append(readers.submit(read_from, done + len(waiting)))
                if progress is not None:
                    progress(done, ranges)
        finally:
            readers.shutdown(wait=True, cancel_futures=True)

    def ranges(self, table: sql.Composable) -> int:
        """In how many ranges of pages the table is read."""
        return max(1, -(-self._pages(table) // PAGES_PER_READ))

    def read_range(
        self,
        table: sql.Composable,
        columns: dict[str, Column],
        bounds: tuple[int, int | None],
        where: sql.Composable | None = None,
    ) -> Columns:
        """The columns of one range of pages (`page_bounds`), by the first connection."""
        asked = _statement(table, columns, where, *bounds)
        return _read_range(self.connection, asked, columns)

    def exported(self) -> str:
        """The name by which other connections join this state, as long as it is open (`join_snapshot`)."""
        return str(self.connection.execute("SELECT pg_export_snapshot()").fetchall()[0][0])

    def totals(self, table: sql.Composable, aggregate: str) -> tuple[int, int]:
        """How many rows there are, and the XOR over all of them that the SQL aggregate (int8) gives."""
        pages = self._pages(table)
        share = max(1, -(-pages // len(self.connections)))
        bounds = [(share * i, share * (i + 1)) for i in range(len(self.connections) - 1)]
        ranges: list[tuple[int, int | None]] = [*bounds, (share * len(bounds), None)]

        def count(connection: psycopg.Connection[Any], start: int, end: int | None) -> tuple[int, int]:
            asked = sql.SQL("SELECT count(*), coalesce({}, 0) FROM {} WHERE {}").format(
                sql.SQL(aggregate), table, sql.SQL(" AND ").join(_within(start, end))
            )
            found = connection.execute(asked).fetchone() or (0, 0)
            return int(found[0]), int(found[1])

        with ThreadPoolExecutor(max_workers=len(self.connections)) as readers:
            waiting = [
                readers.submit(count, connection, *bounds)
                for connection, bounds in zip(self.connections, ranges, strict=True)
            ]
            found = [each.result() for each in waiting]
        rows, digest = 0, 0
        for part_rows, part_digest in found:
            rows, digest = rows + part_rows, digest ^ part_digest
        return rows, digest

    def _pages(self, table: sql.Composable) -> int:
        asked = sql.SQL(
            "SELECT greatest(pg_relation_size(t), (SELECT max(pg_relation_size(relid)) "
            "FROM pg_partition_tree(t))) / current_setting('block_size')::int "
            "FROM (SELECT {}::regclass) AS named (t)"
        ).format(sql.Literal(table.as_string(self.connection)))
        found = self.connection.execute(asked).fetchone()
        return 0 if found is None else int(found[0])


def page_bounds(number: int, ranges: int, pages: int) -> tuple[int, int | None]:
    """The pages of one of so many ranges of `pages`.

    The last range is open: a partitioned table may be longer than what its size says.

    Returns
    -------
    first : int
        The first page of the range.
    end : int or None
        The first page of the next range.
    """
    first = number * pages
    return first, first + pages if number + 1 < ranges else None


@contextmanager
def open_shop(settings: Settings, *, readers: int = READERS) -> Iterator[Snapshot]:
    """The shop's database as it is now, and that of interactions and preferences, where it is another one.

    The latter is opened first: what it refers to is there. Raises Unavailable.

    Parameters
    ----------
    settings
        Have the addresses.
    readers
        How many connections to each read at once.
    """
    shop, events = libpq_url(settings), libpq_url_of("recommendations", settings)
    with ExitStack() as opened:
        of_events = None if events == shop else opened.enter_context(open_snapshot(events, readers=readers))
        snapshot = opened.enter_context(open_snapshot(shop, readers=readers))
        yield Snapshot(snapshot.connections, of_events)


@contextmanager
def open_snapshot(url: str, *, readers: int = READERS) -> Iterator[Snapshot]:
    """Read-only connections that all see the database as it is now.

    Parameters
    ----------
    readers
        How many connections read at once.

    Raises
    ------
    Unavailable
        When it can't be reached.
    """
    with reaching(url), ExitStack() as opened:
        connections = [opened.enter_context(_connect(url))]
        if readers > 1:
            exported = Snapshot(connections).exported()
            connections += [opened.enter_context(_joined(url, exported)) for _ in range(readers - 1)]
        yield Snapshot(connections)


@contextmanager
def join_snapshot(url: str, exported: str) -> Iterator[Snapshot]:
    """One connection that sees what the snapshot of that name sees, from any process.

    Parameters
    ----------
    exported
        The name, of `Snapshot.exported`.

    Raises
    ------
    Unavailable
        When the database can't be reached.
    """
    with reaching(url), _joined(url, exported) as connection:
        yield Snapshot([connection])


def _joined(url: str, exported: str) -> psycopg.Connection[Any]:
    connection = _connect(url)
    connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(exported)))
    return connection


def _connect(url: str) -> psycopg.Connection[Any]:
    connection = psycopg.connect(url, **connect_arguments(url) | {"client_encoding": "UTF8"})
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    return connection


def _statement(
    table: sql.Composable,
    columns: dict[str, Column],
    where: sql.Composable | None,
    start: int,
    end: int | None,
) -> sql.Composed:
    packed = sql.SQL(", ").join(_packed(column) for column in columns.values())
    conditions = _within(start, end)
    if where is not None:
        conditions.append(sql.SQL("({})").format(where))
    return sql.SQL("COPY (SELECT int8send(count(*)), {} FROM {} WHERE {}) TO STDOUT (FORMAT binary)").format(
        packed, table, sql.SQL(" AND ").join(conditions)
    )


def _within(start: int, end: int | None) -> list[sql.Composed]:
    conditions = [sql.SQL("ctid >= {}::tid").format(sql.Literal(f"({start},0)"))]
    if end is not None:
        conditions.append(sql.SQL("ctid < {}::tid").format(sql.Literal(f"({end},0)")))
    return conditions


def _packed(column: Column) -> sql.Composed:
    expression = sql.SQL(column.expression)
    if column.kind == "xor":
        return sql.SQL("int8send(coalesce(bit_xor({}), 0))").format(expression)
    if column.kind == "text":
        return sql.SQL("json_agg({})::text").format(expression)
    return sql.SQL("string_agg({}({}), '')").format(sql.SQL(_SEND[column.kind]), expression)


def _read_range(
    connection: psycopg.Connection[Any], asked: sql.Composed, columns: dict[str, Column]
) -> Columns:
    with connection.cursor() as cursor, cursor.copy(asked) as copy:
        answer = records(copy)
    fields = [b"" if field is None else field for field in answer[0]]
    count = int.from_bytes(fields[0], "big")
    decoded: Columns = {}
    for (name, column), field in zip(columns.items(), fields[1:], strict=True):
        values = _decode(column.kind, field)
        if len(values) != count and column.kind != "xor":
            raise ValueError(
                f"column {name!r} has {len(values)} values for {count} rows: it must never be NULL"
            )
        decoded[name] = values
    return decoded


def _decode(kind: Kind, field: bytes | memoryview) -> Any:
    if kind == "text":
        return orjson.loads(field) if field else []
    packed: npt.NDArray[Any] = np.frombuffer(field, dtype=_BIG_ENDIAN[kind])
    native = packed.astype(packed.dtype.newbyteorder("="))
    if kind == "timestamptz":
        undated = native == _INFINITE.min
        np.minimum(native, _INFINITE.max - POSTGRES_EPOCH, out=native)
        native += POSTGRES_EPOCH
        native[undated] = UNDATED
    return native
