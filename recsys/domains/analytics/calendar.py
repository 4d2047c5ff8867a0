"""Days as the shop counts them: from midnight to midnight in its time zone, 23 to 25 hours long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from recsys import clock
from recsys.errors import Invalid
from recsys.settings import get_settings

__all__ = ["Days", "day_of", "today"]

_EARLIEST, _LATEST = date(1970, 1, 1), date(9000, 1, 1)


@dataclass(frozen=True)
class Days:
    """The days from `first` to `last`, both included, in `zone`."""

    first: date
    last: date
    zone: ZoneInfo

    @classmethod
    def between(cls, first: date, last: date) -> Days:
        """Days in the shop's time zone. Raises Invalid when they are none, or before 1970."""
        if first > last:
            raise Invalid(f"The days end ({last}) before they begin ({first}).")
        if first < _EARLIEST or last > _LATEST:
            raise Invalid(f"Days are those from {_EARLIEST} to {_LATEST}.")
        return cls(first, last, ZoneInfo(get_settings().analytics.time_zone))

    @property
    def dates(self) -> list[date]:
        """Each day."""
        return [self.first + timedelta(days=one) for one in range((self.last - self.first).days + 1)]

    @property
    def starts(self) -> list[datetime]:
        """The moment at which each day begins, in UTC; where clocks skip midnight, the moment they do."""
        return [_midnight(one, self.zone) for one in self.dates]

    @property
    def begin(self) -> datetime:
        """The moment at which the first day begins."""
        return _midnight(self.first, self.zone)

    @property
    def end(self) -> datetime:
        """The moment at which the last day is over."""
        return _midnight(self.last + timedelta(days=1), self.zone)

    def pieces(self, length: int) -> Iterator[Days]:
        """The same days in pieces of at most `length`, in their order."""
        dates = self.dates
        for place in range(0, len(dates), length):
            part = dates[place : place + length]
            yield Days(part[0], part[-1], self.zone)


def day_of(moment: datetime) -> date:
    """The day of a moment in the shop's time zone."""
    return moment.astimezone(ZoneInfo(get_settings().analytics.time_zone)).date()


def today() -> date:
    """The day that it is in the shop's time zone."""
    return day_of(clock.now())


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    # fold=0: the first of two midnights, or the moment of the clock change where midnight is skipped
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)
