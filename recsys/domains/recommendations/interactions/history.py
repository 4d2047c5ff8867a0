"""The stored interactions of a user, guest or product, for people who look at them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import String, cast, func, select
from sqlalchemy.orm import Session

from recsys.domains.recommendations.tables import UserInteraction
from recsys.domains.users.tables import User

__all__ = ["interactions_of", "newest_interactions", "product_counts", "product_weeks", "recently_active"]

_PERSON = func.coalesce(cast(UserInteraction.user_id, String), UserInteraction.session_id)
_NEWEST = 5_000
"""Interactions among which the people who were active lately are looked for."""


def interactions_of(
    session: Session,
    *,
    user_id: int | None = None,
    session_id: str | None = None,
    product_id: int | None = None,
    until: datetime | None = None,
    limit: int,
) -> Sequence[UserInteraction]:
    """Return the newest `limit` interactions of a user, or of a guest's session, up to a moment.

    Interactions without a time come last.

    Parameters
    ----------
    product_id
        With this product only.
    until
        The moment; None for no limit.

    Raises
    ------
    ValueError
        Neither a user nor a session is given.
    """
    query = select(UserInteraction)
    if user_id is not None:
        query = query.where(UserInteraction.user_id == user_id)
    elif session_id is not None:
        query = query.where(UserInteraction.session_id == session_id, UserInteraction.user_id.is_(None))
    else:
        raise ValueError("a user or a guest's session is expected")
    if product_id is not None:
        query = query.where(UserInteraction.product_id == product_id)
    if until is not None:
        query = query.where(UserInteraction.created_at <= until)
    newest = query.order_by(UserInteraction.created_at.desc().nulls_last(), UserInteraction.id.desc())
    return session.scalars(newest.limit(limit)).all()


def newest_interactions(session: Session, limit: int) -> Sequence[UserInteraction]:
    """Return the newest interactions of everybody, the newest first."""
    query = select(UserInteraction).where(UserInteraction.created_at.is_not(None))
    return session.scalars(query.order_by(UserInteraction.created_at.desc()).limit(limit)).all()


def recently_active(session: Session, limit: int) -> Sequence[User]:
    """Return the accounts with the newest interactions, the newest first."""
    newest = (
        select(UserInteraction.user_id, UserInteraction.created_at)
        .where(UserInteraction.user_id.is_not(None), UserInteraction.created_at.is_not(None))
        .order_by(UserInteraction.created_at.desc())
        .limit(_NEWEST)
        .subquery()
    )
    last = func.max(newest.c.created_at)
    query = select(newest.c.user_id).group_by(newest.c.user_id).order_by(last.desc(), newest.c.user_id)
    ids = session.scalars(query.limit(limit)).all()
    users = {user.id: user for user in session.scalars(select(User).where(User.id.in_(ids)))}
    return [users[each] for each in ids if each in users]


def product_counts(session: Session, product_id: int) -> dict[str, tuple[int, int]]:
    """Return by type of interaction how many users did it with the product, and how often."""
    rows = session.execute(
        select(
            UserInteraction.interaction_type,
            func.count(func.distinct(_PERSON)),
            func.count(),
        )
        .where(UserInteraction.product_id == product_id)
        .group_by(UserInteraction.interaction_type)
    )
    return {kind: (people, events) for kind, people, events in rows}


def product_weeks(session: Session, product_id: int, weeks: int) -> list[int]:
    """Return the interactions with the product in each of the last weeks, the oldest first.

    The weeks end with the newest interaction of the product, so that old data has a trend, too.
    """
    of_product = UserInteraction.product_id == product_id
    newest = session.scalar(select(func.max(UserInteraction.created_at)).where(of_product))
    if newest is None:
        return [0] * weeks
    moments = session.scalars(
        select(UserInteraction.created_at).where(
            of_product, UserInteraction.created_at > newest - timedelta(weeks=weeks)
        )
    )
    counts = [0] * weeks
    for moment in moments:
        if moment is not None:
            counts[weeks - 1 - (newest - moment) // timedelta(weeks=1)] += 1
    return counts
