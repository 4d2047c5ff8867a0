"""Stored lists as rows for other programs: streamed by PostgreSQL's COPY, never in memory as a whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import duckdb
import orjson
import psycopg

from recsys.database.servers.copies import copy_to
from recsys.database.session import driver_connection, unit_of_work
from recsys.domains.recommendations.stored_lists import generations
from recsys.domains.recommendations.stored_lists.rows import first_products
from recsys.errors import Invalid, NotFound

__all__ = ["COLUMNS", "ExportReport", "Format", "Question", "export_lists"]

Format = Literal["csv", "jsonl", "parquet"]
Question = Literal["any", "new", "both"]
COLUMNS = {
    "username": "VARCHAR",
    "sku": "VARCHAR",
    "question": "VARCHAR",
    "rank": "INTEGER",
    "score": "DOUBLE",
    "reason": "VARCHAR",
    "user_id": "INTEGER",
    "product_id": "INTEGER",
}
"""The columns, with their types in parquet."""
# as PostgreSQL writes it: an empty text is in quotes, no value is not
_CSV = (
    "header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"', allow_quoted_nulls = false"
)

_USERNAMES = """
    SELECT id, username FROM users_db.users
    WHERE %(users)s::integer[] IS NULL OR id = ANY(%(users)s::integer[])
"""
_ON_SALE = "SELECT id, sku FROM products_db.products WHERE status = 'active'"
# places are counted again without products that are hidden since
_ROWS = """
    SELECT username, sku, question, rank, score, reason, user_id, product_id
    FROM (
        SELECT u.username, p.sku, q.question, r.reason, r.user_id, r.product_id,
               CAST(r.context -> q.question ->> 'score' AS double precision) AS score,
               row_number() OVER (
                   PARTITION BY r.user_id, q.question
                   ORDER BY CAST(r.context -> q.question ->> 'rank' AS integer)
               ) AS rank
        FROM recommendations_db.product_recommendations AS r
            JOIN usernames AS u ON u.id = r.user_id
            JOIN on_sale AS p ON p.id = r.product_id
            JOIN unnest(%(questions)s::text[]) AS q(question) ON r.context ? q.question
        WHERE %(users)s::integer[] IS NULL OR r.user_id = ANY(%(users)s::integer[])
    ) AS ranked
    WHERE rank <= %(top)s
    ORDER BY user_id, question, rank
"""


@dataclass(frozen=True)
class ExportReport:
    """What was written; `file` is null for standard output."""

    rows: int
    users: int
    format: Format
    file: str | None


def export_lists(
    target: Path | None,
    stream: IO[bytes],
    *,
    form: Format,
    question: Question = "any",
    top: int = 20,
    users: Sequence[int] | None = None,
) -> ExportReport:
    """Write the live lists to a file, or to `stream` without one; a file is replaced when it is whole.

    Raises
    ------
    Invalid
        The file cannot be written, or parquet has none, or fewer than `top` products of a list have rows.
    NotFound
        No lists are stored.
    """
    if target is None and form == "parquet":
        raise Invalid("Parquet is written to a file; name one with --output.")
    with unit_of_work() as session:
        live = generations.live(session)
    per_list = first_products(0 if live is None else live.users)
    if top > per_list:
        raise Invalid(
            f"--top {top} is more than the {per_list} products of each list that are kept as rows "
            "(RECSYS_SERVING__ROWS_PER_LIST); give at most that, or raise the setting and score again"
        )
    questions = ["any", "new"] if question == "both" else [question]
    parameters = {"questions": questions, "top": top, "users": None if users is None else list(users)}
    with unit_of_work() as session:
        connection = driver_connection(session, "recommendations")
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        copy_to(session, "recommendations", "usernames", _USERNAMES, {"users": parameters["users"]})
        copy_to(session, "recommendations", "on_sale", _ON_SALE)
        count = _count(connection, parameters)
        if not count[0]:
            raise NotFound("No lists are stored for these users; `recsys serve score` makes them.")
        if target is None:
            _write(connection, parameters, stream, form)
        else:
            with _replaced(target) as unfinished:
                _write_file(connection, parameters, unfinished, form)
    return ExportReport(*count, format=form, file=None if target is None else str(target))


def _count(connection: psycopg.Connection, parameters: Mapping[str, object]) -> tuple[int, int]:
    query = f"SELECT count(*), count(DISTINCT user_id) FROM ({_ROWS}) AS rows"  # noqa: S608
    row = connection.execute(query.encode(), parameters).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def _write_file(
    connection: psycopg.Connection, parameters: Mapping[str, object], file: Path, form: Format
) -> None:
    if form != "parquet":
        with file.open("wb") as opened:
            _write(connection, parameters, opened, form)
        return
    with tempfile.NamedTemporaryFile(suffix=".csv", dir=file.parent) as csv:
        _write(connection, parameters, csv, "csv")
        csv.flush()
        columns = ", ".join(f"'{name}': '{kind}'" for name, kind in COLUMNS.items())
        source = f"read_csv($source, columns = {{{columns}}}, {_CSV})"
        with duckdb.connect() as converter:
            converter.execute(
                f"COPY (SELECT * FROM {source}) TO $target (FORMAT parquet)",  # noqa: S608
                {"source": csv.name, "target": str(file)},
            )


def _write(
    connection: psycopg.Connection, parameters: Mapping[str, object], stream: IO[bytes], form: Format
) -> None:
    if form == "csv":
        statement = f"COPY ({_ROWS}) TO STDOUT WITH (FORMAT csv, HEADER)"
        # COPY takes no parameters of its own: this cursor writes them into the statement
        with psycopg.ClientCursor(connection) as writer, writer.copy(statement.encode(), parameters) as copy:
            for part in copy:
                stream.write(part)
        return
    with connection.cursor(name="lists") as reader:
        reader.itersize = 10_000
        reader.execute(_ROWS.encode(), parameters)
        for row in reader:
            stream.write(orjson.dumps(dict(zip(COLUMNS, row, strict=True))) + b"\n")


@contextmanager
def _replaced(target: Path) -> Iterator[Path]:
    """The file to write, beside `target`, which it replaces at the end; it is removed after an error."""
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield unfinished
        unfinished.replace(target)
    except (OSError, duckdb.IOException) as error:
        reason = getattr(error, "strerror", None) or str(error).split("\n", 1)[0]
        raise Invalid(f"{target} cannot be written: {reason}") from error
    finally:
        unfinished.unlink(missing_ok=True)
