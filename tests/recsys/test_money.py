"""Money adds up to the cent, whatever is divided among whom."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.money import CENT, LARGEST, ZERO, cents, divide, total

amounts = st.decimals(min_value=0, max_value=LARGEST, places=2)
shares = st.lists(st.decimals(min_value=0, max_value=LARGEST, places=2), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("amount", "rounded"),
    [("0.005", "0.01"), ("0.0049999", "0.00"), ("2.675", "2.68"), ("-0.005", "-0.01"), ("1", "1.00")],
)
def test_halves_round_away_from_zero(amount: str, rounded: str) -> None:
    assert cents(Decimal(amount)) == Decimal(rounded)
    assert cents(Decimal(amount)).as_tuple().exponent == -2


def test_a_known_division() -> None:
    assert divide(Decimal("10.00"), [Decimal(1)] * 3) == [Decimal("3.34"), Decimal("3.33"), Decimal("3.33")]
    assert divide(Decimal("1.00"), [Decimal(2), Decimal(0), Decimal(1)]) == [
        Decimal("0.67"),
        ZERO,
        Decimal("0.33"),
    ]


@given(amounts, shares)
def test_parts_add_up_and_keep_to_their_proportion(amount: Decimal, given_shares: list[Decimal]) -> None:
    whole = sum(given_shares)
    if whole == 0:
        if amount > 0:
            with pytest.raises(ValueError, match="all zero"):
                divide(amount, given_shares)
        return
    parts = divide(amount, given_shares)
    assert total(parts) == amount
    for part, share in zip(parts, given_shares, strict=True):
        assert part >= 0
        assert abs(part - amount * share / whole) < CENT
        assert not (share == 0 and part > 0)


def test_nothing_negative_is_divided() -> None:
    with pytest.raises(ValueError, match="from 0 upwards"):
        divide(Decimal("-1.00"), [Decimal(1)])
    with pytest.raises(ValueError, match="from 0 upwards"):
        divide(Decimal("1.00"), [Decimal(-1), Decimal(3)])
