"""What products do when they hear events: forget what Redis holds of them, take over guests' views."""

from __future__ import annotations

from sqlalchemy.orm import Session

from recsys.database.collecting import collect
from recsys.domains.products import cache, reviews, views
from recsys.events.envelope import Envelope
from recsys.events.vocabulary import (
    InventoryChanged,
    OrderPaid,
    PriceChanged,
    ProductDeleted,
    ProductUpdated,
    ProductViewed,
    ReviewApproved,
    ReviewPosted,
    UserLoggedIn,
)

__all__ = ["adopt_views", "forget_product", "settle_view", "verify_reviews"]


def forget_product(session: Session, heard: Envelope) -> None:
    """Once more, for when Redis was away right after the change."""
    event = heard.event
    assert isinstance(
        event,
        ProductUpdated | ProductDeleted | PriceChanged | InventoryChanged | ReviewPosted | ReviewApproved,
    )
    cache.forget(event.product_id)


def verify_reviews(session: Session, heard: Envelope) -> None:
    """Who reviewed first and bought later has a verified review, too."""
    event = heard.event
    assert isinstance(event, OrderPaid)
    if event.user_id is not None:
        reviews.verify(session, event.user_id, [line.product_id for line in event.lines])


def adopt_views(session: Session, heard: Envelope) -> None:
    """What a guest looked at belongs to the user who logged in; later looks are a guest's again."""
    event = heard.event
    assert isinstance(event, UserLoggedIn)
    if event.guest_session_id is not None:
        views.adopt(session, event.guest_session_id, event.user_id, heard.occurred_at)


def settle_view(session: Session, heard: Envelope) -> None:
    """A look that was being stored while its guest logged in is the user's, too."""
    event = heard.event
    assert isinstance(event, ProductViewed)
    if event.user_id is None and event.session_id is not None:
        collect(session, views.settle, event.session_id)
