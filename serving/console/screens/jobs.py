"""Jobs: what is scheduled, what runs, what ran and what was missed; start and stop."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response
from pydantic import BaseModel

from recsys.database.session import unit_of_work
from recsys.jobs import service
from recsys.jobs.catalogue import JOBS
from recsys.jobs.tables import JobRun
from recsys.settings import get_settings
from serving.console.access import Operator, Viewer
from serving.console.rendering import TEMPLATES, screen_router
from serving.pages.forms import LocalPath, SubmittedForm, redirect, submitted

__all__ = ["JobsContent", "RunContent", "RunSummary", "router", "run_summary"]

router = screen_router("jobs")
RunId = Annotated[int, Path(ge=1, le=2**31 - 1)]
_STATES = {
    "queued": ("waiting", ""),
    "running": ("running", "accent"),
    "done": ("done", "good"),
    "failed": ("failed", "bad"),
    "stopped": ("stopped", "warn"),
    "missed": ("missed", "warn"),
    "lost": ("lost", "bad"),
}
"""Each state in words, and the kind of its badge."""


class RunSummary(BaseModel):
    """One run.

    Attributes
    ----------
    progress
        The last line that it wrote, while it runs.
    """

    id: int
    job: str
    title: str
    state: str
    state_words: str
    state_kind: str
    requested_by: str | None
    due_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    seconds: float | None
    outcome: str | None
    progress: str | None
    can_stop: bool


class JobCard(BaseModel):
    """One job."""

    name: str
    title: str
    purpose: str
    command: str
    schedule: str | None
    schedule_words: str | None
    next_at: datetime | None
    open_run: RunSummary | None
    latest: RunSummary | None


class JobsContent(BaseModel):
    """The content of the screen.

    Attributes
    ----------
    scheduler_runs
        Whether some process starts jobs.
    """

    scheduler_runs: bool
    time_zone: str
    jobs: list[JobCard]
    filter: str | None
    history: list[RunSummary]


class RunContent(BaseModel):
    """The content of the page of one run."""

    run: RunSummary
    purpose: str
    command: str
    exit_code: int | None
    log: str


class StartForm(BaseModel):
    """A job to start.

    Attributes
    ----------
    job
        Its name.
    back
        The page to return to.
    """

    job: str
    back: LocalPath = "/console/jobs"


@router.get("")
def jobs(request: Request, user: Viewer, job: Annotated[str | None, Query(max_length=50)] = None) -> Response:
    """All jobs, and the runs of all or of one."""
    with unit_of_work() as session:
        content = JobsContent(
            scheduler_runs=service.is_scheduler_alive(session),
            time_zone=get_settings().analytics.time_zone,
            jobs=[
                JobCard(
                    name=state.job.name,
                    title=state.job.title,
                    purpose=state.job.purpose,
                    command=state.job.command,
                    schedule=state.schedule,
                    schedule_words=state.schedule_words,
                    next_at=state.next_at,
                    open_run=None if state.open is None else run_summary(state.open),
                    latest=None if state.latest is None else run_summary(state.latest),
                )
                for state in service.overview(session)
            ],
            filter=job,
            history=[run_summary(run) for run in service.history(session, job=job)],
        )
    return TEMPLATES.page(request, "console/jobs.html.j2", content)


@router.get("/{run_id}")
def job_run(request: Request, user: Viewer, run_id: RunId) -> Response:
    """One run with what it wrote."""
    with unit_of_work() as session:
        run = service.find(session, run_id)
        job = JOBS.get(run.job)
        content = RunContent(
            run=run_summary(run),
            purpose="" if job is None else job.purpose,
            command=" ".join(("recsys", *run.arguments)),
            exit_code=run.exit_code,
            log=run.log or "",
        )
    return TEMPLATES.page(request, "console/job_run.html.j2", content)


@router.post("/start")
def start_job(user: Operator, form: Annotated[SubmittedForm, Depends(submitted)]) -> Response:
    """Queue a job."""
    given = form.model(StartForm)
    with unit_of_work() as session:
        run = service.request(session, given.job, by=user.actor)
        title, alive = JOBS[run.job].title, service.is_scheduler_alive(session)
    if alive:
        return redirect(given.back, f"“{title}” starts within seconds.")
    waits = f"“{title}” waits: no process starts jobs now. Start one with `recsys relay`."
    return redirect(given.back, waits, "failed")


@router.post("/{run_id}/stop")
def stop_job(user: Operator, run_id: RunId) -> Response:
    """End a run."""
    with unit_of_work() as session:
        run = service.stop(session, run_id, by=user.actor)
        ended = run.state == "stopped"
    words = (
        f"Run {run_id} is stopped." if ended else f"Run {run_id} is asked to end; this takes some seconds."
    )
    return redirect(f"/console/jobs/{run_id}", words)


def run_summary(run: JobRun) -> RunSummary:
    """A run for pages."""
    words, kind = _STATES.get(run.state, (run.state, ""))
    ended = run.ended_at or run.seen_at
    log = (run.log or "") if run.state == "running" else ""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return RunSummary(
        id=run.id,
        job=run.job,
        title=JOBS[run.job].title if run.job in JOBS else run.job,
        state=run.state,
        state_words=words,
        state_kind=kind,
        requested_by=run.requested_by,
        due_at=run.due_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
        seconds=None
        if run.started_at is None or ended is None
        else max(0.0, (ended - run.started_at).total_seconds()),
        outcome=run.outcome,
        progress=lines[-1][:200] if lines else None,
        can_stop=run.state in ("queued", "running"),
    )
