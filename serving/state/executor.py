"""The threads in which lists are made, apart from all others: slow lists hold up nothing but lists."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextvars import copy_context
from typing import TypeVar

from recsys.log import get_logger

__all__ = ["LiveExecutor"]

T = TypeVar("T")
THREADS = 6
"""Lists at work at once. Python works on about one at a time: with more threads, more load than it can bear
would have all of them end after their deadline and none in time."""
LATE = 0.5
"""Work that did not begin within this part of its time is not begun: it would most likely end too late."""
DRAIN_SECONDS = 5.0
_log = get_logger(__name__)


class LiveExecutor:
    """A pool whose work can be given up on: it goes on, but nobody waits for it any more."""

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="maker")

    async def within(self, seconds: float, work: Callable[[], T]) -> T:
        """What `work` returns or raises. Raises TimeoutError when it has not done so in time.

        Work that has begun goes on, since nothing could stop it; a failure that comes too late is logged.
        """
        latest = time.monotonic() + LATE * seconds
        begun = self._pool.submit(copy_context().run, _in_time, work, latest)
        future = asyncio.wrap_future(begun)
        done, _ = await asyncio.wait({future}, timeout=seconds)
        if done:
            return future.result()
        if not begun.cancel():
            future.add_done_callback(_forget)
        raise TimeoutError

    def close(self) -> bool:
        """Take no more work and wait a little for what is at work; False when some of it goes on."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        waiting = ThreadPoolExecutor(1)
        done, _ = wait_for([waiting.submit(self._pool.shutdown, True)], DRAIN_SECONDS)
        waiting.shutdown(wait=False)
        if not done:
            _log.warning("lists were still being made at the end")
        return bool(done)


def _in_time(work: Callable[[], T], latest: float) -> T:
    if time.monotonic() > latest:
        raise TimeoutError("too much else was to be made")
    return work()


def _forget(future: asyncio.Future[T]) -> None:
    """Nobody is there to hear of a failure: it is told here."""
    if not future.cancelled() and (error := future.exception()) is not None:
        _log.warning("a list that nobody waited for could not be made", error=str(error))
