"""Pictures of products: PNG of one size, whatever the name."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFont

from serving.mail_blocks import pictures
from serving.mail_blocks.pictures import HEIGHT, WIDTH, empty_picture, product_picture


@settings(max_examples=30)
@given(st.integers(1, 2**31 - 1), st.text(max_size=300))
def test_every_name_becomes_a_picture(product: int, name: str) -> None:
    image = Image.open(BytesIO(product_picture(product, name, "1,234.50 EUR")))
    assert (image.format, image.size) == ("PNG", (2 * WIDTH, 2 * HEIGHT))


def test_a_name_that_cannot_be_laid_out_is_drawn_letter_by_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    basic = pictures._card(7, "Tea", "9.00 EUR", ImageFont.Layout.BASIC)
    card = pictures._card

    def failing(product: int, name: str, price: str, layout: ImageFont.Layout) -> bytes:
        if layout == ImageFont.Layout.RAQM:
            raise RuntimeError("raqm_layout() failed.")
        return card(product, name, price, layout)

    monkeypatch.setattr(pictures, "_card", failing)
    assert product_picture(7, "Tea", "9.00 EUR") == basic


def test_long_names_stay_inside() -> None:
    for name in (
        "W" * 200,
        "A very long name of a product " * 9,
        "Ärmelloses Kleid aus Bio-Baumwolle, größer",
    ):
        image = Image.open(BytesIO(product_picture(7, name, "9.00 EUR"))).convert("RGB")
        edge = {image.getpixel((2 * WIDTH - 12, y)) for y in range(2 * 145, 2 * HEIGHT - 4)}
        assert edge == {(255, 255, 255)}, name


def test_names_and_prices_make_a_difference() -> None:
    pictures = {product_picture(7, name, price) for name in ("Lamp", "Chair") for price in ("1 EUR", "2 EUR")}
    assert len(pictures) == 4
    assert Image.open(BytesIO(empty_picture())).size == (1, 1)
