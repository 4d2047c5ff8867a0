"""Numbers of pages: separators, minus signs, and digits that matter."""

from __future__ import annotations

from decimal import Decimal

import pytest

from recsys.settings import get_settings
from serving.pages.templating import money, number, percent, short


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


@pytest.mark.parametrize(
    ("currency", "expected"),
    [("USD", "$1,234.50"), ("CHF", "1,234.50 CHF"), ("JPY", "¥1,234"), ("KRW", "1,234 KRW")],
)
def test_amounts_have_the_minor_unit_of_their_currency(
    monkeypatch: pytest.MonkeyPatch, currency: str, expected: str
) -> None:
    monkeypatch.setenv("RECSYS_SHOP__CURRENCY", currency)
    get_settings.cache_clear()
    assert money(Decimal("1234.50")) == expected
    assert money(-1.0).startswith("−")
    assert money(None) == "–"
