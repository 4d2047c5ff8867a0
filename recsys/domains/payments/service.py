"""The rules of payments, each step in the caller's transaction; `processing.py` puts the gateway between."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.orders import service as orders
from recsys.domains.orders.carts.store import Owner
from recsys.domains.orders.states import Financial, Status
from recsys.domains.orders.tables import Order
from recsys.domains.payments.fraud import fraud_review
from recsys.domains.payments.fraud.risk_score import FraudDecision
from recsys.domains.payments.gateway import Answer, Charge, GatewayOutcome
from recsys.domains.payments.schemas import PaymentIn
from recsys.domains.payments.states import PAYMENT, PaymentStatus
from recsys.domains.payments.tables import (
    Payment,
    PaymentAttempt,
    PaymentKey,
    PaymentMethod,
    PaymentToken,
)
from recsys.errors import Conflict, NotFound
from recsys.events.publish import publish
from recsys.events.vocabulary import (
    PaymentAuthorised,
    PaymentCaptured,
    PaymentFailed,
    PaymentVoided,
    VoidFailed,
)

__all__ = ["Started", "charge_of", "finish", "locked", "remember_key", "start", "step_key", "tried"]

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

    Parameters
    ----------
    key
        The same key again means the same payment.
    wanted
        The order, and how it is paid.
    fingerprint
        Of the content of the request, which a key belongs to.
    gateway
        Name of the gateway.

    Raises
    ------
    NotFound
        The order or the method is another's.
    Conflict
        The order is paid, being paid or cancelled, or `key` was used for another request.
    """
    if not remember_key(session, owner, key, fingerprint):
        earlier = session.get_one(PaymentKey, (owner.name, key))
        if earlier.payment_id is None:
            raise Conflict("This Idempotency-Key was used for another request; use a new one.")
        return Started(earlier.payment_id, new=False)
    order = orders.locked(session, orders.owned(session, owner, wanted.order_id).id)
    if order.status == Status.CANCELLED:
        raise Conflict("The order is cancelled; there is nothing to pay.")
    live = session.scalar(
        select(Payment.status).where(Payment.order_id == order.id, Payment.status.in_(_LIVE))
    )
    if live is not None:
        raise Conflict(f"The order has a payment already, which is {live}.")
    # voided: the money was let go, such as of a payment that looked like fraud; the order can still be paid
    if order.financial_status not in (Financial.PENDING, Financial.FAILED, Financial.VOIDED):
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
    risk = fraud_review.judge(session, order, payment, method, token)
    capture = wanted.capture and risk.decision is FraudDecision.PASS
    session.add(PaymentToken(payment_id=payment.id, token=token, capture=capture))
    session.flush()
    if risk.decision is FraudDecision.BLOCK:
        finish(session, payment.id, Answer(GatewayOutcome.DECLINED, None, "suspected_fraud"))
    return Started(payment.id, new=True)


def remember_key(session: Session, owner: Owner, key: str, fingerprint: str) -> bool:
    """Whether the key is new; a second request with it waits for the first.

    Raises
    ------
    Conflict
        The key was used for other content.
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
        raise Conflict("This Idempotency-Key was used for another request; use a new one.")
    return False


def charge_of(session: Session, payment_id: int) -> Charge | None:
    """What to ask the gateway for; None when the payment is no longer pending."""
    payment = session.get(Payment, payment_id)
    if payment is None or payment.status != PaymentStatus.PENDING:
        return None
    with_ = session.get_one(PaymentToken, payment_id)
    return Charge(f"payment:{payment.id}", with_.token, payment.amount, payment.currency or "", with_.capture)


def step_key(session: Session, payment_id: int, step: str) -> str:
    """The gateway's key of a capture or void: the same until it is answered, another one after a refusal.

    A gateway answers a key that it knows as it did before: a step that it refused is a new one next time.
    """
    refused = session.scalar(
        select(func.count()).where(
            PaymentAttempt.payment_id == payment_id,
            PaymentAttempt.status == f"{step}_{GatewayOutcome.DECLINED}",
        )
    )
    return f"{step}:{payment_id}:{refused}" if refused else f"{step}:{payment_id}"


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
    """Apply the gateway's answer to a pending payment and its order; does nothing for a finished payment."""
    payment = locked(session, payment_id)
    if payment.status != PaymentStatus.PENDING or answer.outcome is GatewayOutcome.UNKNOWN:
        return
    tried(session, payment_id, answer.outcome, answer, answer.code)
    payment.gateway_response = dict(answer.details)
    payment.gateway_transaction_id = answer.transaction_id
    if answer.outcome is GatewayOutcome.DECLINED:
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


def not_voided(session: Session, payment: Payment, answer: Answer) -> None:
    """The gateway keeps holding the money: note it, and announce it."""
    move(payment, PaymentStatus.AUTHORIZED)
    publish(
        session,
        VoidFailed(payment_id=payment.id, order_id=payment.order_id or 0, code=answer.code or "declined"),
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
