"""Knows which answers are still being made in threads, also those that nobody waits for any more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from recsys.log import get_logger

__all__ = ["AtWork"]

T = TypeVar("T")
DRAIN_SECONDS = 5.0
_log = get_logger(__name__)


class AtWork:
    """A count of threads; the end of the process waits for them: they have connections open."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0

    def counted(self, work: Callable[[], T]) -> Callable[[], T]:
        """`work`, counted while it runs."""

        def run() -> T:
            with self._condition:
                self._count += 1
            try:
                return work()
            finally:
                with self._condition:
                    self._count -= 1
                    self._condition.notify_all()

        return run

    def wait(self, seconds: float = DRAIN_SECONDS) -> bool:
        """Wait until nothing is at work; False when time ran out first."""
        with self._condition:
            done = self._condition.wait_for(lambda: self._count == 0, seconds)
        if not done:
            _log.warning("answers were still being made at the end", threads=self._count)
        return done
