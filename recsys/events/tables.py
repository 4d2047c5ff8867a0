"""The outbox of published events, and the inbox of those that a group has handled (our own tables)."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Identity, Index, SmallInteger, String, text
from sqlalchemy.orm import Mapped, mapped_column

from recsys.database.base import Base, where_given

__all__ = ["HandledEvent", "OutboxEvent"]

SCHEMA = "analytics_db"


class OutboxEvent(Base):
    """One published event: `sent_at` is empty until the relay has brought it to its stream."""

    __tablename__ = "outbox"
    __table_args__ = (
        # what the relay has still to send, oldest first; it stays as small as the backlog
        Index("outbox_unsent_idx", "id", postgresql_where=text("sent_at IS NULL")),
        # the newest sent batch, what is to be sent again, and what is old enough to go
        Index(None, "sent_at", postgresql_where=where_given("sent_at")),
        {"schema": SCHEMA},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    event_id: Mapped[uuid.UUID] = mapped_column(unique=True)
    family: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(100))
    version: Mapped[int] = mapped_column(SmallInteger)
    aggregate: Mapped[str] = mapped_column(String(300))
    data: Mapped[Any] = mapped_column(JSON)
    occurred_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    # of the trace in which it was published (W3C Trace Context); empty while tracing is off
    traceparent: Mapped[str | None] = mapped_column(String(55))


class HandledEvent(Base):
    """That a group has handled an event; the row is written in the handlers' transaction."""

    __tablename__ = "inbox"
    __table_args__ = (
        # what is old enough to go
        Index(None, "handled_at"),
        {"schema": SCHEMA},
    )

    consumer_group: Mapped[str] = mapped_column(String(100), primary_key=True)
    event_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    handled_at: Mapped[datetime]
