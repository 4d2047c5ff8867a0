"""The rules of placed orders: who may see them, and the steps that they take."""

from __future__ import annotations

from collections.abc import Sequence

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
    OrderReturned,
    OrderStatusChanged,
)

__all__ = [
    "annotate",
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
    "take_back",
]


def get_order(session: Session, order_id: int) -> Order:
    """The order. Raises NotFound."""
    order = session.get(Order, order_id)
    if order is None:
        raise NotFound(f"There is no order {order_id}.")
    return order


def owned(session: Session, owner: Owner, order_id: int) -> Order:
    """The order, if it belongs to the owner: a user, or the guest's session that placed it.

    Raises
    ------
    NotFound
        There is none, or it is another owner's: the same error, so that nobody learns that it exists.
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
    """The order, locked until the transaction ends. Raises NotFound."""
    order = session.scalars(
        select(Order).where(Order.id == order_id).with_for_update(key_share=True),
        execution_options={"populate_existing": True},
    ).one_or_none()
    if order is None:
        raise NotFound(f"There is no order {order_id}.")
    return order


def find(session: Session, order_number: str, email: str) -> Order:
    """A guest's order by its number and e-mail address. Raises NotFound, whichever of them is wrong."""
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
    """Cancel an order that was not shipped, and release its stock. Raises NotFound, Conflict."""
    order = locked(session, order_id)
    _move(session, order, Status.CANCELLED, by=by, notes=reason)
    order.cancelled_at, order.cancel_reason = clock.now(), reason
    if FINANCIAL.allows(order.financial_status or "", Financial.VOIDED):
        order.financial_status = Financial.VOIDED
    _restock(session, order, "cancelled")
    publish(session, OrderCancelled(order_id=order.id, user_id=order.user_id, reason=reason))
    return order


def annotate(session: Session, order_id: int, internal_notes: str | None) -> Order:
    """Set the notes of an order that only administrators see. Raises NotFound."""
    order = locked(session, order_id)
    order.internal_notes = internal_notes
    order.updated_at = clock.now()
    return order


def take_back(session: Session, order_id: int, reason: str, *, restock: bool, by: int | None) -> Order:
    """Record the return of an order's goods, with `restock` into the stock. Raises NotFound, Conflict."""
    order = locked(session, order_id)
    mark_fulfillment(session, order, Fulfillment.RETURNED)
    if restock:
        _restock(session, order, "returned")
    remember(session, order, Fulfillment.RETURNED, user_id=by, notes=reason, notify=True)
    publish(session, OrderReturned(order_id=order.id, user_id=order.user_id, restocked=restock))
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
    """Take a step of the order by hand. Raises NotFound, and Conflict where the step may not follow."""
    order = locked(session, order_id)
    _move(session, order, new, by=by, notes=notes, notify=notify)
    return order


def mark_payment(session: Session, order_id: int, new: str, *, by: int | None = None) -> Order:
    """Set the state of an order's payment, as the payments domain reports it.

    A pending order that is paid starts to be processed, and the purchase is published, once. An order that
    was cancelled meanwhile keeps its status; the payments domain refunds it.
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
    """Set the state of the goods of a `locked` order. Raises Conflict where it may not follow."""
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


def _restock(session: Session, order: Order, reason: str) -> None:
    lines = [
        inventory.Line(product_id=item.product_id, variant_id=item.variant_id, quantity=item.quantity)
        for item in lines_of(session, order.id)
        if item.product_id is not None
    ]
    inventory.release(session, lines, reference=order.order_number, reason=reason)


def remember(
    session: Session,
    order: Order,
    status: str,
    *,
    user_id: int | None = None,
    notes: str | None = None,
    notify: bool = False,
) -> None:
    """Add an entry to the history of an order."""
    session.add(
        OrderStatusHistory(
            order_id=order.id,
            status=status,
            notes=notes,
            notify_customer=notify,
            user_id=user_id,
            created_at=clock.now(),
        )
    )


def event_lines(session: Session, order_id: int) -> tuple[OrderLine, ...]:
    """The lines of an order as its events carry them."""
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
    """The visit in which a guest ordered; None for users and for orders without a checkout."""
    if order.user_id is not None:
        return None
    names = session.scalars(select(Checkout.owner).where(Checkout.order_id == order.id))
    return next((Owner.named(name).session_id for name in names), None)
