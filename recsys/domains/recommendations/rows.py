"""Writes the lists of a generation as rows of `product_recommendations`, which keep their ids.

The rows are the documented, readable copy of what `stored_lists` holds packed: made from it by SQL, in one
transaction, for a whole generation or for some users. A row that leaves the list stays, expired, as long as
the generation that had it is kept to go back to: feedback that names it keeps its link.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations import generations, turns
from recsys.domains.recommendations.lists import entries_array
from recsys.domains.recommendations.reasons import MAX_TEXT, Kind, ReasonCode, phrase

__all__ = ["OWN_TYPES", "settle", "write_rows"]

OWN_TYPES = tuple(kind.word for kind in (Kind.COLLABORATIVE, Kind.CONTENT_BASED, Kind.POPULAR))
"""The recommendation types that scoring writes and sweeps; other rows are somebody else's."""
LISTS_AT_ONCE = 20_000
"""Bounds the memory: about 20 MB of packed lists."""

_FIELDS = (("user_id", "i4"), ("rank", "i2"), ("product_id", "i4"), ("score", "i4"), ("kind", "i2"),
           ("reason", "i2"), ("evidence", "i4"), ("novel", "i2"), ("bought", "i2"))  # fmt: skip
_WIRE = np.dtype(
    [("fields", ">i2")]
    + [part for name, kind in _FIELDS for part in ((f"{name}_bytes", ">i4"), (name, f">{kind}"))]
)
"""One row of PostgreSQL's binary COPY (manual, COPY, "Binary Format"), so that numpy writes all at once."""
_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)

# a user deleted meanwhile would break the foreign key; the lock keeps the others until the commit
_LISTS = """
    SELECT s.user_id, s.list FROM recommendations_db.stored_lists s
    JOIN users_db.users u ON u.id = s.user_id
    WHERE s.generation_id = %(generation)s
      AND (%(users)s::integer[] IS NULL OR s.user_id = ANY(%(users)s))
    ORDER BY s.user_id FOR KEY SHARE OF u
"""
_INCOMING = """
    CREATE TEMP TABLE incoming (
        user_id integer, rank smallint, product_id integer, score integer, kind smallint, reason smallint,
        evidence integer, novel smallint, bought smallint
    ) ON COMMIT DROP
"""
_COPY = "COPY incoming FROM STDIN WITH (FORMAT binary)"
_PREPARE = (
    """
    CREATE TEMP TABLE phrases ON COMMIT DROP AS
    SELECT CAST(code AS smallint) AS reason, with_name, without
    FROM unnest(%(codes)s::integer[], %(with_name)s::text[], %(without)s::text[])
      AS given(code, with_name, without)
    """,
    """
    CREATE TEMP TABLE fresh ON COMMIT DROP AS
    SELECT i.user_id, i.product_id, CAST(i.score AS numeric) / 10000 AS score,
           CASE WHEN w.with_name IS NULL OR p.name IS NULL THEN w.without
                WHEN length(w.with_name || p.name) <= %(longest)s THEN w.with_name || p.name
                ELSE rtrim(left(w.with_name || p.name, %(longest)s - 1)) || '…' END AS reason,
           (%(types)s::text[])[i.kind + 1] AS recommendation_type,
           CAST(format(
               '{"generation": %%s, "rank": %%s, "evidence": %%s, "reason": %%s, "novel": %%s%%s}',
               %(generation)s::integer, i.rank, i.evidence, i.reason,
               CASE i.novel WHEN 1 THEN 'true' ELSE 'false' END,
               CASE i.bought WHEN 1 THEN ', "bought": true' END) AS jsonb) AS context
    FROM incoming i JOIN phrases w USING (reason) LEFT JOIN products_db.products p ON p.id = i.evidence
    """,
    "CREATE INDEX ON fresh (user_id, product_id)",
    # only what is joined by: the statistics of a jsonb column cost more than a tenth of the whole
    "ANALYZE fresh (user_id, product_id, recommendation_type)",
)
_STEPS = (
    # what another kind of model recommends again keeps its row, so that feedback keeps its link
    """
    UPDATE recommendations_db.product_recommendations r SET recommendation_type = i.recommendation_type
    FROM fresh i
    WHERE r.user_id = i.user_id AND r.product_id = i.product_id
      AND r.recommendation_type <> i.recommendation_type AND r.recommendation_type = ANY(%(own)s)
      AND NOT EXISTS (
          SELECT FROM recommendations_db.product_recommendations o
          WHERE o.user_id = r.user_id AND o.product_id = r.product_id AND o.id <> r.id
            AND o.recommendation_type = ANY(%(own)s))
    """,
    """
    UPDATE recommendations_db.product_recommendations r
    SET score = i.score, reason = i.reason, context = i.context, expires_at = %(expires)s
    FROM fresh i
    WHERE r.user_id = i.user_id AND r.product_id = i.product_id
      AND r.recommendation_type = i.recommendation_type
    """,
    """
    INSERT INTO recommendations_db.product_recommendations
        (user_id, product_id, score, reason, recommendation_type, context, expires_at, created_at)
    SELECT user_id, product_id, score, reason, recommendation_type, context, %(expires)s, %(now)s FROM fresh i
    WHERE NOT EXISTS (
        SELECT FROM recommendations_db.product_recommendations r
        WHERE r.user_id = i.user_id AND r.product_id = i.product_id
          AND r.recommendation_type = i.recommendation_type)
    ON CONFLICT (user_id, product_id, recommendation_type) DO NOTHING
    """,
    """
    UPDATE recommendations_db.product_recommendations r SET expires_at = %(now)s
    WHERE r.recommendation_type = ANY(%(own)s)
      AND (%(users)s::integer[] IS NULL OR r.user_id = ANY(%(users)s))
      AND (r.expires_at IS NULL OR r.expires_at > %(now)s)
      AND NOT EXISTS (
          SELECT FROM fresh i WHERE i.user_id = r.user_id AND i.product_id = r.product_id
            AND i.recommendation_type = r.recommendation_type)
    """,
)
_SWEEP = """
    DELETE FROM recommendations_db.product_recommendations r
    WHERE r.recommendation_type = ANY(%(own)s)
      AND coalesce(CAST(r.context ->> 'generation' AS integer), -1) <> ALL(%(kept)s)
"""
_WRITTEN = text(
    "UPDATE recommendations_db.recommendation_generations SET rows_written = true WHERE id = ANY(:ids)"
).bindparams(bindparam("ids", type_=ARRAY(INTEGER)))


