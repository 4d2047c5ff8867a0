"""Money in steps: written down, asked of the gateway outside any transaction, written down again.

A crash between the steps leaves a payment that says what was asked (`pending`, `capturing`, `voiding`) and
is finished by a repeat of the request, a webhook, or `recsys payments settle`: the gateway knows each
request by a key made from the payment's id, so asking again moves nothing twice.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

from sqlalchemy import select

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.orders.carts.store import Owner
from recsys.domains.payments import queries, service
from recsys.domains.payments.fraud import fraud_review
from recsys.domains.payments.gateway import Answer, GatewayOutcome, GatewayTimeout
from recsys.domains.payments.gateways import get_gateway
from recsys.domains.payments.schemas import PaymentIn, PaymentOut
from recsys.domains.payments.states import PaymentStatus
from recsys.domains.payments.tables import Payment, PaymentToken
from recsys.errors import Conflict, Unavailable
from recsys.log import get_logger

__all__ = ["capture", "pay", "settle", "settle_all", "void"]

_log = get_logger(__name__)


def pay(owner: Owner, key: str, wanted: PaymentIn) -> tuple[PaymentOut, bool]:
    """Pay an order; the payment, and whether this request was the first with this key.

    A gateway that does not answer leaves the payment `pending`: it is looked up later, never charged again.
    """
    fingerprint = hashlib.sha256(wanted.model_dump_json().encode()).hexdigest()
    with unit_of_work() as session:
        started = service.start(
            session, owner, key, wanted, fingerprint=fingerprint, gateway=get_gateway().name
        )
    _charge(started.payment_id)
    with unit_of_work() as session:
        return queries.shown(session, started.payment_id), started.new


def _charge(payment_id: int) -> None:
    with unit_of_work() as session:
        charge = service.charge_of(session, payment_id)
        gateway = None if charge is None else get_gateway(session.get_one(Payment, payment_id).gateway)
    if charge is None or gateway is None:
        return
    try:
        answer = gateway.charge(charge)
    except GatewayTimeout:
        with unit_of_work() as session:
            service.tried(session, payment_id, "timeout", None, "the gateway did not answer in time")
        return
    with unit_of_work() as session:
        service.finish(session, payment_id, answer)


def capture(payment_id: int) -> PaymentOut:
    """Take money that is held; twice, or two at once, take it once. Raises Conflict where there is none."""
    with unit_of_work() as session:
        payment = service.locked(session, payment_id)
        if payment.status not in (PaymentStatus.CAPTURED, PaymentStatus.CAPTURING):
            if fraud_review.is_open(session, payment_id):
                raise Conflict("The payment looks suspicious; resolve its fraud flag first.")
            service.move(payment, PaymentStatus.CAPTURING)
    _capture(payment_id)
    with unit_of_work() as session:
        return queries.shown(session, payment_id)


def _capture(payment_id: int) -> None:
    with unit_of_work() as session:
        payment = session.get_one(Payment, payment_id)
        if payment.status != PaymentStatus.CAPTURING:
            return
        gateway, transaction, amount = (
            get_gateway(payment.gateway),
            payment.gateway_transaction_id,
            payment.amount,
        )
        key = service.step_key(session, payment_id, "capture")
    answer = gateway.capture(transaction or "", amount, key=key)
    with unit_of_work() as session:
        payment = service.locked(session, payment_id)
        if payment.status != PaymentStatus.CAPTURING:
            return
        service.tried(session, payment_id, f"capture_{answer.outcome}", answer, answer.code)
        if answer.outcome is GatewayOutcome.APPROVED:
            service.captured(session, payment)
        else:
            service.move(payment, PaymentStatus.AUTHORIZED)


def void(payment_id: int) -> PaymentOut:
    """Let go of money that is held. Raises Conflict where there is none."""
    with unit_of_work() as session:
        payment = service.locked(session, payment_id)
        if payment.status not in (PaymentStatus.VOIDED, PaymentStatus.VOIDING):
            service.move(payment, PaymentStatus.VOIDING)
    _void(payment_id)
    with unit_of_work() as session:
        return queries.shown(session, payment_id)


def _void(payment_id: int) -> None:
    with unit_of_work() as session:
        payment = session.get_one(Payment, payment_id)
        if payment.status != PaymentStatus.VOIDING:
            return
        gateway, transaction = get_gateway(payment.gateway), payment.gateway_transaction_id
        key = service.step_key(session, payment_id, "void")
    answer = gateway.void(transaction or "", key=key)
    with unit_of_work() as session:
        payment = service.locked(session, payment_id)
        if payment.status != PaymentStatus.VOIDING:
            return
        service.tried(session, payment_id, f"void_{answer.outcome}", answer, answer.code)
        if answer.outcome is GatewayOutcome.APPROVED:
            service.voided(session, payment)
        else:
            service.not_voided(session, payment, answer)


def settle(payment_id: int, *, lost_after: timedelta = timedelta(hours=1)) -> str:
    """Finish a payment that was left in the middle; its status afterwards.

    A charge that the gateway never saw fails once it is older than `lost_after`.
    """
    with unit_of_work() as session:
        payment = session.get_one(Payment, payment_id)
        status, name, born = payment.status, payment.gateway, payment.created_at
        charge = service.charge_of(session, payment_id)
    if status == PaymentStatus.CAPTURING:
        _capture(payment_id)
    elif status == PaymentStatus.VOIDING:
        _void(payment_id)
    elif charge is not None:
        answer = get_gateway(name).find(charge.key, charge.token)
        if answer.outcome is GatewayOutcome.UNKNOWN and born is not None and clock.now() - born > lost_after:
            answer = Answer(GatewayOutcome.DECLINED, None, "never_arrived")
        with unit_of_work() as session:
            service.finish(session, payment_id, answer)
    with unit_of_work() as session:
        return session.get_one(Payment, payment_id).status or PaymentStatus.PENDING


def settle_all(*, older_than: timedelta = timedelta(minutes=1)) -> dict[int, str]:
    """Finish every payment that was left in the middle: payment id → status afterwards."""
    with unit_of_work() as session:
        found = session.scalars(
            select(Payment.id)
            .join(PaymentToken, PaymentToken.payment_id == Payment.id)
            .where(
                Payment.status.in_((PaymentStatus.PENDING, PaymentStatus.CAPTURING, PaymentStatus.VOIDING)),
                Payment.created_at < clock.now() - older_than,
            )
            .order_by(Payment.id)
        ).all()
    settled = {}
    for payment_id in found:
        try:
            settled[payment_id] = settle(payment_id)
        except Unavailable as error:
            # the next payment may be with another gateway
            _log.warning("payment not settled", payment_id=payment_id, reason=error.message)
            settled[payment_id] = "unanswered"
    return settled
