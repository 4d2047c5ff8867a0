"""What is printed of a long scoring beside its bar."""

from __future__ import annotations

from recsys.durations import format_seconds

__all__ = ["RateLines"]

SECONDS_BETWEEN_LINES = 60.0


class RateLines:
    """Speed and remaining time after the first batch, in a log, which has no bar, each minute, and the end.

    Attributes
    ----------
    is_log
        Whether the output is no terminal.
    """

    def __init__(self, *, is_log: bool) -> None:
        self.is_log = is_log
        self._next: float | None = 0.0

    def line(self, done: int, total: int, elapsed: float) -> str | None:
        """The line that is due when `done` of `total` users are scored after `elapsed` seconds, if any."""
        if done >= total:
            if self._next == 0.0:
                return None  # it was one batch
            # of many users, the rows take minutes more
            took = format_seconds(elapsed)
            return f"{total:,} users ranked in {took}; now the rows of their lists are written"
        if self._next is None or elapsed < self._next:
            return None
        self._next = elapsed + SECONDS_BETWEEN_LINES if self.is_log else None
        remaining = format_seconds(elapsed * (total - done) / done)
        return f"{done / elapsed:,.0f} users a second: {remaining} left for {total - done:,} users"
