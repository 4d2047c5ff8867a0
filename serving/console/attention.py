"""What needs attention: the findings of `recsys doctor` and of jobs, each with the job that mends it.

An examination reads the whole artifact of the model, which takes seconds: a thread makes it, and pages
display the last one.
"""

from __future__ import annotations

import threading
import time
from datetime import datetime

from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy.orm import Session

from recsys import clock
from recsys.diagnosis import doctor
from recsys.diagnosis.finding import Finding
from recsys.jobs import service as jobs
from recsys.jobs.catalogue import job_for_remedy
from recsys.log import get_logger
from recsys.settings import get_settings

__all__ = ["AttentionItem", "Examiner", "attention_items", "examiner_of"]

FRESH_SECONDS = 60.0
_log = get_logger(__name__)


class AttentionItem(BaseModel):
    """One thing to look at.

    Attributes
    ----------
    remedy
        The command to type instead of a job.
    job, job_title
        The job that mends it.
    """

    part: str
    state: str
    problem: str
    remedy: str | None
    job: str | None
    job_title: str | None


class Examiner:
    """The last examination of an application's parts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started_at = float("-inf")
        self._findings: list[Finding] | None = None
        self._examined_at: datetime | None = None

    def last(self) -> tuple[list[Finding] | None, datetime | None]:
        """The last findings and their moment, None before the first; begins the next where they are old."""
        with self._lock:
            if time.monotonic() - self._started_at > FRESH_SECONDS:
                self._started_at = time.monotonic()
                threading.Thread(target=self.examine, name="doctor", daemon=True).start()
            return self._findings, self._examined_at

    def examine(self) -> None:
        """Examine now."""
        try:
            findings = doctor.examine(get_settings())
        except Exception as error:  # noqa: BLE001 the thread's edge; the next one tries again
            _log.error("the parts could not be examined", error=str(error))
            return
        with self._lock:
            self._findings, self._examined_at = findings, clock.now()


def examiner_of(app: FastAPI) -> Examiner:
    """The examiner of an application."""
    if not hasattr(app.state, "examiner"):
        app.state.examiner = Examiner()
    examiner: Examiner = app.state.examiner
    return examiner


def attention_items(session: Session, findings: list[Finding]) -> list[AttentionItem]:
    """The parts that are not well, and jobs that failed, were missed or have nobody to start them."""
    items = []
    for finding in findings:
        # jobs are listed below, each with its last run
        if finding.state != "ok" and finding.part != "schedules":
            job = job_for_remedy(finding.remedy)
            items.append(
                AttentionItem(
                    part=finding.part,
                    state=finding.state,
                    problem=finding.found,
                    remedy=finding.remedy,
                    job=None if job is None else job.name,
                    job_title=None if job is None else job.title,
                )
            )
    covered = {item.job for item in items}
    for state in jobs.overview(session):
        run = state.latest
        if run is None or run.state not in ("failed", "missed", "lost") or state.job.name in covered:
            continue
        items.append(
            AttentionItem(
                part=f"job “{state.job.title}”",
                state="attention",
                problem=f"{run.state}: {run.outcome}",
                remedy=state.job.command,
                job=state.job.name,
                job_title=state.job.title,
            )
        )
    if get_settings().jobs.schedules and not jobs.is_scheduler_alive(session):
        items.append(
            AttentionItem(
                part="jobs",
                state="attention",
                problem="no process starts jobs, so schedules pass unused",
                remedy="recsys relay",
                job=None,
                job_title=None,
            )
        )
    return items
