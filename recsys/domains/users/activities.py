"""What users did with their accounts, for them to read."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.users.tables import UserActivity

__all__ = ["latest", "latest_of_kinds", "record"]


def record(session: Session, user_id: int, kind: str, **details: str | int | bool | list[str] | None) -> None:
    """Note one activity; never a password, token or address in the details."""
    session.add(
        UserActivity(user_id=user_id, activity_type=kind, details=dict(details), timestamp=clock.now())
    )


def latest(session: Session, user_id: int, *, before: int | None, limit: int) -> Sequence[UserActivity]:
    """A user's activities, newest first; `before` is the id at which the last page ended."""
    query = select(UserActivity).where(UserActivity.user_id == user_id)
    if before is not None:
        query = query.where(UserActivity.id < before)
    return session.scalars(query.order_by(UserActivity.id.desc()).limit(limit)).all()


def latest_of_kinds(session: Session, kinds: Sequence[str], *, limit: int) -> Sequence[UserActivity]:
    """The activities of these kinds of all users, newest first."""
    query = select(UserActivity).where(UserActivity.activity_type.in_(kinds))
    return session.scalars(query.order_by(UserActivity.id.desc()).limit(limit)).all()
