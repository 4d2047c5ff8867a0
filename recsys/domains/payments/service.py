"""The rules of payments, each step in the caller's transaction; `paying.py` puts the gateway between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.orders import service as orders
from recsys.domains.orders.carts import Owner
from recsys.domains.orders.states import Financial, Status
from recsys.domains.orders.tables import Order
from recsys.domains.payments import suspicion
from recsys.domains.payments.fraud import Decision
from recsys.domains.payments.gateway import Answer, Charge, Outcome
from recsys.domains.payments.schemas import AttemptOut, PaymentIn, PaymentOut, RefundOut
from recsys.domains.payments.states import PAYMENT, PaymentStatus, RefundStatus
from recsys.domains.payments.tables import (
    Payment,
    PaymentAttempt,
    PaymentKey,
    PaymentMethod,
    PaymentToken,
    Refund,
)
from recsys.errors import Conflict, NotFound
from recsys.events.publish import publish
from recsys.events.vocabulary import PaymentAuthorised, PaymentCaptured, PaymentFailed, PaymentVoided
from recsys.money import ZERO, total

__all__ = ["Started", "charge_of", "finish", "locked", "own", "remember_key", "shown", "start", "tried"]

_LIVE = (
    PaymentStatus.PENDING,
    PaymentStatus.AUTHORIZED,
    PaymentStatus.CAPTURING,
    PaymentStatus.CAPTURED,
    PaymentStatus.VOIDING,
    PaymentStatus.PARTIALLY_REFUNDED,
)


@dataclass(frozen=True)
class Started:
    """A payment that was written down, and whether this very request did."""

    payment_id: int
    new: bool


def start(
    session: Session, owner: Owner, key: str, wanted: PaymentIn, *, fingerprint: str, gateway: str
) -> Started:
    """Write down that an order will be paid, before the gateway is asked.

    Raises NotFound for another's order or method, Conflict when the order is paid, being paid or cancelled,
    or `key` was used for another request.
    """
    if not remember_key(session, owner, key, fingerprint):
        earlier = session.get_one(PaymentKey, (owner.name, key))
        if earlier.payment_id is None:
            raise Conflict("This Idempotency-Key was used for something else; take a new one.")
        return Started(earlier.payment_id, new=False)
    order = orders.locked(session, orders.owned(session, owner, wanted.order_id).id)
    if order.status == Status.CANCELLED:
        raise Conflict("The order is cancelled; there is nothing to pay.")
    live = session.scalar(
        select(Payment.status).where(Payment.order_id == order.id, Payment.status.in_(_LIVE))
    )
    if live is not None:
        raise Conflict(f"The order has a payment already, which is {live}.")
    if order.financial_status not in (Financial.PENDING, Financial.FAILED):
        raise Conflict(f"The order's payment is {order.financial_status}; there is nothing to pay.")
    token, method = _token(session, owner, wanted)
    payment = Payment(
        order_id=order.id,
        payment_method_id=None if method is None else method.id,
        amount=order.total_price,
        currency=order.currency,
        status=PaymentStatus.PENDING,
        gateway=gateway,
        created_at=clock.now(),
    )
    session.add(payment)
    session.flush()
    session.get_one(PaymentKey, (owner.name, key)).payment_id = payment.id
    risk = suspicion.judge(session, order, payment, method, token)
    capture = wanted.capture and risk.decision is Decision.PASS
    session.add(PaymentToken(payment_id=payment.id, token=token, capture=capture))
    session.flush()
    if risk.decision is Decision.BLOCK:
        finish(session, payment.id, Answer(Outcome.DECLINED, None, "suspected_fraud"))
    return Started(payment.id, new=True)


def remember_key(session: Session, owner: Owner, key: str, fingerprint: str) -> bool:
    """Whether the key is new; a second request with it waits for the first.

    Raises Conflict when the key was used for other content.
    """
    mine = session.scalar(
        insert(PaymentKey)
        .values(owner=owner.name, key=key, fingerprint=fingerprint)
        .on_conflict_do_nothing(index_elements=[PaymentKey.owner, PaymentKey.key])
        .returning(PaymentKey.key)
    )
    if mine is not None:
        return True
    if session.get_one(PaymentKey, (owner.name, key)).fingerprint != fingerprint:
        raise Conflict("This Idempotency-Key was used for another request; take a new one.")
    return False


def charge_of(session: Session, payment_id: int) -> Charge | None:
    """What to ask the gateway for; None when the payment is no longer pending."""
    payment = session.get(Payment, payment_id)
    if payment is None or payment.status != PaymentStatus.PENDING:
        return None
    with_ = session.get_one(PaymentToken, payment_id)
    return Charge(f"payment:{payment.id}", with_.token, payment.amount, payment.currency or "", with_.capture)


def tried(
    session: Session, payment_id: int, status: str, answer: Answer | None, reason: str | None = None
) -> None:
    """Note one try to reach the gateway."""
    number = session.scalar(
        select(func.coalesce(func.max(PaymentAttempt.attempt_number), 0)).where(
            PaymentAttempt.payment_id == payment_id
        )
    )
    session.add(
        PaymentAttempt(
            payment_id=payment_id,
            attempt_number=(number or 0) + 1,
            status=status,
            gateway_response=None if answer is None else dict(answer.details),
            failure_reason=reason,
            created_at=clock.now(),
        )
    )


def finish(session: Session, payment_id: int, answer: Answer) -> None:
    """What the gateway said of a pending payment, told to the order; nothing when it is finished already."""
    payment = locked(session, payment_id)
    if payment.status != PaymentStatus.PENDING or answer.outcome is Outcome.UNKNOWN:
        return
    tried(session, payment_id, answer.outcome, answer, answer.code)
    payment.gateway_response = dict(answer.details)
    payment.gateway_transaction_id = answer.transaction_id
    if answer.outcome is Outcome.DECLINED:
        move(payment, PaymentStatus.FAILED)
        payment.failure_reason = answer.code
        _tell_order(session, payment, Financial.FAILED)
        publish(
            session,
            PaymentFailed(
                payment_id=payment.id, order_id=payment.order_id or 0, code=answer.code or "declined"
            ),
        )
        return
    if session.get_one(PaymentToken, payment_id).capture:
        captured(session, payment)
    else:
        move(payment, PaymentStatus.AUTHORIZED)
        _tell_order(session, payment, Financial.AUTHORIZED)
        publish(
            session,
            PaymentAuthorised(payment_id=payment.id, order_id=payment.order_id or 0, amount=payment.amount),
        )


def captured(session: Session, payment: Payment) -> None:
    """The money is there: note it, tell the order, announce it."""
    move(payment, PaymentStatus.CAPTURED)
    _tell_order(session, payment, Financial.PAID)
    publish(
        session,
        PaymentCaptured(payment_id=payment.id, order_id=payment.order_id or 0, amount=payment.amount),
    )


def voided(session: Session, payment: Payment) -> None:
    """The money is no longer held: note it, tell the order, announce it."""
    move(payment, PaymentStatus.VOIDED)
    _tell_order(session, payment, Financial.VOIDED)
    publish(
        session,
        PaymentVoided(payment_id=payment.id, order_id=payment.order_id or 0, amount=payment.amount),
    )


def move(payment: Payment, new: PaymentStatus) -> None:
    """Take a step of a payment that is `locked`. Raises Conflict where it may not follow."""
    PAYMENT.check(payment.status or PaymentStatus.PENDING, new)
    payment.status = new
    payment.processed_at = payment.updated_at = clock.now()


def locked(session: Session, payment_id: int) -> Payment:
    """The payment, locked until the transaction ends. Raises NotFound."""
    payment = session.scalars(
        select(Payment).where(Payment.id == payment_id).with_for_update(key_share=True),
        execution_options={"populate_existing": True},
    ).one_or_none()
    if payment is None:
        raise NotFound(f"There is no payment {payment_id}.")
    return payment


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


def _tell_order(session: Session, payment: Payment, new: Financial) -> None:
    if payment.order_id is None:
        return
    order = session.get_one(Order, payment.order_id)
    # an order that was cancelled is voided already when its payment fails or is let go
    if order.financial_status == new or (order.status == Status.CANCELLED and new is not Financial.PAID):
        return
    orders.mark_payment(session, payment.order_id, new)


def _token(session: Session, owner: Owner, wanted: PaymentIn) -> tuple[str, PaymentMethod | None]:
    if wanted.token is not None:
        return wanted.token, None
    method = session.get(PaymentMethod, wanted.payment_method_id)
    if (
        method is None
        or owner.user_id is None
        or method.user_id != owner.user_id
        or method.gateway_id is None
    ):
        raise NotFound(f"You have no payment method {wanted.payment_method_id}.")
    return method.gateway_id, method
