"""Addresses: those that a user keeps, and the copy that goes with an order and never changes again."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.orders.schemas import AddressIn, CheckoutIn
from recsys.domains.orders.tables import Order, ShippingAddress
from recsys.domains.users.tables import User
from recsys.errors import Conflict, Invalid, NotFound

__all__ = ["MAX_ADDRESSES", "add", "change", "kept", "of_order", "remove"]

MAX_ADDRESSES = 50
_FIELDS = (
    "first_name",
    "last_name",
    "company",
    "address1",
    "address2",
    "city",
    "province",
    "country",
    "zip",
    "phone",
)


def kept(session: Session, user_id: int) -> Sequence[ShippingAddress]:
    """The addresses a user keeps, the default first; those of orders are not among them."""
    return session.scalars(
        select(ShippingAddress)
        .where(ShippingAddress.user_id == user_id, ShippingAddress.order_id.is_(None))
        .order_by(ShippingAddress.is_default.desc(), ShippingAddress.id)
    ).all()


def add(session: Session, user_id: int, given: AddressIn) -> ShippingAddress:
    """Keep an address; the first one is the default. Raises Conflict when there are too many."""
    _alone(session, user_id)
    mine = select(func.count()).where(ShippingAddress.user_id == user_id, ShippingAddress.order_id.is_(None))
    held = session.scalar(mine) or 0
    if held >= MAX_ADDRESSES:
        raise Conflict(f"{MAX_ADDRESSES} addresses are saved already; remove one first.")
    address = ShippingAddress(
        user_id=user_id, **given.model_dump(exclude={"is_default"}), is_default=False, created_at=clock.now()
    )
    session.add(address)
    session.flush()
    if given.is_default or held == 0:
        _make_default(session, user_id, address)
    return address


def change(session: Session, user_id: int, address_id: int, given: AddressIn) -> ShippingAddress:
    """Replace an address of this user. Raises NotFound, also for another user's."""
    _alone(session, user_id)
    address = _own(session, user_id, address_id)
    for field, value in given.model_dump(exclude={"is_default"}).items():
        setattr(address, field, value)
    address.updated_at = clock.now()
    if given.is_default:
        _make_default(session, user_id, address)
    return address


def remove(session: Session, user_id: int, address_id: int) -> None:
    """Keep an address no longer; orders that went there keep their copy. Raises NotFound."""
    session.delete(_own(session, user_id, address_id))


def of_order(session: Session, order: Order, wanted: CheckoutIn, *, needed: bool) -> None:
    """Write down where `order` goes: the given address, the named one, or the user's default.

    Parameters
    ----------
    wanted
        What the order names.
    needed
        Whether a parcel needs an address.

    Raises
    ------
    Invalid
        A parcel needs an address and there is none.
    """
    chosen = _chosen(session, order.user_id, wanted)
    if chosen is None:
        if needed:
            raise Invalid("The order needs a shipping_address.")
        return
    session.add(ShippingAddress(user_id=order.user_id, order_id=order.id, **chosen, created_at=clock.now()))


def _chosen(session: Session, user_id: int | None, wanted: CheckoutIn) -> dict[str, str | None] | None:
    if wanted.shipping_address is not None:
        return wanted.shipping_address.model_dump(exclude={"is_default"})
    found: ShippingAddress | None = None
    if wanted.shipping_address_id is not None:
        if user_id is None:
            raise Invalid("Guests have no saved addresses; send a shipping_address.")
        found = _own(session, user_id, wanted.shipping_address_id)
    elif user_id is not None:
        found = next((address for address in kept(session, user_id) if address.is_default), None)
    return None if found is None else {field: getattr(found, field) for field in _FIELDS}


def _own(session: Session, user_id: int, address_id: int) -> ShippingAddress:
    found = session.scalars(
        select(ShippingAddress).where(
            ShippingAddress.id == address_id,
            ShippingAddress.user_id == user_id,
            ShippingAddress.order_id.is_(None),
        )
    ).one_or_none()
    if found is None:
        raise NotFound(f"You have no saved address {address_id}.")
    return found


def _alone(session: Session, user_id: int) -> None:
    # two defaults, or one address too many, would come from two requests at once: they take turns
    session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))


def _make_default(session: Session, user_id: int, address: ShippingAddress) -> None:
    session.execute(
        update(ShippingAddress)
        .where(
            ShippingAddress.user_id == user_id,
            ShippingAddress.order_id.is_(None),
            ShippingAddress.id != address.id,
        )
        .values(is_default=False)
    )
    address.is_default = True
