"""Drawn pictures of products: well-formed, the same each time, and of the kind of goods."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.pages.pictures.drawing import picture
from serving.pages.pictures.glyphs import FALLBACK, glyph_of, glyphs


@given(st.integers(1, 2**31 - 1), st.text(max_size=60), st.none() | st.text(max_size=60))
def test_every_product_has_one_well_formed_picture(product: int, name: str, category: str | None) -> None:
    drawn = picture(product, name, category)
    root = ElementTree.fromstring(drawn)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert drawn == picture(product, name, category)
    assert len(drawn) < 1500
    # a name is never part of it
    assert not list(root.iter("{http://www.w3.org/2000/svg}text"))


@pytest.mark.parametrize(
    ("name", "category", "glyph"),
    [
        ("Chocolate Milk", "Fluid Milk Products", "milk"),
        ("Premium Ice Cream, 56 oz", "Ice Cream/Milk/Sherbets", "ice"),
        ("Gala Apples", "Apples", "apple"),
        ("Frozen Pizza, 22 oz", "Frozen Pizza", "pizza"),
        ("Lamp “61”", "Lamps", "light"),
        ("Something", "Dog Foods", "pet"),
        ("Something", "", FALLBACK),
    ],
)
def test_the_glyph_says_what_it_is(name: str, category: str, glyph: str) -> None:
    assert glyph_of(category, name) == glyph


def test_every_glyph_can_be_chosen() -> None:
    for name, glyph in glyphs().items():
        words = [word for word in glyph.words.split("|") if word]
        assert name == FALLBACK or any(glyph_of("", word) == name for word in words), name
