"""Writes the lists of a generation as rows of `product_recommendations`, which keep their ids.

The rows are the documented, readable copy of what `stored_lists` holds packed: made from it by SQL, in one
transaction, for a whole generation or for some users. Of each list the first products are copied
(`first_products`): as rows, they take forty times the space of the packed list. A product that is in
both lists of a user has one row: `context` has its rank and score for each question ("any", "new") that has
it, and `score` is that of "any", else that of "new".

A row that leaves both lists leaves the table, so that a plain SELECT gives what is live. Its id waits in
`retired_recommendations`, and which feedback was of it in `feedback_of_retired`, as long as the generation
that had it is kept: recommended again, or after a rollback, the row comes back under its id and the feedback
is linked again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, LiteralString

import numpy as np
import numpy.typing as npt
import psycopg
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.servers.copies import staging
from recsys.database.servers.references import lock_users
from recsys.database.session import driver_connection, unit_of_work
from recsys.domains.recommendations.reasons import MAX_TEXT, Kind, ReasonCode, phrase
from recsys.domains.recommendations.stored_lists import generations, locks
from recsys.domains.recommendations.stored_lists.codec import entries_arrays
from recsys.settings import get_settings

__all__ = ["OWN_TYPES", "first_products", "settle", "write_rows"]

OWN_TYPES = tuple(kind.word for kind in (Kind.COLLABORATIVE, Kind.CONTENT_BASED, Kind.POPULAR))
"""The recommendation types that scoring writes and sweeps; other rows are somebody else's."""
MOST_ROWS = 5_000_000
"""Some two minutes of PostgreSQL, and 3 GiB: a shop that sets nothing has about so many rows at most."""
FEWEST = 20
"""Of each list; what a page shows."""
LISTS_AT_ONCE = 10_000
"""Bounds the memory: about 16 MB of packed lists, and ten times that as rows."""

_FIELDS = (("user_id", "i4"), ("product_id", "i4"), ("any_rank", "i2"), ("any_score", "i2"),
           ("new_rank", "i2"), ("new_score", "i2"), ("kind", "i2"), ("reason", "i2"), ("evidence", "i4"),
           ("novel", "i2"), ("bought", "i2"))  # fmt: skip
_WIRE = np.dtype(
    [("fields", ">i2")]
    + [part for name, kind in _FIELDS for part in ((f"{name}_bytes", ">i4"), (name, f">{kind}"))]
)
"""One row of PostgreSQL's binary COPY (manual, COPY, "Binary Format"), so that numpy writes all at once."""
_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)

