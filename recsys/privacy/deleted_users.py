"""What is left of a user whom any program deletes, on servers that no foreign key reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from recsys.database.addresses import other_urls
from recsys.database.metadata import metadata
from recsys.database.servers.placement import server_of
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
    # those first that refer to others
    for table in reversed(metadata.sorted_tables):
        if server_of(table.fullname) not in others:
            continue
        for key in table.foreign_key_constraints:
            if key.referred_table is User.__table__:
                (column,) = key.columns
                is_cleared = key.ondelete == "SET NULL"
                change = update(table).values({column: None}) if is_cleared else delete(table)
                session.execute(change.where(column == event.user_id))
