"""The decoder of binary COPY and of packed columns, against the plain SELECT of real PostgreSQL."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from features.build import column_reader as module
from features.build.binary_copy import records
from features.build.column_reader import UNDATED, Column, open_snapshot
from recsys.errors import Unavailable

HEAD = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
FIELDS = st.lists(st.lists(st.none() | st.binary(max_size=9), max_size=4), max_size=5)


def encode(rows: list[list[bytes | None]], extension: bytes = b"") -> bytes:
    parts = [b"PGCOPY\n\xff\r\n\0", struct.pack("!ii", 0, len(extension)), extension]
    for row in rows:
        parts.append(struct.pack("!h", len(row)))
        parts.extend(
            struct.pack("!i", -1) if field is None else struct.pack("!i", len(field)) + field for field in row
        )
    return b"".join([*parts, struct.pack("!h", -1)])


@given(FIELDS, st.integers(1, 40), st.binary(max_size=5))
def test_records_come_back_whatever_the_chunks(
    rows: list[list[bytes | None]], size: int, extension: bytes
) -> None:
    data = encode(rows, extension)
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    found = [[None if field is None else bytes(field) for field in record] for record in records(chunks)]
    assert found == rows


@given(FIELDS, st.data())
def test_a_cut_or_continued_answer_is_refused(rows: list[list[bytes | None]], data: st.DataObject) -> None:
    whole = encode(rows)
    cut = data.draw(st.integers(0, len(whole) - 1))
    for wrong in (whole[:cut], whole + b"\0"):
        with pytest.raises(Unavailable):
            records([wrong])


@pytest.mark.parametrize(
    "wrong", [b"x" * 40, HEAD[:11] + struct.pack("!ii", 1 << 16, 0), HEAD[:11] + b"\xff" * 8]
)
def test_something_else_is_refused(wrong: bytes) -> None:
    with pytest.raises(Unavailable, match="something else"):
        records([wrong])


COLUMNS = {
    "a": Column("coalesce(a, -7)", "int4"),
    "b": Column("coalesce(b, 0)", "int8"),
    "c": Column("coalesce(c::float4, 'NaN')", "float4"),
    "d": Column("coalesce(d, '-infinity')", "timestamptz"),
    "e": Column("coalesce(e, '')", "text"),
    "f": Column("coalesce(a % 100, 0)::int2", "int2"),
}
INT4, INT8 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
DATES = st.datetimes(datetime(1800, 1, 1), datetime(2300, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
MONEY = st.integers(-(10**9), 10**9).map(lambda cents: cents / 100)
ROWS = st.lists(st.tuples(*(st.none() | part for part in (INT4, INT8, MONEY, DATES, TEXTS))), max_size=12)


@pytest.fixture(scope="module")
def scratch(database_url: str) -> Any:
    table = "CREATE TABLE public.scratch (a int, b bigint, c numeric(10,2), d timestamptz, e text)"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(table)
        yield connection, database_url
        connection.execute("DROP TABLE public.scratch")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(ROWS)
def test_columns_equal_the_plain_select(scratch: Any, rows: list[tuple[Any, ...]]) -> None:
    connection, url = scratch
    connection.execute("TRUNCATE public.scratch")
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO public.scratch VALUES (%s, %s, %s, %s, %s)", rows)
    with open_snapshot(url) as snapshot:
        parts = list(snapshot.read(sql.Identifier("public", "scratch"), COLUMNS))
    found = {name: [value for part in parts for value in part[name]] for name in COLUMNS}
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert found["a"] == [-7 if row[0] is None else row[0] for row in rows]
    assert found["b"] == [row[1] or 0 for row in rows]
    np.testing.assert_array_equal(
        np.array(found["c"], np.float32),
        np.array([np.nan if row[2] is None else row[2] for row in rows], np.float32),
    )
    assert found["d"] == [
        UNDATED if row[3] is None else (row[3] - epoch) // timedelta(microseconds=1) for row in rows
    ]
    assert found["e"] == [row[4] or "" for row in rows]
    assert found["f"] == [int(np.fmod(row[0] or 0, 100)) for row in rows]


def test_ranges_of_pages_cover_every_row_once(scratch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    connection, url = scratch
    connection.execute("TRUNCATE public.scratch")
    connection.execute(
        "INSERT INTO public.scratch (a, e) SELECT i, repeat('x', 500) FROM generate_series(1, 400) i"
    )
    connection.execute("DELETE FROM public.scratch WHERE a % 3 = 0")
    monkeypatch.setattr(module, "PAGES_PER_READ", 2)
    progress_calls: list[tuple[int, int]] = []
    with open_snapshot(url) as snapshot:
        where = sql.SQL("a <= 300")
        parts = list(
            snapshot.read(
                sql.Identifier("public", "scratch"),
                {"a": Column("a", "int4")},
                where=where,
                progress=lambda done, total: progress_calls.append((done, total)),
            )
        )
    assert len(parts) > 5
    assert progress_calls == [(i + 1, len(parts)) for i in range(len(parts))]
    assert [a for part in parts for a in part["a"]] == [a for a in range(1, 301) if a % 3]


def test_a_column_with_a_null_is_a_mistake_of_ours(scratch: Any) -> None:
    connection, url = scratch
    connection.execute("TRUNCATE public.scratch")
    connection.execute("INSERT INTO public.scratch (a) VALUES (1), (NULL)")
    with open_snapshot(url) as snapshot, pytest.raises(ValueError, match="'a' has 1 values for 2 rows"):
        list(snapshot.read(sql.Identifier("public", "scratch"), {"a": Column("a", "int4")}))


def test_infinite_moments_keep_their_side(scratch: Any) -> None:
    connection, url = scratch
    connection.execute("TRUNCATE public.scratch")
    connection.execute("INSERT INTO public.scratch (d) VALUES ('-infinity'), ('infinity'), ('294276-12-31')")
    with open_snapshot(url) as snapshot:
        (part,) = snapshot.read(sql.Identifier("public", "scratch"), {"d": COLUMNS["d"]})
    largest = np.iinfo(np.int64).max
    assert part["d"].tolist() == [UNDATED, largest, largest]


def test_all_readers_see_one_state(scratch: Any) -> None:
    connection, url = scratch
    connection.execute("TRUNCATE public.scratch")
    with open_snapshot(url, readers=3) as snapshot:
        connection.execute("INSERT INTO public.scratch (a) VALUES (1)")
        counts = [
            one.execute("SELECT count(*) FROM public.scratch").fetchone() for one in snapshot.connections
        ]
        assert counts == [(0,)] * 3
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            snapshot.connection.execute("DELETE FROM public.scratch")


def test_no_server_is_one_clear_line() -> None:
    url = "postgresql://someone:hush@127.0.0.1:1/shop"
    with pytest.raises(Unavailable, match="cannot be reached") as caught, open_snapshot(url):
        pass
    assert "hush" not in caught.value.message
    assert "\n" not in caught.value.message
