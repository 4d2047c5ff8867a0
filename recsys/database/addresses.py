"""The addresses of the database servers, and how messages name them: without a password."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from recsys.database.servers.placement import SERVER_NAMES, ServerName
from recsys.embedded import database_address
from recsys.errors import Invalid
from recsys.settings import Settings, get_settings

__all__ = [
    "connect_arguments",
    "database_url",
    "direct_url",
    "forget_embedded",
    "is_pooled",
    "libpq_url",
    "libpq_url_of",
    "other_urls",
    "place_of",
    "reason_of",
    "remedy_of",
    "replica_url",
]

_SCHEMES = ("postgresql+psycopg", "postgresql", "postgres")
_CONNECT_SECONDS = 5
_TRUSTED_SECONDS = 1.0
# A lock that is not given within this time fails its statement, so that a forgotten transaction elsewhere
# is an error that names itself and never a program that hangs. Times are UTC, whatever the server's zone.
_OPTIONS = "-c timezone=UTC -c lock_timeout=30s"
_URL, _DIRECT_URL = "RECSYS_DATABASE__URL", "RECSYS_DATABASE__DIRECT_URL"
# A connection whose peer vanished without a word is noticed after about a minute instead of hours.
_KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
_embedded: dict[Path, tuple[float, str]] = {}


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


def other_urls(settings: Settings | None = None) -> dict[ServerName, str]:
    """The SQLAlchemy addresses of servers that hold some of the tables, beside the shop's; raises Invalid."""
    configured = (get_settings() if settings is None else settings).database
    found: dict[ServerName, str] = {}
    for name in SERVER_NAMES:
        url: SecretStr | None = getattr(configured, f"{name}_url")
        if url is not None:
            rest = url.get_secret_value().partition("://")[2]
            _parameters(f"postgresql://{rest}", f"RECSYS_DATABASE__{name.upper()}_URL")
            found[name] = f"postgresql+psycopg://{rest}"
    return found


def libpq_url_of(server: ServerName, settings: Settings | None = None) -> str:
    """The address of a server as psycopg takes it: `libpq_url` where its tables lie beside all others."""
    other = other_urls(settings).get(server)
    return libpq_url(settings) if other is None else f"postgresql://{other.partition('://')[2]}"


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


def is_pooled(settings: Settings) -> bool:
    """Whether transactions go through PgBouncer."""
    return settings.database.direct_url is not None


def _address(settings: Settings | None, *, direct: bool = False) -> str:
    """Everything after the `://`, exactly as it was given."""
    used = get_settings() if settings is None else settings
    name = _DIRECT_URL if direct and is_pooled(used) else _URL
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


def place_of(url: str) -> str:
    """Host, port and database of an address."""
    parameters = _parameters(url)
    place = f"{parameters.get('host') or 'the local socket'}:{parameters.get('port') or 5432}"
    return f"{place}/{parameters['dbname']}" if parameters.get("dbname") else place


def remedy_of(why: str, url: str) -> str:
    """What to do when there is no connection."""
    if "startup parameter" in why:
        return (
            f"this is what PgBouncer says: set {_DIRECT_URL} to the address of PostgreSQL itself, "
            "see docs/operations/scaling.md"
        )
    rest = url.partition("://")[2]
    for name, other in other_urls().items():
        if other.partition("://")[2] == rest:
            return f"start it, or correct RECSYS_DATABASE__{name.upper()}_URL"
    direct = get_settings().database.direct_url
    is_direct = direct is not None and direct.get_secret_value().partition("://")[2] == rest
    return f"start the embedded servers with `recsys up`, or correct {_DIRECT_URL if is_direct else _URL}"


def forget_embedded() -> None:
    """Look the address of the embedded server up again at its next use."""
    _embedded.clear()


def reason_of(error: psycopg.Error, url: str) -> str:
    """The first line of what PostgreSQL says, without the password."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0].removeprefix("connection failed: ") if lines else type(error).__name__
    password = _parameters(url).get("password")
    return reason.replace(str(password), "***") if password else reason
