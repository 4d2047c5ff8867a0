"""Whether the two addresses of PostgreSQL, through PgBouncer and direct, are what their settings say."""

from __future__ import annotations

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from recsys.database.session import connect_arguments, database_url, reaching
from recsys.diagnosis.finding import Finding
from recsys.errors import RecsysError
from recsys.settings import Settings

__all__ = ["addresses"]

_DOCUMENT = "see docs/operations/scaling.md, PgBouncer"
_DATABASE = text("SELECT oid, pg_postmaster_start_time() FROM pg_database WHERE datname = current_database()")
_SHOWN = text("SELECT current_setting('lock_timeout'), current_setting('TimeZone')")
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
