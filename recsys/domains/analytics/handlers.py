"""Event handlers of analytics: carts and orders become part of the visit in which they happened."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys.domains.analytics import sessionization
from recsys.domains.analytics.event_store import StoredEvent, Visitor, store_events
from recsys.domains.analytics.schemas import SHOP
from recsys.events.envelope import Envelope
from recsys.events.vocabulary import CartItemAdded, OrderCancelled, OrderPaid, OrderPlaced, UserLoggedIn

__all__ = ["adopt_visits", "count_cart", "count_order", "recount_order"]

_NAMESPACE = uuid5(NAMESPACE_URL, "urn:recsys:analytics:order")
_ORDER_VISIT = text(
    """
    SELECT e.session_id, e.timestamp FROM analytics_db.collected_events AS c
    JOIN analytics_db.user_events AS e ON e.id = c.user_event_id
    WHERE c.event_id = :event_id AND e.session_id IS NOT NULL
    """
)
_ADOPT = text(
    """
    WITH pages AS (
        UPDATE analytics_db.page_views SET user_id = :user_id
        WHERE session_id = :session_id AND user_id IS NULL RETURNING timestamp
    ), events AS (
        UPDATE analytics_db.user_events SET user_id = :user_id
        WHERE session_id = :session_id AND user_id IS NULL RETURNING timestamp
    )
    SELECT min(timestamp) FROM (SELECT timestamp FROM pages UNION ALL SELECT timestamp FROM events) AS adopted
    """
)


def count_cart(session: Session, envelope: Envelope) -> None:
    """Count a change of a cart."""
    event = envelope.event
    assert isinstance(event, CartItemAdded)
    properties = {"product_id": event.product_id, "quantity": event.quantity}
    _remember(session, event, envelope.occurred_at, envelope.event_id, sessionization.CART, properties)


def count_order(session: Session, envelope: Envelope) -> None:
    """Count an order; once it is paid, its visit has converted."""
    event = envelope.event
    assert isinstance(event, OrderPlaced)
    order = _order_event(event.order_id)
    _remember(
        session, event, envelope.occurred_at, order, sessionization.ORDERED, {"order_id": event.order_id}
    )


def recount_order(session: Session, envelope: Envelope) -> None:
    """Update the visit of an order that was paid or cancelled."""
    event = envelope.event
    assert isinstance(event, OrderPaid | OrderCancelled)
    visit = session.execute(_ORDER_VISIT, {"event_id": _order_event(event.order_id)}).one_or_none()
    if visit is not None:
        sessionization.hold(session, [visit.session_id])
        sessionization.roll_up(session, {visit.session_id: visit.timestamp})


def adopt_visits(session: Session, envelope: Envelope) -> None:
    """Give a guest's visit to the user who logged in with its session."""
    event = envelope.event
    assert isinstance(event, UserLoggedIn)
    if event.guest_session_id is None:
        return
    sessionization.hold(session, [event.guest_session_id])
    earliest = session.scalar(_ADOPT, {"user_id": event.user_id, "session_id": event.guest_session_id})
    if earliest is not None:
        sessionization.roll_up(session, {event.guest_session_id: earliest})


def _order_event(order_id: int) -> UUID:
    return uuid5(_NAMESPACE, str(order_id))


def _remember(
    session: Session, event: Any, moment: datetime, event_id: UUID, kind: str, properties: dict[str, int]
) -> None:
    stored = StoredEvent(0, event_id, moment, kind, SHOP, properties=properties)
    if event.session_id is not None:
        sessionization.hold(session, [event.session_id])
    if not store_events(session, Visitor(event.session_id, event.user_id), [stored]):
        return
    if event.session_id is not None:
        sessionization.roll_up(session, {event.session_id: moment})
    elif event.user_id is not None:
        # carts and orders of users name no session: the user's last items do
        until = moment + timedelta(microseconds=1)
        visits = sessionization.attribute(session, since=moment, until=until, user_id=event.user_id)
        sessionization.hold(session, list(visits))
        sessionization.roll_up(session, visits)
