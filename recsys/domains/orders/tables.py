"""The tables of orders_db: orders with their lines, addresses, states and parcels, and abandoned carts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from recsys.database.base import Base, DefaultNow, Id, LargeText, Money, Off, On, ZeroMoney, where_given
from recsys.domains.products.tables import Product, ProductVariant
from recsys.domains.users.tables import User

__all__ = [
    "AbandonedCart",
    "Checkout",
    "Order",
    "OrderItem",
    "OrderStatusHistory",
    "OrderTracking",
    "ShippingAddress",
]

SCHEMA = "orders_db"


class Order(Base):
    """One order: its states, its amounts of money and its user."""

    __tablename__ = "orders"
    __table_args__ = (
        # a user's orders, newest first; deleting a user sets it null
        Index(None, "user_id", "created_at"),
        # those that may expire, by their age
        Index("orders_pending_idx", "created_at", postgresql_where=text("status = 'pending'")),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    order_number: Mapped[str] = mapped_column(String(50), unique=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="SET NULL"))
    email: Mapped[str | None] = mapped_column(String(255))
    status: Mapped[str | None] = mapped_column(String(20), server_default="pending")
    financial_status: Mapped[str | None] = mapped_column(String(20), server_default="pending")
    fulfillment_status: Mapped[str | None] = mapped_column(String(20), server_default="unfulfilled")
    currency: Mapped[str | None] = mapped_column(String(3), server_default="USD")
    subtotal_price: Mapped[Money]
    total_price: Mapped[Money]
    total_tax: Mapped[ZeroMoney | None]
    total_shipping: Mapped[ZeroMoney | None]
    total_discount: Mapped[ZeroMoney | None]
    notes: Mapped[LargeText | None]
    internal_notes: Mapped[LargeText | None]
    processed_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]
    cancel_reason: Mapped[LargeText | None]
    created_at: Mapped[DefaultNow | None]
    updated_at: Mapped[datetime | None]


class OrderItem(Base):
    """One line of an order, with its name and price at the time of the order."""

    __tablename__ = "order_items"
    __table_args__ = (
        # the lines of an order; deleting an order cascades here
        Index(None, "order_id"),
        # who bought a product; deleting a product sets it null
        Index(None, "product_id"),
        # deleting a variant sets it null; a bulk import that names no variant pays nothing for this index
        Index(None, "variant_id", postgresql_where=where_given("variant_id")),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    order_id: Mapped[int | None] = mapped_column(ForeignKey(Order.id, ondelete="CASCADE"))
    product_id: Mapped[int | None] = mapped_column(ForeignKey(Product.id, ondelete="SET NULL"))
    variant_id: Mapped[int | None] = mapped_column(ForeignKey(ProductVariant.id, ondelete="SET NULL"))
    sku: Mapped[str | None] = mapped_column(String(100))
    name: Mapped[str] = mapped_column(String(255))
    title: Mapped[str | None] = mapped_column(String(255))
    quantity: Mapped[int]
    price: Mapped[Money]
    total_discount: Mapped[ZeroMoney | None]
    taxable: Mapped[On | None]
    requires_shipping: Mapped[On | None]
    created_at: Mapped[DefaultNow | None]


class OrderStatusHistory(Base):
    """One change of an order's status, and whether the customer was notified."""

    __tablename__ = "order_status_history"
    __table_args__ = (
        # the history of an order; deleting an order cascades here
        Index(None, "order_id"),
        # deleting a user sets it null; changes made by the shop itself name nobody
        Index(None, "user_id", postgresql_where=where_given("user_id")),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    order_id: Mapped[int | None] = mapped_column(ForeignKey(Order.id, ondelete="CASCADE"))
    status: Mapped[str] = mapped_column(String(20))
    notify_customer: Mapped[Off | None]
    notes: Mapped[LargeText | None]
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="SET NULL"))
    created_at: Mapped[DefaultNow | None]


class ShippingAddress(Base):
    """One address that an order was sent to, or that a user keeps for the next one."""

    __tablename__ = "shipping_addresses"
    __table_args__ = (
        # the addresses of a user; deleting a user cascades here
        Index(None, "user_id"),
        # the address of an order; deleting an order cascades here
        Index(None, "order_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    order_id: Mapped[int | None] = mapped_column(ForeignKey(Order.id, ondelete="CASCADE"))
    first_name: Mapped[str] = mapped_column(String(100))
    last_name: Mapped[str] = mapped_column(String(100))
    company: Mapped[str | None] = mapped_column(String(100))
    address1: Mapped[str] = mapped_column(String(255))
    address2: Mapped[str | None] = mapped_column(String(255))
    city: Mapped[str] = mapped_column(String(100))
    province: Mapped[str | None] = mapped_column(String(100))
    country: Mapped[str] = mapped_column(String(2))
    zip: Mapped[str] = mapped_column(String(20))
    phone: Mapped[str | None] = mapped_column(String(20))
    is_default: Mapped[Off | None]
    created_at: Mapped[DefaultNow | None]
    updated_at: Mapped[datetime | None]


class OrderTracking(Base):
    """Where a parcel of an order is, as its carrier says."""

    __tablename__ = "order_tracking"
    __table_args__ = (
        # the parcels of an order; deleting an order cascades here
        Index(None, "order_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    order_id: Mapped[int | None] = mapped_column(ForeignKey(Order.id, ondelete="CASCADE"))
    tracking_number: Mapped[str | None] = mapped_column(String(100))
    tracking_url: Mapped[str | None] = mapped_column(String(500))
    carrier: Mapped[str | None] = mapped_column(String(100))
    current_location: Mapped[LargeText | None]
    estimated_delivery: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    created_at: Mapped[DefaultNow | None]
    updated_at: Mapped[datetime | None]


class AbandonedCart(Base):
    """One cart that was filled and left, with its items as they were."""

    __tablename__ = "abandoned_carts"
    __table_args__ = (
        # the carts a user left; deleting a user sets it null; guests' carts stay out
        Index(None, "user_id", postgresql_where=where_given("user_id")),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="SET NULL"))
    session_id: Mapped[str | None] = mapped_column(String(255))
    email: Mapped[str | None] = mapped_column(String(255))
    items: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    total_price: Mapped[Money | None]
    abandoned_at: Mapped[DefaultNow | None]
    recovered_at: Mapped[datetime | None]
    recovery_email_sent: Mapped[Off | None]


class Checkout(Base):
    """One checkout under its Idempotency-Key: a request, and a cart, is ordered once (our own table)."""

    __tablename__ = "checkouts"
    __table_args__ = (
        # deleting an order sets it null
        Index(None, "order_id"),
        {"schema": SCHEMA},
    )

    owner: Mapped[str] = mapped_column(String(300), primary_key=True)
    key: Mapped[str] = mapped_column(String(100), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    cart_id: Mapped[str | None] = mapped_column(String(32), unique=True)
    order_id: Mapped[int | None] = mapped_column(ForeignKey(Order.id, ondelete="SET NULL"))
    created_at: Mapped[DefaultNow]