_LISTS = """
    SELECT s.user_id, s.list FROM recommendations_db.stored_lists s
    WHERE s.generation_id = %(generation)s
      AND (%(users)s::integer[] IS NULL OR s.user_id = ANY(%(users)s))
    ORDER BY s.user_id
"""
# what the words of a row name
_EVIDENCE = "SELECT DISTINCT evidence FROM incoming WHERE evidence > 0"
_NAMES = text("SELECT id, name FROM products_db.products WHERE id = ANY(:ids)").bindparams(
    bindparam("ids", type_=ARRAY(INTEGER))
)
_COUNT = "SELECT count(*) FROM recommendations_db.stored_lists WHERE generation_id = %(generation)s"
# KIND: as `staging` says
_STAGED: tuple[LiteralString, ...] = ("incoming", "phrases", "names", "fresh", "leaving")
_INCOMING = """
    CREATE KIND TABLE incoming (
        user_id integer, product_id integer, any_rank smallint, any_score smallint, new_rank smallint,
        new_score smallint, kind smallint, reason smallint, evidence integer, novel smallint, bought smallint
    )
"""
_COPY = "COPY incoming FROM STDIN WITH (FORMAT binary)"
_PREPARE = (
    """
    CREATE KIND TABLE phrases AS
    SELECT CAST(code AS smallint) AS reason, with_name, without
    FROM unnest(%(codes)s::integer[], %(with_name)s::text[], %(without)s::text[])
      AS given(code, with_name, without)
    """,
    """
    CREATE KIND TABLE names AS
    SELECT id, name FROM unnest(%(products)s::integer[], %(names)s::text[]) AS given(id, name)
    """,
    # without it the join with names sorts by them, and what follows visits the rows of users in no order
    "ANALYZE names",
    """
    CREATE KIND TABLE fresh AS
    SELECT i.user_id, i.product_id,
           CASE WHEN i.any_rank > 0 THEN i.any_score ELSE i.new_score END * 0.0001 AS score,
           CASE WHEN w.with_name IS NULL OR p.name IS NULL THEN w.without
                WHEN length(w.with_name || p.name) <= %(longest)s THEN w.with_name || p.name
                ELSE rtrim(left(w.with_name || p.name, %(longest)s - 1)) || '…' END AS reason,
           (%(types)s::text[])[i.kind + 1] AS recommendation_type,
           CAST('{"generation": ' || %(generation)s::integer
               || CASE WHEN i.any_rank > 0
                  THEN ', "any": {"rank": ' || i.any_rank || ', "score": ' || i.any_score * 0.0001 || '}'
                  ELSE '' END
               || CASE WHEN i.new_rank > 0
                  THEN ', "new": {"rank": ' || i.new_rank || ', "score": ' || i.new_score * 0.0001 || '}'
                  ELSE '' END
               || ', "evidence": ' || i.evidence || ', "reason": ' || i.reason
               || CASE i.novel WHEN 1 THEN ', "novel": true' ELSE ', "novel": false' END
               || CASE i.bought WHEN 1 THEN ', "bought": true}' ELSE '}' END AS jsonb) AS context
    FROM incoming i JOIN phrases w USING (reason) LEFT JOIN names p ON p.id = i.evidence
    """,
    "CREATE INDEX ON fresh (user_id, product_id)",
    # only what is joined by: the statistics of a jsonb column cost more than a tenth of the whole
    "ANALYZE fresh (user_id, product_id, recommendation_type)",
)
_STEPS = (
    # what another kind of model recommends again keeps its row, so that feedback keeps its link; of two rows
    # of our types, only the one of the same type
    """
    UPDATE recommendations_db.product_recommendations r
    SET score = i.score, reason = i.reason, recommendation_type = i.recommendation_type, context = i.context,
        expires_at = %(expires)s
    FROM fresh i
    WHERE r.user_id = i.user_id AND r.product_id = i.product_id AND r.recommendation_type = ANY(%(own)s)
      AND (r.recommendation_type = i.recommendation_type OR NOT EXISTS (
          SELECT FROM recommendations_db.product_recommendations o
          WHERE o.user_id = r.user_id AND o.product_id = r.product_id AND o.id <> r.id
            AND o.recommendation_type = ANY(%(own)s)))
    """,
    """
    INSERT INTO recommendations_db.product_recommendations
        (id, user_id, product_id, score, reason, recommendation_type, context, expires_at, created_at)
    SELECT coalesce(t.id, nextval('recommendations_db.product_recommendations_id_seq')), i.user_id,
           i.product_id, i.score, i.reason, i.recommendation_type, i.context, %(expires)s, %(now)s
    FROM fresh i LEFT JOIN recommendations_db.retired_recommendations t USING (user_id, product_id)
    WHERE NOT EXISTS (
        SELECT FROM recommendations_db.product_recommendations r
        WHERE r.user_id = i.user_id AND r.product_id = i.product_id
          AND r.recommendation_type = i.recommendation_type)
    ON CONFLICT (user_id, product_id, recommendation_type) DO NOTHING
    """,
    """
    DELETE FROM recommendations_db.retired_recommendations t USING fresh i
    WHERE t.user_id = i.user_id AND t.product_id = i.product_id
    """,
    """
    WITH back AS (
        DELETE FROM recommendations_db.feedback_of_retired k
        USING recommendations_db.product_recommendations r
        WHERE r.id = k.recommendation_id AND (%(users)s::integer[] IS NULL OR r.user_id = ANY(%(users)s))
        RETURNING k.feedback_id, k.recommendation_id
    )
    UPDATE recommendations_db.recommendation_feedback f SET recommendation_id = back.recommendation_id
    FROM back WHERE f.id = back.feedback_id
    """,
    # feedback that is being stored holds its row until it is in, and the next statement sees it
    """
    CREATE KIND TABLE leaving AS
    SELECT r.id, r.user_id, r.product_id,
           coalesce(CAST(r.context ->> 'generation' AS integer), -1) AS generation
    FROM recommendations_db.product_recommendations r
    WHERE r.recommendation_type = ANY(%(own)s)
      AND (%(users)s::integer[] IS NULL OR r.user_id = ANY(%(users)s))
      AND NOT EXISTS (
          SELECT FROM fresh i WHERE i.user_id = r.user_id AND i.product_id = r.product_id
            AND i.recommendation_type = r.recommendation_type)
    FOR UPDATE OF r
    """,
    """
    INSERT INTO recommendations_db.feedback_of_retired (feedback_id, recommendation_id)
    SELECT f.id, f.recommendation_id
    FROM recommendations_db.recommendation_feedback f JOIN leaving l ON l.id = f.recommendation_id
    """,
    """
    INSERT INTO recommendations_db.retired_recommendations (user_id, product_id, id, generation_id)
    SELECT user_id, product_id, id, generation FROM leaving ON CONFLICT DO NOTHING
    """,
    "DELETE FROM recommendations_db.product_recommendations r USING leaving l WHERE r.id = l.id",
)
_SWEEP = "DELETE FROM recommendations_db.retired_recommendations WHERE generation_id <> ALL(%(kept)s)"
_WRITTEN = text(
    "UPDATE recommendations_db.recommendation_generations SET rows_written = true WHERE id = ANY(:ids)"
).bindparams(bindparam("ids", type_=ARRAY(INTEGER)))


