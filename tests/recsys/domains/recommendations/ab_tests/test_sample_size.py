"""The sample that an experiment needs: a textbook's number, and what must hold for all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.domains.recommendations.ab_tests.sample_size import arm_level, users_needed, visitors_needed
from recsys.errors import Invalid

BASELINES = st.floats(0.001, 0.4)
EFFECTS = st.floats(0.02, 1.0)
SHARES = st.floats(0.05, 0.95)


def test_a_known_number() -> None:
    # 10% against 12%, equal arms, 5% and 80%: 3,839 to 3,841 users in each arm in tables of this formula for
    # one look; the bound of the sequence is 3.035 where that of one look is 1.960
    price = ((3.0351 + 0.8416) / (1.9600 + 0.8416)) ** 2
    assert users_needed(0.10, 0.2, (0.5, 0.5)) == pytest.approx(2 * 3839 * price, rel=0.001)


@given(BASELINES, EFFECTS, SHARES)
def test_a_smaller_difference_needs_more_and_equal_arms_need_about_the_least(
    baseline: float, effect: float, share: float
) -> None:
    shares = (1 - share, share)
    needed = users_needed(baseline, effect, shares)
    assert needed > 0
    assert users_needed(baseline, effect / 2, shares) > needed
    # the arms' variances differ, so that the least is near one half
    assert users_needed(baseline, effect, (0.5, 0.5)) <= needed * 1.12 + 1
    # a third arm shares the level with the second
    assert users_needed(baseline, effect, (1 - share, share / 2, share / 2)) > needed


def test_money_needs_as_many_as_its_variance_says() -> None:
    one = users_needed(5.0, 0.1, (0.5, 0.5), deviation=20.0)
    assert users_needed(5.0, 0.1, (0.5, 0.5), deviation=40.0) == pytest.approx(4 * one, abs=4)
    assert arm_level(2) == 0.05
    assert arm_level(5) == 0.0125


@pytest.mark.parametrize(
    "given_values",
    [
        (0, 0.1, (0.5, 0.5)),
        (0.5, 1.0, (0.5, 0.5)),
        (0.1, 0, (0.5, 0.5)),
        (0.1, 0.1, (0.0, 1.0)),
        (1, 0.1, (0.5, 0.5)),
        (0.1, 0.1, (1.0,)),
    ],
)
def test_what_cannot_be_is_refused(given_values: tuple[float, float, tuple[float, ...]]) -> None:
    with pytest.raises(Invalid):
        users_needed(*given_values)


def test_the_visitors_of_interleaved_lists_grow_with_the_square_of_a_smaller_preference() -> None:
    needed = visitors_needed(0.1, 0.2)
    assert visitors_needed(0.1, 0.1) == pytest.approx(4 * needed, abs=4)
    assert visitors_needed(0.05, 0.2) == pytest.approx(2 * needed, abs=2)
    # 55 of 100 against 45, looked at once: (1.96 + 0.84)² / 0.01 of those who choose; daily, not twice that
    assert 785 < visitors_needed(1.0, 0.1) < 2 * 785
    for baseline, preference in ((0, 0.1), (0.1, 0), (1.1, 0.1), (0.1, 1.1)):
        with pytest.raises(Invalid):
            visitors_needed(baseline, preference)
