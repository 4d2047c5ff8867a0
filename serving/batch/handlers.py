"""Event handlers of serving, in a consumer group of their own: `recsys` never imports serving."""

from __future__ import annotations

from sqlalchemy.orm import Session

from recsys.events.envelope import Envelope, Handler
from recsys.events.vocabulary import (
    Event,
    InteractionsRecorded,
    InventoryChanged,
    OrderPlaced,
    PreferencesChanged,
    ProductUpdated,
    UserDeactivated,
    UserLoggedIn,
)
from serving.batch.refresh import refresh_before_commit, remove_list
from serving.batch.shared_lists import forget_lists_of_orders, forget_lists_with

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


def forget_counts(session: Session, envelope: Envelope) -> None:
    """Forget what is bought together with the products of an order."""
    if isinstance(envelope.event, OrderPlaced):
        forget_lists_of_orders(session, {line.product_id for line in envelope.event.lines})


def forget_lists(session: Session, envelope: Envelope) -> None:
    """Forget the lists that lack a product which came back on sale."""
    event = envelope.event
    is_back = (isinstance(event, ProductUpdated) and "status" in event.changed) or (
        isinstance(event, InventoryChanged) and event.quantity - event.change <= 0 < event.quantity
    )
    if is_back and isinstance(event, ProductUpdated | InventoryChanged):
        forget_lists_with(session, event.product_id)


SUBSCRIPTIONS: dict[type[Event], tuple[Handler, ...]] = {
    InteractionsRecorded: (refresh,),
    PreferencesChanged: (refresh,),
    UserLoggedIn: (refresh,),
    UserDeactivated: (remove,),
    OrderPlaced: (forget_counts,),
    ProductUpdated: (forget_lists,),
    InventoryChanged: (forget_lists,),
}
