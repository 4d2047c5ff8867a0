"""The tables of analytics_db: what visitors did, and the daily figures made from it."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint, ForeignKey, Index, Numeric, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from recsys.database.base import (
    EMPTY,
    Base,
    DefaultNow,
    Id,
    InetAddress,
    JsonObject,
    LargeText,
    Money,
    Off,
    ZeroCount,
    ZeroMoney,
    ZeroRate,
    where_given,
)
from recsys.domains.users.tables import User

__all__ = [
    "AnalyticsSession",
    "BotHits",
    "CollectedEvent",
    "PageView",
    "ProductMetric",
    "SalesMetric",
    "UserEvent",
]

SCHEMA = "analytics_db"


class PageView(Base):
    """One page that a visitor opened."""

    __tablename__ = "page_views"
    __table_args__ = (
        # deleting a user sets it null; guests' pages stay out
        Index(None, "user_id", postgresql_where=where_given("user_id")),
        # what one visitor did, in its order: visits are made from it
        Index(None, "session_id", "timestamp"),
        # what happened on a day, for its figures
        Index(None, "timestamp"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="SET NULL"))
    session_id: Mapped[str | None] = mapped_column(String(255))
    page_url: Mapped[str] = mapped_column(String(500))
    page_title: Mapped[str | None] = mapped_column(String(255))
    referrer_url: Mapped[str | None] = mapped_column(String(500))
    user_agent: Mapped[LargeText | None]
    ip_address: Mapped[InetAddress | None]
    country: Mapped[str | None] = mapped_column(String(2))
    city: Mapped[str | None] = mapped_column(String(100))
    device_type: Mapped[str | None] = mapped_column(String(50))
    browser: Mapped[str | None] = mapped_column(String(50))
    os: Mapped[str | None] = mapped_column(String(50))
    timestamp: Mapped[DefaultNow | None]


class UserEvent(Base):
    """One measured event of a visitor: category, action, label and value."""

    __tablename__ = "user_events"
    __table_args__ = (
        # deleting a user sets it null; guests' events stay out
        Index(None, "user_id", postgresql_where=where_given("user_id")),
        # what one visitor did, in its order: visits are made from it
        Index(None, "session_id", "timestamp"),
        # what happened on a day, for its figures
        Index(None, "timestamp"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="SET NULL"))
    session_id: Mapped[str | None] = mapped_column(String(255))
    event_type: Mapped[str] = mapped_column(String(100))
    event_category: Mapped[str | None] = mapped_column(String(100))
    event_action: Mapped[str | None] = mapped_column(String(100))
    event_label: Mapped[str | None] = mapped_column(String(255))
    event_value: Mapped[Money | None]
    properties: Mapped[JsonObject | None] = mapped_column(server_default=EMPTY)
    page_url: Mapped[str | None] = mapped_column(String(500))
    user_agent: Mapped[LargeText | None]
    ip_address: Mapped[InetAddress | None]
    timestamp: Mapped[DefaultNow | None]


class SalesMetric(Base):
    """The shop's sales of one day."""

    __tablename__ = "sales_metrics"
    __table_args__ = (UniqueConstraint("date"), {"schema": SCHEMA})

    id: Mapped[Id]
    date: Mapped[date]
    total_sales: Mapped[Decimal | None] = mapped_column(Numeric(12, 2), server_default=text("0"))
    order_count: Mapped[ZeroCount | None]
    average_order_value: Mapped[ZeroMoney | None]
    unique_customers: Mapped[ZeroCount | None]
    returning_customers: Mapped[ZeroCount | None]
    conversion_rate: Mapped[ZeroRate | None]
    created_at: Mapped[DefaultNow | None]


class ProductMetric(Base):
    """One product's views, carts and sales of one day; the product's id outlives the product."""

    __tablename__ = "product_metrics"
    __table_args__ = (
        UniqueConstraint("product_id", "date"),
        # all products of a day
        Index(None, "date", "product_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    product_id: Mapped[int]
    date: Mapped[date]
    views: Mapped[ZeroCount | None]
    unique_views: Mapped[ZeroCount | None]
    add_to_carts: Mapped[ZeroCount | None]
    purchases: Mapped[ZeroCount | None]
    revenue: Mapped[ZeroMoney | None]
    conversion_rate: Mapped[ZeroRate | None]
    created_at: Mapped[DefaultNow | None]


class AnalyticsSession(Base):
    """One visit to the shop (`analytics_db.user_sessions`): how long, from where and what came of it.

    Attributes
    ----------
    session_id
        The visitor's session for its first visit; ` 2`, ` 3` … follow it for later ones.
    """

    __tablename__ = "user_sessions"
    __table_args__ = (
        # the visits of a user; deleting a user sets it null; guests' visits stay out
        Index(None, "user_id", postgresql_where=where_given("user_id")),
        # the visits of one visitor, whose session comes before the visit's number
        Index("user_sessions_visitor_idx", text("split_part(session_id, ' ', 1)")),
        # the visits of a day
        Index(None, "start_time"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    session_id: Mapped[str] = mapped_column(String(255), unique=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="SET NULL"))
    start_time: Mapped[DefaultNow | None]
    end_time: Mapped[datetime | None]
    duration_seconds: Mapped[int | None]
    page_views: Mapped[ZeroCount | None]
    events: Mapped[ZeroCount | None]
    bounce: Mapped[Off | None]
    converted: Mapped[Off | None]
    conversion_value: Mapped[ZeroMoney | None]
    device_type: Mapped[str | None] = mapped_column(String(50))
    browser: Mapped[str | None] = mapped_column(String(50))
    os: Mapped[str | None] = mapped_column(String(50))
    country: Mapped[str | None] = mapped_column(String(2))
    city: Mapped[str | None] = mapped_column(String(100))
    referrer: Mapped[str | None] = mapped_column(String(500))
    utm_source: Mapped[str | None] = mapped_column(String(100))
    utm_medium: Mapped[str | None] = mapped_column(String(100))
    utm_campaign: Mapped[str | None] = mapped_column(String(100))
    created_at: Mapped[DefaultNow | None]


class CollectedEvent(Base):
    """What a collected row was sent as: the same one sent again is not stored again (our own table)."""

    __tablename__ = "collected_events"
    __table_args__ = (
        CheckConstraint("num_nonnulls(page_view_id, user_event_id) = 1", name="row"),
        {"schema": SCHEMA},
    )

    event_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    page_view_id: Mapped[int | None] = mapped_column(ForeignKey(PageView.id, ondelete="CASCADE"), unique=True)
    user_event_id: Mapped[int | None] = mapped_column(
        ForeignKey(UserEvent.id, ondelete="CASCADE"), unique=True
    )


class BotHits(Base):
    """How much one bot sent on one day, of which nothing was kept (our own table)."""

    __tablename__ = "bot_hits"
    __table_args__ = ({"schema": SCHEMA},)

    date: Mapped[date] = mapped_column(primary_key=True)
    bot: Mapped[str] = mapped_column(String(100), primary_key=True)
    hits: Mapped[int]
