"""Removes interactions of a user with a product: wrong data, or what a client overwrites."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from recsys.database.after_commit import after_commit
from recsys.domains.recommendations.interactions.recent import forget
from recsys.domains.recommendations.tables import UserInteraction

__all__ = ["remove"]


def remove(session: Session, user_id: int, product_id: int, interaction_type: str | None = None) -> int:
    """Delete interactions of one type or of all, and return how many.

    Their event ids are deleted with them: an event that is sent again is stored again. When none is left, the
    next response ignores them; models do so after their next training.
    """
    of_pair = (UserInteraction.user_id == user_id, UserInteraction.product_id == product_id)
    statement = delete(UserInteraction).where(*of_pair).returning(UserInteraction.id)
    if interaction_type is not None:
        statement = statement.where(UserInteraction.interaction_type == interaction_type)
    removed = len(session.scalars(statement).all())
    if removed and session.scalars(select(UserInteraction.id).where(*of_pair).limit(1)).first() is None:
        after_commit(session, lambda: forget(user_id, product_id))
    return removed
