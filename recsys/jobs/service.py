"""Jobs as people see them: what there is, what is planned, what ran; started and stopped by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session, defer

from recsys import clock
from recsys.errors import Conflict, NotFound
from recsys.events.periodic import LEADER_LOCK
from recsys.jobs.catalogue import JOBS, JobDefinition
from recsys.jobs.queue import lock_queue
from recsys.jobs.schedule import explain
from recsys.jobs.tables import JobRun
from recsys.settings import get_settings

__all__ = ["JobState", "find", "history", "is_scheduler_alive", "last_missed", "overview", "request", "stop"]

_LEADER = text(
    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
    "AND classid::bigint = :high AND objid::bigint = :low "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
)

_WITHOUT_LOG = defer(JobRun.log)
"""What a run wrote is read where it is displayed."""


@dataclass(frozen=True)
class JobState:
    """One job: its schedule in words, its next start, and its last runs.

    Attributes
    ----------
    schedule
        The cron expression; None without one.
    schedule_words
        The schedule in words.
    next_at
        The next start.
    open
        The run that waits or runs now.
    latest
        The last run that began, or was missed.
    """

    job: JobDefinition
    schedule: str | None
    schedule_words: str | None
    next_at: datetime | None
    open: JobRun | None
    latest: JobRun | None


def overview(session: Session) -> list[JobState]:
    """Every job, in the order of the catalogue."""
    schedules = get_settings().jobs.schedules
    begun = JobRun.state.not_in(("planned", "queued"))
    latest = select(func.max(JobRun.id)).where(begun).group_by(JobRun.job)
    query = select(JobRun).where(JobRun.state.in_(("planned", "queued", "running")) | JobRun.id.in_(latest))
    runs_of: dict[str, list[JobRun]] = {}
    for run in session.scalars(query.order_by(JobRun.id.desc()).options(_WITHOUT_LOG)):
        runs_of.setdefault(run.job, []).append(run)
    states = []
    for job in JOBS.values():
        runs = runs_of.get(job.name, [])
        expression = schedules.get(job.name)
        states.append(
            JobState(
                job=job,
                schedule=expression,
                schedule_words=None if expression is None else explain(expression),
                next_at=next((run.due_at for run in runs if run.state == "planned"), None),
                open=next((run for run in reversed(runs) if run.state in ("queued", "running")), None),
                latest=next((run for run in runs if run.state not in ("planned", "queued")), None),
            )
        )
    return states


def history(session: Session, *, job: str | None = None, limit: int = 50) -> Sequence[JobRun]:
    """The runs that were requested, began or were missed, newest first; NotFound for an unknown job."""
    if job is not None and job not in JOBS:
        raise NotFound(f"There is no job {job!r}; there are: {', '.join(JOBS)}.")
    query = select(JobRun).where(JobRun.state != "planned").order_by(JobRun.id.desc()).limit(limit)
    query = query.options(_WITHOUT_LOG)
    return session.scalars(query if job is None else query.where(JobRun.job == job)).all()


def last_missed(session: Session, job: str) -> JobRun | None:
    """The last missed start of a job; None when a later run was done."""
    run = session.scalars(
        select(JobRun)
        .where(JobRun.job == job, JobRun.state.in_(("missed", "done")))
        .order_by(JobRun.id.desc())
        .limit(1)
    ).first()
    return None if run is None or run.state == "done" else run


def find(session: Session, run_id: int) -> JobRun:
    """A run. Raises NotFound."""
    run = session.get(JobRun, run_id)
    if run is None:
        raise NotFound(f"There is no run {run_id} of a job.")
    return run


def request(session: Session, name: str, *, by: str) -> JobRun:
    """Queue a run now. Raises NotFound for an unknown job, Conflict while it waits or runs already."""
    job = JOBS.get(name)
    if job is None:
        raise NotFound(f"There is no job {name!r}; there are: {', '.join(JOBS)}.")
    lock_queue(session)
    waiting = session.scalars(
        select(JobRun).where(JobRun.job == name, JobRun.state.in_(("queued", "running")))
    ).first()
    if waiting is not None:
        state = "runs already" if waiting.state == "running" else "is waiting to start already"
        raise Conflict(f"“{job.title}” {state} (run {waiting.id}).")
    run = JobRun(
        job=name,
        arguments=list(job.arguments),
        state="queued",
        cause="person",
        requested_by=by,
        due_at=clock.now(),
    )
    session.add(run)
    session.flush()
    return run


def stop(session: Session, run_id: int, *, by: str) -> JobRun:
    """End a run: at once while it waits, else its process is asked to end. Raises NotFound, Conflict."""
    run = session.scalars(select(JobRun).where(JobRun.id == run_id).with_for_update()).one_or_none()
    if run is None:
        raise NotFound(f"There is no run {run_id} of a job.")
    if run.state not in ("queued", "running"):
        raise Conflict(f"Run {run_id} has ended already ({run.state}).")
    run.stop_requested_by = by
    if run.state == "queued":
        run.state, run.ended_at, run.outcome = "stopped", clock.now(), f"stopped by {by} before it began"
    return run


def is_scheduler_alive(session: Session) -> bool:
    """Whether some process starts jobs: it holds the advisory lock of the leader."""
    given = {"high": LEADER_LOCK >> 32, "low": LEADER_LOCK & 0xFFFFFFFF}
    return bool(session.scalar(_LEADER, given))