def write_rows(
    session: Session,
    generation: int,
    *,
    expires_at: Any,
    keep: Sequence[int] = (),
    users: Sequence[int] | None = None,
) -> tuple[int, int]:
    """Make the rows those of a generation, of all users or of some; how many users and rows it has.

    keep  other generations whose rows stay, expired; with `users` nothing is deleted at all.

    Readers see it once the session commits.
    """
    connection: psycopg.Connection[Any] = session.connection().connection.driver_connection  # type: ignore[assignment]
    given = None if users is None else list(users)
    values: dict[str, Any] = {
        "generation": generation,
        "users": given,
        "own": list(OWN_TYPES),
        "types": [kind.word for kind in Kind],
        "longest": MAX_TEXT,
        "codes": [int(code) for code in ReasonCode],
        "with_name": [phrase(code, named=True) for code in ReasonCode],
        "without": [phrase(code, named=False) for code in ReasonCode],
        "expires": expires_at,
        "now": clock.now(),
        "kept": [generation, *keep],
    }
    for name in ("incoming", "phrases", "fresh"):  # several users' lists may be written in one transaction
        connection.execute(f"DROP TABLE IF EXISTS pg_temp.{name}".encode())
    connection.execute(_INCOMING)
    people, rows = _copy(connection, values)
    for statement in (*_PREPARE, *_STEPS, *(() if users is not None else (_SWEEP,))):
        connection.execute(statement.encode(), values)
    return people, rows


def settle() -> bool:
    """Write the rows of the live generation, if they are another's: after a rollback, or a crash of one.

    False when there was nothing to do. Waits for a scoring that is running. Raises Unavailable.
    """
    with unit_of_work() as session:
        if not _unsettled(session):
            return False
    with turns.only_one_scoring(wait=True), unit_of_work() as session:
        if not _unsettled(session):
            return False
        shown, kept = generations.live(session), generations.former(session)
        keep = [] if kept is None else [kept.id]
        if shown is None:
            write_rows(session, keep[0] if keep else 0, expires_at=clock.now())
        else:
            write_rows(session, shown.id, expires_at=shown.expires_at, keep=keep)
        session.execute(_WRITTEN, {"ids": [one.id for one in (shown, kept) if one is not None]})
    return True


def _unsettled(session: Session) -> bool:
    shown = generations.live(session)
    if shown is not None:
        return not shown.rows_written
    # none is shown: rows of the former one that have not expired are shown to nobody who asks us
    kept = generations.former(session)
    return kept is not None and kept.rows_written


def _copy(connection: psycopg.Connection[Any], values: dict[str, Any]) -> tuple[int, int]:
    people = rows = 0
    with connection.cursor(name="packed_lists") as reader:
        reader.itersize = LISTS_AT_ONCE
        reader.execute(_LISTS.encode(), values)
        while some := reader.fetchmany(LISTS_AT_ONCE):
            wire = _wire([row[0] for row in some], [row[1] for row in some])
            with connection.cursor() as writer, writer.copy(_COPY) as copy:
                copy.write(_SIGNATURE + wire.tobytes() + b"\xff\xff")
            people += len(some)
            rows += wire.size
    return people, rows


def _wire(users: list[int], packed: list[bytes]) -> npt.NDArray[Any]:
    arrays = [entries_array(one) for one in packed]
    lengths = np.array([one.size for one in arrays], dtype=np.int64)
    entries = np.concatenate(arrays)
    wire = np.zeros(entries.size, dtype=_WIRE)
    wire["fields"] = len(_FIELDS)
    for name, kind in _FIELDS:
        wire[f"{name}_bytes"] = int(kind[1:])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    codes = entries["codes"]
    wire["user_id"] = np.repeat(np.array(users, dtype=np.int64), lengths)
    wire["rank"] = np.arange(entries.size) - np.repeat(starts, lengths) + 1
    wire["product_id"], wire["score"] = entries["product"], entries["score"]
    wire["evidence"] = np.where(entries["evidence"] == 0, -1, entries["evidence"].astype(np.int64))
    wire["kind"], wire["bought"] = codes & 3, codes >> 2 & 1
    wire["reason"], wire["novel"] = codes >> 3 & 15, codes >> 7
    return wire
