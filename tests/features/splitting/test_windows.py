"""Windows follow the density of successes: short data, outliers, gaps, trickles, and data without times."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY as DAY
from features.splitting.windows import Window, holdout_windows
from tests.support.timelines import Row, at, timeline


def busy(days: float, *, users: int = 150, each: int = 20, since: float = 0.0) -> list[Row]:
    """Everybody buys `each` times, evenly over the days, users after one another."""
    total = users * each
    return [(i % users, i % 11, "purchase", since + days * i / total) for i in range(total + 1)]


def lengths(windows: list[Window]) -> list[float]:
    return [(window.end - window.start) / DAY for window in windows]


def test_long_and_dense_data_give_windows_of_four_weeks_at_the_end() -> None:
    windows = holdout_windows(timeline(busy(365)), 2)
    assert windows == [Window(at(309), at(337)), Window(at(337), at(365))]


@pytest.mark.parametrize(
    ("days", "one", "two"),
    [(90, 14, 14), (60, 10, 10), (21, 3, 3), (7, 1, 1), (1, 1 / 8, 1 / 8)],
)
def test_short_data_give_shorter_windows(days: float, one: float, two: float) -> None:
    dataset = timeline(busy(days, each=30))
    assert lengths(holdout_windows(dataset, 1)) == [one]
    assert lengths(holdout_windows(dataset, 2)) == [two, two]


@pytest.mark.parametrize("late", [5, 30, 400, 4_000])
def test_a_few_late_or_early_events_do_not_move_the_windows(late: float) -> None:
    rows = busy(90)
    windows = holdout_windows(timeline(rows), 2)
    outliers: list[Row] = [
        (3, 1, "purchase", 90 + late),
        (4, 1, "view", 95 + late),
        (5, 2, "purchase", -late),
    ]
    assert holdout_windows(timeline([*rows, *outliers]), 2) == windows


def test_a_gap_of_months_is_no_window() -> None:
    rows = [*busy(100, each=40), *busy(10, since=190)]
    dataset = timeline(rows)
    (window,) = holdout_windows(dataset, 1)
    assert window == Window(at(190), at(200)) or window.start >= at(190)
    assert window.end == at(200)
    for each in holdout_windows(dataset, 3):
        assert at(190) <= each.start < each.end <= at(200)


def test_a_late_run_of_too_few_users_is_not_judged() -> None:
    few: list[Row] = [(i % 12, 0, "purchase", 190 + i / 10) for i in range(150)]
    (window,) = holdout_windows(timeline([*busy(100), *few]), 1)
    assert window == Window(at(86), at(100))


def test_a_trickle_at_the_end_is_left_to_training() -> None:
    trickle: list[Row] = [(i % 5, 0, "purchase", 100 + 6.0 * i) for i in range(1, 12)]
    (window,) = holdout_windows(timeline([*busy(100), *trickle]), 1)
    assert at(95) <= window.end <= at(100)


def test_without_usable_times_or_with_too_few_people_there_is_none() -> None:
    same: list[Row] = [(user, item, "purchase", 3.0) for user in range(50) for item in range(5)]
    assert holdout_windows(timeline(same), 2) == []
    assert holdout_windows(timeline(busy(90, users=9)), 2) == []
    once: list[Row] = [(user, user % 9, "purchase", user / 4) for user in range(400)]
    assert holdout_windows(timeline(once), 1) == []  # no user returns, so none has a history


def test_products_that_cannot_be_shown_and_guests_do_not_count() -> None:
    rows = busy(90)
    hidden = [row for row in range(11) if row != 0]
    assert holdout_windows(timeline(rows, hidden=range(11)), 1) == []
    assert holdout_windows(timeline(rows, hidden=hidden), 1) != []
    assert holdout_windows(timeline([(-1, *row[1:]) for row in rows]), 1) == []


def test_given_days_are_taken_as_they_are() -> None:
    dataset = timeline(busy(90, users=5))
    assert holdout_windows(dataset, 2, days=20) == [Window(at(50), at(70)), Window(at(70), at(90))]
    assert lengths(holdout_windows(dataset, 2, days=30)) == [30]
    assert holdout_windows(dataset, 1, days=80) == []


def judged(dataset: Dataset, window: Window) -> int:
    events = dataset.events
    inside = (events.time > window.start) & (events.time <= window.end)
    success = inside & dataset.target.mask(events) & (events.user >= 0)
    known = np.unique(events.user[events.time <= window.start])
    return int(np.intersect1d(np.unique(events.user[success]), known).size)


@given(
    st.lists(
        st.tuples(st.integers(0, 14), st.integers(0, 4), st.just("purchase"), st.floats(0, 200)),
        min_size=1,
        max_size=200,
    ),
    st.integers(1, 3),
)
def test_windows_are_back_to_back_of_one_length_inside_the_data_and_can_be_judged(
    rows: list[Row], count: int
) -> None:
    dataset = timeline(rows, users=15, items=5)
    windows = holdout_windows(dataset, count)
    assert len(windows) <= count
    assert all(before.end == after.start for before, after in pairwise(windows))
    assert len({window.end - window.start for window in windows}) <= 1
    for window in windows:
        assert dataset.events.time[0] < window.start < window.end <= dataset.events.time[-1]
        assert window.end - window.start <= 28 * DAY
        assert judged(dataset, window) >= 10
