"""The way to PostgreSQL: the engines, the only place that commits, and COPY."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, cast

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from recsys.database import absence
from recsys.database.absence import DatabaseAway
from recsys.database.addresses import (
    connect_arguments,
    database_url,
    forget_embedded,
    is_pooled,
    libpq_url,
    other_urls,
    place_of,
    reason_of,
    remedy_of,
)
from recsys.database.pool_metrics import watch_pool
from recsys.database.servers.joint_commit import JointSession
from recsys.database.servers.placement import SERVER_NAMES, ServerName
from recsys.settings import Settings, get_settings

__all__ = [
    "copy_connection",
    "dispose_engines",
    "driver_connection",
    "engine_of",
    "get_engine",
    "other_engines",
    "reaching",
    "session_connection",
    "unit_of_work",
]

_POOL_SECONDS = 10
_TRUSTED_SECONDS = 1.0
# PgBouncer in transaction mode gives each transaction another session, which others use in between: what
# should hold for a session is set in each transaction, in one trip with its begin.
_SET_LOCALLY = "SET LOCAL timezone = 'UTC'; SET LOCAL lock_timeout = '30s'"
_SERVER = "recsys_server"
_LIMITS = text(
    "SELECT set_config('statement_timeout', :limit, true), set_config('lock_timeout', :limit, true)"
)

_engines: dict[str, Engine] = {}
_engines_lock = threading.Lock()


@dataclass
class _Unit:
    """A unit of work that is open, and the thread that opened it."""

    thread: int
    is_open: bool = True


@dataclass(frozen=True)
class _Addresses:
    """Of the shop's server and of the others, by these settings."""

    settings: Settings
    shop: str
    others: Mapping[ServerName, str]


_latest: _Addresses | None = None

# Nested use is a mistake: the inner unit would not see, and could wait for, what the outer one has not
# committed. The mark is looked at together with its thread and its state, because the context it is stored
# in is copied into tasks and threads that outlive it.
_current_unit: ContextVar[_Unit | None] = ContextVar("unit_of_work", default=None)


def _addresses() -> _Addresses:
    """Read from the settings once, where they name the server: each unit of work asks."""
    global _latest
    settings = get_settings()
    known = _latest
    if known is not None and known.settings is settings:
        return known
    found = _Addresses(settings, database_url(), other_urls())
    if settings.database.url is not None:
        _latest = found
    return found


def other_engines() -> dict[ServerName, Engine]:
    """The engines of `other_urls`."""
    return {name: engine_of(url, name) for name, url in _addresses().others.items()}


def get_engine() -> Engine:
    """The engine of the configured (or embedded) server, made once for each address and shared by threads."""
    return engine_of(database_url())


def dispose_engines() -> None:
    """Close every pooled connection and forget the engines; the next use connects again.

    A connection that a thread still works with is closed when it comes back.
    """
    forget_embedded()
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

    It spans the servers that hold tables of its statements. Objects stay readable after the commit.

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
    url = _addresses().shop
    unit = _Unit(threading.get_ident())
    _current_unit.set(unit)
    try:
        with reaching(url), _session(url, seconds) as session:
            # a server that is not there is noticed before any work is done
            _limit(session.connection(), seconds)
            yield session
            session.commit()
    finally:
        unit.is_open = False


def _session(url: str, seconds: float | None) -> Session:
    others = other_engines()
    if not others:
        return Session(engine_of(url), expire_on_commit=False)
    return JointSession(engine_of(url), others, lambda connection: _limit(connection, seconds))


def _limit(connection: Connection, seconds: float | None) -> None:
    if seconds is not None:
        connection.execute(_LIMITS, {"limit": f"{max(1, int(seconds * 1000))}ms"})


@contextmanager
def copy_connection(server: ServerName | None = None) -> Iterator[psycopg.Connection]:
    """A connection of psycopg's own for COPY, in one transaction: committed at the end, rolled back on error.

    It is not taken from the pool and shares no transaction with `unit_of_work`.

    Parameters
    ----------
    server
        Whose tables it is for; None: the shop's.

    Raises
    ------
    Unavailable
        PostgreSQL cannot be reached, or is lost on the way.
    """
    other = None if server is None else other_urls().get(server)
    url = f"postgresql://{(other or database_url()).partition('://')[2]}"
    pooled = other is None and is_pooled(get_settings())
    with reaching(url), psycopg.connect(url, **connect_arguments(url, pooled=pooled)) as connection:
        if pooled:
            connection.execute(_SET_LOCALLY)
        yield connection


def driver_connection(session: Session, server: ServerName | None = None) -> psycopg.Connection[Any]:
    """The connection of psycopg by which a session reads and writes the tables of a server."""
    connection = session.connection_to(server) if isinstance(session, JointSession) else session.connection()
    return cast("psycopg.Connection[Any]", connection.connection.driver_connection)


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
            f"all connections to PostgreSQL at {place_of(url)} are in use and none came free within "
            f"{_POOL_SECONDS} s; try again, or raise RECSYS_DATABASE__POOL_SIZE",
            "busy",
        ) from error
    except (DBAPIError, psycopg.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        kind = absence.kind_of(cause)
        if kind is None or not isinstance(cause, psycopg.Error):
            raise
        url = getattr(cause, _SERVER, url)
        why = reason_of(cause, url)
        absence.note(kind, why)
        if kind == "unreachable":
            forget_embedded()
            raise DatabaseAway(
                f"PostgreSQL at {place_of(url)} cannot be reached ({why}); {remedy_of(why, url)}", kind
            ) from None
        if kind == "refuses":
            raise DatabaseAway(
                f"PostgreSQL at {place_of(url)} does not take this ({why}); nothing was stored, "
                "give it room or let it write again",
                kind,
            ) from error
        waited = " for rows or tables that another program is changing" if cause.sqlstate == "55P03" else ""
        raise DatabaseAway(
            f"PostgreSQL at {place_of(url)} waited too long{waited} or is too busy ({why}); "
            "nothing was stored, try again when it has finished",
            kind,
        ) from error


def engine_of(url: str, server: ServerName | Literal["shop", "replica"] = "shop") -> Engine:
    """The engine of an address, made once and shared by threads.

    Parameters
    ----------
    url
        The address, in SQLAlchemy's form.
    server
        Whose address it is: the shop's, and its replica's, may lead through PgBouncer in transaction mode.
    """
    with _engines_lock:
        engine = _engines.get(url)
        if engine is None:
            settings = get_settings()
            size = settings.database.pool_size
            pooled = server not in SERVER_NAMES and is_pooled(settings)
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
            event.listen(engine, "handle_error", lambda context: _name_server(context, url))
            if pooled:
                event.listen(engine, "begin", _begin_pooled)
            _engines[url] = engine
            watch_pool(engine, server, 2 * size)
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


def _name_server(context: ExceptionContext, url: str) -> None:
    """Note with an error which of several servers it came from."""
    with suppress(AttributeError):
        setattr(context.original_exception, _SERVER, url)


def _begin_pooled(connection: Connection) -> None:
    connection.exec_driver_sql(f"BEGIN; {_SET_LOCALLY}")
