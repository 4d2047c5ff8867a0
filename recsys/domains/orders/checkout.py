"""From a cart to an order, in one transaction and once: prices, stock, lines, address, history, event."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.after_commit import after_commit
from recsys.domains.orders import addresses, service
from recsys.domains.orders.carts import store as carts
from recsys.domains.orders.carts.cart_view import priced_lines, quoted
from recsys.domains.orders.carts.store import CartLine, Owner
from recsys.domains.orders.pricing import Quote
from recsys.domains.orders.schemas import CheckoutIn
from recsys.domains.orders.states import Financial, Fulfillment, Status
from recsys.domains.orders.tables import AbandonedCart, Checkout, Order, OrderItem
from recsys.domains.products import inventory
from recsys.domains.users.tables import User
from recsys.errors import Conflict, Invalid
from recsys.events.publish import publish, publish_all
from recsys.events.vocabulary import CartRecovered, OrderPlaced
from recsys.settings import get_settings

__all__ = ["Placed", "checkout"]

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

    Raises
    ------
    Invalid
        The cart is empty, a guest gives no e-mail, or the discount is unknown.
    Conflict
        The stock is short, the key was used for another request, or the cart was ordered already.
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
            lines=service.event_lines(session, order.id),
        ),
    )
    after_commit(session, lambda: carts.take_ordered(owner, order.id, cart.lines))
    return Placed(order, new=True)


def _again(session: Session, owner: Owner, key: str, fingerprint: str) -> Placed:
    earlier = session.scalars(select(Checkout).where(Checkout.owner == owner.name, Checkout.key == key)).one()
    if earlier.fingerprint != fingerprint:
        raise Conflict("This Idempotency-Key was used for another request; use a new one.")
    if earlier.order_id is None:
        raise Conflict("The order of this Idempotency-Key no longer exists; use a new key.")
    return Placed(service.get_order(session, earlier.order_id), new=False)


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
    service.remember(session, order, Status.PENDING, user_id=owner.user_id)
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
    publish_all(session, [(uuid4(), CartRecovered(cart_id=cart, order_id=order.id)) for cart in found])


def _stock_line(line: CartLine) -> inventory.Line:
    return inventory.Line(product_id=line.product_id, variant_id=line.variant_id, quantity=line.quantity)
