"""Which experiments run, on whom, since when, and how it ended (a table of our own)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Identity, SmallInteger, String, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from recsys.database.base import Base
from recsys.domains.recommendations.tables import SCHEMA

__all__ = ["AbTest", "StoredMeasurement"]


class AbTest(Base):
    """One experiment against the model that served when it began (our own table).

    Attributes
    ----------
    challenger, share, live_control
        What the version before reads of the design: the first model of an arm, the part of the visitors
        outside of the control, and whether the control's lists are ranked live.
    design
        An `ExperimentDesign`; None in rows of the version before.
    winner
        The arm that was kept.
    """

    __tablename__ = "ab_tests"
    __table_args__ = (
        CheckConstraint("control <> challenger", name="models"),
        CheckConstraint("share > 0 AND share < 1", name="share"),
        CheckConstraint("metric IN ('clicked', 'carted', 'bought', 'revenue', 'spent')", name="metric"),
        CheckConstraint("days > 0", name="days"),
        CheckConstraint("state IN ('running', 'stopped')", name="state"),
        CheckConstraint("(state = 'running') = (ended_at IS NULL)", name="end"),
        {"schema": SCHEMA},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(String(60), unique=True)
    control: Mapped[str] = mapped_column(String(100))
    challenger: Mapped[str | None] = mapped_column(String(100))
    share: Mapped[float]
    salt: Mapped[str] = mapped_column(String(64))
    live_control: Mapped[bool]
    metric: Mapped[str] = mapped_column(String(20))
    days: Mapped[float]
    state: Mapped[str] = mapped_column(String(20))
    started_at: Mapped[datetime]
    started_by: Mapped[str] = mapped_column(String(100))
    reason: Mapped[str] = mapped_column(Text)
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[str | None] = mapped_column(String(100))
    conclusion: Mapped[str | None] = mapped_column(Text)
    design: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    winner: Mapped[str | None] = mapped_column(String(24))


class StoredMeasurement(Base):
    """The newest figures of displayed lists and of experiments, in one row (our own table).

    Attributes
    ----------
    content
        A `models.registry.measurement.Measurement`.
    """

    __tablename__ = "measurements"
    __table_args__ = (CheckConstraint("id = 1", name="newest"), {"schema": SCHEMA})

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    measured_at: Mapped[datetime]
    content: Mapped[dict[str, Any]] = mapped_column(JSONB)
