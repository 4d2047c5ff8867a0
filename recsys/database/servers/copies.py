"""Tables that exist for one transaction on a server: copies of the shop's rows, or what is to be stored."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from sqlalchemy.orm import Session

from recsys.database.servers.placement import ServerName
from recsys.database.session import driver_connection

__all__ = ["copy_to", "staging"]

_TYPES: LiteralString = """
SELECT format_type(given.type, -1) FROM unnest(%s::oid[]) WITH ORDINALITY AS given(type, place)
ORDER BY given.place
"""


def copy_to(
    session: Session,
    server: ServerName,
    name: LiteralString,
    query: LiteralString,
    values: Mapping[str, Any] | None = None,
    *,
    indexed: Sequence[str] = (),
) -> None:
    """Make what a query of the shop's tables finds a temporary table on another server, until the commit.

    Where the tables of that server lie beside all others, it is a temporary table like any other. Elsewhere
    the session cannot write on both servers: with a temporary table a transaction cannot be prepared.

    Parameters
    ----------
    session
        Of the unit of work whose statements read the table.
    server
        Where they run.
    name
        Of the temporary table; a former one of this name is dropped.
    query
        In the form of psycopg: %(name)s stands for a value.
    values
        By name.
    indexed
        Columns that the table is looked up by.
    """
    shop, other = driver_connection(session), driver_connection(session, server)
    table, found = sql.Identifier("pg_temp", name), sql.SQL(query)
    other.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
    create = sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS ").format(table)
    if other is shop:
        shop.execute(create + found, values)
    else:
        other.execute(create + _nothing_like(shop, found, values))
        with (
            shop.cursor().copy(sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(found), values) as rows,
            other.cursor().copy(sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(table)) as copy,
        ):
            for part in rows:
                copy.write(part)
    if indexed:
        names = sql.SQL(", ").join(map(sql.Identifier, indexed))
        other.execute(sql.SQL("CREATE INDEX ON {} ({})").format(table, names))
    other.execute(sql.SQL("ANALYZE {}").format(table))


@contextmanager
def staging(session: Session, server: ServerName, names: Sequence[LiteralString]) -> Iterator[str]:
    """Let statements make tables on a server; they are gone at the end.

    They are temporary tables, but for where the server is another one than the shop's: a transaction with
    temporary tables cannot be prepared. Then they are unlogged ones in a schema of this transaction alone.

    Parameters
    ----------
    session
        Of the unit of work.
    server
        Where the tables are made.
    names
        Of all tables.

    Yields
    ------
    str
        What stands between CREATE and TABLE.
    """
    connection = driver_connection(session, server)
    if connection is driver_connection(session):
        yield "TEMP"
        dropped = sql.SQL(", ").join(sql.Identifier("pg_temp", name) for name in names)
        connection.execute(sql.SQL("DROP TABLE {}").format(dropped))
        return
    schema = sql.Identifier(f"staging_{secrets.token_hex(8)}")
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
    connection.execute(sql.SQL("SET LOCAL search_path = {}").format(schema))
    yield "UNLOGGED"
    dropped = sql.SQL(", ").join(sql.Identifier(name) for name in names)
    connection.execute(sql.SQL("DROP TABLE {}").format(dropped))
    connection.execute("SET LOCAL search_path TO DEFAULT")
    connection.execute(sql.SQL("DROP SCHEMA {}").format(schema))


def _nothing_like(
    shop: psycopg.Connection[Any], query: sql.Composable, values: Mapping[str, Any] | None
) -> sql.Composed:
    """A query without rows whose columns have the names and types of those that `query` finds."""
    description = shop.execute(
        sql.SQL("SELECT * FROM ({}) AS found LIMIT 0").format(query), values
    ).description
    columns = description or ()
    types = shop.execute(_TYPES, [[each.type_code for each in columns]]).fetchall()
    casts = (
        sql.SQL("CAST(NULL AS {}) AS {}").format(sql.SQL(kind), sql.Identifier(each.name))
        for each, (kind,) in zip(columns, types, strict=True)
    )
    return sql.SQL("SELECT {} LIMIT 0").format(sql.SQL(", ").join(casts))
