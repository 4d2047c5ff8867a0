"""The weights between the steps of walkers, against the sums by loops, in blocks of any size."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.algorithms.neighbourhood.co_visitation_by_type import _weigh_gaps
from models.algorithms.shared.sequential import StepSequence

HOUR = 3_600_000_000


def sequence(lengths: list[int]) -> StepSequence:
    """Steps of so many walkers, an hour apart for the first, two hours for the second, and so on."""
    walker = np.repeat(np.arange(len(lengths)), lengths).astype(np.int64)
    place = np.concatenate([np.arange(length) for length in lengths] or [np.empty(0)])
    time = ((walker + 1) * place * HOUR).astype(np.int64)
    none = np.empty(0, np.int64)
    return StepSequence(walker, time, none, none.astype(np.int32), (walker.size, 1))


def by_loops(steps: StepSequence, window: int, decay: float, reverse: float) -> np.ndarray:
    size = steps.walker.size
    weights = np.zeros((size, size), np.float32)
    for row in range(size):
        for column in range(max(0, row - window), min(size, row + window + 1)):
            if steps.walker[row] == steps.walker[column]:
                apart = column - row
                weight = decay ** (abs(apart) - 1) if apart else (1 + reverse) / 2
                weights[row, column] = weight * (reverse if apart < 0 else 1.0)
    return weights


@given(
    lengths=st.lists(st.integers(1, 9), max_size=6),
    window=st.integers(1, 12),
    decay=st.floats(0, 1),
    reverse=st.floats(0, 1),
    at_once=st.integers(1, 40),
)
def test_a_band_is_that_of_the_loops(
    lengths: list[int], window: int, decay: float, reverse: float, at_once: int
) -> None:
    steps = sequence(lengths)
    band = steps.band(window, decay, reverse, at_once)
    assert band.dtype == np.float32
    assert band.has_sorted_indices
    np.testing.assert_array_equal(band.toarray(), by_loops(steps, window, decay, reverse))


@pytest.mark.parametrize("at_once", [1, 2, 5, 100])
def test_gaps_turn_weights_down_by_the_hours_between(at_once: int) -> None:
    steps = sequence([3, 2])
    band = steps.band(2, 1.0, 1.0)
    _weigh_gaps(band, steps.time, 4.0, 0.2, at_once)
    hour, two = math.exp(-1 / 4), math.exp(-2 / 4)
    expected = [
        [1, hour, two, 0, 0],
        [hour, 1, hour, 0, 0],
        [two, hour, 1, 0, 0],
        [0, 0, 0, 1, two],
        [0, 0, 0, two, 1],
    ]
    np.testing.assert_allclose(band.toarray(), expected, rtol=1e-6)
    _weigh_gaps(band, steps.time, 0.001, 0.2, at_once)
    np.testing.assert_allclose(band.diagonal(), 1.0)
    assert band[0, 1] == pytest.approx(hour * 0.2)
