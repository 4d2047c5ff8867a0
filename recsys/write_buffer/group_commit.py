"""Group commit: requests that wait at the same moment are stored together, in one transaction.

A transaction of its own costs a request five statements and a commit. While one transaction runs, the
requests that arrive wait for the next one and share its statements: the busier the shop, the less a request
costs (group commit: DeWitt et al., SIGMOD 1984).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sqlalchemy.orm import Session

from recsys.database.session import unit_of_work
from recsys.errors import Unavailable
from recsys.observation.spans import continued, current_traceparent
from recsys.write_buffer.deadlines import Deadline, before, post_threads

__all__ = ["GroupCommit", "StoreAll"]

R = TypeVar("R")
T = TypeVar("T")
StoreAll = Callable[[Session, Sequence[R]], Sequence[T | Exception]]
"""Stores requests in the caller's transaction; for each its result, or the error of that request alone."""

_LEADERS = 2
"""Transactions at a time: while one waits for a lock, another goes on."""
_LARGEST = 1_000
"""A transaction takes no further request once it has so many parts."""


@dataclass(frozen=True)
class _Waiting(Generic[R, T]):
    request: R
    deadline: Deadline
    future: Future[T] = field(default_factory=Future)
    traceparent: str | None = field(default_factory=current_traceparent)


class GroupCommit(Generic[R, T]):
    """Stores the requests of one kind, those that wait together in one transaction."""

    def __init__(self, store_all: StoreAll[R, T], *, parts: Callable[[R], int] = lambda request: 1) -> None:
        """Store by `store_all`; if that raises for several requests, each is stored by itself.

        Parameters
        ----------
        store_all
            Stores requests, and gives the result or the error of each.
        parts
            The number of parts of a request.
        """
        self._store_all, self._parts = store_all, parts
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting[R, T]] = deque()
        self._leaders = 0

    def store(self, request: R, deadline: Deadline) -> T:
        """Store a request and return its result.

        Raises
        ------
        Exception
            What `store_all` gives or raises for it.
        DatabaseAway
            The deadline has passed. The request may still be stored then.
        """
        waiting = _Waiting[R, T](request, deadline)
        with self._lock:
            self._waiting.append(waiting)
            leads = self._leaders < _LEADERS
            self._leaders += leads
        if leads:
            post_threads().submit(self._lead)
        return before(deadline, waiting.future)

    def _lead(self) -> None:
        group = self._next_group()
        if not group:
            return
        try:
            self._commit(group)
        finally:
            # behind what waits for a thread: a kind that is always busy must not keep the threads from others
            post_threads().submit(self._lead)

    def _next_group(self) -> list[_Waiting[R, T]]:
        group: list[_Waiting[R, T]] = []
        parts = 0
        with self._lock:
            while self._waiting and parts < _LARGEST:
                waiting = self._waiting.popleft()
                # nobody waits any more for what is past its deadline
                if waiting.future.set_running_or_notify_cancel():
                    group.append(waiting)
                    parts += self._parts(waiting.request)
            if not group:
                self._leaders -= 1
        return group

    def _commit(self, group: Sequence[_Waiting[R, T]]) -> None:
        outcomes: Sequence[T | Exception]
        seconds = max(waiting.deadline.left for waiting in group)
        try:
            # what several requests share is in the trace of the first
            with (
                continued("group commit", group[0].traceparent),
                unit_of_work(seconds=seconds) as session,
            ):
                outcomes = self._store_all(session, [waiting.request for waiting in group])
                if len(outcomes) != len(group):
                    # an outcome would go to another's request, and a request would wait for none
                    raise RuntimeError(f"{len(outcomes)} outcomes for {len(group)} requests")
        except Exception as error:  # noqa: BLE001 it is raised where the request waits
            if len(group) > 1 and not isinstance(error, Unavailable):
                for waiting in group:
                    self._commit([waiting])
                return
            outcomes = [error] * len(group)
        for waiting, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, Exception):
                waiting.future.set_exception(outcome)
            else:
                waiting.future.set_result(outcome)
