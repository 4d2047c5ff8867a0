"""Judges a payment by what is known of who pays, and lets somebody resolve what looks suspicious."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.orders.states import Financial
from recsys.domains.orders.tables import Order, ShippingAddress
from recsys.domains.payments.fraud.risk_score import FraudDecision, Risk, Signals, assess
from recsys.domains.payments.states import PaymentStatus
from recsys.domains.payments.tables import FraudFlag, Payment, PaymentMethod, PaymentToken
from recsys.domains.users.tables import User
from recsys.errors import Conflict, NotFound
from recsys.events.publish import publish
from recsys.events.vocabulary import FraudFlagged

__all__ = ["is_open", "judge", "open_flags", "resolve", "signals_of"]


def judge(session: Session, order: Order, payment: Payment, method: PaymentMethod | None, token: str) -> Risk:
    """The risk of a payment; what has to be looked at, or is blocked, gets a flag that names why."""
    risk = assess(signals_of(session, order, method, token))
    if risk.decision is FraudDecision.BLOCK and _was_accepted(session, order):
        # somebody looked at this order and trusts it: it is looked at again, not turned away again
        risk = replace(risk, decision=FraudDecision.REVIEW)
    if risk.decision is not FraudDecision.PASS:
        session.add(
            FraudFlag(
                payment_id=payment.id,
                risk_score=risk.score,
                flags={name: str(points) for name, points in risk.flags.items()},
                is_resolved=False,
                created_at=clock.now(),
            )
        )
        publish(
            session,
            FraudFlagged(
                payment_id=payment.id,
                order_id=order.id,
                score=risk.score,
                flags=tuple(risk.flags),
                decision=risk.decision,
            ),
        )
    return risk


def signals_of(session: Session, order: Order, method: PaymentMethod | None, token: str) -> Signals:
    """What is known when this order is paid with this token; a guest is known by the e-mail address."""
    now = clock.now()
    mine = Order.user_id == order.user_id if order.user_id is not None else Order.email == order.email
    usual = session.scalar(
        select(func.avg(Order.total_price)).where(
            mine, Order.financial_status == Financial.PAID, Order.id != order.id
        )
    )
    failed = session.scalar(
        select(func.count(Payment.id))
        .join(Order, Order.id == Payment.order_id)
        .where(mine, Payment.status == PaymentStatus.FAILED, Payment.created_at > now - timedelta(hours=1))
    )
    tokens = set(
        session.scalars(
            select(PaymentToken.token)
            .join(Payment, Payment.id == PaymentToken.payment_id)
            .join(Order, Order.id == Payment.order_id)
            .where(mine, Payment.created_at > now - timedelta(days=1))
        )
    )
    born = (
        None
        if order.user_id is None
        else session.scalar(select(User.created_at).where(User.id == order.user_id))
    )
    billing = (method.billing_address or {}) if method is not None else {}
    return Signals(
        amount=order.total_price,
        usual_amount=usual,
        account_hours=None if born is None else (now - born).total_seconds() / 3600,
        failed_last_hour=failed or 0,
        tokens_last_day=len(tokens | {token}),
        billing_country=billing.get("country"),
        shipping_country=session.scalar(
            select(ShippingAddress.country).where(ShippingAddress.order_id == order.id).limit(1)
        ),
    )


def _was_accepted(session: Session, order: Order) -> bool:
    accepted = (
        select(FraudFlag.id)
        .join(Payment, Payment.id == FraudFlag.payment_id)
        .where(Payment.order_id == order.id, FraudFlag.resolution_notes.startswith("accept: "))
    )
    return session.scalar(accepted.limit(1)) is not None


def is_open(session: Session, payment_id: int) -> bool:
    """Whether somebody still has to decide about this payment."""
    return bool(
        session.scalar(
            select(func.count()).where(FraudFlag.payment_id == payment_id, FraudFlag.is_resolved.is_(False))
        )
    )


def open_flags(session: Session, *, limit: int, after: int) -> Sequence[FraudFlag]:
    """Flags that nobody resolved yet, the oldest first, from the id `after` on."""
    return session.scalars(
        select(FraudFlag)
        .where(FraudFlag.is_resolved.is_(False), FraudFlag.id > after)
        .order_by(FraudFlag.id)
        .limit(limit)
    ).all()


def resolve(session: Session, flag_id: int, notes: str, *, by: int | None) -> FraudFlag:
    """Note who decided, and why. Raises NotFound, or Conflict when it is resolved already."""
    flag = session.get(FraudFlag, flag_id, with_for_update=True)
    if flag is None:
        raise NotFound(f"There is no fraud flag {flag_id}.")
    if flag.is_resolved:
        raise Conflict(f"The fraud flag {flag_id} is resolved already.")
    flag.is_resolved, flag.resolved_by = True, by
    flag.resolution_notes, flag.resolved_at = notes, clock.now()
    return flag
