"""The history of jobs (a table of our own)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Identity, Index, String, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from recsys.database.base import Base

__all__ = ["JobRun"]


class JobRun(Base):
    """One run of a job, from its plan or request to its end.

    Attributes
    ----------
    state
        planned (its moment `due_at` is ahead), queued, running, done, failed, stopped, missed (nothing was
        there to start it), or lost (the process that watched it ended).
    seen_at
        When the process that watches it last did.
    missed_starts
        How many moments of the schedule passed unused, this one included; of missed runs.
    log
        The last part of what it wrote.
    """

    __tablename__ = "job_runs"
    __table_args__ = (
        CheckConstraint(
            "state IN ('planned', 'queued', 'running', 'done', 'failed', 'stopped', 'missed', 'lost')",
            name="state",
        ),
        CheckConstraint("cause IN ('schedule', 'person')", name="cause"),
        # the runs of a job, newest first
        Index(None, "job", "id"),
        # what is to be started and watched
        Index(
            "job_runs_open_idx",
            "state",
            postgresql_where=text("state IN ('planned', 'queued', 'running')"),
        ),
        # one plan for each job
        Index("job_runs_planned_key", "job", unique=True, postgresql_where=text("state = 'planned'")),
        {"schema": "analytics_db"},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    job: Mapped[str] = mapped_column(String(50))
    arguments: Mapped[list[str]] = mapped_column(ARRAY(Text))
    state: Mapped[str] = mapped_column(String(20))
    cause: Mapped[str] = mapped_column(String(20))
    requested_by: Mapped[str | None] = mapped_column(String(100))
    due_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    seen_at: Mapped[datetime | None]
    exit_code: Mapped[int | None]
    host: Mapped[str | None] = mapped_column(String(255))
    pid: Mapped[int | None]
    missed_starts: Mapped[int] = mapped_column(server_default=text("0"), default=0)
    stop_requested_by: Mapped[str | None] = mapped_column(String(100))
    outcome: Mapped[str | None] = mapped_column(Text)
    log: Mapped[str | None] = mapped_column(Text)
