"""Event handlers of serving, in a consumer group of their own: `recsys` never imports serving."""

from __future__ import annotations

from sqlalchemy.orm import Session

from recsys.events.envelope import Envelope, Handler
from recsys.events.vocabulary import (
    Event,
    InteractionsRecorded,
    PreferencesChanged,
    UserDeactivated,
    UserLoggedIn,
)
from serving.batch.refresh import refresh_before_commit, remove_list

__all__ = ["SUBSCRIPTIONS"]


def refresh(session: Session, envelope: Envelope) -> None:
    """Refresh the stored list of the user of the event when its transaction ends."""
    event = envelope.event
    if isinstance(event, InteractionsRecorded | PreferencesChanged | UserLoggedIn):
        refresh_before_commit(session, event.user_id)


def remove(session: Session, envelope: Envelope) -> None:
    """Remove the stored lists of a user who closed the account, or whom any program deleted."""
    if isinstance(envelope.event, UserDeactivated):
        remove_list(session, envelope.event.user_id)


SUBSCRIPTIONS: dict[type[Event], tuple[Handler, ...]] = {
    InteractionsRecorded: (refresh,),
    PreferencesChanged: (refresh,),
    UserLoggedIn: (refresh,),
    UserDeactivated: (remove,),
}
