"""What orders do when they hear events: bring carts along at log-in, empty ordered ones, tell live orders."""

from __future__ import annotations

from sqlalchemy.orm import Session

from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.domains.orders.carts import store as carts
from recsys.domains.orders.carts.store import CartLine, Owner
from recsys.domains.orders.tables import Order
from recsys.events.envelope import Envelope
from recsys.events.vocabulary import OrderPlaced, OrderStatusChanged, UserLoggedIn

__all__ = ["bring_cart_along", "empty_ordered_cart", "tell_live_orders"]

_LIVE_LENGTH = 10_000


def bring_cart_along(session: Session, heard: Envelope) -> None:
    """A guest who logged in finds the cart again, also where no later request names the guest's session."""
    event = heard.event
    assert isinstance(event, UserLoggedIn)
    if event.guest_session_id is not None:
        carts.merge(event.guest_session_id, event.user_id)


def empty_ordered_cart(session: Session, heard: Envelope) -> None:
    """Where Redis was away right after an order, its cart is emptied now; otherwise nothing happens."""
    event = heard.event
    assert isinstance(event, OrderPlaced)
    owner = Owner(session_id=event.session_id) if event.user_id is None else Owner(user_id=event.user_id)
    lines = [CartLine(line.product_id, line.variant_id, line.quantity) for line in event.lines]
    carts.take_ordered(owner, event.order_id, lines)


def tell_live_orders(session: Session, heard: Envelope) -> None:
    """Each step of each order to `live_orders`; at least once, so readers know a step by its event's id."""
    event = heard.event
    assert isinstance(event, OrderPlaced | OrderStatusChanged)
    order = session.get(Order, event.order_id)
    if order is None:
        return
    get_redis().xadd(
        keys.live_orders(),
        {
            "event_id": str(heard.event_id),
            "order_id": order.id,
            "order_number": order.order_number,
            "status": event.new if isinstance(event, OrderStatusChanged) else "pending",
            "total": str(order.total_price),
            "currency": order.currency or "",
            "at": heard.occurred_at.isoformat(),
        },
        maxlen=_LIVE_LENGTH,
        approximate=True,
    )
