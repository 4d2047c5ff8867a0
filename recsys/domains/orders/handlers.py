"""Event handlers of orders: carts at log-in and after an order, and the stream of live orders."""

from __future__ import annotations

from sqlalchemy.orm import Session

from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.domains.orders.carts import store as carts
from recsys.domains.orders.carts.store import CartLine, Owner
from recsys.domains.orders.states import Fulfillment, Status
from recsys.domains.orders.tables import Order
from recsys.events.envelope import Envelope
from recsys.events.vocabulary import OrderPlaced, OrderReturned, OrderStatusChanged, UserLoggedIn

__all__ = ["bring_cart_along", "empty_ordered_cart", "tell_live_orders"]

_LIVE_LENGTH = 10_000


def bring_cart_along(session: Session, envelope: Envelope) -> None:
    """Merge a guest's cart into the user's, also where no later request names the guest's session."""
    event = envelope.event
    assert isinstance(event, UserLoggedIn)
    if event.guest_session_id is not None:
        carts.merge(event.guest_session_id, event.user_id)


def empty_ordered_cart(session: Session, envelope: Envelope) -> None:
    """Empty the cart of an order, where Redis was away right after the order."""
    event = envelope.event
    assert isinstance(event, OrderPlaced)
    owner = Owner(session_id=event.session_id) if event.user_id is None else Owner(user_id=event.user_id)
    lines = [CartLine(line.product_id, line.variant_id, line.quantity) for line in event.lines]
    carts.take_ordered(owner, event.order_id, lines)


def tell_live_orders(session: Session, envelope: Envelope) -> None:
    """Append each step of an order to `live_orders`, at least once; `event_id` makes repeats known."""
    event = envelope.event
    assert isinstance(event, OrderPlaced | OrderReturned | OrderStatusChanged)
    order = session.get(Order, event.order_id)
    if order is None:
        return
    get_redis().xadd(
        keys.live_orders(),
        {
            "event_id": str(envelope.event_id),
            "order_id": order.id,
            "order_number": order.order_number,
            "status": _status(event),
            "total": str(order.total_price),
            "currency": order.currency or "",
            "at": envelope.occurred_at.isoformat(),
        },
        maxlen=_LIVE_LENGTH,
        approximate=True,
    )


def _status(event: OrderPlaced | OrderReturned | OrderStatusChanged) -> str:
    if isinstance(event, OrderStatusChanged):
        return event.new
    return Fulfillment.RETURNED if isinstance(event, OrderReturned) else Status.PENDING
