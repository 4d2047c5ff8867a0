"""Stored payment methods: the gateway's token, and the data of its card that may be stored."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.payments.gateways import get_gateway
from recsys.domains.payments.schemas import MethodIn
from recsys.domains.payments.tables import PaymentMethod
from recsys.domains.users.tables import User
from recsys.errors import Conflict, Invalid, NotFound

__all__ = ["MAX_METHODS", "add", "make_default", "remove", "stored"]

MAX_METHODS = 20


def stored(session: Session, user_id: int) -> Sequence[PaymentMethod]:
    """A user's payment methods, the default first."""
    return session.scalars(
        select(PaymentMethod)
        .where(PaymentMethod.user_id == user_id)
        .order_by(PaymentMethod.is_default.desc(), PaymentMethod.id)
    ).all()


def add(session: Session, user_id: int, given: MethodIn) -> PaymentMethod:
    """Store a token; the same token again changes nothing. The first is the default.

    Raises
    ------
    Invalid
        The gateway does not know the token.
    Conflict
        There are too many.
    """
    _alone(session, user_id)
    gateway = get_gateway()
    card = gateway.card(given.token)
    if card is None:
        raise Invalid(f"The gateway {gateway.name} does not know the token; send that of its payment form.")
    mine = stored(session, user_id)
    method = next((method for method in mine if method.gateway_id == given.token), None)
    if method is None:
        if len(mine) >= MAX_METHODS:
            raise Conflict(f"{MAX_METHODS} payment methods are stored already; remove one first.")
        method = PaymentMethod(
            user_id=user_id,
            type=card.kind,
            provider=gateway.name,
            gateway_id=given.token,
            last4=card.last4,
            brand=card.brand,
            expiry_month=card.expiry_month,
            expiry_year=card.expiry_year,
            is_default=False,
            billing_address=None if given.billing_address is None else given.billing_address.model_dump(),
            details=given.metadata,
            created_at=clock.now(),
        )
        session.add(method)
        session.flush()
    if given.is_default or not mine:
        make_default(session, user_id, method.id)
    return method


def make_default(session: Session, user_id: int, method_id: int) -> PaymentMethod:
    """Make it the default. Raises NotFound, also for another user's."""
    _alone(session, user_id)
    method = _own(session, user_id, method_id)
    session.execute(
        update(PaymentMethod)
        .where(PaymentMethod.user_id == user_id)
        .values(is_default=PaymentMethod.id == method_id)
    )
    session.refresh(method)
    return method


def remove(session: Session, user_id: int, method_id: int) -> None:
    """Delete it; its payments stay. Raises NotFound, also for another user's."""
    session.delete(_own(session, user_id, method_id))


def _own(session: Session, user_id: int, method_id: int) -> PaymentMethod:
    method = session.scalars(
        select(PaymentMethod).where(PaymentMethod.id == method_id, PaymentMethod.user_id == user_id)
    ).one_or_none()
    if method is None:
        raise NotFound(f"You have no payment method {method_id}.")
    return method


def _alone(session: Session, user_id: int) -> None:
    # two requests at once would make two defaults, or keep a token twice: they take turns
    session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
