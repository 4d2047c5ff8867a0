"""When PostgreSQL is not there for us: the one place that tells an absence from a wrong statement.

Codes are SQLSTATEs (PostgreSQL documentation, appendix A). A class is two characters, a code five.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import psycopg
from prometheus_client import Counter
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from recsys.errors import Unavailable
from recsys.settings import Settings, get_settings
from recsys.web.metrics import REGISTRY

__all__ = ["AbsenceKind", "DatabaseAway", "kind_of", "latest_refusal", "note", "refusal_of_writes"]

AbsenceKind = Literal["unreachable", "refuses", "busy"]
"""unreachable: no connection, or it broke. refuses: connected, and it does not write (disk full, read-only,
out of memory). busy: a lock, a connection or an answer did not come in time."""

_UNREACHABLE = ("08", "28", "3D000", "57P")
_REFUSES = ("25006", "53100", "53200", "53000", "53400", "58")
_BUSY = ("53300", "55P03", "57014", "40001", "40P01", "25P03", "25P04")
_PUBLIC: dict[AbsenceKind, str] = {
    "unreachable": "The database does not answer now; nothing was stored. Try again in a moment.",
    "refuses": "The database takes no writes now; nothing was stored. Try again in a moment.",
    "busy": "The database is busy; nothing was stored. Try again in a moment.",
}
_RECENT_SECONDS = 10.0
_READ_ONLY = text("SELECT current_setting('transaction_read_only') = 'on' OR pg_is_in_recovery()")
_COUNTED = Counter(
    "recsys_database_absences",
    "Transactions that PostgreSQL did not take, by kind.",
    ["kind"],
    registry=REGISTRY,
)


class DatabaseAway(Unavailable):
    """PostgreSQL is not there for us, in one line without the password; nothing was stored."""

    def __init__(self, message: str, kind: AbsenceKind) -> None:
        super().__init__(message, public=_PUBLIC[kind])
        self.kind: AbsenceKind = kind


@dataclass
class _Latest:
    """When and why PostgreSQL last refused to write for this process."""

    at: float = float("-inf")
    why: str = ""
    settings: Settings | None = None


_latest = _Latest()


def kind_of(error: BaseException | None) -> AbsenceKind | None:
    """What sort of absence an error of psycopg means; None for any other error."""
    if not isinstance(error, psycopg.Error):
        return None
    state = error.sqlstate
    if state is None:
        # without a SQLSTATE it is libpq that speaks: no connection was made, or it broke
        return "unreachable" if isinstance(error, psycopg.OperationalError) else None
    if state.startswith(_BUSY):
        return "busy"
    if state.startswith(_REFUSES):
        return "refuses"
    return "unreachable" if state.startswith(_UNREACHABLE) else None


def note(kind: AbsenceKind, why: str) -> None:
    """Count an absence, and keep a refusal for readiness."""
    _COUNTED.labels(kind).inc()
    if kind == "refuses":
        _latest.at, _latest.why, _latest.settings = time.monotonic(), why, get_settings()


def latest_refusal() -> str | None:
    """Why PostgreSQL refused to write for this process within the last seconds; None when it did not."""
    # settings that were read again may name another server
    recent = time.monotonic() - _latest.at < _RECENT_SECONDS and _latest.settings is get_settings()
    return _latest.why if recent else None


def refusal_of_writes(connection: Connection | Session) -> str | None:
    """Why this server takes no writes, as far as it can be asked or was noticed; None when it takes them."""
    if connection.execute(_READ_ONLY).scalar_one():
        return "the database is read-only"
    return latest_refusal()
