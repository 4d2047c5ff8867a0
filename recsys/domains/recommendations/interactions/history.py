"""The stored interactions of a user or guest, newest first, for people who look at them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from recsys.domains.recommendations.tables import UserInteraction

__all__ = ["interactions_of"]


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

    product_id : with this product only. Interactions without a time come last. Raises ValueError unless a
    user or a session is given.
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
