"""The history of imports (a table of our own)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Identity, String
from sqlalchemy.orm import Mapped, mapped_column

from recsys.database.base import Base

__all__ = ["ImportRun"]


class ImportRun(Base):
    """One import that ended.

    Attributes
    ----------
    source
        Such as csv.
    state
        done, or failed with an error; an import whose rows were all refused has failed, too.
    """

    __tablename__ = "import_runs"
    __table_args__ = (
        CheckConstraint("state IN ('done', 'failed')", name="state"),
        {"schema": "analytics_db"},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    source: Mapped[str] = mapped_column(String(50))
    state: Mapped[str] = mapped_column(String(20))
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    read_rows: Mapped[int] = mapped_column(BigInteger)
    stored_rows: Mapped[int] = mapped_column(BigInteger)
    refused_rows: Mapped[int] = mapped_column(BigInteger)
