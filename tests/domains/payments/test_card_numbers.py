"""Card numbers are found however they are written; prices, ids and telephone numbers pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.domains.payments.card_numbers import holds_card_number


@pytest.mark.parametrize(
    "text",
    [
        "4242424242424242",
        "my card is 4242 4242 4242 4242, thanks",
        "5555-5555-5555-4444",
        "378282246310005",  # 15 digits
        '{"a":{"b":["6011111111111117"]}}',
        "note=4242%204242%204242%204242",
        "4242+4242+4242+4242",
        "4222222222222",  # 13 digits
    ],
)
def test_a_card_number_is_found(text: str) -> None:
    assert holds_card_number(["nothing", text])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4242424242424241",  # wrong check digit
        "1242424242424242",  # no card begins with 1
        "42424242424242424242424242",  # longer than any
        "+49 30 901820",
        "2026-11-23T10:15:30",
        "0e0a36c0-4a5a-4bb1-9d0b-6d1e1d9a3c11",
        "price 1299.99, order 4242",
    ],
)
def test_other_numbers_pass(text: str) -> None:
    assert not holds_card_number([text])


def _luhn(payload: str) -> str:
    total = 0
    for place, digit in enumerate(reversed(payload)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return payload + str(-total % 10)


@given(
    st.sampled_from("23456"),
    st.text("0123456789", min_size=11, max_size=17),
    st.sampled_from(["", " ", "-", "."]),
)
def test_every_number_with_a_right_check_digit_is_found_and_no_other(
    first: str, rest: str, apart: str
) -> None:
    right = _luhn(first + rest)
    wrong = right[:-1] + str((int(right[-1]) + 1) % 10)
    assert holds_card_number([f"x{apart.join(right)}y"])
    assert not holds_card_number([f"x{apart.join(wrong)}y"])
