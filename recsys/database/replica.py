"""Reads that may be a moment old, from a replica of PostgreSQL where one is set and near enough.

How far it is behind is measured by the log's positions, once a second by those who read: the age of the
newest position of the primary that the replica has replayed. So a replica that was cut off counts as far
behind, whatever it says of itself.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from prometheus_client import Counter, Gauge
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from recsys.database.absence import DatabaseAway
from recsys.database.addresses import replica_url
from recsys.database.servers.joint_commit import JointSession
from recsys.database.session import engine_of, get_engine, other_engines, reaching, unit_of_work
from recsys.errors import Unavailable
from recsys.log import get_logger
from recsys.settings import get_settings
from recsys.web.metrics import REGISTRY

__all__ = ["ReplicaState", "forget", "measure", "position", "read"]

T = TypeVar("T")
_EVERY_SECONDS = 1.0
_log = get_logger(__name__)
_PRIMARY = text("SELECT pg_current_wal_lsn() - '0/0'")
# a server that is no replica, or not any more, has replayed nothing
_REPLAYED = text("SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() - '0/0' END")
_LAG = Gauge(
    "recsys_database_replica_lag_seconds",
    "How far the replica of PostgreSQL is behind, by the process that sees it the farthest; +Inf: unusable.",
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
_READS = Counter(
    "recsys_database_replica_reads",
    "Reads that may be a moment old, by the server that answered.",
    ["server"],
    registry=REGISTRY,
)


@dataclass
class ReplicaState:
    """What is known of a replica.

    Attributes
    ----------
    lag
        In seconds.
    replayed
        The position that the replica has reached.
    """

    url: str
    lag: float = math.inf
    replayed: int = 0
    measured_at: float = -math.inf
    seen: deque[tuple[float, int]] = field(default_factory=deque)
    """When the primary was at which position."""


_lock = threading.Lock()
_states: list[ReplicaState] = []


def read(work: Callable[[Session], T], *, after: int = 0) -> T:
    """Call `work` with a session that only reads, of the replica or of the primary, in no unit of work.

    A replica that is away, in the way of the read, or further behind than the setting allows is left alone,
    and `work` called with the primary.

    Parameters
    ----------
    work
        What reads.
    after
        The replica must have reached this position, see `position`.
    """
    url = replica_url()
    if url is None:
        with unit_of_work() as session:
            return work(session)
    state = measure(url)
    if state.lag <= get_settings().database.replica_lag_seconds and state.replayed >= after:
        try:
            with reaching(url), _session(url) as session:
                found = work(session)
            _READS.labels("replica").inc()
        except DatabaseAway as error:
            _log.warning("the replica does not answer; the primary does", error=str(error))
            _note(state, None, None)
        else:
            return found
    _READS.labels("primary").inc()
    with unit_of_work() as session:
        return work(session)


def _session(url: str) -> Session:
    others = other_engines()
    engine = engine_of(url, "replica")
    return JointSession(engine, others) if others else Session(engine)


def position(session: Session) -> int:
    """The primary's position after what `session` has read and others have committed; 0 without a replica."""
    return 0 if replica_url() is None else int(session.scalars(_PRIMARY).one())


def measure(url: str) -> ReplicaState:
    """How far the replica is behind, measured now if the last time was a second ago."""
    with _lock:
        if not _states or _states[-1].url != url:
            _states[:] = [ReplicaState(url)]
        state = _states[-1]
        if time.monotonic() - state.measured_at > _EVERY_SECONDS:
            # others go on with the last state meanwhile
            state.measured_at = time.monotonic()
        else:
            return state
    _note(state, _asked(None), _asked(url))
    return state


def forget() -> None:
    """Forget what is known, for tests."""
    with _lock:
        _states.clear()


def _note(state: ReplicaState, primary: int | None, replayed: int | None) -> None:
    now = time.monotonic()
    with _lock:
        if replayed is None:
            state.lag = math.inf
        elif primary is not None:
            state.seen.append((now, primary))
            reached = [moment for moment, place in state.seen if place <= replayed]
            newest = replayed >= primary
            state.lag = 0.0 if newest else now - reached[-1] if reached else math.inf
            state.replayed = replayed
            while len(state.seen) > 1 and state.seen[1][1] <= replayed:
                state.seen.popleft()
            if len(state.seen) > 1000:
                state.seen.popleft()
        # without the primary nothing new is written: the last known lag stays
        _LAG.set(state.lag)


def _asked(url: str | None) -> int | None:
    """The position of the primary (None), or of the replica; None where it does not tell."""
    try:
        with get_engine().connect() if url is None else engine_of(url, "replica").connect() as connection:
            found = connection.scalar(_PRIMARY if url is None else _REPLAYED)
    except (SQLAlchemyError, Unavailable, OSError):
        return None
    return None if found is None else int(found)