def first_products(users: int) -> int:
    """How many products of each list are rows where so many users have lists.

    The setting `rows_per_list`; where it is unset all of them, but of shops with tens of thousands of users
    as many as make MOST_ROWS, and FEWEST at least.
    """
    given = get_settings().serving.rows_per_list
    return max(FEWEST, MOST_ROWS // (2 * max(1, users))) if given is None else given


def write_rows(
    session: Session,
    generation: int | None,
    *,
    expires_at: Any,
    keep: Sequence[int] = (),
    users: Sequence[int] | None = None,
) -> tuple[int, int]:
    """Make the rows those of a generation, of all users or of some; how many users and rows.

    Readers see it once the session commits.

    Parameters
    ----------
    generation
        None: no rows.
    expires_at
        When the rows expire.
    keep
        Other generations whose rows may come back under their ids; with `users` none is forgotten.
    users
        The users; None: all.
    """
    connection = driver_connection(session, "recommendations")
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
        "kept": [*([] if generation is None else [generation]), *keep],
    }
    with staging(session, "recommendations", _STAGED) as kind:
        connection.execute(_INCOMING.replace("KIND", kind).encode())
        people, rows = _copy(session, connection, values)
        named = [product for (product,) in connection.execute(_EVIDENCE)]
        found = session.execute(_NAMES, {"ids": named}).all()
        values |= {"products": [row.id for row in found], "names": [row.name for row in found]}
        for statement in (*_PREPARE, *_STEPS, *(() if users is not None else (_SWEEP,))):
            connection.execute(statement.replace("KIND", kind).encode(), values)
    return people, rows


