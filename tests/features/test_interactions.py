"""What interactions weigh, by hand calculation; and the one order of events."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import interactions
from features.interactions import MICROSECONDS_PER_DAY, InteractionWeights, canonical_order
from recsys.domains.recommendations.types import INTERACTION_TYPES
from recsys.errors import Invalid
from tests.support.random_logs import SHOPS, Shop, _raw

NAN = float("nan")


def weigh(kind: str | None, value: float = NAN, age_days: float = 0.0, **weights: object) -> float:
    code = -1 if kind is None else INTERACTION_TYPES.index(kind)
    moment = 10**15
    time = moment - int(age_days * MICROSECONDS_PER_DAY)
    found = InteractionWeights(**weights).weigh(  # type: ignore[arg-type]
        np.array([code], np.int8), np.array([value], np.float32), np.array([time], np.int64), moment
    )
    assert found.dtype == np.float32
    return float(found[0])


@pytest.mark.parametrize(
    ("kind", "value", "age", "expected"),
    [
        ("view", NAN, 0, 1.0),
        ("purchase", NAN, 90, 2.5),
        ("purchase", 7.0, 180, 1.25),
        ("add_to_cart", NAN, 45, 3 * 0.5**0.5),
        ("like", NAN, -3, 2.0),
        ("review", 5.0, 0, 4.0),
        ("review", 4.0, 90, 1.0),
        ("review", 3.0, 0, 0.0),
        ("review", NAN, 0, 0.0),
        ("review", 1.0, 0, -4.0),
        ("review", 500.0, 0, 4.0),
        ("review", -2.0, 0, -4.0),
        ("dismissed", NAN, 0, 0.0),
        (None, NAN, 0, 0.0),
    ],
)
def test_weights_by_hand(kind: str | None, value: float, age: float, expected: float) -> None:
    assert weigh(kind, value, age) == pytest.approx(expected, rel=1e-6)


def test_own_weights_and_half_life() -> None:
    assert weigh("dismissed", by_type={"dismissed": -2.0}) == -2.0
    assert weigh("dismissed", -1.0, by_type={"dismissed": -2.0}) == 2.0, "taken back"
    assert weigh("view", by_type={"purchase": 1.0}) == 0.0
    assert weigh("view", age_days=1, half_life_days=1.0) == 0.5


@pytest.mark.parametrize(
    "wrong",
    [
        {"by_type": {"veiw": 1.0}},
        {"by_type": {"view": NAN}},
        {"by_type": {"view": -1.0}},
        {"by_type": {"review": -0.5}},
        {"half_life_days": 0.0},
        {"half_life_days": float("inf")},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid, match=r"veiw.*known are view|finite|positive"):
        InteractionWeights(**wrong)  # type: ignore[arg-type]


@given(SHOPS, st.integers(1, 40))
def test_canonical_order_sorts_by_time_and_then_by_everything(shop: Shop, block: int) -> None:
    columns = _raw(shop.events).columns
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interactions, "_BLOCK", block)
        order = canonical_order(columns)
    placed = np.arange(len(shop.events)) if order is None else order
    assert sorted(placed.tolist()) == list(range(len(shop.events)))
    bits = columns["value"].view(np.int32)
    names = ("time", "user", "item", "kind", None, "session")
    keys = [tuple(int(bits[i]) if name is None else int(columns[name][i]) for name in names) for i in placed]
    assert keys == sorted(keys)


@given(st.lists(st.integers(-3, 3), max_size=6))
def test_sorted_distinct_times_need_no_order(times: list[int]) -> None:
    rows = [(1, 1, 0, 1.0, 0, time) for time in sorted(set(times))]
    assert canonical_order(_raw(rows).columns) is None
