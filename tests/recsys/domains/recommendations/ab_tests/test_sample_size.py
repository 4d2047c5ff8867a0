"""The sample that an A/B test needs: a textbook's number, and what must hold for all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.domains.recommendations.ab_tests.sample_size import users_needed
from recsys.errors import Invalid

BASELINES = st.floats(0.001, 0.4)
EFFECTS = st.floats(0.02, 1.0)
SHARES = st.floats(0.05, 0.95)


def test_a_known_number() -> None:
    # 10% against 12%, equal arms, 5% and 80%: 3,839 to 3,841 users in each arm in tables of this formula
    assert users_needed(0.10, 0.2, 0.5) == pytest.approx(2 * 3839, abs=6)


@given(BASELINES, EFFECTS, SHARES)
def test_a_smaller_difference_needs_more_and_equal_arms_need_about_the_least(
    baseline: float, effect: float, share: float
) -> None:
    needed = users_needed(baseline, effect, share)
    assert needed > 0
    assert users_needed(baseline, effect / 2, share) > needed
    # the arms' variances differ, so that the least is near one half
    assert users_needed(baseline, effect, 0.5) <= needed * 1.12 + 1


@pytest.mark.parametrize(
    "given_values", [(0, 0.1, 0.5), (0.5, 1.0, 0.5), (0.1, 0, 0.5), (0.1, 0.1, 1), (1, 0.1, 0.5)]
)
def test_what_cannot_be_is_refused(given_values: tuple[float, float, float]) -> None:
    with pytest.raises(Invalid):
        users_needed(*given_values)
