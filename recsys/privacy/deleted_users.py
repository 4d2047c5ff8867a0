"""What is left of a user whom any program deletes, on servers that no foreign key reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from recsys.database.addresses import other_urls
from recsys.database.servers.shop_references import shop_references
from recsys.domains.users.tables import User
from recsys.events.vocabulary import UserDeactivated

if TYPE_CHECKING:
    from recsys.events.envelope import Envelope

__all__ = ["drop_references_of_deleted"]


def drop_references_of_deleted(session: Session, envelope: Envelope) -> None:
    """Delete or clear what refers to a user who is deleted, not only closed, as the foreign keys would."""
    event = envelope.event
    assert isinstance(event, UserDeactivated)
    others = other_urls()
    if not others or session.get(User, event.user_id) is not None:
        return
    for name in others:
        for reference in shop_references(name):
            if reference.target is User.__table__:
                session.execute(reference.removal().where(reference.column == event.user_id))
