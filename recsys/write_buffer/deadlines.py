"""Work in PostgreSQL with a deadline: after it the caller stops waiting, and the work goes on by itself.

A thread that waits for a connection, a lock or a slow server cannot be stopped from outside. So the work runs
in one of a few threads of its own, and the caller leaves it there: what it stores all the same is a repeat,
by its event ids, when it comes a second time from the write buffer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextvars import copy_context
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from recsys.database import absence
from recsys.database.absence import DatabaseAway
from recsys.log import get_logger
from recsys.settings import get_settings

__all__ = ["Deadline", "before", "post_threads", "within"]

T = TypeVar("T")
_log = get_logger(__name__)


@dataclass(frozen=True)
class Deadline:
    """The moment, of the monotonic clock, until which a request waits for PostgreSQL."""

    at: float

    @classmethod
    def of_post(cls) -> Deadline:
        """The deadline of a post that arrives now."""
        return cls(time.monotonic() + get_settings().intake.deadline_ms / 1000)

    @property
    def left(self) -> float:
        """Seconds that are left, 0 or more."""
        return max(0.0, self.at - time.monotonic())


def within(deadline: Deadline, work: Callable[[float], T]) -> T:
    """The result of `work`, called with the seconds that it has. Raises DatabaseAway after the deadline."""
    return before(deadline, post_threads().submit(copy_context().run, _begun, deadline, work))


def before(deadline: Deadline, future: Future[T]) -> T:
    """The result of a future. Raises DatabaseAway after the deadline, and cancels what has not begun."""
    try:
        return future.result(deadline.left)
    except FutureTimeout:
        if future.done():
            # the work itself ran into a timeout of its own
            return future.result()
        if not future.cancel():
            future.add_done_callback(_forget)
        absence.note("busy", "")
        raise DatabaseAway("PostgreSQL did not answer in time", "busy") from None


def post_threads() -> ThreadPoolExecutor:
    """The threads in which posts wait for PostgreSQL."""
    return _threads(get_settings().database.pool_size)


def _begun(deadline: Deadline, work: Callable[[float], T]) -> T:
    seconds = deadline.left
    if not seconds:
        raise DatabaseAway("PostgreSQL was kept busy until there was no time left", "busy")
    return work(seconds)


@lru_cache(maxsize=4)
def _threads(pool_size: int) -> ThreadPoolExecutor:
    # together with the requests that are admitted (`recsys.web.dependencies`) as many as the pool holds
    return ThreadPoolExecutor(max(2, pool_size // 2), thread_name_prefix="post")


def _forget(future: Future[T]) -> None:
    """Log a failure of work for which nobody waits any more."""
    if not future.cancelled() and (error := future.exception()) is not None:
        _log.warning("a post that was queued meanwhile could not be stored at once", error=str(error)[:300])
