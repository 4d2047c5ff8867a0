"""Parcels: what leaves the house, where it is, and when it arrived."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.orders import service
from recsys.domains.orders.schemas import ParcelIn, ParcelUpdate
from recsys.domains.orders.states import Financial, Fulfillment, Status
from recsys.domains.orders.tables import Order, OrderTracking
from recsys.errors import Conflict, NotFound
from recsys.events.publish import publish
from recsys.events.vocabulary import OrderDelivered, OrderShipped

__all__ = ["of_order", "send", "update"]

_PAID = (Financial.PAID, Financial.PARTIALLY_REFUNDED)


def of_order(session: Session, order_id: int) -> Sequence[OrderTracking]:
    """The parcels of an order, the first one first."""
    return session.scalars(
        select(OrderTracking).where(OrderTracking.order_id == order_id).order_by(OrderTracking.id)
    ).all()


def send(session: Session, order_id: int, parcel: ParcelIn, *, by: int | None) -> OrderTracking:
    """Note that a parcel left; the order is shipped with its first one.

    Parameters
    ----------
    parcel
        Its carrier and tracking number.
    by
        The user who does it.

    Raises
    ------
    Conflict
        The order is not paid, or is cancelled or delivered already.
    """
    order = service.locked(session, order_id)
    if order.financial_status not in _PAID:
        raise Conflict(f"The order's payment is {order.financial_status}; only a paid order is shipped.")
    if order.status != Status.SHIPPED:
        service.change_status(session, order_id, Status.SHIPPED, by=by, notify=True)
        service.mark_fulfillment(session, order, Fulfillment.FULFILLED)
    tracking = OrderTracking(order_id=order_id, **parcel.model_dump(), created_at=clock.now())
    session.add(tracking)
    session.flush()
    publish(
        session,
        OrderShipped(
            order_id=order_id,
            user_id=order.user_id,
            tracking_number=parcel.tracking_number,
            carrier=parcel.carrier,
        ),
    )
    return tracking


def update(session: Session, parcel_id: int, news: ParcelUpdate, *, by: int | None) -> OrderTracking:
    """Note where a parcel is; when the last one arrived, the order is delivered. Raises NotFound."""
    parcel = session.get(OrderTracking, parcel_id)
    if parcel is None or parcel.order_id is None:
        raise NotFound(f"There is no parcel {parcel_id}.")
    order = service.locked(session, parcel.order_id)
    session.refresh(parcel)
    if news.current_location is not None:
        parcel.current_location = news.current_location
    if news.estimated_delivery is not None:
        parcel.estimated_delivery = news.estimated_delivery
    parcel.updated_at = clock.now()
    if news.delivered and parcel.delivered_at is None:
        parcel.delivered_at = clock.now()
        session.flush()
        if all(one.delivered_at is not None for one in of_order(session, order.id)):
            _delivered(session, order, by=by)
    return parcel


def _delivered(session: Session, order: Order, *, by: int | None) -> None:
    service.change_status(session, order.id, Status.DELIVERED, by=by, notify=True)
    service.mark_fulfillment(session, order, Fulfillment.DELIVERED)
    publish(
        session,
        OrderDelivered(
            order_id=order.id,
            user_id=order.user_id,
            product_ids=tuple(
                item.product_id for item in service.lines_of(session, order.id) if item.product_id is not None
            ),
        ),
    )
