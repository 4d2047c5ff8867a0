"""Periodic jobs: each runs at its interval in one process at a time, the leader by an advisory lock.

Any number of processes may offer to run them (the relay, `recsys serve api` with the setting
`events.inside_api`); when the leader ends, or loses its connection, another process takes over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module

import psycopg
from redis.exceptions import RedisError

from recsys.database.addresses import connect_arguments, libpq_url
from recsys.database.session import reaching
from recsys.errors import Unavailable
from recsys.events.retention import reason
from recsys.log import get_logger
from recsys.settings import Settings, get_settings

__all__ = ["LEADER_LOCK", "Job", "run"]

LEADER_LOCK = 0x6A6F6273  # 'jobs'
"""Key of the advisory lock of the process that runs periodic jobs."""
_STANDBY_SECONDS = 10.0
_TICK_SECONDS = 1.0
_log = get_logger(__name__)


@dataclass(frozen=True)
class Job:
    """Work that is repeated.

    Attributes
    ----------
    interval
        Seconds from one start to the next, by the settings; 0 for never.
    work
        What is done.
    close
        What is done when the process ends, or another one leads.
    """

    interval: Callable[[Settings], float]
    work: Callable[[], object]
    close: Callable[[], object] | None = None


def run(stop: threading.Event, *, jobs: Mapping[str, Job] | None = None) -> None:
    """Run jobs (those of `recsys.subscriptions.JOBS`) as the leader, or stand by, until `stop` is set."""
    # imported here and by name: the domains import this package
    chosen: Mapping[str, Job] = import_module("recsys.subscriptions").JOBS if jobs is None else jobs
    while not stop.is_set():
        try:
            url = libpq_url()
            # a session of its own: the lock ends with it, however this process ends
            with reaching(url), psycopg.connect(url, autocommit=True, **connect_arguments(url)) as session:
                if _holds_lock(session):
                    _lead(session, chosen, stop)
                else:
                    # another process leads: what this one started as leader must not go on beside it
                    _close(chosen)
        except (Unavailable, RedisError, OSError) as error:
            _log.error("periodic jobs wait for their servers", error=reason(error))
        stop.wait(_STANDBY_SECONDS)
    _close(chosen)


def _close(jobs: Mapping[str, Job]) -> None:
    for name, job in jobs.items():
        if job.close is not None:
            _run_one(name, job.close)


def _lead(session: psycopg.Connection, jobs: Mapping[str, Job], stop: threading.Event) -> None:
    due = dict.fromkeys(jobs, float("-inf"))
    while not stop.is_set():
        # raises when the session, and the lock with it, is lost
        session.execute("SELECT")
        for name, job in jobs.items():
            interval = job.interval(get_settings())
            if interval and time.monotonic() >= due[name] and not stop.is_set():
                due[name] = time.monotonic() + interval
                _run_one(name, job.work)
        stop.wait(_TICK_SECONDS)


def _run_one(name: str, work: Callable[[], object]) -> None:
    try:
        work()
    except (Unavailable, RedisError, OSError) as error:
        _log.error("a periodic job failed; it runs again after its interval", job=name, error=reason(error))


def _holds_lock(session: psycopg.Connection) -> bool:
    row = session.execute("SELECT pg_try_advisory_lock(%s)", [LEADER_LOCK]).fetchone()
    return row is not None and bool(row[0])
