"""Stored ways to pay: the gateway's token with what may be known of the card behind it."""

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

__all__ = ["MAX_METHODS", "add", "kept", "make_default", "remove"]

MAX_METHODS = 20


def kept(session: Session, user_id: int) -> Sequence[PaymentMethod]:
    """A user's ways to pay, the default first."""
    return session.scalars(
        select(PaymentMethod)
        .where(PaymentMethod.user_id == user_id)
        .order_by(PaymentMethod.is_default.desc(), PaymentMethod.id)
    ).all()


def add(session: Session, user_id: int, given: MethodIn) -> PaymentMethod:
    """Keep a token; the same one again changes nothing. The first is the default.

    Raises Invalid for a token that the gateway doesn't know, Conflict when there are too many.
    """
    _alone(session, user_id)
    gateway = get_gateway()
    card = gateway.card(given.token)
    if card is None:
        raise Invalid(f"The gateway {gateway.name} knows no such token; take the one its payment form gave.")
    mine = kept(session, user_id)
    method = next((one for one in mine if one.gateway_id == given.token), None)
    if method is None:
        if len(mine) >= MAX_METHODS:
            raise Conflict(f"{MAX_METHODS} ways to pay are kept already; remove one first.")
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
            created_at=clock.now(),
        )
        session.add(method)
        session.flush()
    if given.is_default or not mine:
        make_default(session, user_id, method.id)
    return method


def make_default(session: Session, user_id: int, method_id: int) -> PaymentMethod:
    """Make it the one that is offered first. Raises NotFound, also for another user's."""
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
    """Keep it no longer; what was paid with it stays. Raises NotFound, also for another user's."""
    session.delete(_own(session, user_id, method_id))


def _own(session: Session, user_id: int, method_id: int) -> PaymentMethod:
    method = session.scalars(
        select(PaymentMethod).where(PaymentMethod.id == method_id, PaymentMethod.user_id == user_id)
    ).one_or_none()
    if method is None:
        raise NotFound(f"You keep no payment method {method_id}.")
    return method


def _alone(session: Session, user_id: int) -> None:
    # two requests at once would make two defaults, or keep a token twice: they take turns
    session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
