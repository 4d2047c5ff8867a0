"""The queue of runs, changed by one process at a time."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

__all__ = ["lock_queue"]

_LOCK = 0x6A6F6274  # 'jobt'


def lock_queue(session: Session) -> None:
    """Until the transaction ends nobody else queues a run: of each job at most one waits or runs."""
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
