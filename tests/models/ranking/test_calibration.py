"""Calibration: strictly increasing over all scores, and right about users it was not learned from."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.ranking.calibration import Calibration

SCORES = st.floats(-100, 100, width=32)


OUTCOMES = st.lists(st.tuples(SCORES, st.booleans(), st.floats(0.5, 50)), min_size=1, max_size=300)


def learned(outcomes: list[tuple[float, bool, float]]) -> Calibration:
    scores, taken, weights = zip(*outcomes, strict=True)
    return Calibration.fit(scores, taken, weights)


@given(OUTCOMES, st.lists(st.integers(-50_000, 50_000), min_size=2, max_size=50, unique=True))
def test_higher_scores_have_strictly_higher_chances(
    outcomes: list[tuple[float, bool, float]], given_: list[int]
) -> None:
    scores = np.sort(np.array(given_)).astype(np.float32) / 500  # beyond all that was learned from, too
    chances = learned(outcomes)(scores)
    assert all(one < other for one, other in pairwise(chances.tolist()))
    assert ((chances > 0) & (chances < 1)).all()


@given(OUTCOMES)
def test_it_travels_as_json(outcomes: list[tuple[float, bool, float]]) -> None:
    calibration = learned(outcomes)
    assert Calibration.from_json(calibration.as_json()) == calibration
    assert calibration(np.array([-np.inf], dtype=np.float32)).tolist() == [0.0]


def test_known_chances_are_found_and_the_error_on_others_is_small() -> None:
    chance = np.random.default_rng(0)
    scores = chance.normal(size=40_000).astype(np.float32)
    truth = 0.3 / (1 + np.exp(-2.0 * scores))
    taken = chance.random(scores.size) < truth
    calibration = Calibration.fit(scores[::2], taken[::2])
    inner = np.abs(scores) < 2
    assert np.abs(calibration(scores) - truth)[inner].mean() < 0.01
    assert calibration.error(scores[1::2], taken[1::2]) < 0.01
    # a prediction of double the outcome has the outcome as its error
    doubled = Calibration(calibration.scores, tuple(2 * one for one in calibration.chances))
    assert doubled.error(scores[1::2], taken[1::2]) == pytest.approx(taken.mean(), rel=0.05)


def test_the_mean_is_kept_and_weights_count() -> None:
    scores = np.repeat(np.array([1.0, 2.0], dtype=np.float32), 500)
    taken = np.arange(1000) % 10 < np.where(scores == 1.0, 1, 4)
    plain = Calibration.fit(scores, taken)
    assert plain(np.array([1.0, 2.0], dtype=np.float32)) == pytest.approx([0.1, 0.4], abs=0.002)
    # each failure stands for three: 100 of 100 + 3 × 900, and so on
    weighed = Calibration.fit(scores, taken, np.where(taken, 1.0, 3.0))
    expected = [50 / (50 + 3 * 450), 200 / (200 + 3 * 300)]
    assert weighed(np.array([1.0, 2.0], dtype=np.float32)) == pytest.approx(expected, abs=0.002)


def test_nothing_to_learn_from_is_refused() -> None:
    for scores, taken in (([], []), ([1.0], [True, False]), ([np.inf], [True])):
        with pytest.raises(ValueError, match="outcome"):
            Calibration.fit(scores, taken)
    with pytest.raises(ValueError, match="outcome"):
        Calibration((0.0,), (0.5,)).error([], [])
