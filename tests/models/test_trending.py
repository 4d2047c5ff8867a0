"""Trending: known rates, smoothing, and a shop whose growth is no trend."""

from __future__ import annotations

import numpy as np
import pytest

from models.trending import Trending, TrendingParameters
from recsys.errors import Invalid
from tests.models.data import dataset

DAYS = TrendingParameters(recent_days=7, long_days=28, prior=5.0)


def scores(rows: list[tuple[int, int, str, float]], items: int) -> np.ndarray:
    return Trending(DAYS).fit(dataset(rows, users=3, items=items)).trend_


def test_rates_by_hand() -> None:
    # lately: 3 of product 0, 1 of 1; before: 2 of each; purchases weigh 5; the whole went from 20 to 20
    rows = [(0, 0, "purchase", 1.0)] * 3 + [(1, 1, "purchase", 2.0)]
    rows += [(0, 0, "purchase", 10.0)] * 2 + [(-1, 1, "purchase", 20.0)] * 2
    rows += [(0, 2, "purchase", 90.0)]
    found = scores(rows, 4)
    expected = [np.log((15 + 5) / (10 + 5)), np.log((5 + 5) / (10 + 5)), -np.inf, -np.inf]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_growth_of_the_whole_shop_is_no_trend() -> None:
    rows = [(0, item, "view", 1.0) for item in (0, 1) for _ in range(30)]
    rows += [(0, item, "view", 15.0) for item in (0, 1) for _ in range(10)]
    np.testing.assert_allclose(scores(rows, 2), [0.0, 0.0], atol=1e-6)


def test_more_evidence_of_the_same_ratio_counts_more() -> None:
    rows = [(0, 0, "view", 1.0)] * 40 + [(0, 0, "view", 15.0)] * 20
    rows += [(0, 1, "view", 1.0)] * 4 + [(0, 1, "view", 15.0)] * 2
    rows += [(0, 2, "view", 15.0)] * 22  # falls, and keeps the shop as a whole level
    found = scores(rows, 3)
    assert found[0] > found[1] > 0 > found[2]


@pytest.mark.parametrize("wrong", [{"recent_days": 0.0}, {"long_days": -1.0}, {"prior": 0.0}])
def test_parameters_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid, match=next(iter(wrong))):
        TrendingParameters(**wrong)  # type: ignore[arg-type]
