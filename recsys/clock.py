"""The only reader of time, so that every test can set it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

__all__ = ["frozen_at", "now"]


def _system_time() -> datetime:
    return datetime.now(UTC)


_read: Callable[[], datetime] = _system_time


def now() -> datetime:
    """The current moment, timezone-aware, in UTC."""
    return _read()


@contextmanager
def frozen_at(moment: datetime) -> Iterator[None]:
    """Make `now()` return `moment` inside the block (for tests; not thread-safe)."""
    global _read
    if moment.tzinfo is None:
        raise ValueError("frozen_at needs a timezone-aware moment")
    before, _read = _read, lambda: moment
    try:
        yield
    finally:
        _read = before
