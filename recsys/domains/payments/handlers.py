"""What payments do when they hear events: a cancelled order's money goes back."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from recsys.domains.orders.states import Status
from recsys.domains.orders.tables import Order
from recsys.domains.payments import refunds, service
from recsys.domains.payments.gateway import Outcome
from recsys.domains.payments.gateways import get_gateway
from recsys.domains.payments.schemas import RefundIn
from recsys.domains.payments.states import PaymentStatus
from recsys.domains.payments.tables import Payment
from recsys.events.envelope import Envelope
from recsys.events.vocabulary import OrderCancelled, PaymentAuthorised, PaymentCaptured

__all__ = ["give_back"]


def give_back(session: Session, heard: Envelope) -> None:
    """Void or refund what was held or taken for an order that is cancelled.

    Heard for a cancelled order, and for a payment that came through after its order was cancelled. The
    gateway's keys are made from the payment's id, so that a handler that runs again moves nothing twice.
    """
    event = heard.event
    assert isinstance(event, OrderCancelled | PaymentAuthorised | PaymentCaptured)
    order = session.get(Order, event.order_id)
    if order is None or order.status != Status.CANCELLED:
        return
    ids = session.scalars(
        select(Payment.id).where(
            Payment.order_id == order.id,
            Payment.status.in_(
                (PaymentStatus.AUTHORIZED, PaymentStatus.CAPTURED, PaymentStatus.PARTIALLY_REFUNDED)
            ),
        )
    ).all()
    for payment_id in ids:
        _give_back(session, payment_id)


def _give_back(session: Session, payment_id: int) -> None:
    payment = service.locked(session, payment_id)
    gateway, transaction = get_gateway(payment.gateway), payment.gateway_transaction_id or ""
    if payment.status == PaymentStatus.AUTHORIZED:
        answer = gateway.void(transaction, key=f"void:{payment_id}")
        service.tried(session, payment_id, f"void_{answer.outcome}", answer, answer.code)
        if answer.outcome is Outcome.APPROVED:
            service.move(payment, PaymentStatus.VOIDING)
            service.voided(session, payment)
        return
    left = service.refundable(session, payment)
    if left > 0:
        answer = gateway.refund(transaction, left, key=f"cancelled:{payment_id}")
        refund = refunds.start(session, payment_id, RefundIn(reason="the order was cancelled"), by=None)
        refunds.finish(session, refund.id, answer)
