"""Guest identity: interactions of a guest's session belong to the user who logs in with it.

One rule decides: an interaction of a guest's session belongs to the first user who logged in with it
afterwards. The rule is applied at the log-in, to all that is stored by then; to each batch stored later
(an event whose consumer handled it only after the log-in, an offline sender); and again when the event of
the log-in is handled. Interactions of the session after that user logged out stay a guest's, until the next
log-in.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER, VARCHAR
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.after_commit import after_commit
from recsys.domains.recommendations.interactions.recent import Touched, inherit, remember_touched
from recsys.domains.recommendations.tables import GuestLogin
from recsys.domains.recommendations.types import InteractionType
from recsys.settings import get_settings

__all__ = ["adopt", "begin", "settle", "settle_feedback", "tell_again"]

# A batch that is being stored while its session logs in would be seen by neither: the log-in waits for
# batches that began before, and later ones for the log-in. So few locks serve all sessions that a batch of
# a thousand guests does not fill PostgreSQL's table of locks.
_CLASS = 0x67756573
_BUCKETS = 128
_SHARED = text("SELECT pg_advisory_xact_lock_shared(:class, bucket) FROM unnest(:buckets) bucket").bindparams(
    bindparam("buckets", type_=ARRAY(INTEGER))
)
_EXCLUSIVE = text("SELECT pg_advisory_xact_lock(:class, :bucket)")

# The plans of these statements must not depend on statistics, which a table that has just grown lacks: nearly
# no guest ever logs in, so the few sessions that did are found first, each by the index. OFFSET 0 keeps the
# planner from joining the tables as a whole instead. A row is looked up by its id without "user_id IS NULL",
# since the planner would read the whole index of guests' rows for that where it takes them for none.
_LOGGED_IN = text(
    """
    SELECT given.session_id FROM unnest(:sessions) AS given(session_id)
    WHERE EXISTS (
        SELECT FROM recommendations_db.guest_logins l WHERE l.session_id = given.session_id OFFSET 0
    )
    """
).bindparams(bindparam("sessions", type_=ARRAY(VARCHAR)))
_SETTLE = text(
    """
    WITH owned AS MATERIALIZED (
        SELECT i.id, (
            SELECT l.user_id FROM recommendations_db.guest_logins l
            WHERE l.session_id = given.session_id AND l.logged_in_at >= i.created_at
            ORDER BY l.logged_in_at, l.id LIMIT 1
        ) AS user_id
        FROM unnest(:sessions) AS given(session_id) CROSS JOIN LATERAL (
            SELECT id, created_at FROM recommendations_db.user_interactions
            WHERE session_id = given.session_id AND user_id IS NULL OFFSET 0
        ) AS i
    ), locked AS MATERIALIZED (
        SELECT i.id, owned.user_id FROM owned CROSS JOIN LATERAL (
            SELECT id FROM recommendations_db.user_interactions
            WHERE id = owned.id AND coalesce(user_id, 0) = 0 FOR NO KEY UPDATE
        ) AS i
        WHERE owned.user_id IS NOT NULL ORDER BY owned.id
    )
    UPDATE recommendations_db.user_interactions i SET user_id = locked.user_id FROM locked
    WHERE i.id = locked.id AND coalesce(i.user_id, 0) = 0
    RETURNING i.user_id, i.product_id, i.interaction_type, i.created_at, i.interaction_value
    """
).bindparams(bindparam("sessions", type_=ARRAY(VARCHAR)))

_TOUCHED = text(
    """
    SELECT product_id, interaction_type, max(created_at), min(interaction_value)
    FROM recommendations_db.user_interactions
    WHERE user_id = :user AND session_id = :session AND created_at >= :since
    GROUP BY product_id, interaction_type, interaction_value < 0
    """
)

# by the same rule: feedback on what a guest was shown
_SETTLE_FEEDBACK = text(
    """
    WITH owned AS (
        SELECT DISTINCT ON (f.id) f.id, l.user_id
        FROM recommendations_db.guest_logins l
        JOIN recommendations_db.feedback_exposures e ON e.session_id = l.session_id
        JOIN recommendations_db.recommendation_feedback f
          ON f.id = e.feedback_id AND f.user_id IS NULL AND f.created_at <= l.logged_in_at
        WHERE l.session_id = ANY(:sessions)
        ORDER BY f.id, l.logged_in_at, l.id
    ), locked AS MATERIALIZED (
        SELECT f.id, owned.user_id FROM recommendations_db.recommendation_feedback f JOIN owned USING (id)
        WHERE owned.user_id IS NOT NULL AND f.user_id IS NULL
        ORDER BY f.id FOR NO KEY UPDATE OF f
    )
    UPDATE recommendations_db.recommendation_feedback f SET user_id = locked.user_id FROM locked
    WHERE f.id = locked.id AND f.user_id IS NULL
    """
).bindparams(bindparam("sessions", type_=ARRAY(VARCHAR)))


def adopt(session: Session, guest_session_id: str, user_id: int) -> int:
    """Give a guest's interactions to the user who logs in with that session; how many.

    Redis receives their products once the log-in is committed.
    """
    session.execute(_EXCLUSIVE, {"class": _CLASS, "bucket": _bucket(guest_session_id)})
    # the time is read while the lock is held: all that is stored by now happened before it
    session.add(GuestLogin(session_id=guest_session_id, user_id=user_id, logged_in_at=clock.now()))
    session.flush()
    touched = settle(session, [guest_session_id])
    settle_feedback(session, [guest_session_id])

    def tell() -> None:
        # first what waits for PostgreSQL and is known to Redis alone
        inherit(guest_session_id, user_id)
        remember_touched(touched)

    after_commit(session, tell)
    return len(touched)


def begin(session: Session, guest_session_ids: Collection[str]) -> None:
    """Before interactions of these sessions are stored: let a log-in of one of them finish first."""
    buckets = sorted({_bucket(one) for one in guest_session_ids})
    session.execute(_SHARED, {"class": _CLASS, "buckets": buckets})


def settle(session: Session, guest_session_ids: Collection[str]) -> list[Touched]:
    """Give stored interactions of these sessions to whom they belong; the caller tells Redis of them."""
    known = _logged_in(session, guest_session_ids)
    rows = session.execute(_SETTLE, {"sessions": known}) if known else ()
    return [
        Touched(user, product, InteractionType(kind), moment, value=value)
        for user, product, kind, moment, value in rows
    ]


def settle_feedback(session: Session, guest_session_ids: Collection[str]) -> None:
    """Give stored feedback of these sessions to whom it belongs."""
    known = _logged_in(session, guest_session_ids)
    if known:
        session.execute(_SETTLE_FEEDBACK, {"sessions": known})


def _logged_in(session: Session, guest_session_ids: Collection[str]) -> list[str]:
    """Those of the sessions that some user logged in with."""
    return list(session.scalars(_LOGGED_IN, {"sessions": sorted(guest_session_ids)}))


def tell_again(session: Session, guest_session_id: str, user_id: int) -> None:
    """After the commit, tell Redis what this user lately did in this session: it may have been away."""
    since = clock.now() - timedelta(hours=get_settings().serving.expires_after_hours)
    rows = session.execute(_TOUCHED, {"user": user_id, "session": guest_session_id, "since": since})
    touched = [
        Touched(user_id, product, InteractionType(kind), moment, value=value)
        for product, kind, moment, value in rows
    ]
    if touched:
        after_commit(session, lambda: remember_touched(touched))


def _bucket(guest_session_id: str) -> int:
    return zlib.crc32(guest_session_id.encode()) % _BUCKETS
