"""Money that goes back: in parts, never more than came in, each request once."""

from __future__ import annotations

import hashlib

from sqlalchemy import select
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.orders import service as orders
from recsys.domains.orders.carts.store import Owner
from recsys.domains.orders.states import Financial
from recsys.domains.payments import queries, service
from recsys.domains.payments.gateway import Answer, GatewayOutcome, GatewayTimeout
from recsys.domains.payments.gateways import get_gateway
from recsys.domains.payments.schemas import RefundIn, RefundOut
from recsys.domains.payments.states import PaymentStatus, RefundStatus
from recsys.domains.payments.tables import Payment, PaymentKey, Refund
from recsys.errors import Conflict, Unavailable
from recsys.events.publish import publish
from recsys.events.vocabulary import RefundFailed, RefundSucceeded
from recsys.log import get_logger

__all__ = ["ask", "finish", "refund", "settle_refunds", "start"]

_log = get_logger(__name__)


def refund(owner: Owner, key: str, payment_id: int, wanted: RefundIn) -> RefundOut:
    """Give money back; the same `key` gives it back once.

    A gateway that does not answer leaves the refund `pending`.

    Raises
    ------
    Conflict
        It is more than is left, or the key was used for another request.
    """
    fingerprint = hashlib.sha256(f"{payment_id} {wanted.model_dump_json()}".encode()).hexdigest()
    with unit_of_work() as session:
        if service.remember_key(session, owner, key, fingerprint):
            started = start(session, payment_id, wanted, by=owner.user_id)
            session.get_one(PaymentKey, (owner.name, key)).refund_id = started.id
            refund_id = started.id
        else:
            earlier = session.get_one(PaymentKey, (owner.name, key)).refund_id
            if earlier is None:
                raise Conflict("This Idempotency-Key was used for another request; use a new one.")
            refund_id = earlier
    ask(refund_id)
    with unit_of_work() as session:
        return RefundOut.model_validate(session.get_one(Refund, refund_id))


def start(session: Session, payment_id: int, wanted: RefundIn, *, by: int | None) -> Refund:
    """Reserve the amount and write the refund down. Two at once take turns and see each other."""
    payment = service.locked(session, payment_id)
    left = queries.refundable(session, payment)
    amount = left if wanted.amount is None else wanted.amount
    if left <= 0:
        raise Conflict(f"Nothing is left to refund: the payment is {payment.status}.")
    if amount > left:
        raise Conflict(f"Only {left} of this payment is left to refund.")
    refund = Refund(
        payment_id=payment_id,
        amount=amount,
        currency=payment.currency,
        status=RefundStatus.PENDING,
        reason=wanted.reason,
        processed_by=by,
        created_at=clock.now(),
    )
    session.add(refund)
    session.flush()
    return refund


def ask(refund_id: int) -> None:
    """Ask the gateway for a refund that is written down; nothing when it is finished already."""
    with unit_of_work() as session:
        refund = session.get_one(Refund, refund_id)
        if refund.status != RefundStatus.PENDING:
            return
        payment = session.get_one(Payment, refund.payment_id)
        gateway, transaction = get_gateway(payment.gateway), payment.gateway_transaction_id
        amount = refund.amount
    try:
        answer = gateway.refund(transaction or "", amount, key=f"refund:{refund_id}")
    except GatewayTimeout:
        return  # it stays pending, and is asked again under the same key
    with unit_of_work() as session:
        finish(session, refund_id, answer)


def finish(session: Session, refund_id: int, answer: Answer) -> None:
    """Apply the gateway's answer to a pending refund; does nothing for a finished refund."""
    payment_id = session.get_one(Refund, refund_id).payment_id
    payment = service.locked(session, payment_id or 0)
    refund = session.get_one(Refund, refund_id, populate_existing=True)
    if refund.status != RefundStatus.PENDING or answer.outcome is GatewayOutcome.UNKNOWN:
        return
    refund.processed_at = refund.updated_at = clock.now()
    refund.gateway_refund_id = answer.transaction_id
    refund.gateway_response = dict(answer.details)
    order_id = payment.order_id or 0
    if answer.outcome is GatewayOutcome.DECLINED:
        refund.status = RefundStatus.FAILED
        publish(
            session,
            RefundFailed(
                refund_id=refund.id, payment_id=payment.id, order_id=order_id, code=answer.code or "declined"
            ),
        )
        return
    refund.status = RefundStatus.SUCCEEDED
    session.flush()
    back = sum(
        session.scalars(
            select(Refund.amount).where(
                Refund.payment_id == payment.id, Refund.status == RefundStatus.SUCCEEDED
            )
        )
    )
    whole = back >= payment.amount
    service.move(payment, PaymentStatus.REFUNDED if whole else PaymentStatus.PARTIALLY_REFUNDED)
    if payment.order_id is not None:
        orders.mark_payment(
            session, payment.order_id, Financial.REFUNDED if whole else Financial.PARTIALLY_REFUNDED
        )
    publish(
        session,
        RefundSucceeded(refund_id=refund.id, payment_id=payment.id, order_id=order_id, amount=refund.amount),
    )


def settle_refunds() -> int:
    """Ask again for refunds that were left pending; how many are finished now.

    One whose gateway can't be reached waits for the next run.
    """
    with unit_of_work() as session:
        waiting = session.scalars(
            select(Refund.id).where(Refund.status == RefundStatus.PENDING, Refund.gateway_refund_id.is_(None))
        ).all()
    for refund_id in waiting:
        try:
            ask(refund_id)
        except Unavailable as error:
            _log.warning("refund not settled", refund_id=refund_id, reason=error.message)
    with unit_of_work() as session:
        left = session.scalars(
            select(Refund.id).where(Refund.id.in_(waiting), Refund.status == RefundStatus.PENDING)
        ).all()
    return len(waiting) - len(left)
