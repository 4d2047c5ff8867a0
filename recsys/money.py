"""Sums of money: always Decimal, rounded to cents in one place, divided without losing one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal

__all__ = ["CENT", "LARGEST", "ZERO", "cents", "divide", "total"]

CENT = Decimal("0.01")
ZERO = Decimal("0.00")
LARGEST = Decimal("99999999.99")
"""The largest sum that the documented DECIMAL(10,2) columns hold."""


def cents(amount: Decimal) -> Decimal:
    """`amount` rounded to cents, halves away from zero (the rounding that shops and tax offices print)."""
    return amount.quantize(CENT, ROUND_HALF_UP)


def total(amounts: Iterable[Decimal]) -> Decimal:
    """The sum, in cents; exact as long as the amounts are."""
    return cents(sum(amounts, ZERO))


def divide(amount: Decimal, shares: Sequence[Decimal]) -> list[Decimal]:
    """`amount` (in cents, not negative) divided in proportion to `shares`; the parts add up to it exactly.

    Each part is rounded down, then the cents left over go to the largest remainders, the earlier first
    (Hamilton's method of the largest remainder). No part exceeds its exact proportion by a cent or more.

    Raises
    ------
    ValueError
        A share or the amount is negative, or all shares are zero and the amount is not.
    """
    whole = sum(shares, Decimal(0))
    if amount < 0 or any(share < 0 for share in shares):
        raise ValueError("only amounts and shares from 0 upwards can be divided")
    if amount == 0:
        return [ZERO] * len(shares)
    if whole == 0:
        raise ValueError("an amount can't be divided among shares that are all zero")
    exact = [amount * share / whole for share in shares]
    parts = [part.quantize(CENT, ROUND_FLOOR) for part in exact]
    left = int((cents(amount) - sum(parts, ZERO)) / CENT)
    order = sorted(range(len(parts)), key=lambda place: (parts[place] - exact[place], place))
    for place in order[:left]:
        parts[place] += CENT
    return parts
