"""A day lasts from midnight to midnight of the shop, through every change of its clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from recsys import clock
from recsys.domains.analytics.calendar import Days, day_of, today
from recsys.errors import Invalid
from recsys.settings import Settings


@pytest.mark.parametrize(
    ("zone", "day", "begins", "hours"),
    [
        ("UTC", date(2026, 3, 29), "2026-03-29T00:00", 24),
        ("Europe/Berlin", date(2026, 3, 29), "2026-03-28T23:00", 23),
        ("Europe/Berlin", date(2026, 10, 25), "2026-10-24T22:00", 25),
        ("America/New_York", date(2026, 11, 1), "2026-11-01T04:00", 25),
        # the clocks skip midnight: the day begins at one o'clock
        ("America/Sao_Paulo", date(2018, 11, 4), "2018-11-04T03:00", 23),
        # the clocks go back at midnight: the day before has the hour twice
        ("America/Sao_Paulo", date(2018, 2, 17), "2018-02-17T02:00", 25),
        ("Australia/Lord_Howe", date(2026, 4, 5), "2026-04-04T13:00", 24.5),
    ],
)
def test_a_day_begins_and_lasts(zone: str, day: date, begins: str, hours: float) -> None:
    days = Days(day, day, ZoneInfo(zone))
    assert days.begin == datetime.fromisoformat(begins).replace(tzinfo=UTC)
    assert days.end - days.begin == timedelta(hours=hours)


@given(
    st.sampled_from(["UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu", "Australia/Lord_Howe"]),
    st.integers(0, 11 * 365 * 24 * 3600),
)
def test_a_moment_lies_in_the_day_that_the_shops_calendar_shows(zone: str, seconds: int) -> None:
    moment = datetime(2015, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    day = moment.astimezone(ZoneInfo(zone)).date()
    days = Days(day - timedelta(days=1), day + timedelta(days=1), ZoneInfo(zone))
    assert days.dates[1] == day
    assert days.starts[1] <= moment < days.starts[2]


def test_pieces_are_the_whole() -> None:
    days = Days(date(2026, 1, 1), date(2026, 3, 15), ZoneInfo("Europe/Berlin"))
    pieces = list(days.pieces(31))
    assert [one for piece in pieces for one in piece.dates] == days.dates
    assert [piece.end for piece in pieces[:-1]] == [piece.begin for piece in pieces[1:]]


def test_days_that_are_none_are_refused(fresh_settings: pytest.MonkeyPatch) -> None:
    for first, last in ((date(2026, 1, 2), date(2026, 1, 1)), (date(1969, 1, 1), date(2026, 1, 1))):
        with pytest.raises(Invalid, match=r"[Dd]ays"):
            Days.between(first, last)


def test_the_shops_day_is_that_of_its_time_zone(fresh_settings: pytest.MonkeyPatch) -> None:
    fresh_settings.setenv("RECSYS_ANALYTICS__TIME_ZONE", "Pacific/Auckland")
    late = datetime(2026, 5, 1, 13, tzinfo=UTC)
    assert day_of(late) == date(2026, 5, 2)
    with clock.frozen_at(late):
        assert today() == date(2026, 5, 2)


@pytest.mark.parametrize("name", ["Europe/Nowhere", "", "../etc", "UTC\x00"])
def test_a_time_zone_that_nobody_knows_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="IANA"):
        Settings(analytics={"time_zone": name})
