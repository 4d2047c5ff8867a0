"""The tables of payments_db: how orders are paid, tried, refunded and checked for fraud."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import ForeignKey, Index, Numeric, String
from sqlalchemy.orm import Mapped, mapped_column

from recsys.database.base import Base, DefaultNow, Id, JsonObject, LargeText, Money, Off, where_given
from recsys.domains.orders.tables import Order
from recsys.domains.users.tables import User

__all__ = [
    "FraudFlag",
    "Payment",
    "PaymentAttempt",
    "PaymentKey",
    "PaymentMethod",
    "PaymentToken",
    "Refund",
    "WebhookEvent",
]

SCHEMA = "payments_db"


class PaymentMethod(Base):
    """One card or account that a user pays with, as the gateway's reference; never a full number."""

    __tablename__ = "payment_methods"
    __table_args__ = (
        # the payment methods of a user; deleting a user cascades here
        Index(None, "user_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    type: Mapped[str] = mapped_column(String(50))
    provider: Mapped[str] = mapped_column(String(50))
    gateway_id: Mapped[str | None] = mapped_column(String(255))
    last4: Mapped[str | None] = mapped_column(String(4))
    expiry_month: Mapped[int | None]
    expiry_year: Mapped[int | None]
    brand: Mapped[str | None] = mapped_column(String(50))
    is_default: Mapped[Off | None]
    billing_address: Mapped[JsonObject | None]
    details: Mapped[JsonObject | None] = mapped_column("metadata")
    created_at: Mapped[DefaultNow | None]
    updated_at: Mapped[datetime | None]


class Payment(Base):
    """One amount of money asked for an order, and what became of it."""

    __tablename__ = "payments"
    __table_args__ = (
        # the payments of an order; deleting an order cascades here
        Index(None, "order_id"),
        # deleting a payment method sets it null
        Index(None, "payment_method_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    order_id: Mapped[int | None] = mapped_column(ForeignKey(Order.id, ondelete="CASCADE"))
    payment_method_id: Mapped[int | None] = mapped_column(ForeignKey(PaymentMethod.id, ondelete="SET NULL"))
    amount: Mapped[Money]
    currency: Mapped[str | None] = mapped_column(String(3), server_default="USD")
    status: Mapped[str | None] = mapped_column(String(20), server_default="pending")
    gateway: Mapped[str] = mapped_column(String(50))
    gateway_transaction_id: Mapped[str | None] = mapped_column(String(255))
    gateway_response: Mapped[JsonObject | None]
    failure_reason: Mapped[LargeText | None]
    processed_at: Mapped[datetime | None]
    created_at: Mapped[DefaultNow | None]
    updated_at: Mapped[datetime | None]


class Refund(Base):
    """One amount of money given back from a payment."""

    __tablename__ = "refunds"
    __table_args__ = (
        # the refunds of a payment; deleting a payment cascades here
        Index(None, "payment_id"),
        # deleting a user sets it null; refunds made by the shop itself name nobody
        Index(None, "processed_by", postgresql_where=where_given("processed_by")),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    payment_id: Mapped[int | None] = mapped_column(ForeignKey(Payment.id, ondelete="CASCADE"))
    amount: Mapped[Money]
    currency: Mapped[str | None] = mapped_column(String(3), server_default="USD")
    status: Mapped[str | None] = mapped_column(String(20), server_default="pending")
    reason: Mapped[LargeText | None]
    gateway_refund_id: Mapped[str | None] = mapped_column(String(255))
    gateway_response: Mapped[JsonObject | None]
    processed_by: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="SET NULL"))
    processed_at: Mapped[datetime | None]
    created_at: Mapped[DefaultNow | None]
    updated_at: Mapped[datetime | None]


class PaymentAttempt(Base):
    """One try to get a payment through its gateway."""

    __tablename__ = "payment_attempts"
    __table_args__ = (
        # the attempts of a payment; deleting a payment cascades here
        Index(None, "payment_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    payment_id: Mapped[int | None] = mapped_column(ForeignKey(Payment.id, ondelete="CASCADE"))
    attempt_number: Mapped[int]
    status: Mapped[str] = mapped_column(String(20))
    gateway_response: Mapped[JsonObject | None]
    failure_reason: Mapped[LargeText | None]
    created_at: Mapped[DefaultNow | None]


class FraudFlag(Base):
    """One suspicion about a payment, with its risk score (0 to 9.99) and how it was resolved."""

    __tablename__ = "fraud_flags"
    __table_args__ = (
        # the suspicions about a payment; deleting a payment cascades here
        Index(None, "payment_id"),
        # deleting a user sets it null; open flags name nobody
        Index(None, "resolved_by", postgresql_where=where_given("resolved_by")),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    payment_id: Mapped[int | None] = mapped_column(ForeignKey(Payment.id, ondelete="CASCADE"))
    risk_score: Mapped[Decimal | None] = mapped_column(Numeric(3, 2))
    flags: Mapped[JsonObject | None]
    is_resolved: Mapped[Off | None]
    resolved_by: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="SET NULL"))
    resolution_notes: Mapped[LargeText | None]
    created_at: Mapped[DefaultNow | None]
    resolved_at: Mapped[datetime | None]


class PaymentKey(Base):
    """One request under its Idempotency-Key: sent twice, it pays or refunds once (our own table)."""

    __tablename__ = "payment_keys"
    __table_args__ = (
        # deleting a payment cascades here
        Index(None, "payment_id"),
        # deleting a refund cascades here; payments' keys name none
        Index(None, "refund_id", postgresql_where=where_given("refund_id")),
        {"schema": SCHEMA},
    )

    owner: Mapped[str] = mapped_column(String(300), primary_key=True)
    key: Mapped[str] = mapped_column(String(100), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    payment_id: Mapped[int | None] = mapped_column(ForeignKey(Payment.id, ondelete="CASCADE"))
    refund_id: Mapped[int | None] = mapped_column(ForeignKey(Refund.id, ondelete="CASCADE"))
    created_at: Mapped[DefaultNow]


class PaymentToken(Base):
    """The gateway's token that a payment is made with, and whether to capture at once (our own table)."""

    __tablename__ = "payment_tokens"
    __table_args__ = ({"schema": SCHEMA},)

    payment_id: Mapped[int] = mapped_column(
        ForeignKey(Payment.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    token: Mapped[str] = mapped_column(String(255))
    capture: Mapped[bool]


class WebhookEvent(Base):
    """One webhook that was taken in: the same one sent again changes nothing (our own table)."""

    __tablename__ = "webhook_events"
    __table_args__ = ({"schema": SCHEMA},)

    gateway: Mapped[str] = mapped_column(String(50), primary_key=True)
    event_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    kind: Mapped[str] = mapped_column(String(100))
    outcome: Mapped[str] = mapped_column(String(20))
    received_at: Mapped[DefaultNow]
