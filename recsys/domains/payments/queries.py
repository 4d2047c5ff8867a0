"""Payments as they are shown, and what is left of them to give back."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from recsys.domains.orders import service as orders
from recsys.domains.orders.carts.store import Owner
from recsys.domains.payments.schemas import AttemptOut, PaymentOut, RefundOut
from recsys.domains.payments.states import PaymentStatus, RefundStatus
from recsys.domains.payments.tables import Payment, PaymentAttempt, Refund
from recsys.errors import NotFound
from recsys.money import ZERO, total

__all__ = ["own", "refundable", "shown"]


def own(session: Session, owner: Owner, payment_id: int) -> Payment:
    """A payment of the owner's order. Raises NotFound, also for another's."""
    payment = session.get(Payment, payment_id)
    if payment is None or payment.order_id is None:
        raise NotFound(f"You have no payment {payment_id}.")
    try:
        orders.owned(session, owner, payment.order_id)
    except NotFound:
        raise NotFound(f"You have no payment {payment_id}.") from None
    return payment


def shown(session: Session, payment_id: int) -> PaymentOut:
    """A payment with its tries and refunds. Raises NotFound."""
    session.flush()
    payment = session.get(Payment, payment_id)
    if payment is None:
        raise NotFound(f"There is no payment {payment_id}.")
    attempts = session.scalars(
        select(PaymentAttempt).where(PaymentAttempt.payment_id == payment_id).order_by(PaymentAttempt.id)
    )
    refunds = _refunds(session, payment_id)
    return PaymentOut(
        id=payment.id,
        order_id=payment.order_id,
        amount=payment.amount,
        currency=payment.currency,
        status=payment.status,
        gateway=payment.gateway,
        failure_reason=payment.failure_reason,
        refunded=total(one.amount for one in refunds if one.status == RefundStatus.SUCCEEDED),
        attempts=[AttemptOut.model_validate(one) for one in attempts],
        refunds=[RefundOut.model_validate(one) for one in refunds],
        created_at=payment.created_at,
    )


def refundable(session: Session, payment: Payment) -> Decimal:
    """What is left to give back of a payment that is `locked`; what is on its way counts as gone."""
    if payment.status not in (PaymentStatus.CAPTURED, PaymentStatus.PARTIALLY_REFUNDED):
        return ZERO
    gone = total(one.amount for one in _refunds(session, payment.id) if one.status != RefundStatus.FAILED)
    return payment.amount - gone


def _refunds(session: Session, payment_id: int) -> Sequence[Refund]:
    return session.scalars(select(Refund).where(Refund.payment_id == payment_id).order_by(Refund.id)).all()
