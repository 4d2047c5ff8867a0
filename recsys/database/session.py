"""The way to PostgreSQL: its address, the engine, the only place that commits, and COPY."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from recsys.database import absence
from recsys.database.absence import DatabaseAway
from recsys.database.pool_metrics import watch_pool
from recsys.embedded import database_address
from recsys.errors import Invalid
from recsys.settings import Settings, get_settings

__all__ = [
    "connect_arguments",
    "copy_connection",
    "database_url",
    "direct_url",
    "dispose_engines",
    "engine_of",
    "get_engine",
    "libpq_url",
    "reaching",
    "replica_url",
    "session_connection",
    "unit_of_work",
]

_SCHEMES = ("postgresql+psycopg", "postgresql", "postgres")
_CONNECT_SECONDS = 5
_POOL_SECONDS = 10
_TRUSTED_SECONDS = 1.0
# A lock that is not given within this time fails its statement, so that a forgotten transaction elsewhere
# is an error that names itself and never a program that hangs. Times are UTC, whatever the server's zone.
_OPTIONS = "-c timezone=UTC -c lock_timeout=30s"
# PgBouncer in transaction mode gives each transaction another session, which others use in between: what
# should hold for a session is set in each transaction, in one trip with its begin.
_SET_LOCALLY = "SET LOCAL timezone = 'UTC'; SET LOCAL lock_timeout = '30s'"
_URL, _DIRECT_URL = "RECSYS_DATABASE__URL", "RECSYS_DATABASE__DIRECT_URL"
# A connection whose peer vanished without a word is noticed after about a minute instead of hours.
_KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}

_LIMITS = text(
    "SELECT set_config('statement_timeout', :limit, true), set_config('lock_timeout', :limit, true)"
)

_engines: dict[str, Engine] = {}
_engines_lock = threading.Lock()
_embedded: dict[Path, tuple[float, str]] = {}


@dataclass
class _Unit:
    """A unit of work that is open, and the thread that opened it."""

    thread: int
    is_open: bool = True


# Nested use is a mistake: the inner unit would not see, and could wait for, what the outer one has not
# committed. The mark is looked at together with its thread and its state, because the context it is stored
# in is copied into tasks and threads that outlive it.
_current_unit: ContextVar[_Unit | None] = ContextVar("unit_of_work", default=None)


def database_url(settings: Settings | None = None) -> str:
    """The SQLAlchemy address of transactions, `postgresql+psycopg://…`, password included.

    It may lead through PgBouncer in transaction mode, see `direct_url`.

    Raises
    ------
    Unavailable
        No address is configured and the embedded server does not run.
    Invalid
        The configured address is not one of PostgreSQL.
    """
    return f"postgresql+psycopg://{_address(settings)}"


def direct_url(settings: Settings | None = None) -> str:
    """The SQLAlchemy address of PostgreSQL itself, for what needs a session; raises like `database_url`."""
    return f"postgresql+psycopg://{_address(settings, direct=True)}"


def libpq_url(settings: Settings | None = None) -> str:
    """`direct_url` as psql and psycopg take it, `postgresql://…`."""
    return f"postgresql://{_address(settings, direct=True)}"


def replica_url() -> str | None:
    """The SQLAlchemy address of a replica that only reads; None without one."""
    settings = get_settings().database
    if settings.replica_url is None:
        return None
    rest = settings.replica_url.get_secret_value().partition("://")[2]
    _parameters(f"postgresql://{rest}", "RECSYS_DATABASE__REPLICA_URL")
    return f"postgresql+psycopg://{rest}"


def get_engine() -> Engine:
    """The engine of the configured (or embedded) server, made once for each address and shared by threads."""
    return engine_of(database_url())


def dispose_engines() -> None:
    """Close every pooled connection and forget the engines; the next use connects again.

    A connection that a thread still works with is closed when it comes back.
    """
    _embedded.clear()
    with _engines_lock:
        for engine in _engines.values():
            # the pool that nobody looks into any more would leave it to the garbage collector
            event.listen(engine.pool, "checkin", _close_returned)
            engine.dispose()
        _engines.clear()


def _close_returned(connection: psycopg.Connection | None, _: object) -> None:
    if connection is not None:
        connection.close()


@contextmanager
def unit_of_work(*, seconds: float | None = None) -> Iterator[Session]:
    """One transaction: committed at the end of the block, rolled back when the block raises.

    Objects stay readable after the commit.

    Parameters
    ----------
    seconds
        PostgreSQL gives up a statement, or the wait for a lock, that takes longer.

    Raises
    ------
    Unavailable
        PostgreSQL cannot be reached, or is lost on the way.
    RuntimeError
        The thread has a unit of work open already: pass its session on.
    """
    outer = _current_unit.get()
    if outer is not None and outer.is_open and outer.thread == threading.get_ident():
        raise RuntimeError("a unit of work is open already; pass its session on instead of opening another")
    url = database_url()
    unit = _Unit(threading.get_ident())
    _current_unit.set(unit)
    try:
        with reaching(url), Session(engine_of(url), expire_on_commit=False) as session:
            session.connection()  # a server that is not there is noticed before any work is done
            if seconds is not None:
                session.execute(_LIMITS, {"limit": f"{max(1, int(seconds * 1000))}ms"})
            yield session
            session.commit()
    finally:
        unit.is_open = False


@contextmanager
def copy_connection() -> Iterator[psycopg.Connection]:
    """A connection of psycopg's own for COPY, in one transaction: committed at the end, rolled back on error.

    It is not taken from the pool and shares no transaction with `unit_of_work`.

    Raises
    ------
    Unavailable
        PostgreSQL cannot be reached, or is lost on the way.
    """
    url = f"postgresql://{_address(None)}"
    pooled = _is_pooled(get_settings())
    with reaching(url), psycopg.connect(url, **connect_arguments(url, pooled=pooled)) as connection:
        if pooled:
            connection.execute(_SET_LOCALLY)
        yield connection


@contextmanager
def session_connection() -> Iterator[psycopg.Connection]:
    """A connection to PostgreSQL itself that commits each statement, for a lock that ends with its session.

    Raises
    ------
    Unavailable
        PostgreSQL cannot be reached.
    """
    url = libpq_url()
    with reaching(url):
        connection = psycopg.connect(url, autocommit=True, **connect_arguments(url))
    with connection:
        yield connection


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Turn "PostgreSQL is not there for us" inside the block into DatabaseAway: one line, no password.

    What counts as that stands in `recsys.database.absence`.
    """
    try:
        yield
    except PoolTimeout as error:
        absence.note("busy", "")
        raise DatabaseAway(
            f"all connections to PostgreSQL at {_place(url)} are in use and none came free within "
            f"{_POOL_SECONDS} s; try again, or raise RECSYS_DATABASE__POOL_SIZE",
            "busy",
        ) from error
    except (DBAPIError, psycopg.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        kind = absence.kind_of(cause)
        if kind is None or not isinstance(cause, psycopg.Error):
            raise
        why = _reason(cause, url)
        absence.note(kind, why)
        if kind == "unreachable":
            _embedded.clear()
            raise DatabaseAway(
                f"PostgreSQL at {_place(url)} cannot be reached ({why}); {_remedy(why, url)}", kind
            ) from None
        if kind == "refuses":
            raise DatabaseAway(
                f"PostgreSQL at {_place(url)} does not take this ({why}); nothing was stored, "
                "give it room or let it write again",
                kind,
            ) from error
        waited = " for rows or tables that another program is changing" if cause.sqlstate == "55P03" else ""
        raise DatabaseAway(
            f"PostgreSQL at {_place(url)} waited too long{waited} or is too busy ({why}); "
            "nothing was stored, try again when it has finished",
            kind,
        ) from error


def connect_arguments(url: str, *, pooled: bool = False) -> dict[str, Any]:
    """Our timeouts and time zone for psycopg, except what the address sets itself.

    Parameters
    ----------
    url
        The address, in the form of libpq.
    pooled
        The address leads through PgBouncer in transaction mode, which takes no options and knows no prepared
        statements.
    """
    given = _parameters(url)
    ours: dict[str, Any] = {
        "connect_timeout": _CONNECT_SECONDS,
        "application_name": "recsys",
        **({"prepare_threshold": None} if pooled else {"options": _OPTIONS}),
        **_KEEPALIVES,
    }
    return {name: value for name, value in ours.items() if name not in given}


def engine_of(url: str) -> Engine:
    """The engine of an address, made once and shared by threads."""
    with _engines_lock:
        engine = _engines.get(url)
        if engine is None:
            settings = get_settings()
            size, pooled = settings.database.pool_size, _is_pooled(settings)
            engine = create_engine(
                url,
                pool_size=size,
                max_overflow=size,
                pool_timeout=_POOL_SECONDS,
                # behind PgBouncer each transaction is begun by ourselves
                connect_args=connect_arguments(url, pooled=pooled) | {"autocommit": pooled},
                # an error's text ends up in logs, and bound values hold people's data
                hide_parameters=True,
            )
            _look_after(engine)
            if pooled:
                event.listen(engine, "begin", _begin_pooled)
            watch_pool(engine, 2 * size)
            _engines[url] = engine
        return engine


def _look_after(engine: Engine) -> None:
    """Ping the server over a connection that was idle, before the connection is used.

    A connection that was used a moment ago is not checked: a ping takes longer than many queries.
    """

    @event.listens_for(engine, "checkin")
    def returned(_: object, record: ConnectionPoolEntry) -> None:
        record.info["returned"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def taken(connection: DBAPIConnection, record: ConnectionPoolEntry, _: object) -> None:
        since = record.info.get("returned")
        if since is None or time.monotonic() - since < _TRUSTED_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except psycopg.Error as error:
            # the pool's other connections are checked again
            raise InvalidatePoolError from error


def _begin_pooled(connection: Connection) -> None:
    connection.exec_driver_sql(f"BEGIN; {_SET_LOCALLY}")


def _is_pooled(settings: Settings) -> bool:
    """Whether transactions go through PgBouncer."""
    return settings.database.direct_url is not None


def _address(settings: Settings | None, *, direct: bool = False) -> str:
    """Everything after the `://`, exactly as it was given."""
    used = get_settings() if settings is None else settings
    name = _DIRECT_URL if direct and _is_pooled(used) else _URL
    configured = used.database.direct_url if name == _DIRECT_URL else used.database.url
    url = _embedded_address(used) if configured is None else configured.get_secret_value()
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _SCHEMES:
        raise Invalid(
            f"{name} is not an address of PostgreSQL; expected postgresql://user:password@host:port/database"
        )
    _parameters(url, name)
    return rest


def _embedded_address(settings: Settings) -> str:
    """Looked up after a moment only, or when nobody answered: it takes longer than a query."""
    kept = _embedded.get(settings.var)
    if kept is None or time.monotonic() - kept[0] > _TRUSTED_SECONDS:
        kept = _embedded[settings.var] = time.monotonic(), database_address(settings)
    return kept[1]


@lru_cache(maxsize=16)
def _parameters(url: str, name: str = _URL) -> Mapping[str, Any]:
    rest = url.partition("://")[2]
    try:
        make_url(f"postgresql+psycopg://{rest}")
        # asked at each unit of work; what can't be read is not kept, since it raises
        return conninfo_to_dict(f"postgresql://{rest}")
    except (ArgumentError, ValueError, psycopg.ProgrammingError):
        # the parsers quote what they could not read, which may hold the password: say nothing of it
        raise Invalid(
            f"{name} cannot be read; expected postgresql://user:password@host:port/database, "
            "with special characters of the password written as %XX"
        ) from None


def _place(url: str) -> str:
    parameters = _parameters(url)
    place = f"{parameters.get('host') or 'the local socket'}:{parameters.get('port') or 5432}"
    return f"{place}/{parameters['dbname']}" if parameters.get("dbname") else place


def _remedy(why: str, url: str) -> str:
    """What to do when there is no connection."""
    if "startup parameter" in why:
        return (
            f"this is what PgBouncer says: set {_DIRECT_URL} to the address of PostgreSQL itself, "
            "see docs/operations/scaling.md"
        )
    direct = get_settings().database.direct_url
    is_direct = (
        direct is not None and direct.get_secret_value().partition("://")[2] == url.partition("://")[2]
    )
    return f"start the embedded servers with `recsys up`, or correct {_DIRECT_URL if is_direct else _URL}"


def _reason(error: psycopg.Error, url: str) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0].removeprefix("connection failed: ") if lines else type(error).__name__
    password = _parameters(url).get("password")
    return reason.replace(str(password), "***") if password else reason
