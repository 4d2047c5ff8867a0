"""What a server of its own needs beside the migrations: no references to other servers, and its rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import LiteralString

import psycopg
from psycopg import sql
from sqlalchemy import Connection, text

from recsys.database.metadata import metadata
from recsys.database.servers.placement import ServerName, is_on, server_of
from recsys.errors import Conflict

__all__ = [
    "add_deletion_trigger",
    "detach",
    "drop_deletion_trigger",
    "has_deletion_trigger",
    "left_behind",
    "move_rows",
]

_REFERENCES = text(
    """
    SELECT c.conname AS name, format('%s.%s', n.nspname, t.relname) AS source,
        format('%s.%s', m.nspname, r.relname) AS target
    FROM pg_constraint c
    JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
    JOIN pg_class r ON r.oid = c.confrelid JOIN pg_namespace m ON m.oid = r.relnamespace
    WHERE c.contype = 'f' ORDER BY 1
    """
)
_ADD_TRIGGER: tuple[LiteralString, ...] = (
    """
    CREATE OR REPLACE FUNCTION users_db.publish_deleted_users() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO analytics_db.outbox (event_id, family, name, version, aggregate, data, occurred_at)
        SELECT gen_random_uuid(), 'user', 'user.deactivated', 1, 'user:' || id,
               json_build_object('user_id', id), clock_timestamp()
        FROM deleted ORDER BY id;
        PERFORM pg_notify('recsys_outbox', '');
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE OR REPLACE TRIGGER deleted_users AFTER DELETE ON users_db.users
    REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION users_db.publish_deleted_users()
    """,
)
_HAS_TRIGGER: LiteralString = """
SELECT EXISTS (SELECT FROM pg_trigger
               WHERE tgname = 'deleted_users' AND tgrelid = to_regclass('users_db.users'))
"""
_SEQUENCES: LiteralString = """
SELECT format('%%I.%%I', schemaname, sequencename), coalesce(last_value, start_value), last_value IS NOT NULL
FROM pg_sequences WHERE format('%%s.%%s', schemaname, replace(sequencename, '_id_seq', '')) = ANY(%s)
"""


def detach(connection: Connection, name: ServerName) -> int:
    """Drop the foreign keys between tables of the server `name` and others; how many there were."""
    dropped = 0
    if name == "recommendations":
        # it publishes events of lists that went with the row of their user: none goes so any more, and the
        # events are in the shop's database
        connection.exec_driver_sql("DROP TRIGGER IF EXISTS users_deleted ON recommendations_db.stored_lists")
    for row in connection.execute(_REFERENCES).all():
        if server_of(row.source) == name != server_of(row.target):
            schema, _, table = row.source.partition(".")
            connection.exec_driver_sql(f'ALTER TABLE "{schema}"."{table}" DROP CONSTRAINT "{row.name}"')
            dropped += 1
    return dropped


def add_deletion_trigger(shop: psycopg.Connection) -> None:
    """Let the shop's server publish `user.deactivated` for each user who is deleted, by any program.

    No foreign key reaches what other servers have of the user; the handlers of the event do.
    """
    for statement in _ADD_TRIGGER:
        shop.execute(statement)


def has_deletion_trigger(shop: psycopg.Connection) -> bool:
    """Whether the shop's server publishes `user.deactivated` for deleted users."""
    return bool(shop.execute(_HAS_TRIGGER).fetchall()[0][0])


def drop_deletion_trigger(shop: Connection) -> None:
    """Let the shop's server publish no deleted users any more."""
    shop.exec_driver_sql("DROP FUNCTION IF EXISTS users_db.publish_deleted_users() CASCADE")


def left_behind(connection: psycopg.Connection, name: ServerName) -> list[str]:
    """The tables of the server `name` that have rows on this one; those come first that others refer to."""
    return [table for table in _tables(name) if _has_rows(connection, table)]


def move_rows(
    source: psycopg.Connection,
    target: psycopg.Connection,
    name: ServerName,
    progress: Callable[[str, int], object] = lambda *_: None,
) -> dict[str, int]:
    """Move the rows of the server's tables from the shop's server to their own.

    Both transactions are the caller's: what was copied is committed before what was moved is deleted.

    Parameters
    ----------
    source, target
        Connections to the shop's server and to the other one, whose tables are migrated and empty.
    progress
        Called with a table and the number of its rows.

    Returns
    -------
    dict of str to int
        Rows by table.

    Raises
    ------
    Conflict
        The target has rows already, or nothing is there to move.
    """
    tables = left_behind(source, name)
    if not tables:
        raise Conflict(f"the shop's server has no rows of the {name} tables; nothing was moved")
    if taken := left_behind(target, name):
        raise Conflict(f"{', '.join(taken)} have rows on the {name} server already; nothing was moved")
    moved = {}
    for table in tables:
        place = sql.Identifier(*table.split("."))
        source.execute(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(place))
        into = sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(place)
        out = sql.SQL("COPY {} TO STDOUT (FORMAT binary)").format(place)
        with source.cursor() as reader, target.cursor() as writer:
            with reader.copy(out) as rows, writer.copy(into) as copy:
                for part in rows:
                    copy.write(part)
            moved[table] = writer.rowcount
        progress(table, moved[table])
    for sequence, value, is_called in source.execute(_SEQUENCES, [tables]).fetchall():
        target.execute("SELECT setval(%s::regclass, %s, %s)", [sequence, value, is_called])
    # also those without rows, as they may refer to others
    places = sql.SQL(", ").join(sql.Identifier(*table.split(".")) for table in _tables(name))
    source.execute(sql.SQL("TRUNCATE {}").format(places))
    return moved


def _tables(name: ServerName) -> list[str]:
    return is_on(name, [table.fullname for table in metadata.sorted_tables])


def _has_rows(connection: psycopg.Connection, table: str) -> bool:
    found = connection.execute(
        sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(*table.split(".")))
    ).fetchone()
    return found is not None
