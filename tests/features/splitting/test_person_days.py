"""Each person, product and day counts once, with its strongest event; the end is where events are dense."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.dataset import Dataset
from features.splitting import person_days as module
from features.splitting.person_days import LEAD_IN, end_of_days, person_days
from features.splitting.windows import dense_end
from features.target import Target
from tests.support.timelines import Row, at, timeline

BUY = Target({"purchase": 2.0, "like": 1.0}, "By hand.")


def counted(dataset: Dataset, since: float, end: float) -> dict[tuple[int, int, float], float]:
    """(item, person, age in days) → weight."""
    return {
        (int(i), int(p), round(float(a), 3)): round(float(w), 3)
        for block in person_days(dataset, at(since), at(end))
        for i, p, a, w in zip(block.item, block.person, block.age, block.weight, strict=True)
    }


def test_each_day_counts_once_with_the_strongest_event() -> None:
    rows: list[Row] = [
        (0, 0, "view", 1.1),
        (0, 0, "purchase", 1.2),
        (0, 0, "view", 1.5),
        (0, 0, "view", 2.5),
        (1, 0, "like", 1.2),
        (1, 1, "add_to_cart", 1.2),
        (1, 2, "dismissed", 1.2),
        (-1, 1, "view", 1.3, 8),
        (-1, 1, "view", 1.4, 8),
        (-1, 1, "view", 1.4, 12),
        (0, 0, "purchase", 0.5),  # too early
        (0, 0, "purchase", 3.5),  # too late
    ]
    found = counted(timeline(rows, target=BUY), 1, 3)
    view = LEAD_IN / 5  # the interaction weights give a view 1, a purchase 5
    assert found == {
        (0, 0, 1.5): 1.0,
        (0, 0, 0.5): pytest.approx(view),
        (0, 1, 1.8): 0.5,
        (1, 1, 1.8): pytest.approx(3 * view),
        (1, -5, 1.6): pytest.approx(view),
        (1, -7, 1.6): pytest.approx(view),
    }


@given(
    st.lists(
        st.tuples(
            st.integers(-1, 4),
            st.integers(0, 3),
            st.sampled_from(["view", "purchase", "dismissed"]),
            st.floats(0, 9),
        ),
        min_size=1,
        max_size=60,
    )
)
def test_repeating_events_and_small_blocks_change_nothing(rows: list[Row]) -> None:
    once, often = (timeline(each, users=5, items=4, target=BUY) for each in (rows, rows * 3))
    whole = counted(once, -1, 10)
    assert counted(often, -1, 10) == whole
    before = module._BLOCK
    module._BLOCK = 2
    try:
        assert counted(once, -1, 10) == whole
    finally:
        module._BLOCK = before


@pytest.mark.parametrize("late", [10.0, 60.0, 900.0])
def test_the_end_is_where_events_are_dense(late: float) -> None:
    rows: list[Row] = [(i % 40, i % 9, "view", 90 * i / 400) for i in range(401)]
    assert end_of_days(timeline(rows)) == at(90)
    few: list[Row] = [(i, 1, "view", 90 + late + i / 20) for i in range(8)]
    assert end_of_days(timeline([*rows, *few])) == at(90)
    twelve: list[Row] = [(i, 1, "view", 90 + late + 10 + i / 20) for i in range(12)]
    assert end_of_days(timeline([*rows, *twelve])) == at(90)


def test_a_shop_that_opened_again_is_dense_up_to_its_newest_day() -> None:
    rows: list[Row] = [(i % 40, i % 9, "view", 90 * i / 400) for i in range(401)]
    again: list[Row] = [(i % 30, i % 9, "view", 200 + i / 100) for i in range(60)]
    assert end_of_days(timeline([*rows, *again])) == max(at(row[3]) for row in again)


def test_without_events_or_with_one_there_is_an_end_too() -> None:
    nothing = np.empty(0, dtype=np.int64)
    assert dense_end(nothing, nothing) == 0
    assert end_of_days(timeline([(0, 0, "view", 5.0)])) == at(5)
