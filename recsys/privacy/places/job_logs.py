"""What jobs wrote, as the history of jobs keeps it: free text that may name anybody."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from recsys.jobs.tables import JobRun
from recsys.privacy.person import ERASED_ACTOR, Person

__all__ = ["NAME", "erase", "read"]

NAME = "analytics_db.job_runs:log"


def read(session: Session, person: Person) -> list[dict[str, Any]]:
    """The runs whose text names the person."""
    return [{"run": run.id, "job": run.job} for run in _runs(session, person)]


def erase(session: Session, person: Person) -> int:
    """Overwrite what names the person; in how many runs."""
    runs = _runs(session, person)
    for run in runs:
        run.log, run.outcome = _without(run.log, person), _without(run.outcome, person)
    session.flush()
    return len(runs)


def _runs(session: Session, person: Person) -> list[JobRun]:
    # the person's own actions are a place of their own; here only texts are looked at
    rows = session.scalars(select(JobRun).where(JobRun.log.is_not(None) | JobRun.outcome.is_not(None)))
    return [
        run
        for run in rows
        if any(text and person.pattern.search(text.encode()) for text in (run.log, run.outcome))
    ]


def _without(text: str | None, person: Person) -> str | None:
    if text is None:
        return None
    return person.pattern.sub(ERASED_ACTOR.encode(), text.encode()).decode(errors="replace")
