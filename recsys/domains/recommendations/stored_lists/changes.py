"""Which users did something that the live generation of stored lists does not consider.

Neither the time of an interaction nor its id can say it: events come in late, and ids are drawn long before
their transaction commits. PostgreSQL knows which transaction wrote a row (`xmin`), and a generation notes
the oldest transaction that was not finished when its making began: rows of that one and of later ones may be
missing in it. That finds what any program added or changed; some rows that were considered are found too. A
deleted row leaves no trace: `interactions.removal` touches one of those that remain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import psycopg
from sqlalchemy import text
from sqlalchemy.orm import Session

__all__ = ["DatabaseState", "changed_users", "users_with_lists"]

_NUMBERS = """
    SELECT CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text),
           (SELECT CAST(oid AS bigint) FROM pg_database WHERE datname = current_database()),
           CAST(CAST(CAST('recommendations_db.user_interactions' AS regclass) AS oid) AS bigint), {server}
"""
_MAY_NAME_THE_SERVER = text("SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')")
_STATE = text(_NUMBERS.format(server="(SELECT system_identifier FROM pg_control_system())"))
_STATE_WITHOUT_SERVER = text(_NUMBERS.format(server="0"))
_CHANGED = """
    SELECT DISTINCT user_id FROM recommendations_db.user_interactions
    WHERE user_id IS NOT NULL AND age(xmin) <= age(%s::text::xid8::xid) ORDER BY user_id
"""
_LISTED = "SELECT user_id FROM recommendations_db.stored_lists WHERE generation_id = %s ORDER BY user_id"
_HALF_TURN = 1 << 31


@dataclass(frozen=True)
class DatabaseState:
    """What was visible at a moment.

    Attributes
    ----------
    transaction
        The oldest transaction that was not finished; all before are visible.
    place
        Database, table and server, as numbers: in a restored copy they are others.
    """

    transaction: int
    place: tuple[int, int, int]

    @classmethod
    def now(cls, session: Session) -> Self:
        """Return the state that every later statement sees, at least."""
        may = session.scalars(_MAY_NAME_THE_SERVER).one()
        number, *place = session.execute(_STATE if may else _STATE_WITHOUT_SERVER).one()
        return cls(int(number), (int(place[0]), int(place[1]), int(place[2])))

    @classmethod
    def read(cls, noted: str) -> Self:
        """Take back what `str` gave. Raises ValueError for anything else."""
        number, database, table, server = (int(part) for part in noted.split("."))
        return cls(number, (database, table, server))

    def __str__(self) -> str:
        """Return four numbers with dots."""
        return ".".join(map(str, (self.transaction, *self.place)))

    def is_before(self, now: DatabaseState) -> bool:
        """Whether what changed since is known: in the same table, within half a turn of `xmin`."""
        return self.place == now.place and 0 <= now.transaction - self.transaction < _HALF_TURN


def changed_users(connection: psycopg.Connection[Any], since: DatabaseState) -> list[int]:
    """Return who has an interaction that was added or changed since, ascending."""
    return [row[0] for row in connection.execute(_CHANGED, [str(since.transaction)]).fetchall()]


def users_with_lists(connection: psycopg.Connection[Any], generation: int) -> list[int]:
    """Return the users with a list of this generation, ascending."""
    return [row[0] for row in connection.execute(_LISTED, [generation]).fetchall()]
