"""What serving does when it hears an event, in a group of its own: nothing in the core looks up to it."""

from __future__ import annotations

from sqlalchemy.orm import Session

from recsys.events.envelope import Envelope, Handler
from recsys.events.vocabulary import Event, InteractionsRecorded, PreferencesChanged, UserLoggedIn
from serving.batch.refresh import refresh_list

__all__ = ["SUBSCRIPTIONS"]


def refresh(session: Session, envelope: Envelope) -> None:
    """Make the list of the user anew whom the event moved."""
    event = envelope.event
    if isinstance(event, InteractionsRecorded | PreferencesChanged | UserLoggedIn):
        refresh_list(session, event.user_id)


SUBSCRIPTIONS: dict[type[Event], tuple[Handler, ...]] = {
    InteractionsRecorded: (refresh,),
    PreferencesChanged: (refresh,),
    UserLoggedIn: (refresh,),
}
