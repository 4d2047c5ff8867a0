"""The rules of orders: from a cart to an order in one transaction, its states, and who may see it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.afterwards import after_commit
from recsys.domains.orders import addresses, carts
from recsys.domains.orders.carts import CartLine, Owner
from recsys.domains.orders.pricing import Quote
from recsys.domains.orders.schemas import CheckoutIn
from recsys.domains.orders.shopping import priced_lines, quoted
from recsys.domains.orders.states import FINANCIAL, FULFILLMENT, ORDER, Financial, Fulfillment, Status
from recsys.domains.orders.tables import (
    AbandonedCart,
    Checkout,
    Order,
    OrderItem,
    OrderStatusHistory,
)
from recsys.domains.products import inventory
from recsys.domains.users.tables import User
from recsys.errors import Conflict, Invalid, NotFound
from recsys.events.publish import publish
from recsys.events.vocabulary import (
    CartRecovered,
    OrderCancelled,
    OrderLine,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    OrderStatusChanged,
)
from recsys.settings import get_settings

__all__ = [
    "Placed",
    "cancel",
    "change_status",
    "checkout",
    "find",
    "get_order",
    "lines_of",
    "locked",
    "mark_fulfillment",
    "mark_payment",
    "owned",
]

# no letters and digits that are read for one another; 12 of 30 are 58 bits, so nobody finds one by trying
_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True)
class Placed:
    """An order, and whether this very request made it (or one with the same Idempotency-Key before)."""

    order: Order
    new: bool


def checkout(session: Session, owner: Owner, key: str, wanted: CheckoutIn) -> Placed:
    """Order what is in the cart: stock, order, lines, address and history in the caller's transaction.

    The same `key` of the same owner answers with the same order, whatever happened to the cart since; two
    requests at once wait for each other. A cart is ordered once, even under different keys.

    Raises Invalid (empty cart, no e-mail of a guest, unknown discount), Conflict (stock is short, the key was
    used for another request, the cart was ordered already).
    """
    fingerprint = hashlib.sha256(wanted.model_dump_json().encode()).hexdigest()
    mine = session.scalar(
        insert(Checkout)
        .values(owner=owner.name, key=key, fingerprint=fingerprint)
        .on_conflict_do_nothing(index_elements=[Checkout.owner, Checkout.key])
        .returning(Checkout.key)
    )
    if mine is None:
        return _again(session, owner, key, fingerprint)
    cart = carts.identified(owner)
    quote = quoted(priced_lines(session, cart.lines, strict=True), wanted.discount_code)
    _claim(session, owner, key, cart.id)
    order = _write(session, owner, wanted, quote)
    inventory.reserve(session, [_stock_line(line) for line in cart.lines], reference=order.order_number)
    session.execute(
        update(Checkout).where(Checkout.owner == owner.name, Checkout.key == key).values(order_id=order.id)
    )
    _recovered(session, owner, order)
    publish(
        session,
        OrderPlaced(
            order_id=order.id,
            user_id=order.user_id,
            session_id=owner.session_id,
            lines=_event_lines(session, order.id),
        ),
    )
    after_commit(session, lambda: carts.take_ordered(owner, order.id, cart.lines))
    return Placed(order, new=True)


def _again(session: Session, owner: Owner, key: str, fingerprint: str) -> Placed:
    earlier = session.scalars(select(Checkout).where(Checkout.owner == owner.name, Checkout.key == key)).one()
    if earlier.fingerprint != fingerprint:
        raise Conflict("This Idempotency-Key was used for another request; take a new one for a new order.")
    if earlier.order_id is None:
        raise Conflict("The order of this Idempotency-Key is no longer there; take a new key.")
    return Placed(get_order(session, earlier.order_id), new=False)


def _claim(session: Session, owner: Owner, key: str, cart_id: str | None) -> None:
    try:
        # the unique cart makes a second checkout of it wait for the first one's end
        with session.begin_nested():
            session.execute(
                update(Checkout)
                .where(Checkout.owner == owner.name, Checkout.key == key)
                .values(cart_id=cart_id)
            )
    except IntegrityError as error:
        raise Conflict("This cart was ordered already; see the orders.") from error


def _write(session: Session, owner: Owner, wanted: CheckoutIn, quote: Quote) -> Order:
    now = clock.now()
    order = Order(
        order_number="R-" + "".join(secrets.choice(_LETTERS) for _ in range(12)),
        user_id=owner.user_id,
        email=_email(session, owner, wanted),
        currency=get_settings().shop.currency,
        subtotal_price=quote.subtotal,
        total_discount=quote.discount,
        total_tax=quote.tax,
        total_shipping=quote.shipping,
        total_price=quote.total,
        notes=wanted.notes,
        status=Status.PENDING,
        financial_status=Financial.PENDING,
        fulfillment_status=Fulfillment.UNFULFILLED,
        created_at=now,
        updated_at=now,
    )
    session.add(order)
    session.flush()
    session.add_all(
        OrderItem(
            order_id=order.id,
            product_id=one.line.product_id,
            variant_id=one.line.variant_id,
            sku=one.line.sku,
            name=one.line.name,
            title=one.line.title,
            quantity=one.line.quantity,
            price=one.line.unit_price,
            total_discount=one.discount,
            taxable=one.line.taxable,
            requires_shipping=one.line.requires_shipping,
            created_at=now,
        )
        for one in quote.lines
    )
    addresses.of_order(session, order, wanted, needed=any(one.line.requires_shipping for one in quote.lines))
    _remember(session, order, Status.PENDING, user_id=owner.user_id)
    session.flush()
    return order


def _email(session: Session, owner: Owner, wanted: CheckoutIn) -> str:
    if wanted.email is not None:
        return wanted.email
    kept = (
        None if owner.user_id is None else session.scalar(select(User.email).where(User.id == owner.user_id))
    )
    if kept is None:
        raise Invalid("A guest's order needs an e-mail address; send it as email.")
    return kept


def _recovered(session: Session, owner: Owner, order: Order) -> None:
    """Carts that this shopper had left count as recovered by the order."""
    mine = (
        AbandonedCart.session_id == owner.session_id
        if owner.user_id is None
        else AbandonedCart.user_id == owner.user_id
    )
    found = session.scalars(
        update(AbandonedCart)
        .where(mine, AbandonedCart.recovered_at.is_(None))
        .values(recovered_at=clock.now())
        .returning(AbandonedCart.id)
    ).all()
    for cart in found:
        publish(session, CartRecovered(cart_id=cart, order_id=order.id))


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
                OrderPaid(order_id=order.id, user_id=order.user_id, lines=_event_lines(session, order.id)),
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
    _remember(session, order, new, user_id=by, notes=notes, notify=notify)
    publish(session, OrderStatusChanged(order_id=order.id, user_id=order.user_id, old=old, new=new))


def _remember(session: Session, order: Order, status: str, **told: Any) -> None:
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


def _event_lines(session: Session, order_id: int) -> tuple[OrderLine, ...]:
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


def _stock_line(line: CartLine) -> inventory.Line:
    return inventory.Line(product_id=line.product_id, variant_id=line.variant_id, quantity=line.quantity)
