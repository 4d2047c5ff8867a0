"""Brings a database to a version of the schema, and says which it has; Alembic, configured in code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError

from recsys.database.addresses import connect_arguments
from recsys.database.base import BEFORE_RESTORE, SCHEMAS
from recsys.database.compatibility import SchemaCheck, compare_schema, write_oldest_program
from recsys.database.servers.placement import ServerName
from recsys.database.servers.relocation import detach, drop_deletion_trigger
from recsys.database.session import reaching
from recsys.errors import Conflict, Invalid

__all__ = ["check", "check_not_interrupted", "current", "downgrade", "head", "upgrade", "versions"]

MIGRATIONS = Path(__file__).resolve().parent / "migrations"

# Any number that no other program uses. A migration holds this lock; a second one waits for it and then has
# nothing left to do.
_LOCK = 7_355_608_001


def upgrade(url: str, revision: str = "head", *, server: ServerName | None = None) -> str:
    """Bring the database at `url` (SQLAlchemy or libpq form) up to `revision`, whole or not at all.

    Several processes may call it at once.

    Parameters
    ----------
    server
        What the server is beside the shop's: it gets all tables, of which it uses its own, and no references
        between these and others. None: it is the shop's.

    Returns
    -------
    str
        The revision that the database has now.

    Raises
    ------
    Unavailable
        PostgreSQL cannot be reached.
    Invalid
        The `revision` is unknown.
    Conflict
        A newer version of this program migrated the database, schemas of our names are there already, or a
        restore was interrupted; or the other server cannot prepare transactions.
    """
    with _connection(url) as connection:
        _check_known(revision, connection)
        if server is not None and connection.scalar(text("SHOW max_prepared_transactions")) == "0":
            raise Conflict(
                f"max_prepared_transactions of the {server} server is 0, so nothing that spans servers could "
                "be stored; set it to its max_connections, restart it, and run this again"
            )
        if _version(connection) is None:
            _check_free(connection)
        command.upgrade(_config(connection), revision)
        if server is not None:
            detach(connection, server)
        return _noted(connection) or "base"


def downgrade(url: str, revision: str) -> str:
    """Take the database at `url` back to `revision`; `base` removes all of ours, and all data with it.

    Returns
    -------
    str
        The revision that the database has now.

    Raises
    ------
    Unavailable, Invalid
        As in `upgrade`.
    Conflict
        As in `upgrade`; or something that is not ours (a view, a table) depends on what would be dropped:
        then nothing is changed.
    """
    with _connection(url) as connection:
        _check_known(revision, connection)
        drop_deletion_trigger(connection)
        try:
            command.downgrade(_config(connection), revision)
        except DBAPIError as error:
            if not isinstance(error.orig, psycopg.errors.DependentObjectsStillExist):
                raise
            detail = " ".join((error.orig.diag.message_detail or str(error.orig)).split())
            raise Conflict(
                f"nothing was dropped, because something that is not ours needs it: {detail}; remove it first"
            ) from error
        version = _noted(connection)
        if version is None:
            connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
        return version or "base"


def check(url: str) -> SchemaCheck:
    """Compare the database at `url` with this program, and change nothing. Raises Unavailable."""
    with _connection(url, lock=False) as connection:
        return compare_schema(connection, _version(connection), ScriptDirectory.from_config(_config()))


def current(url: str) -> str | None:
    """The schema version of the database at `url`; None when it was never migrated. Raises Unavailable."""
    with _connection(url, lock=False) as connection:
        return _version(connection)


def head() -> str:
    """The newest revision that this program knows."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    if newest is None:
        raise RuntimeError(f"no migrations in {MIGRATIONS}; the installation is incomplete")
    return newest


def versions() -> frozenset[str]:
    """All schema versions that this program knows."""
    return frozenset(each.revision for each in ScriptDirectory.from_config(_config()).walk_revisions())


@contextmanager
def _connection(url: str, *, lock: bool = True) -> Iterator[Connection]:
    address = f"postgresql+psycopg://{url.partition('://')[2]}"
    engine = create_engine(address, poolclass=NullPool, connect_args=connect_arguments(address))
    with reaching(address), engine.begin() as connection:
        if lock:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        yield connection


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    # Alembic reads % as the start of a placeholder
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _version(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _noted(connection: Connection) -> str | None:
    """The version that the database has now, in which it is noted which programs may run."""
    version = _version(connection)
    if version is not None:
        scripts = ScriptDirectory.from_config(_config()).walk_revisions("base", version)
        write_oldest_program(connection, scripts)
    return version


def check_not_interrupted(schemas: Iterable[str]) -> None:
    """Raise Conflict when a restore set our schemas aside and did not finish: they are among these names."""
    former = sorted({f"{name}{BEFORE_RESTORE}" for name in SCHEMAS} & set(schemas))
    if former:
        raise Conflict(
            f"a restore was interrupted: {', '.join(former)} hold the former shop; nothing was changed: "
            "see docs/operations/backup.md, Interrupted"
        )


def _check_free(connection: Connection) -> None:
    names = inspect(connection).get_schema_names()
    check_not_interrupted(names)
    taken = sorted(set(SCHEMAS) & set(names))
    if taken:
        raise Conflict(
            f"the database has {', '.join(taken)} already, but not from this program; nothing was changed: "
            "use an empty database, or rename what is there"
        )


def _check_known(revision: str, connection: Connection) -> None:
    known = versions()
    version = _version(connection)
    if version is not None and version not in known:
        raise Conflict(
            f"the database has schema version {version}, which this program does not know "
            f"(newest: {head()}); a newer version migrated it: run that one, "
            "or downgrade the schema with it first"
        )
    if revision not in known | {"head", "base"}:
        raise Invalid(
            f"there is no schema version {revision!r}; known: base, {', '.join(sorted(known))}, head"
        )
