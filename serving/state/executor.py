"""The threads that rank live lists, apart from all others: slow lists delay nothing but lists."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextvars import copy_context
from typing import TypeVar

from recsys.log import get_logger

__all__ = ["LiveExecutor"]

T = TypeVar("T")
THREADS = 6
"""Lists that are ranked at the same time. Python runs about one at a time: with more threads, too much load
would make all of them end after their deadline and none in time."""
LATEST_START = 0.5
"""Work that did not begin within this part of its time is not begun: it would most likely end too late."""
DRAIN_SECONDS = 5.0
_log = get_logger(__name__)


class LiveExecutor:
    """A pool whose callers wait only so long; work that has begun goes on, since nothing could stop it."""

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="live")

    def submit(self, seconds: float, work: Callable[[], T]) -> Future[T]:
        """Begin `work` soon; the future raises TimeoutError when it could not begin in good time."""
        latest = time.monotonic() + LATEST_START * seconds
        return self._pool.submit(copy_context().run, _begin, work, latest)

    async def within(self, seconds: float, work: Callable[[], T]) -> T:
        """What `work` returns or raises. Raises TimeoutError when it has not ended in time.

        A failure that comes too late is logged.
        """
        submitted = self.submit(seconds, work)
        future = asyncio.wrap_future(submitted)
        done, _ = await asyncio.wait({future}, timeout=seconds)
        if done:
            return future.result()
        if not submitted.cancel():
            future.add_done_callback(_log_failure)
        raise TimeoutError

    async def wait(self, seconds: float, submitted: Future[T]) -> T:
        """The same for work that others wait for as well; it is not cancelled. Raises TimeoutError."""
        future = asyncio.wrap_future(submitted)
        done, _ = await asyncio.wait({future}, timeout=seconds)
        if done:
            return future.result()
        future.add_done_callback(_log_failure)
        raise TimeoutError

    def close(self) -> bool:
        """Take no more work and wait a little for what has begun; False when some of it goes on."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        waiting = ThreadPoolExecutor(1)
        done, _ = wait_for([waiting.submit(self._pool.shutdown, True)], DRAIN_SECONDS)
        waiting.shutdown(wait=False)
        if not done:
            _log.warning("lists were still being ranked at the end")
        return bool(done)


def _begin(work: Callable[[], T], latest: float) -> T:
    if time.monotonic() > latest:
        raise TimeoutError("too much other work was waiting")
    return work()


def _log_failure(future: asyncio.Future[T]) -> None:
    """Nobody waits for this result any more: its failure is logged here."""
    error = None if future.cancelled() else future.exception()
    if error is not None and not isinstance(error, TimeoutError):
        _log.warning("a late list could not be ranked", error=str(error))
