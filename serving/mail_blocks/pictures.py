"""Pictures of products for mails: PNG, drawn here, with name and price as text in the picture."""

from __future__ import annotations

import colorsys
from functools import lru_cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

__all__ = ["HEIGHT", "WIDTH", "empty_picture", "product_picture"]

WIDTH, HEIGHT = 180, 240
"""In CSS pixels; pictures have twice as many, for sharp screens."""
_SCALE = 2
_INK, _SOFT, _LINE, _PAPER = "#1f2933", "#52606d", "#d9e2ec", "#ffffff"
_NAME_SIZE, _PRICE_SIZE, _LETTER_SIZE = 15, 15, 64
_MARGIN, _TOP = 10, 140
_NAME_LINES = 3


@lru_cache(maxsize=1_000)
def product_picture(product: int, name: str, price: str) -> bytes:
    """A card with a coloured field and the first letter, the name in three lines at most, and the price."""
    try:
        return _card(product, name, price, ImageFont.Layout.RAQM)
    except RuntimeError:
        # the library that joins letters fails on some mixtures of scripts: each letter by itself then
        return _card(product, name, price, ImageFont.Layout.BASIC)


def _card(product: int, name: str, price: str, layout: ImageFont.Layout) -> bytes:
    image = Image.new("RGB", (WIDTH * _SCALE, HEIGHT * _SCALE), _PAPER)
    draw = ImageDraw.Draw(image)
    _box(draw, (0, 0, WIDTH - 1, HEIGHT - 1), outline=_LINE)
    hue = (product * 2654435761 % 2**32) / 2**32  # Knuth's multiplicative hash: neighbours differ
    _box(draw, (1, 1, WIDTH - 2, _TOP), fill=_colour(hue, 0.88))
    letter = name[:1].upper()
    draw.text(
        (WIDTH * _SCALE / 2, _TOP * _SCALE / 2), letter, font=_font(_LETTER_SIZE, layout, bold=True),
        fill=_colour(hue, 0.35), anchor="mm",
    )  # fmt: skip
    line_height = _NAME_SIZE + 4
    for number, line in enumerate(_lines(name, layout)):
        place = (_MARGIN * _SCALE, (_TOP + 10 + number * line_height) * _SCALE)
        draw.text(place, line, font=_font(_NAME_SIZE, layout), fill=_INK)
    place = (_MARGIN * _SCALE, (HEIGHT - _MARGIN) * _SCALE)
    draw.text(place, price, font=_font(_PRICE_SIZE, layout, bold=True), fill=_SOFT, anchor="ls")
    return _png(image)


@lru_cache(maxsize=1)
def empty_picture() -> bytes:
    """One transparent pixel, for a place without a product."""
    return _png(Image.new("RGBA", (1, 1), (0, 0, 0, 0)))


def _lines(name: str, layout: ImageFont.Layout) -> list[str]:
    """The name in lines that fit; what does not fit ends with an ellipsis."""
    font, most = _font(_NAME_SIZE, layout), (WIDTH - 2 * _MARGIN) * _SCALE
    lines: list[str] = []
    words = name.split()[:40]
    while words:
        line = words.pop(0)
        while words and font.getlength(f"{line} {words[0]}") <= most:
            line += f" {words.pop(0)}"
        if len(lines) == _NAME_LINES - 1 and words:
            line, words = f"{line} …", []
        lines.append(_cut(line, font, most))
    return lines


def _cut(line: str, font: ImageFont.FreeTypeFont, most: float) -> str:
    if font.getlength(line) <= most:
        return line
    line = line.rstrip(" …")[:200]
    while line and font.getlength(f"{line}…") > most:
        line = line[:-1]
    return f"{line}…"


def _box(
    draw: ImageDraw.ImageDraw,
    box: tuple[int, int, int, int],
    *,
    fill: str | None = None,
    outline: str | None = None,
) -> None:
    draw.rectangle([each * _SCALE for each in box], fill=fill, outline=outline)


def _colour(hue: float, lightness: float) -> str:
    parts = colorsys.hls_to_rgb(hue, lightness, 0.45)
    return "#" + "".join(f"{round(part * 255):02x}" for part in parts)


@lru_cache(maxsize=8)
def _font(size: int, layout: ImageFont.Layout, bold: bool = False) -> ImageFont.FreeTypeFont:
    # comes with matplotlib, which is not imported for it, and has most alphabets
    spec = find_spec("matplotlib")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"
    return ImageFont.truetype(
        folder / f"DejaVuSans{'-Bold' if bold else ''}.ttf", size * _SCALE, layout_engine=layout
    )


def _png(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()
