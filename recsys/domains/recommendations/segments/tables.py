"""Tables of stored segments."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from recsys.database.base import Base, JsonObject

__all__ = ["SegmentMembership", "StoredSegment"]

SCHEMA = "recommendations_db"


class StoredSegment(Base):
    """A segment under a name (our own table).

    Attributes
    ----------
    definition
        How its members are found, or that they were given.
    version
        Changes with any change of its members.
    problem
        Why the last refresh failed.
    """

    __tablename__ = "segments"
    __table_args__ = ({"schema": SCHEMA},)

    name: Mapped[str] = mapped_column(String(50), primary_key=True)
    definition: Mapped[JsonObject]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_by: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime]
    refreshed_at: Mapped[datetime | None]
    problem: Mapped[str | None] = mapped_column(Text)


class SegmentMembership(Base):
    """One member of a stored segment (our own table)."""

    __tablename__ = "segment_members"
    __table_args__ = (
        # the segments of a user who is erased, or refuses personalisation
        Index(None, "user_id"),
        {"schema": SCHEMA},
    )

    segment: Mapped[str] = mapped_column(ForeignKey(StoredSegment.name, ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
