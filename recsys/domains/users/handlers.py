"""What the users domain does when it hears of a change: it clears caches that an outage left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from recsys.domains.users import cache
from recsys.domains.users.tables import User
from recsys.events.vocabulary import ProfileUpdated, UserDeactivated

if TYPE_CHECKING:
    from recsys.events.envelope import Envelope

__all__ = ["forget_changed"]


def forget_changed(session: Session, envelope: Envelope) -> None:
    """Delete the cached data of a user again, in case Redis was away at the change itself."""
    event = envelope.event
    assert isinstance(event, ProfileUpdated | UserDeactivated)
    user = session.get(User, event.user_id)
    names = () if user is None else (user.email, user.username)
    cache.forget_user(event.user_id, *names)
