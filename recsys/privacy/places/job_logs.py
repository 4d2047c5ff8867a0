"""What jobs wrote, as the history of jobs keeps it: free text that may name anybody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from recsys.jobs.tables import JobRun
from recsys.privacy.person import ERASED_ACTOR, Person

__all__ = ["NAME", "erase", "rows"]

LOGS_AT_ONCE = 20

NAME = "analytics_db.job_runs:log"


def rows(session: Session, person: Person) -> Iterator[dict[str, Any]]:
    """The runs whose text names the person; a few logs at a time are in memory."""
    texts = select(JobRun.id, JobRun.job, JobRun.log, JobRun.outcome).where(
        JobRun.log.is_not(None) | JobRun.outcome.is_not(None)
    )
    for run in session.execute(texts, execution_options={"yield_per": LOGS_AT_ONCE}):
        if any(text and person.pattern.search(text.encode()) for text in (run.log, run.outcome)):
            yield {"run": run.id, "job": run.job}


def erase(session: Session, person: Person) -> int:
    """Overwrite what names the person; in how many runs."""
    # the person's own actions are a place of their own; here only texts are looked at
    numbers = [row["run"] for row in rows(session, person)]
    for number in numbers:
        run = session.get_one(JobRun, number)
        run.log, run.outcome = _without(run.log, person), _without(run.outcome, person)
        session.flush()
        session.expire(run)
    return len(numbers)


def _without(text: str | None, person: Person) -> str | None:
    if text is None:
        return None
    return person.pattern.sub(ERASED_ACTOR.encode(), text.encode()).decode(errors="replace")
