"""What products do when they hear events: forget what Redis holds of them, take over guests' views."""

from __future__ import annotations

from sqlalchemy.orm import Session

from recsys.domains.products import cache, views
from recsys.events.envelope import Envelope
from recsys.events.vocabulary import (
    InventoryChanged,
    PriceChanged,
    ProductDeleted,
    ProductUpdated,
    ReviewApproved,
    ReviewPosted,
    UserLoggedIn,
)

__all__ = ["adopt_views", "forget_product"]


def forget_product(session: Session, heard: Envelope) -> None:
    """Once more, for when Redis was away right after the change."""
    event = heard.event
    assert isinstance(
        event,
        ProductUpdated | ProductDeleted | PriceChanged | InventoryChanged | ReviewPosted | ReviewApproved,
    )
    cache.forget(event.product_id)


def adopt_views(session: Session, heard: Envelope) -> None:
    """What a guest looked at belongs to the user who logged in."""
    event = heard.event
    assert isinstance(event, UserLoggedIn)
    if event.guest_session_id is not None:
        views.adopt(session, event.guest_session_id, event.user_id)
