"""Up to where a snapshot has read `user_interactions`, so that the next build reads what came since.

Neither time nor id can say it: events come in late and out of order, and ids are drawn long before their
transaction commits. PostgreSQL itself knows: a row is new when the transaction that wrote it (`xmin`) was
not visible in the snapshot of the last build (manual, section 9.27.8, `pg_current_snapshot`). That finds
every insert and every changed row. What was deleted (or changed: its old version is gone) is found by
counting: the rows that are not new must be as many as were read, with the same XOR of the hashes of their
ids. Whatever does not add up, from a restored database to a transaction number that went round, makes
the build start from nothing, which is always right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from psycopg import sql

from features.build.column_reader import Snapshot
from features.build.interaction_reader import ID_HASH, TABLE

__all__ = ["Watermark", "counted", "here", "new_rows"]

_WHERE_WE_ARE = sql.SQL("""
SELECT pg_current_snapshot()::text, (SELECT oid FROM pg_database WHERE datname = current_database())::int8,
       {table}::regclass::oid::int8, (SELECT system_identifier FROM pg_control_system())
""")
_WITHOUT_CONTROL = sql.SQL("""
SELECT pg_current_snapshot()::text, (SELECT oid FROM pg_database WHERE datname = current_database())::int8,
       {table}::regclass::oid::int8, 0::int8
""")
_HALF, _MASK = 1 << 31, (1 << 32) - 1


@dataclass(frozen=True)
class Watermark:
    """What was visible to a build.

    Attributes
    ----------
    seen
        The text of `pg_current_snapshot()`: "xmin:xmax:transactions in progress".
    place
        Database, table and server, as numbers that change when one is another.
    rows
        How many rows there were, whatever their time.
    digest
        XOR of the hashes of their ids.
    undated
        How many of them have no time and were left out.
    refusing
        A digest of who refuses personalisation: their interactions are in no snapshot.
    """

    seen: str
    place: tuple[int, int, int]
    rows: int
    digest: int
    undated: int
    refusing: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values, for `current.json`."""
        return asdict(self)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Watermark | None:
        """What `current.json` holds of one; None when it holds none that can be read."""
        try:
            found = record["watermark"]
            database, table, server = (int(number) for number in found["place"])
            mark = cls(
                str(found["seen"]),
                (database, table, server),
                int(found["rows"]),
                int(found["digest"]),
                int(found["undated"]),
                str(found["refusing"]),
            )
            _parts(mark.seen)
        except (KeyError, TypeError, ValueError):
            return None
        return mark

    def grows_to(self, now: Watermark, new: int, new_digest: int) -> bool:
        """Whether the rows now are the rows then plus `new` ones, none missing and none changed."""
        if self.place != now.place or _parts(now.seen)[1] - _parts(self.seen)[0] >= _HALF:
            return False
        return now.rows - new == self.rows and now.digest ^ new_digest == self.digest


def here(snapshot: Snapshot) -> Watermark:
    """What this snapshot sees; the rows are not counted yet."""
    connection = snapshot.events.connection
    table = sql.Literal(TABLE.as_string(connection))
    allowed = connection.execute(
        "SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')"
    ).fetchone()
    asked = _WHERE_WE_ARE if allowed and allowed[0] else _WITHOUT_CONTROL
    seen, database, table_id, server = connection.execute(asked.format(table=table)).fetchall()[0]
    return Watermark(seen, (database, table_id, server), 0, 0, 0)


def counted(snapshot: Snapshot, mark: Watermark) -> Watermark:
    """The same with all rows of now counted, on the server."""
    rows, digest = snapshot.events.totals(TABLE, f"bit_xor({ID_HASH})")
    return replace(mark, rows=rows, digest=digest)


def new_rows(mark: Watermark) -> sql.Composed:
    """The SQL condition of the rows that the build of `mark` did not see."""
    _, end, running = _parts(mark.seen)
    # xmin is the lower half of a transaction number: later means less than half a turn ahead
    later = sql.SQL("((xmin::text::int8 - {}) & {}) < {}").format(
        sql.Literal(end & _MASK), sql.Literal(_MASK), sql.Literal(_HALF)
    )
    if not running:
        return sql.Composed([later])
    unfinished = sql.SQL("xmin::text = ANY({})").format(
        sql.Literal([str(number & _MASK) for number in running])
    )
    return sql.SQL("{} OR {}").format(later, unfinished)


def _parts(seen: str) -> tuple[int, int, list[int]]:
    first, end, running = seen.split(":")
    return int(first), int(end), [int(number) for number in running.split(",") if number]
