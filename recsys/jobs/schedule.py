"""When jobs are due: cron expressions in the time zone of the shop."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim

from recsys.settings import get_settings

__all__ = ["count_between", "explain", "next_after"]

_MOST_COUNTED = 10_000


def next_after(expression: str, moment: datetime) -> datetime:
    """The first moment after this one, in UTC; clock changes are met as Debian's cron does."""
    local = moment.astimezone(ZoneInfo(get_settings().analytics.time_zone))
    return next(CronSim(expression, local)).astimezone(UTC)


def count_between(expression: str, first: datetime, until: datetime) -> int:
    """How many moments lie in [first, until], `first` being one of them; at most 10,000 are counted."""
    count, moment = 0, first
    while moment <= until and count < _MOST_COUNTED:
        count += 1
        moment = next_after(expression, moment)
    return count


def explain(expression: str) -> str:
    """The schedule in words, such as "At 03:00 every day"."""
    return CronSim(expression, datetime(2024, 1, 1, tzinfo=UTC)).explain()
