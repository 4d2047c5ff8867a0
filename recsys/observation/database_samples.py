"""What PostgreSQL knows of the shop: model, generation, outbox, jobs, imports and its clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.absence import refusal_of_writes
from recsys.jobs import schedule, service
from recsys.observation.samples import Sample
from recsys.settings import Settings

__all__ = [
    "JobFigures",
    "clock_offset",
    "from_database",
    "job_figures",
    "live_generation_id",
    "unsent_events",
]

_MODEL = text(
    "SELECT name, last_trained_at FROM recommendations_db.recommendation_models WHERE is_active "
    "ORDER BY id DESC LIMIT 1"
)
_GENERATION = text(
    "SELECT id, model_name, users, live_at, expires_at FROM recommendations_db.recommendation_generations "
    "WHERE status = 'live'"
)
_OUTBOX = text("SELECT count(*), min(occurred_at) FROM analytics_db.outbox WHERE sent_at IS NULL")
_CLOCK = text("SELECT clock_timestamp()")
# what happened since the last success; a job that never succeeded counts all its history
_JOBS = text(
    """
    WITH success AS (
        SELECT job, max(id) AS id, max(ended_at) AS ended_at
        FROM analytics_db.job_runs WHERE state = 'done' GROUP BY job
    )
    SELECT run.job, max(success.ended_at) AS succeeded_at,
        count(*) FILTER (WHERE state IN ('failed', 'lost') AND run.id > coalesce(success.id, 0)) AS failures,
        coalesce(sum(missed_starts) FILTER (WHERE run.id > coalesce(success.id, 0)), 0) AS missed,
        max(started_at) FILTER (WHERE state = 'running') AS running_since
    FROM analytics_db.job_runs AS run LEFT JOIN success USING (job) GROUP BY run.job
    """
)
_IMPORTS = text(
    """
    SELECT ended_at, read_rows, stored_rows, refused_rows FROM analytics_db.import_runs
    WHERE state = 'done' ORDER BY id DESC LIMIT 1
    """
)
_FAILED_IMPORTS = text(
    """
    SELECT count(*) FROM analytics_db.import_runs WHERE state = 'failed' AND id > coalesce(
        (SELECT max(id) FROM analytics_db.import_runs WHERE state = 'done'), 0)
    """
)
_STARTS_COMPARED = 8
"""So many pauses of a schedule are compared: weekly and daily ones are found with their longest."""


@dataclass(frozen=True)
class JobFigures:
    """One job: how its runs ended since the last success.

    Attributes
    ----------
    interval_seconds
        The longest pause of its schedule; None without one.
    succeeded_at
        When its last success was; None without one.
    failures, missed
        Runs since then that failed, and that were missed.
    running_since
        When the run began that runs now; None without one.
    """

    job: str
    interval_seconds: float | None
    succeeded_at: datetime | None
    failures: int
    missed: int
    running_since: datetime | None


def from_database(session: Session, settings: Settings) -> Iterator[Sample]:
    """Every sample that PostgreSQL has. Raises what the session raises."""
    yield Sample("recsys_database_writable", float(refusal_of_writes(session) is None))
    yield Sample("recsys_database_clock_offset_seconds", clock_offset(session))
    yield from _model_and_generation(session, settings)
    unsent, waited = unsent_events(session)
    yield Sample("recsys_outbox_unsent", unsent)
    yield Sample("recsys_outbox_oldest_seconds", waited)
    yield from _jobs(session, settings)
    yield from _imports(session)


def clock_offset(session: Session | Connection) -> float:
    """Seconds by which PostgreSQL's clock is ahead of ours; the time of the question counts half."""
    before = clock.now()
    theirs: datetime = session.execute(_CLOCK).scalar_one()
    return (theirs - before - (clock.now() - before) / 2).total_seconds()


def unsent_events(session: Session | Connection) -> tuple[int, float]:
    """Events that the relay has not sent, and the age of the oldest in seconds."""
    count, oldest = session.execute(_OUTBOX).one()
    return int(count), _age(oldest)


def job_figures(session: Session, settings: Settings) -> list[JobFigures]:
    """Every job that has a schedule or a history, by name."""
    runs = {row.job: row for row in session.execute(_JOBS)}
    schedules = settings.jobs.schedules
    return [
        JobFigures(
            job=job,
            interval_seconds=_longest_pause(schedules[job]) if job in schedules else None,
            succeeded_at=None if job not in runs else runs[job].succeeded_at,
            failures=0 if job not in runs else int(runs[job].failures),
            missed=0 if job not in runs else int(runs[job].missed),
            running_since=None if job not in runs else runs[job].running_since,
        )
        for job in sorted({*runs, *schedules})
    ]


def live_generation_id(session: Session) -> int | None:
    """The id of the live generation of stored lists."""
    row = session.execute(_GENERATION).one_or_none()
    return None if row is None else int(row.id)


def _model_and_generation(session: Session, settings: Settings) -> Iterator[Sample]:
    model = session.execute(_MODEL).one_or_none()
    yield Sample("recsys_models_active", float(model is not None))
    if model is not None and model.last_trained_at is not None:
        yield Sample("recsys_model_trained_timestamp_seconds", model.last_trained_at.timestamp())
    generation = session.execute(_GENERATION).one_or_none()
    yield Sample("recsys_generation_live", float(generation is not None))
    if generation is None:
        return
    yield Sample("recsys_generation_users", generation.users or 0)
    if model is not None:
        yield Sample("recsys_generation_of_active_model", float(model.name == generation.model_name))
    if generation.live_at is not None:
        expires_at = generation.expires_at or generation.live_at + timedelta(
            hours=settings.serving.expires_after_hours
        )
        yield Sample("recsys_generation_live_timestamp_seconds", generation.live_at.timestamp())
        yield Sample("recsys_generation_expires_timestamp_seconds", expires_at.timestamp())


def _jobs(session: Session, settings: Settings) -> Iterator[Sample]:
    yield Sample("recsys_scheduler_up", float(service.is_scheduler_alive(session)))
    for each in job_figures(session, settings):
        labels = (("name", each.job),)
        yield Sample("recsys_job_scheduled", float(each.interval_seconds is not None), labels)
        if each.interval_seconds is not None:
            yield Sample("recsys_job_interval_seconds", each.interval_seconds, labels)
        if each.succeeded_at is not None:
            yield Sample("recsys_job_last_success_timestamp_seconds", each.succeeded_at.timestamp(), labels)
        yield Sample("recsys_job_failures", each.failures, labels)
        yield Sample("recsys_job_missed_starts", each.missed, labels)
        yield Sample("recsys_job_running_seconds", _age(each.running_since), labels)


def _longest_pause(expression: str) -> float:
    moments = [schedule.next_after(expression, clock.now())]
    for _ in range(_STARTS_COMPARED):
        moments.append(schedule.next_after(expression, moments[-1]))
    return max((later - earlier).total_seconds() for earlier, later in pairwise(moments))


def _imports(session: Session) -> Iterator[Sample]:
    yield Sample("recsys_imports_failed", session.execute(_FAILED_IMPORTS).scalar_one())
    row = session.execute(_IMPORTS).one_or_none()
    if row is None:
        return
    yield Sample("recsys_import_last_success_timestamp_seconds", row.ended_at.timestamp())
    for outcome, rows in (
        ("read", row.read_rows),
        ("stored", row.stored_rows),
        ("refused", row.refused_rows),
    ):
        yield Sample("recsys_import_rows", rows, (("outcome", outcome),))


def _age(moment: datetime | None) -> float:
    return 0.0 if moment is None else max(0.0, (clock.now() - moment).total_seconds())
