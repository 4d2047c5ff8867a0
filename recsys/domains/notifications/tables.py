"""The tables of notifications_db: messages, the channels that users accept, and delivery logs."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, String, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from recsys.database.base import EMPTY, Base, DefaultNow, Id, JsonObject, LargeText, Off, On, where_given
from recsys.domains.users.tables import User

__all__ = [
    "EmailLog",
    "Notification",
    "NotificationPreference",
    "NotificationTemplate",
    "OutgoingMessage",
    "SentNotice",
    "SmsLog",
]

SCHEMA = "notifications_db"


class Notification(Base):
    """One message to a user inside the shop, read or not."""

    __tablename__ = "notifications"
    __table_args__ = (
        # a user's notifications, newest first; deleting a user cascades here
        Index(None, "user_id", "created_at"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    type: Mapped[str] = mapped_column(String(50))
    title: Mapped[str] = mapped_column(String(255))
    message: Mapped[LargeText]
    data: Mapped[JsonObject | None] = mapped_column(server_default=EMPTY)
    is_read: Mapped[Off | None]
    read_at: Mapped[datetime | None]
    created_at: Mapped[DefaultNow | None]


class NotificationTemplate(Base):
    """One text with gaps that messages are made from."""

    __tablename__ = "notification_templates"
    __table_args__ = ({"schema": SCHEMA},)

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(String(100), unique=True)
    type: Mapped[str] = mapped_column(String(50))
    subject: Mapped[str | None] = mapped_column(String(255))
    body_html: Mapped[LargeText | None]
    body_text: Mapped[LargeText | None]
    variables: Mapped[JsonObject | None] = mapped_column(server_default=EMPTY)
    is_active: Mapped[On | None]
    created_at: Mapped[DefaultNow | None]
    updated_at: Mapped[datetime | None]


class NotificationPreference(Base):
    """By which channels a user wants to hear from the shop."""

    __tablename__ = "notification_preferences"
    __table_args__ = (
        # the preferences of a user; deleting a user cascades here
        Index(None, "user_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    email_enabled: Mapped[On | None]
    sms_enabled: Mapped[Off | None]
    push_enabled: Mapped[On | None]
    in_app_enabled: Mapped[On | None]
    preferences: Mapped[JsonObject | None] = mapped_column(server_default=EMPTY)
    created_at: Mapped[DefaultNow | None]
    updated_at: Mapped[datetime | None]


class EmailLog(Base):
    """One e-mail that was sent, failed or bounced."""

    __tablename__ = "email_logs"
    __table_args__ = (
        # deleting a template sets it null; mails without a template stay out
        Index(None, "template_id", postgresql_where=where_given("template_id")),
        # how many mails an address got of late
        Index("email_logs_lower_to_email_created_at_idx", text("lower(to_email)"), "created_at"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    to_email: Mapped[str] = mapped_column(String(255))
    cc_email: Mapped[list[str] | None] = mapped_column(ARRAY(String(255)))
    bcc_email: Mapped[list[str] | None] = mapped_column(ARRAY(String(255)))
    subject: Mapped[str] = mapped_column(String(255))
    template_id: Mapped[int | None] = mapped_column(ForeignKey(NotificationTemplate.id, ondelete="SET NULL"))
    status: Mapped[str] = mapped_column(String(20))
    error_message: Mapped[LargeText | None]
    sent_at: Mapped[datetime | None]
    created_at: Mapped[DefaultNow | None]


class SmsLog(Base):
    """One text message that was sent, failed or delivered."""

    __tablename__ = "sms_logs"
    __table_args__ = (
        # deleting a template sets it null; messages without a template stay out
        Index(None, "template_id", postgresql_where=where_given("template_id")),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    phone_number: Mapped[str] = mapped_column(String(20))
    message: Mapped[LargeText]
    template_id: Mapped[int | None] = mapped_column(ForeignKey(NotificationTemplate.id, ondelete="SET NULL"))
    status: Mapped[str] = mapped_column(String(20))
    error_message: Mapped[LargeText | None]
    sent_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    created_at: Mapped[DefaultNow | None]


class OutgoingMessage(Base):
    """One message on its way out, with what its log does not keep: body and tries (our own table)."""

    __tablename__ = "outgoing_messages"
    __table_args__ = (
        CheckConstraint("num_nonnulls(email_log_id, sms_log_id) = 1", name="log"),
        # what is due next
        Index(None, "due_at"),
        {"schema": SCHEMA},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    email_log_id: Mapped[int | None] = mapped_column(ForeignKey(EmailLog.id, ondelete="CASCADE"), unique=True)
    sms_log_id: Mapped[int | None] = mapped_column(ForeignKey(SmsLog.id, ondelete="CASCADE"), unique=True)
    user_id: Mapped[int | None]
    body_text: Mapped[str] = mapped_column(Text)
    body_html: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    due_at: Mapped[datetime]


class SentNotice(Base):
    """That a template was sent about something to somebody, so that it is sent once (our own table)."""

    __tablename__ = "sent_notices"
    __table_args__ = ({"schema": SCHEMA},)

    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    created_at: Mapped[DefaultNow]
