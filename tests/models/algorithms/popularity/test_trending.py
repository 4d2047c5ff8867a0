"""Trending: known rates, smoothing, and a shop whose growth is no trend."""

from __future__ import annotations

import numpy as np
import pytest

from models.algorithms.popularity.trending import Trending, TrendingParameters
from recsys.errors import Invalid
from tests.models.data import dataset

DAYS = TrendingParameters(recent_days=7, long_days=28, prior=5.0)


Row = tuple[int, int, str, float]


def scores(rows: list[Row], items: int, users: int = 60) -> np.ndarray:
    return Trending(DAYS).fit(dataset(rows, users=users, items=items)).trend_


def bought(item: int, people: int, day: float, kind: str = "purchase") -> list[Row]:
    return [(user, item, kind, day) for user in range(people)]


def test_a_lower_bound_by_hand() -> None:
    # lately 20 people of product 0 and 5 of 1; before 10 and 15: the whole went from 25 to 25
    rows = bought(0, 20, 1.0) + bought(1, 5, 2.0) + bought(0, 10, 10.0) + bought(1, 15, 20.0)
    rows += bought(2, 9, 90.0)
    found = scores(rows, 4)
    expected = [
        np.log(25 / 15) - 1.645 * np.sqrt(1 / 25 + 10 / 15**2),
        np.log(10 / 20) - 1.645 * np.sqrt(1 / 10 + 15 / 20**2),
        -np.inf,
        -np.inf,
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_growth_of_the_whole_shop_is_no_trend() -> None:
    rows = [row for item in (0, 1) for row in bought(item, 30, 1.0) + bought(item, 10, 15.0)]
    found = scores(rows, 2)
    assert found[0] == found[1] < 0


def test_more_evidence_of_the_same_ratio_counts_more() -> None:
    rows = bought(0, 40, 1.0) + bought(0, 10, 15.0) + bought(1, 8, 1.0) + bought(1, 2, 15.0)
    rows += bought(2, 36, 15.0)  # falls, and keeps the shop as a whole level
    found = scores(rows, 3)
    assert found[0] > 0
    assert found[0] > found[1] > found[2]


def test_one_visitor_or_few_people_are_no_trend() -> None:
    steady = [row for item in (0, 1, 2) for row in bought(item, 20, 1.0) + bought(item, 20, 15.0)]
    rush = [(0, 3, "purchase", 0.5 + place / 10_000) for place in range(500)]  # one person on one day
    four = [(user, 4, "purchase", float(day)) for user in range(4) for day in range(1, 7)]
    many = bought(5, 40, 2.0)
    found = scores(steady + rush + four + many, 6)
    neutral = -1.645 * np.sqrt(1 / 5)
    assert found[5] > 0
    assert max(found[3], found[4]) <= neutral + 1e-6
    assert int(np.argmax(found)) == 5


def test_a_few_late_events_do_not_trend_and_do_not_hide_what_does() -> None:
    steady = [row for item in range(4) for day in range(100, 140) for row in bought(item, 5, float(day))]
    rising = [row for day in (101.0, 102.0) for row in bought(4, 50, day)]
    late = [(user, 5, "purchase", 0.0) for user in range(12)]  # a hundred days after all others
    found = scores(steady + rising + late, 6)
    assert int(np.argmax(found)) == 4
    assert found[4] > 0
    assert found[5] == -np.inf


@pytest.mark.parametrize(
    "wrong", [{"recent_days": 0.0}, {"long_days": -1.0}, {"prior": 0.0}, {"min_people": 0}]
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid, match=next(iter(wrong))):
        TrendingParameters(**wrong)  # type: ignore[arg-type]
