"""Numbers of pages: separators, minus signs, and digits that matter."""

from __future__ import annotations

import pytest

from serving.pages.templating import number, percent, short


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (1234.5, 1, "1,234.5"),
        (-0.0004, 3, "0.000"),
        (-1.5, 1, "−1.5"),
        (0, 0, "0"),
        (-0.4, 0, "0"),
        (None, 2, "–"),
    ],
)
def test_a_number_has_a_minus_sign_only_below_zero(value: float | None, digits: int, text: str) -> None:
    assert number(value, digits) == text


def test_a_share_is_a_percentage() -> None:
    assert [percent(each, 1) for each in (0.0321, -0.0001, -0.5, None)] == ["3.2%", "0.0%", "−50.0%", "–"]


def test_a_short_number_has_four_digits_that_matter() -> None:
    figures = (10_700.995, 60_000.0, 0.0952345, 0.0003, 1.0, 0.0, -2.5, None)
    words = ["10,700", "60,000", "0.09523", "0.0003", "1", "0", "−2.5", "–"]
    assert [short(each) for each in figures] == words
