"""Removes interactions of a user with a product: wrong data, or what a client overwrites."""

from __future__ import annotations

from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from recsys.database.after_commit import after_commit
from recsys.domains.recommendations.interactions.recent import forget
from recsys.domains.recommendations.tables import UserInteraction

__all__ = ["remove"]


_TOUCH = text(
    """
    UPDATE recommendations_db.user_interactions SET user_id = user_id
    WHERE id = (SELECT id FROM recommendations_db.user_interactions WHERE user_id = :user LIMIT 1)
    """
)


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
    if removed:
        # deleted rows leave no trace: a row that is written again tells the next scoring whose list is old
        session.execute(_TOUCH, {"user": user_id})
    if removed and session.scalars(select(UserInteraction.id).where(*of_pair).limit(1)).first() is None:
        after_commit(session, lambda: forget(user_id, product_id))
    return removed
