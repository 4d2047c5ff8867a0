"""The threads that rank live lists, separate from all others: slow lists delay only lists."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextvars import copy_context
from typing import TypeVar

from recsys.log import get_logger

__all__ = ["MAX_START_FRACTION", "LiveExecutor"]

T = TypeVar("T")
THREADS = 6
"""Lists that are ranked at the same time. Python runs about one at a time: with more threads, too much load
would make all of them end after their deadline and none in time."""
MAX_START_FRACTION = 0.5
"""Work that did not begin within this part of its time is not begun: it would probably end too late."""
ADMITTED_FRACTION = 0.5
"""Work is admitted while all admitted work needs no more than this part of a caller's time: what could only
end too late would take the processor from everything else, stored lists included."""
_SMOOTHING = 0.1
DRAIN_SECONDS = 5.0
_log = get_logger(__name__)


class LiveExecutor:
    """A thread pool whose callers wait up to a deadline; work that has begun runs to its end."""

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="live")
        self._admission = threading.Lock()
        self._admitted = 0
        self._processor_seconds = 0.0
        """Smoothed mean of one piece of work."""

    def submit(self, seconds: float, work: Callable[[], T]) -> Future[T]:
        """Begin `work` soon.

        Raises
        ------
        TimeoutError
            Too much is admitted already for it to end within `seconds`. The future raises it, too, when the
            work could not begin in time.
        """
        with self._admission:
            expected = (self._admitted + 1) * self._processor_seconds
            if self._admitted and expected > ADMITTED_FRACTION * seconds:
                raise TimeoutError("too much other work was admitted")
            self._admitted += 1
        latest_start = time.monotonic() + MAX_START_FRACTION * seconds
        submitted = self._pool.submit(copy_context().run, _begin, self._measured(work), latest_start)
        submitted.add_done_callback(self._release)
        return submitted

    def _measured(self, work: Callable[[], T]) -> Callable[[], T]:
        def measured() -> T:
            began = time.thread_time()
            try:
                return work()
            finally:
                took = time.thread_time() - began
                with self._admission:
                    self._processor_seconds += _SMOOTHING * (took - self._processor_seconds)

        return measured

    def _release(self, _: Future[T]) -> None:
        with self._admission:
            self._admitted -= 1

    async def within(self, seconds: float, work: Callable[[], T]) -> T:
        """Return or raise what `work` does.

        A failure that comes too late is logged.

        Raises
        ------
        TimeoutError
            The work has not ended in time.
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
        """Wait for work that others wait for, too; it is not cancelled. Raises TimeoutError."""
        future = asyncio.wrap_future(submitted)
        done, _ = await asyncio.wait({future}, timeout=seconds)
        if done:
            return future.result()
        future.add_done_callback(_log_failure)
        raise TimeoutError

    def close(self) -> bool:
        """Accept no more work and wait briefly for running work; False when some continues."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        waiting = ThreadPoolExecutor(1)
        done, _ = wait_for([waiting.submit(self._pool.shutdown, True)], DRAIN_SECONDS)
        waiting.shutdown(wait=False)
        if not done:
            _log.warning("lists were still being ranked at the end")
        return bool(done)


def _begin(work: Callable[[], T], start_before: float) -> T:
    if time.monotonic() > start_before:
        raise TimeoutError("too much other work was waiting")
    return work()


def _log_failure(future: asyncio.Future[T]) -> None:
    """Log a failure whose result no request waits for any more."""
    error = None if future.cancelled() else future.exception()
    if error is not None and not isinstance(error, TimeoutError):
        _log.warning("a late list could not be ranked", error=str(error))
