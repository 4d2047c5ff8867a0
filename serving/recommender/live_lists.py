"""Live lists: equal requests are ranked once, and a late list is cached for the next request."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from serving.state.executor import MAX_START_FRACTION, LiveExecutor

__all__ = ["LiveLists"]

T = TypeVar("T")
"""What is made of a request: a response, or a list that many responses are made of."""
SHARED_SECONDS = 60.0
"""A list that is the same for everybody depends on its key, and on counts that are as old at most."""
LATE_SECONDS = 5.0
"""Lifetime of a list that was finished after its deadline, for the next request of the same user."""
PER_CALLER = 2
"""Of the executor's six threads; so three callers without a key at least are served at the same time."""
CAPACITY = 5_000
"""Cached lists of each kind; about 60 KB each with all their pages."""


class _Recent(Generic[T]):
    """The values put in last, each for some seconds: what is oldest goes first; not thread-safe.

    `TTLCache`, which orders its values by use as well, took a tenth of an answer that was cached.
    """

    def __init__(self, capacity: int, seconds: float) -> None:
        self._capacity, self._seconds = capacity, seconds
        self._values: OrderedDict[Hashable, tuple[float, T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable) -> T | None:
        ends, value = self._values.get(key, (0.0, None))
        return value if ends > time.monotonic() else None

    def pop(self, key: Hashable) -> T | None:
        value = self.get(key)
        self._values.pop(key, None)
        return value

    def put(self, key: Hashable, value: T) -> None:
        values, now = self._values, time.monotonic()
        values.pop(key, None)
        while values and (len(values) >= self._capacity or next(iter(values.values()))[0] <= now):
            values.popitem(last=False)
        values[key] = now + self._seconds, value


class LiveLists(Generic[T]):
    """Ranks lists in the executor's threads, each within `deadline` seconds of its first request."""

    def __init__(self, executor: LiveExecutor, deadline: float) -> None:
        self._executor, self._deadline = executor, deadline
        self._shared: _Recent[T] = _Recent(CAPACITY, SHARED_SECONDS)
        self._late: _Recent[T] = _Recent(CAPACITY, LATE_SECONDS)
        self._running: dict[Hashable, Future[T]] = {}
        self._callers: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._lock = threading.RLock()  # a finished future calls back at once

    def cached(self, key: Hashable) -> T | None:
        """Return the list that is the same for everybody, if it is cached."""
        with self._lock:
            return self._shared.get(key)

    def keep(self, key: Hashable, response: T) -> None:
        """Cache a list that is the same for everybody and was not ranked here."""
        with self._lock:
            self._shared.put(key, response)

    async def get(
        self,
        key: Hashable,
        rank: Callable[[], T],
        *,
        shared: bool,
        caller: str | None = None,
    ) -> T:
        """Return the list of `key`: a cached one, the one being ranked, or a new one by `rank`.

        Parameters
        ----------
        key
            What the list depends on: lists of equal keys are the same.
        rank
            Makes the list; what it raises is raised here, too.
        shared
            Whether the list is the same for everybody; it is then cached.
        caller
            Of whom at most `PER_CALLER` lists are ranked at the same time; None: as many as there are.

        Raises
        ------
        TimeoutError
            The list is not finished in time; it is cached once it is.
        """
        if caller is None:
            return await self._get(key, rank, self._deadline, shared)
        began = time.monotonic()
        turn = self._callers.setdefault(caller, asyncio.Semaphore(PER_CALLER))
        # work that could not begin by then is not begun at all, as in the executor's own queue
        async with asyncio.timeout(MAX_START_FRACTION * self._deadline):
            await turn.acquire()
        try:
            return await self._get(key, rank, self._deadline - (time.monotonic() - began), shared)
        finally:
            turn.release()

    async def _get(self, key: Hashable, rank: Callable[[], T], seconds: float, shared: bool) -> T:
        deadline_at = time.monotonic() + seconds

        def rank_and_cache() -> T:
            try:
                response = rank()
                with self._lock:
                    if shared:
                        self._shared.put(key, response)
                    elif time.monotonic() > deadline_at:
                        self._late.put(key, response)
                return response
            finally:
                with self._lock:
                    self._running.pop(key, None)

        with self._lock:
            cached = self._shared.get(key) if shared else self._late.pop(key)
            if cached is not None:
                return cached
            running = self._running.get(key)
            if running is None:
                running = self._running[key] = self._executor.submit(seconds, rank_and_cache)
                running.add_done_callback(lambda _: self._forget(key, running))
        return await self._executor.wait(seconds, running)

    def _forget(self, key: Hashable, finished: Future[T] | None) -> None:
        """Remove work that was cancelled or never began, too."""
        with self._lock:
            if self._running.get(key) is finished:
                del self._running[key]
