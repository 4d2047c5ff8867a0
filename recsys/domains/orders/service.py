"""The rules of orders once they are placed: who may see them, and the steps they take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.orders.carts.store import Owner
from recsys.domains.orders.states import FINANCIAL, FULFILLMENT, ORDER, Financial, Fulfillment, Status
from recsys.domains.orders.tables import (
    Checkout,
    Order,
    OrderItem,
    OrderStatusHistory,
)
from recsys.domains.products import inventory
from recsys.errors import NotFound
from recsys.events.publish import publish
from recsys.events.vocabulary import (
    OrderCancelled,
    OrderLine,
    OrderPaid,
    OrderRefunded,
    OrderStatusChanged,
)

__all__ = [
    "cancel",
    "change_status",
    "event_lines",
    "find",
    "get_order",
    "lines_of",
    "locked",
    "mark_fulfillment",
    "mark_payment",
    "owned",
    "remember",
]


def get_order(session: Session, order_id: int) -> Order:
    """The order. Raises NotFound."""
    order = session.get(Order, order_id)
    if order is None:
        raise NotFound(f"There is no order {order_id}.")
    return order


def owned(session: Session, owner: Owner, order_id: int) -> Order:
    """The order, if it is the owner's: a user's, or one that this guest's session made.

    Raises NotFound for another's as for none: that it exists is nobody else's business.
    """
    order = session.get(Order, order_id)
    if order is not None and owner.user_id is not None and order.user_id == owner.user_id:
        return order
    if order is not None and owner.session_id is not None and order.user_id is None:
        made = select(Checkout.key).where(Checkout.order_id == order_id, Checkout.owner == owner.name)
        if session.scalar(made.limit(1)) is not None:
            return order
    raise NotFound(f"You have no order {order_id}.")


def locked(session: Session, order_id: int) -> Order:
    """The order, locked until the transaction ends, so that two changes come one after the other."""
    order = session.scalars(
        select(Order).where(Order.id == order_id).with_for_update(key_share=True),
        execution_options={"populate_existing": True},
    ).one_or_none()
    if order is None:
        raise NotFound(f"There is no order {order_id}.")
    return order


def find(session: Session, order_number: str, email: str) -> Order:
    """A guest's order by its number and e-mail address. Raises NotFound, the same for either being wrong."""
    order = session.scalars(
        select(Order).where(Order.order_number == order_number, func.lower(Order.email) == email.lower())
    ).one_or_none()
    if order is None:
        raise NotFound("There is no order with this number and e-mail address.")
    return order


def lines_of(session: Session, order_id: int) -> Sequence[OrderItem]:
    """The lines of an order, in the order they were written."""
    return session.scalars(
        select(OrderItem).where(OrderItem.order_id == order_id).order_by(OrderItem.id)
    ).all()


def cancel(session: Session, order_id: int, reason: str, *, by: int | None) -> Order:
    """Cancel an order that has not left the house; its stock goes back. Twice is a Conflict."""
    order = locked(session, order_id)
    _move(session, order, Status.CANCELLED, by=by, notes=reason)
    order.cancelled_at, order.cancel_reason = clock.now(), reason
    if FINANCIAL.allows(order.financial_status or "", Financial.VOIDED):
        order.financial_status = Financial.VOIDED
    inventory.release(
        session,
        [
            inventory.Line(product_id=item.product_id, variant_id=item.variant_id, quantity=item.quantity)
            for item in lines_of(session, order_id)
            if item.product_id is not None
        ],
        reference=order.order_number,
        reason="cancelled",
    )
    publish(session, OrderCancelled(order_id=order.id, user_id=order.user_id, reason=reason))
    return order


def change_status(
    session: Session,
    order_id: int,
    new: str,
    *,
    by: int | None,
    notes: str | None = None,
    notify: bool = False,
) -> Order:
    """Take a step of the order by hand. Raises Conflict where it may not follow."""
    order = locked(session, order_id)
    _move(session, order, new, by=by, notes=notes, notify=notify)
    return order


def mark_payment(session: Session, order_id: int, new: str, *, by: int | None = None) -> Order:
    """What the payments domain tells: the order's money is authorised, paid, failed or given back.

    A paid order that was pending starts to be processed, and the purchase is announced, once. An order that
    was cancelled meanwhile keeps its status: its money has to go back, which the payments domain does.
    """
    order = locked(session, order_id)
    FINANCIAL.check(order.financial_status or Financial.PENDING, new)
    order.financial_status = new
    order.updated_at = clock.now()
    if new == Financial.PAID:
        order.processed_at = clock.now()
        if order.status == Status.PENDING:
            _move(session, order, Status.PROCESSING, by=by, notes="paid", notify=True)
        if order.status != Status.CANCELLED:
            publish(
                session,
                OrderPaid(
                    order_id=order.id,
                    user_id=order.user_id,
                    session_id=_visit_of(session, order),
                    lines=event_lines(session, order.id),
                ),
            )
    elif new in (Financial.REFUNDED, Financial.PARTIALLY_REFUNDED):
        publish(
            session, OrderRefunded(order_id=order.id, user_id=order.user_id, whole=new == Financial.REFUNDED)
        )
    return order


def mark_fulfillment(session: Session, order: Order, new: str) -> None:
    """The goods' state of an order that is `locked`. Raises Conflict where it may not follow."""
    FULFILLMENT.check(order.fulfillment_status or Fulfillment.UNFULFILLED, new)
    order.fulfillment_status = new
    order.updated_at = clock.now()


def _move(
    session: Session,
    order: Order,
    new: str,
    *,
    by: int | None,
    notes: str | None = None,
    notify: bool = False,
) -> None:
    old = order.status or Status.PENDING
    ORDER.check(old, new)
    order.status = new
    order.updated_at = clock.now()
    remember(session, order, new, user_id=by, notes=notes, notify=notify)
    publish(session, OrderStatusChanged(order_id=order.id, user_id=order.user_id, old=old, new=new))


def remember(session: Session, order: Order, status: str, **told: Any) -> None:
    session.add(
        OrderStatusHistory(
            order_id=order.id,
            status=status,
            notes=told.get("notes"),
            notify_customer=bool(told.get("notify")),
            user_id=told.get("user_id"),
            created_at=clock.now(),
        )
    )


def event_lines(session: Session, order_id: int) -> tuple[OrderLine, ...]:
    return tuple(
        OrderLine(
            line_id=item.id,
            product_id=item.product_id,
            variant_id=item.variant_id,
            quantity=item.quantity,
            unit_price=item.price,
        )
        for item in lines_of(session, order_id)
        if item.product_id is not None
    )


def _visit_of(session: Session, order: Order) -> str | None:
    """The visit that a guest ordered in, None for users and for orders that were not made by a checkout."""
    if order.user_id is not None:
        return None
    names = session.scalars(select(Checkout.owner).where(Checkout.order_id == order.id))
    return next((Owner.named(name).session_id for name in names), None)
