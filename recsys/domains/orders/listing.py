"""Orders as responses: one whole, or pages of them, newest first."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from recsys.domains.orders import service, shipments
from recsys.domains.orders.schemas import (
    AddressOut,
    OrderItemOut,
    OrderOut,
    OrderSummary,
    ParcelOut,
    StaffOrderOut,
    StatusChange,
)
from recsys.domains.orders.tables import Order, OrderStatusHistory, ShippingAddress
from recsys.web.pagination import Page, last_id, page_of

__all__ = ["page", "whole", "whole_for_staff"]


def whole(session: Session, order: Order) -> OrderOut:
    """An order with its lines, address, history and parcels."""
    session.flush()
    address = session.scalars(
        select(ShippingAddress).where(ShippingAddress.order_id == order.id).limit(1)
    ).one_or_none()
    history = session.scalars(
        select(OrderStatusHistory)
        .where(OrderStatusHistory.order_id == order.id)
        .order_by(OrderStatusHistory.id)
    )
    return OrderOut(
        **OrderSummary.model_validate(order).model_dump(),
        email=order.email,
        notes=order.notes,
        cancelled_at=order.cancelled_at,
        cancel_reason=order.cancel_reason,
        items=[OrderItemOut.model_validate(item) for item in service.lines_of(session, order.id)],
        shipping_address=None if address is None else AddressOut.model_validate(address),
        history=[StatusChange.model_validate(one) for one in history],
        parcels=[ParcelOut.model_validate(one) for one in shipments.of_order(session, order.id)],
    )


def whole_for_staff(session: Session, order: Order) -> StaffOrderOut:
    """The same with the notes that no customer sees."""
    return StaffOrderOut(**whole(session, order).model_dump(), internal_notes=order.internal_notes)


def page(
    session: Session,
    *,
    limit: int,
    cursor: str | None,
    user_id: int | None = None,
    status: str | None = None,
) -> Page[OrderSummary]:
    """Orders before `cursor`, newest first by id, so that new orders shift no page.

    Raises
    ------
    Invalid
        The cursor is of another list.
    """
    query = select(Order).order_by(Order.id.desc()).limit(limit + 1)
    if user_id is not None:
        query = query.where(Order.user_id == user_id)
    if status is not None:
        query = query.where(Order.status == status)
    if (before := last_id(cursor)) is not None:
        query = query.where(Order.id < before)
    return page_of(session.scalars(query).all(), limit, OrderSummary.model_validate)
