"""Refunds of cancelled orders: requested at once, and again where the gateway refused."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.orders.states import Status
from recsys.domains.orders.tables import Order
from recsys.domains.payments import processing, queries, service
from recsys.domains.payments.gateway import GatewayOutcome
from recsys.domains.payments.gateways import get_gateway
from recsys.domains.payments.refunds import refunds
from recsys.domains.payments.schemas import RefundIn
from recsys.domains.payments.states import PaymentStatus, RefundStatus
from recsys.domains.payments.tables import Payment, PaymentAttempt, Refund
from recsys.errors import Unavailable
from recsys.log import get_logger

__all__ = ["FIRST_PAUSE", "MOST_TRIES", "again", "give_back"]

MOST_TRIES = 6
"""Requests to the gateway per payment; administrators are notified of each refusal."""
FIRST_PAUSE = timedelta(hours=1)
"""Before the second try; each later pause is four times as long as the one before."""
_REASON = "the order was cancelled"
_TAKEN = (PaymentStatus.CAPTURED, PaymentStatus.PARTIALLY_REFUNDED)
_log = get_logger(__name__)


def give_back(session: Session, order_id: int) -> None:
    """Void or refund what was held or taken for a cancelled order; nothing for any other order.

    The gateway's keys are made from the payment's id, so that a handler that runs again moves nothing twice.
    """
    order = session.get(Order, order_id)
    if order is None or order.status != Status.CANCELLED:
        return
    ids = session.scalars(
        select(Payment.id).where(
            Payment.order_id == order.id, Payment.status.in_((PaymentStatus.AUTHORIZED, *_TAKEN))
        )
    ).all()
    for payment_id in ids:
        _of_payment(session, payment_id)


def again(*, first_pause: timedelta = FIRST_PAUSE) -> dict[int, str]:
    """Retry refused refunds whose pause is over; return payment id → its status afterwards.

    Only an explicit refusal is retried, under a new key: a request without an answer is settled under its old
    key, or the same money could be returned twice.
    """
    with unit_of_work() as session:
        unreturned = session.execute(
            select(Payment.id, Payment.status)
            .join(Order, Order.id == Payment.order_id)
            .where(Order.status == Status.CANCELLED, Payment.status.in_((PaymentStatus.AUTHORIZED, *_TAKEN)))
            .order_by(Payment.id)
        ).all()
        due = [one for one in unreturned if _is_due(session, one.id, one.status, first_pause)]
    statuses = {}
    for payment_id, status in due:
        try:
            if status == PaymentStatus.AUTHORIZED:
                processing.void(payment_id)
            else:
                _refund(payment_id)
        except Unavailable as error:
            _log.warning("money not given back", payment_id=payment_id, reason=error.message)
        with unit_of_work() as session:
            statuses[payment_id] = session.get_one(Payment, payment_id).status or PaymentStatus.PENDING
    return statuses


def _of_payment(session: Session, payment_id: int) -> None:
    payment = service.locked(session, payment_id)
    gateway, transaction = get_gateway(payment.gateway), payment.gateway_transaction_id or ""
    if payment.status == PaymentStatus.AUTHORIZED:
        if _refusals(session, payment_id, payment.status)[0]:
            return  # refused at an earlier event: `again` asks once the pause is over
        answer = gateway.void(transaction, key=service.step_key(session, payment_id, "void"))
        service.tried(session, payment_id, f"void_{answer.outcome}", answer, answer.code)
        service.move(payment, PaymentStatus.VOIDING)
        if answer.outcome is GatewayOutcome.APPROVED:
            service.voided(session, payment)
        else:
            service.not_voided(session, payment, answer)
        return
    left = queries.refundable(session, payment)
    if left > 0 and not _refusals(session, payment_id, payment.status or "")[0]:
        answer = gateway.refund(transaction, left, key=f"cancelled:{payment_id}")
        refund = refunds.start(session, payment_id, RefundIn(reason=_REASON), by=None)
        refunds.finish(session, refund.id, answer)


def _refund(payment_id: int) -> None:
    with unit_of_work() as session:
        payment = service.locked(session, payment_id)
        if queries.refundable(session, payment) <= 0:
            return
        refund_id = refunds.start(session, payment_id, RefundIn(reason=_REASON), by=None).id
    refunds.ask(refund_id)


def _is_due(session: Session, payment_id: int, status: str, first_pause: timedelta) -> bool:
    refusals, last = _refusals(session, payment_id, status)
    if not 0 < refusals < MOST_TRIES or last is None:
        return False
    pause: timedelta = first_pause * 4 ** (refusals - 1)
    return clock.now() - last >= pause


def _refusals(session: Session, payment_id: int, status: str) -> tuple[int, datetime | None]:
    if status == PaymentStatus.AUTHORIZED:
        query = select(func.count(), func.max(PaymentAttempt.created_at)).where(
            PaymentAttempt.payment_id == payment_id,
            PaymentAttempt.status == f"void_{GatewayOutcome.DECLINED}",
        )
    else:
        query = select(func.count(), func.max(Refund.processed_at)).where(
            Refund.payment_id == payment_id, Refund.status == RefundStatus.FAILED, Refund.reason == _REASON
        )
    count, last = session.execute(query).one()
    return int(count), last
