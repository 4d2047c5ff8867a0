"""Consent of users and guests by purpose: without a word of theirs, both purposes are allowed.

PostgreSQL decides. Redis holds the refusals of personalisation, for lists while PostgreSQL is away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from redis.exceptions import RedisError
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, VARCHAR
from sqlalchemy.orm import Session

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.errors import Unavailable

__all__ = [
    "ALLOWED",
    "Consent",
    "adopt",
    "change",
    "of_visitor",
    "owners_of",
    "refuses_in_redis",
    "refusing_personalisation",
    "without_analytics",
    "without_personalisation",
]


@dataclass(frozen=True)
class Consent:
    """What a visitor allows.

    Attributes
    ----------
    personalisation
        Lists from the visitor's own behaviour, which models may learn from.
    analytics
        Page views, events, product views and impressions that name the visitor.
    """

    personalisation: bool = True
    analytics: bool = True


ALLOWED = Consent()
"""Of a visitor who has not answered."""
_READ = text(
    "SELECT bool_and(personalisation) AS personalisation, bool_and(analytics) AS analytics "
    "FROM users_db.consents WHERE owner = ANY(:owners)"
).bindparams(bindparam("owners", type_=ARRAY(VARCHAR)))
_REFUSING = {
    purpose: text(
        f"SELECT owner FROM users_db.consents WHERE NOT {purpose} AND owner = ANY(:owners)"  # noqa: S608
    ).bindparams(bindparam("owners", type_=ARRAY(VARCHAR)))
    for purpose in ("personalisation", "analytics")
}
_CHANGE = text(
    """
    INSERT INTO users_db.consents (owner, personalisation, analytics, changed_at)
    VALUES (:owner, :personalisation, :analytics, :now)
    ON CONFLICT (owner) DO UPDATE SET personalisation = excluded.personalisation,
        analytics = excluded.analytics, changed_at = excluded.changed_at
    """
)
_GENERATIONS = text("SELECT generation_id FROM recommendations_db.stored_lists WHERE user_id = :user")
_FORGET = (
    text("DELETE FROM recommendations_db.stored_lists WHERE user_id = :user"),
    text("DELETE FROM recommendations_db.product_recommendations WHERE user_id = :user"),
    # the version tells the processes that answer
    text(
        "WITH gone AS ("
        "DELETE FROM recommendations_db.segment_members WHERE user_id = :user RETURNING segment) "
        "UPDATE recommendations_db.segments SET version = version + 1 "
        "WHERE name IN (SELECT segment FROM gone)"
    ),
)


def owners_of(user_id: int | None, session_id: str | None) -> list[str]:
    """The names under which a visitor's consent is stored: the user's, and the guest session's."""
    user = [] if user_id is None else [f"user:{user_id}"]
    return user if session_id is None else [*user, f"session:{session_id}"]


def of_visitor(session: Session, user_id: int | None, session_id: str | None) -> Consent:
    """What a visitor allows; of a user with a guest session, what both allow."""
    owners = owners_of(user_id, session_id)
    row = session.execute(_READ, {"owners": owners}).one() if owners else None
    if row is None or row.personalisation is None:
        return ALLOWED
    return Consent(row.personalisation, row.analytics)


def without_personalisation(session: Session, users: Collection[int]) -> set[int]:
    """Which of these users refuse personalisation."""
    refusing = refusing_personalisation(session, (f"user:{user}" for user in users))
    return {int(owner.partition(":")[2]) for owner in refusing}


def without_analytics(session: Session, owners: Iterable[str]) -> set[str]:
    """Which of these owners refuse analytics."""
    wanted = sorted(set(owners))
    return set(session.scalars(_REFUSING["analytics"], {"owners": wanted})) if wanted else set()


def refusing_personalisation(session: Session, owners: Iterable[str]) -> set[str]:
    """Which of these owners, users or guest sessions, refuse personalisation."""
    wanted = sorted(set(owners))
    return set(session.scalars(_REFUSING["personalisation"], {"owners": wanted})) if wanted else set()


def adopt(session: Session, session_id: str, user_id: int) -> None:
    """Carry what a guest refused over to the user who logs in with that session.

    A refusal is never widened to a consent: the user then allows what both allowed.

    Raises
    ------
    Unavailable
        As in `change`, and only where the guest refuses more than the user.
    """
    own = of_visitor(session, user_id, None)
    both = of_visitor(session, user_id, session_id)
    if both != own:
        change(session, user_id, None, both)


def change(session: Session, user_id: int | None, session_id: str | None, consent: Consent) -> None:
    """Store what a visitor allows; the next request respects it.

    A user who refuses personalisation loses the stored lists and the recent interactions, in this
    transaction.

    Raises
    ------
    Unavailable
        Redis is away: a list that stays there would be displayed.
    """
    owners = owners_of(user_id, session_id)
    values = {"personalisation": consent.personalisation, "analytics": consent.analytics}
    for owner in owners:
        session.execute(_CHANGE, {"owner": owner, "now": clock.now(), **values})
    forgotten = []
    if user_id is not None and not consent.personalisation:
        forgotten = [keys.recent_interactions(user_id)] + [
            keys.stored_recommendations(generation, user_id)
            for generation in session.scalars(_GENERATIONS, {"user": user_id})
        ]
        for statement in _FORGET:
            session.execute(statement, {"user": user_id})
    if session_id is not None and not consent.personalisation:
        forgotten.append(keys.recent_session_interactions(session_id))
    try:
        pipeline = get_redis().pipeline(transaction=True)
        for owner in owners:
            if consent.personalisation:
                pipeline.delete(keys.refused_personalisation(owner))
            else:
                pipeline.set(keys.refused_personalisation(owner), "1")
        if forgotten:
            pipeline.delete(*forgotten)
        pipeline.execute()
    except (RedisError, OSError) as error:
        message = "Redis does not answer, so that stored lists cannot be removed; try again in a moment."
        raise Unavailable(message, public=message) from error


def refuses_in_redis(user_id: int | None, session_id: str | None) -> bool:
    """Whether a visitor refuses personalisation by what Redis has; raises RedisError, Unavailable."""
    names = [keys.refused_personalisation(owner) for owner in owners_of(user_id, session_id)]
    return bool(names) and int(get_redis().exists(*names)) > 0
