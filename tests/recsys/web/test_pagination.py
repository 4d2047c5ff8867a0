"""Cursors come back as they went, and made-up ones are refused with one clear line."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import Invalid
from recsys.web.pagination import Cursor


@given(
    st.integers(-(2**63), 2**63 - 1),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=50),
    st.decimals(-(10**8), 10**8, places=2),
    st.datetimes(timezones=st.just(UTC)),
)
def test_a_cursor_comes_back_as_it_went(number: int, word: str, price: Decimal, moment: datetime) -> None:
    text = Cursor.encode({"id": number, "name": word, "price": price, "at": moment})
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text)
    cursor = Cursor.decode(text)
    assert cursor.integer("id") == number
    assert cursor.text("name") == word
    assert cursor.decimal("price") == price
    assert cursor.moment("at") == moment


@given(st.text(max_size=40))
def test_a_made_up_cursor_is_refused_and_breaks_nothing(text: str) -> None:
    try:
        cursor = Cursor.decode(text)
    except Invalid:
        return
    for read in (cursor.integer, cursor.text, cursor.decimal, cursor.moment):
        with pytest.raises(Invalid):
            read("id")


@pytest.mark.parametrize("value", [True, None, 2**63 - 1 + 0.5, "nan", "1e999", "\x00", [1], "2020-01-01"])
def test_a_value_of_another_kind_is_refused(value: object) -> None:
    cursor = Cursor({"id": value})
    for read in (cursor.integer, cursor.decimal, cursor.moment):
        with pytest.raises(Invalid):
            read("id")


def test_a_cursor_of_any_length_is_refused_early() -> None:
    with pytest.raises(Invalid):
        Cursor.decode("A" * 100_000)
