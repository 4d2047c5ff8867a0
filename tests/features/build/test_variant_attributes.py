"""Colours and sizes are distinguished by their words, else by the words beside them."""

from __future__ import annotations

import pytest

from features.build.variant_attributes import options_of, sort_of
from features.ids import IdMap


@pytest.mark.parametrize(
    ("value", "sort"),
    [
        ("XL", "size"),
        ("2XL", "size"),
        ("x-small", "size"),
        ("One Size", "size"),
        ("42", "size"),
        ("EU 42,5", "size"),
        ("W32 L34", "size"),
        ("12 oz", "size"),
        ("1.5 L", "size"),
        ("20 x 30 cm", "size"),
        ("75B", "size"),
        ("Navy", "colour"),
        ("Dark Blue/White", "colour"),
        ("REDDISH", None),
        ("Heather Dusk", None),
        ("", None),
        ("Default Title", None),
    ],
)
def test_one_value(value: str, sort: str | None) -> None:
    assert sort_of(value) == sort


def test_a_value_goes_with_its_column_where_most_are_of_one_sort() -> None:
    items = IdMap([1, 2, 5])
    products = [1, 1, 2, 2, 99]
    colours, sizes = options_of(
        products,
        [
            ["Red", "navy  Blue", "Heather Dusk", "", "Green"],
            ["S", "M", "Gift", "Wool", "Default Title"],
            ["Gift", "Wool", "Silk", "Red", ""],
        ],
        items,
    )
    assert colours.words == ["heather dusk", "navy blue", "red"]
    assert colours.matrix.toarray().tolist() == [[0, 1, 1], [1, 0, 1], [0, 0, 0]]
    # half of the second column reads as a size; a quarter of the third as a colour
    assert sizes.words == ["gift", "m", "s", "wool"]
    assert sizes.matrix.toarray().tolist() == [[0, 1, 1, 0], [1, 0, 0, 1], [0, 0, 0, 0]]
