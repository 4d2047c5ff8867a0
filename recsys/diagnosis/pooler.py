"""Whether the addresses of PostgreSQL (through PgBouncer, direct, a replica) are what their settings say."""

from __future__ import annotations

import time

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from recsys.database.addresses import connect_arguments, database_url
from recsys.database.session import reaching
from recsys.diagnosis.finding import Finding
from recsys.errors import RecsysError
from recsys.settings import Settings

__all__ = ["addresses", "replica"]

_DOCUMENT = "see docs/operations/scaling.md, PgBouncer"
_DATABASE = text("SELECT oid, pg_postmaster_start_time() FROM pg_database WHERE datname = current_database()")
_SHOWN = text("SELECT current_setting('lock_timeout'), current_setting('TimeZone')")
_IDENTITY = text("SELECT system_identifier FROM pg_control_system()")
_WRITTEN = text("SELECT pg_current_wal_lsn() - '0/0'")
_REPLAYED = text("SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() - '0/0' END")
_OURS = ("30s", "UTC")


def addresses(settings: Settings, direct: Connection, found: Finding) -> Finding:
    """`found`, which is of the direct connection, unless an address leads elsewhere than its setting says."""
    url = database_url(settings)
    options = connect_arguments(url).get("options")
    if settings.database.direct_url is None:
        if options is not None and tuple(direct.execute(_SHOWN).one()) != _OURS:
            described = f"{found.found}, but drops the options of a connection, as PgBouncer may"
            remedy = f"set RECSYS_DATABASE__DIRECT_URL; {_DOCUMENT}"
            return Finding(found.part, "attention", described, remedy)
        return found
    try:
        engine = create_engine(url, poolclass=NullPool, connect_args=connect_arguments(url, pooled=True))
        with reaching(url), engine.connect() as connection:
            here = tuple(connection.execute(_DATABASE).one())
    except RecsysError as error:
        return Finding(
            found.part, "broken", f"{found.found}; {error.message}", f"start PgBouncer; {_DOCUMENT}"
        )
    if here != tuple(direct.execute(_DATABASE).one()):
        described = "RECSYS_DATABASE__URL and RECSYS_DATABASE__DIRECT_URL lead to different databases"
        return Finding(found.part, "broken", described, "correct one of both")
    return Finding(found.part, found.state, f"{found.found}, and through RECSYS_DATABASE__URL", found.remedy)


def replica(settings: Settings, direct: Connection) -> Finding | None:
    """Whether the replica follows the primary near enough to be read; None without one."""
    limit, part = settings.database.replica_lag_seconds, "replica"
    configured = settings.database.replica_url
    if configured is None:
        return None
    url = f"postgresql+psycopg://{configured.get_secret_value().partition('://')[2]}"
    remedy = f"the primary is read meanwhile; {_DOCUMENT.replace('PgBouncer', 'Read replica')}"
    try:
        engine = create_engine(url, poolclass=NullPool, connect_args=connect_arguments(url, pooled=True))
        with reaching(url), engine.connect() as connection:
            behind = _behind(direct, connection, limit)
    except RecsysError as error:
        return Finding(part, "attention", error.message.partition(";")[0], remedy)
    if behind is None:
        return Finding(
            part, "broken", "RECSYS_DATABASE__REPLICA_URL leads to no replica of this server", remedy
        )
    if behind:
        return Finding(part, "attention", f"it is more than {limit:g} s behind the primary", remedy)
    return Finding(part, "ok", f"it follows the primary within {limit:g} s")


def _behind(primary: Connection, replica: Connection, limit: float) -> bool | None:
    """Whether what the primary has now is not there within the limit; None where it is no replica."""
    if replica.scalar(_IDENTITY) != primary.scalar(_IDENTITY):
        return None
    wanted = primary.scalar(_WRITTEN)
    ends_at = time.monotonic() + limit
    while True:
        replayed = replica.scalar(_REPLAYED)
        if replayed is None:
            return None
        if replayed >= wanted:
            return False
        if time.monotonic() > ends_at:
            return True
        time.sleep(0.05)