def settle() -> bool:
    """Write the rows of the live generation, if they are another's: after a rollback, or a crash of one.

    It waits for a scoring that is running.

    Returns
    -------
    bool
        False when there was nothing to do.

    Raises
    ------
    Unavailable
        PostgreSQL does not answer.
    """
    with unit_of_work() as session:
        if not _unsettled(session):
            return False
    with locks.only_one_scoring(wait=True), unit_of_work() as session:
        if not _unsettled(session):
            return False
        shown, kept = generations.live(session), generations.former(session)
        keep = [] if kept is None else [kept.id]
        if shown is None:
            write_rows(session, None, expires_at=clock.now(), keep=keep)
        else:
            write_rows(session, shown.id, expires_at=shown.expires_at, keep=keep)
        session.execute(_WRITTEN, {"ids": [one.id for one in (shown, kept) if one is not None]})
    return True


def _unsettled(session: Session) -> bool:
    shown = generations.live(session)
    if shown is not None:
        return not shown.rows_written
    # none is shown: rows of the former one would be live to any reader
    kept = generations.former(session)
    return kept is not None and kept.rows_written


def _copy(session: Session, connection: psycopg.Connection[Any], values: dict[str, Any]) -> tuple[int, int]:
    people = rows = 0
    counted = connection.execute(_COUNT.encode(), values).fetchone()
    longest = first_products(counted[0] if counted else 0)
    with connection.cursor(name="packed_lists") as reader:
        reader.itersize = LISTS_AT_ONCE
        reader.execute(_LISTS.encode(), values)
        while some := reader.fetchmany(LISTS_AT_ONCE):
            kept = lock_users(session, [row[0] for row in some])
            some = [row for row in some if row[0] in kept]
            wire = _wire([row[0] for row in some], [row[1] for row in some], longest)
            with connection.cursor() as writer, writer.copy(_COPY) as copy:
                copy.write(_SIGNATURE + wire.tobytes() + b"\xff\xff")
            people += len(some)
            rows += wire.size
    return people, rows


def _wire(users: list[int], packed: list[bytes], longest: int) -> npt.NDArray[Any]:
    """One row for each of the first products of a user's lists, `longest` of each.

    A product that is in both has the same values in both, except for rank and score.
    """
    both = [entries_arrays(one) for one in packed]
    owners, ranks, entries, is_new = [], [], [], []
    for question in (0, 1):
        arrays = [one[question][:longest] for one in both]
        lengths = np.array([one.size for one in arrays], dtype=np.int64)
        starts = np.cumsum(lengths) - lengths
        owners.append(np.repeat(np.array(users, dtype=np.int64), lengths))
        ranks.append(np.arange(lengths.sum()) - np.repeat(starts, lengths) + 1)
        entries.append(np.concatenate(arrays))
        is_new.append(np.full(int(lengths.sum()), bool(question)))
    owner, rank, entry, new = map(np.concatenate, (owners, ranks, entries, is_new))
    # the first of equal keys is that of "any": its words are the row's
    keys, first, place = np.unique(owner << 32 | entry["product"], return_index=True, return_inverse=True)
    wire = np.zeros(keys.size, dtype=_WIRE)
    wire["fields"] = len(_FIELDS)
    for name, kind in _FIELDS:
        wire[f"{name}_bytes"] = int(kind[1:])
    wire["user_id"], wire["product_id"] = keys >> 32, keys & 0xFFFFFFFF
    for word, of_it in (("any", ~new), ("new", new)):
        wire[f"{word}_rank"][place[of_it]] = rank[of_it]
        wire[f"{word}_score"][place[of_it]] = entry["score"][of_it]
    unique = entry[first]
    wire["evidence"] = np.where(unique["evidence"] == 0, -1, unique["evidence"].astype(np.int64))
    codes = unique["codes"]
    wire["kind"], wire["bought"] = codes & 3, codes >> 2 & 1
    wire["reason"], wire["novel"] = codes >> 3 & 15, codes >> 7
    return wire
