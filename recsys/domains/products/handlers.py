"""Handlers of events: drop products from the cache, assign guests' views and verify reviews."""

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


def forget_product(session: Session, envelope: Envelope) -> None:
    """Drop a product from the cache again, in case Redis was away at the change itself."""
    event = envelope.event
    assert isinstance(
        event,
        ProductUpdated | ProductDeleted | PriceChanged | InventoryChanged | ReviewPosted | ReviewApproved,
    )
    cache.forget(event.product_id)


def verify_reviews(session: Session, envelope: Envelope) -> None:
    """Mark the reviews of a buyer as verified, also those written before the purchase."""
    event = envelope.event
    assert isinstance(event, OrderPaid)
    if event.user_id is not None:
        reviews.verify(session, event.user_id, [line.product_id for line in event.lines])


def adopt_views(session: Session, envelope: Envelope) -> None:
    """Assign a guest's views to the user who logged in, up to the moment of the log-in."""
    event = envelope.event
    assert isinstance(event, UserLoggedIn)
    if event.guest_session_id is not None:
        views.adopt(session, event.guest_session_id, event.user_id, envelope.occurred_at)


def settle_view(session: Session, envelope: Envelope) -> None:
    """Assign a view that was stored while its guest logged in to the user."""
    event = envelope.event
    assert isinstance(event, ProductViewed)
    if event.user_id is None and event.session_id is not None:
        collect(session, views.settle, event.session_id)
