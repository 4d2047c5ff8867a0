"""Starts jobs that are due or requested, as processes of low priority, and writes their history.

One process does so, the leader of `recsys.events.periodic`. `JobRunner.tick` never waits for a job: it starts
what is due, looks after what runs, and returns.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.jobs.catalogue import JOBS
from recsys.jobs.queue import lock_queue
from recsys.jobs.schedule import count_between, next_after
from recsys.jobs.tables import JobRun
from recsys.log import get_logger
from recsys.processes.starting import command_environment, command_line
from recsys.settings import get_settings

__all__ = ["RUNNER", "JobRunner"]

LOG_CHARACTERS = 20_000
"""So much of the end of what a job wrote is kept."""
_WRITE_SECONDS, _SWEEP_SECONDS = 3.0, 3600.0
_KILL_SECONDS, _CLOSE_SECONDS = 15.0, 6.0
_LOST_AFTER = timedelta(seconds=60)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_log = get_logger(__name__)


@dataclass
class _Child:
    """A process of this one.

    Attributes
    ----------
    terminated_at
        When it was asked to end, on the monotonic clock.
    """

    process: subprocess.Popen[bytes]
    log: Path
    written_at: float = 0.0
    terminated_at: float | None = None


class JobRunner:
    """What the leader keeps of jobs between two looks."""

    def __init__(self) -> None:
        self._children: dict[int, _Child] = {}
        self._swept_at = float("-inf")

    def tick(self) -> None:
        """Plan, start and watch. Raises Unavailable when PostgreSQL is away; what runs goes on."""
        with unit_of_work() as session:
            _plan(session)
            self._find_lost(session)
            if time.monotonic() - self._swept_at > _SWEEP_SECONDS:
                _sweep(session)
                self._swept_at = time.monotonic()
        self._watch()
        while len(self._children) < get_settings().jobs.parallel and self._start_next():
            pass

    def close(self) -> None:
        """End what runs: the process that watches it ends."""
        for child in self._children.values():
            child.process.terminate()
        ends_at = time.monotonic() + _CLOSE_SECONDS
        for run_id, child in list(self._children.items()):
            try:
                child.process.wait(max(0.1, ends_at - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
            self._finish(
                run_id,
                child,
                "stopped",
                "stopped because the process that started it ended or no longer leads",
            )

    def _start_next(self) -> bool:
        """Start the run that waits longest; False when none waits."""
        with unit_of_work() as session:
            run = session.scalars(
                select(JobRun)
                .where(JobRun.state == "queued")
                .order_by(JobRun.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            ).first()
            if run is None:
                return False
            run.state, run.started_at, run.host = "running", clock.now(), _host()
            run.seen_at = run.started_at
            run_id, job, arguments = run.id, run.job, list(run.arguments)
        # only now, so that no process runs of which no row tells
        try:
            child = _spawn(run_id, arguments)
        except OSError as error:
            with unit_of_work() as session:
                run = session.get_one(JobRun, run_id)
                run.state, run.ended_at = "failed", clock.now()
                run.outcome = f"the command could not be started: {error.strerror}"
            return True
        self._children[run_id] = child
        with unit_of_work() as session:
            session.get_one(JobRun, run_id).pid = child.process.pid
        _log.info("a job began", job=job, run=run_id)
        return True

    def _watch(self) -> None:
        for run_id, child in list(self._children.items()):
            code = child.process.poll()
            if code is not None:
                asked = child.terminated_at is not None
                self._finish(run_id, child, "stopped" if asked else "done" if code == 0 else "failed")
            elif time.monotonic() - child.written_at >= _WRITE_SECONDS:
                child.written_at = time.monotonic()
                with unit_of_work() as session:
                    run = session.get_one(JobRun, run_id)
                    run.seen_at, run.log, run.pid = clock.now(), _tail(child.log), child.process.pid
                    wants_stop = run.stop_requested_by is not None
                if wants_stop:
                    _end(child)

    def _finish(self, run_id: int, child: _Child, state: str, outcome: str | None = None) -> None:
        code = child.process.returncode
        text = _tail(child.log)
        with unit_of_work() as session:
            run = session.get_one(JobRun, run_id)
            run.state, run.exit_code, run.log = state, code, text
            run.ended_at = run.seen_at = clock.now()
            if outcome is None and state == "stopped":
                outcome = f"stopped by {run.stop_requested_by}"
            run.outcome = outcome or _last_line(text) or _in_words(code)
            job = run.job
        # while PostgreSQL is away the child stays, and its end is written later
        del self._children[run_id]
        with contextlib.suppress(OSError):
            child.log.unlink()
        log = _log.warning if state == "failed" else _log.info
        log("a job ended", job=job, run=run_id, state=state, exit_code=code)

    def _find_lost(self, session: Session) -> None:
        for run in session.scalars(select(JobRun).where(JobRun.state == "running")):
            if run.id in self._children:
                continue
            here = run.host == _host()
            # a pid alone proves nothing: it is given again, and an ended child that nobody waits for keeps it
            is_stale = run.seen_at is None or clock.now() - run.seen_at > _LOST_AFTER
            if is_stale or (here and run.pid is not None and not psutil.pid_exists(run.pid)):
                log = _log_file(run.id)
                if here and log.exists():
                    run.log = _tail(log)
                    log.unlink(missing_ok=True)
                run.state, run.ended_at = "lost", clock.now()
                run.outcome = "the process that watched it ended; run it again"


RUNNER = JobRunner()
"""That of this process."""


def _plan(session: Session) -> None:
    """Queue what is due, note what was missed, and keep one planned run for each schedule."""
    settings, now = get_settings().jobs, clock.now()
    lock_queue(session)
    planned = {run.job: run for run in session.scalars(select(JobRun).where(JobRun.state == "planned"))}
    for job in planned.keys() - settings.schedules.keys():
        session.delete(planned[job])
    for job, expression in settings.schedules.items():
        run, next_at = planned.get(job), next_after(expression, now)
        if run is not None and run.due_at <= now:
            if now - run.due_at > timedelta(minutes=settings.grace_minutes):
                _miss(run, expression)
            elif _is_open(session, job):
                # the run before it takes longer than the schedule's interval
                run.due_at = next_at
                continue
            else:
                run.state, run.arguments = "queued", list(JOBS[job].arguments)
            session.flush()
            run = None
        if run is None:
            session.add(
                JobRun(
                    job=job,
                    arguments=list(JOBS[job].arguments),
                    state="planned",
                    cause="schedule",
                    due_at=next_at,
                )
            )
        elif run.due_at != next_at:
            # the schedule was changed
            run.due_at = next_at


def _miss(run: JobRun, expression: str) -> None:
    run.state, run.ended_at = "missed", clock.now()
    run.missed_starts = count_between(expression, run.due_at, clock.now())
    times = "once" if run.missed_starts == 1 else f"{run.missed_starts:,} times"
    run.outcome = f"missed {times}: nothing was running that starts jobs"


def _is_open(session: Session, job: str) -> bool:
    query = select(JobRun.id).where(JobRun.job == job, JobRun.state.in_(("queued", "running")))
    return session.scalar(query.limit(1)) is not None


def _sweep(session: Session) -> None:
    before = clock.now() - timedelta(days=get_settings().jobs.history_days)
    session.execute(delete(JobRun).where(JobRun.ended_at < before))


def _spawn(run_id: int, arguments: list[str]) -> _Child:
    """The command as a process of its own that ends with this one."""
    log = _log_file(run_id)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        process = subprocess.Popen(
            command_line(arguments),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=command_environment({"COLUMNS": "120", "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}),
        )
    # also commands that do not lower their priority themselves; it may have ended already
    with contextlib.suppress(psutil.Error, ValueError):
        psutil.Process(process.pid).nice(get_settings().batch_niceness)
    return _Child(process, log)


def _log_file(run_id: int) -> Path:
    return get_settings().var / "jobs" / f"{run_id}.log"


def _host() -> str:
    return socket.gethostname()[:255]


def _end(child: _Child) -> None:
    """Ask the process to end; kill it when it does not."""
    if child.terminated_at is None:
        child.terminated_at = time.monotonic()
        child.process.terminate()
    elif time.monotonic() - child.terminated_at > _KILL_SECONDS:
        child.process.kill()


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 4 * LOG_CHARACTERS))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    # a line that was written over with a carriage return counts as its last state
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in _ESCAPES.sub("", text).split("\n"))
    return "\n".join(lines).replace("\x00", "")[-LOG_CHARACTERS:]


def _last_line(text: str) -> str | None:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:500] if lines else None


def _in_words(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return f"ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"ended by signal {-code}"
    return f"ended with exit code {code}"
