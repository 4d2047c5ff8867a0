"""By which channels a user wants to hear from the shop, as a whole and for single kinds of messages."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.notifications.tables import NotificationPreference
from recsys.domains.users.tables import User

__all__ = ["change", "of_user", "wants"]

_DEFAULT = {"email": True, "sms": False, "push": True, "in_app": True}


def of_user(session: Session, user_id: int) -> NotificationPreference:
    """The user's preferences; where there are none yet, the shop's, not stored."""
    found = _row(session, user_id)
    if found is not None:
        return found
    return NotificationPreference(
        user_id=user_id,
        **{f"{channel}_enabled": wanted for channel, wanted in _DEFAULT.items()},
        preferences={},
    )


def wants(session: Session, user_id: int, channel: str, kind: str) -> bool:
    """Whether a user wants messages of this kind by this channel: a choice for the kind goes first."""
    chosen = of_user(session, user_id)
    if getattr(chosen, f"{channel}_enabled") is False:
        return False
    of_kind = (chosen.preferences or {}).get(kind, {})
    return bool(of_kind.get(channel, True))


def change(
    session: Session,
    user_id: int,
    *,
    channels: Mapping[str, bool],
    kinds: Mapping[str, Mapping[str, bool]],
) -> NotificationPreference:
    """Replace a user's preferences; one row however many requests come at once."""
    session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
    row = _row(session, user_id)
    if row is None:
        row = NotificationPreference(user_id=user_id, created_at=clock.now())
        session.add(row)
    for channel, default in _DEFAULT.items():
        setattr(row, f"{channel}_enabled", channels.get(channel, default))
    row.preferences = {kind: dict(by_channel) for kind, by_channel in kinds.items()}
    row.updated_at = clock.now()
    session.flush()
    return row


def _row(session: Session, user_id: int) -> NotificationPreference | None:
    return session.scalars(
        select(NotificationPreference)
        .where(NotificationPreference.user_id == user_id)
        .order_by(NotificationPreference.id)
        .limit(1)
    ).one_or_none()
