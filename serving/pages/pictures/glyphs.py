"""Glyphs for product pictures: a few shapes for each kind of goods, and the words that choose one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

__all__ = ["FALLBACK", "Glyph", "glyph_of", "glyphs"]

_FILE = Path(__file__).with_name("glyphs.toml")
FALLBACK = "basket"
"""The glyph of products whose kind is not known."""


class Glyph(NamedTuple):
    """A drawing and its hue in degrees.

    Attributes
    ----------
    words
        Words or beginnings of words, separated by |, lower case.
    """

    hue: int
    words: str
    shapes: str


@lru_cache(maxsize=1)
def glyphs() -> Mapping[str, Glyph]:
    """All glyphs by name."""
    with _FILE.open("rb") as file:
        return {
            name: Glyph(glyph["hue"], glyph["words"], glyph["shapes"].replace("\n", ""))
            for name, glyph in tomllib.load(file).items()
        }


@lru_cache(maxsize=1)
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    return [(name, re.compile(rf"\b(?:{glyph.words})")) for name, glyph in glyphs().items() if glyph.words]


@lru_cache(maxsize=4096)
def glyph_of(category: str, name: str) -> str:
    """The glyph of a product: by its name where that says what it is, else by its category.

    A word further back in the name says more of what the thing is ("Chocolate Milk" is milk), and two words
    say more than the last of them ("ice cream").
    """
    for text in (re.split(r"[,(\d]", name.lower(), maxsplit=1)[0], category.lower()):
        best, place = "", (-1, 0)
        for glyph, pattern in _patterns():
            spans = (match.span() for match in pattern.finditer(text))
            last = max(((end, end - start) for start, end in spans), default=place)
            if last > place:
                best, place = glyph, last
        if best:
            return best
    return FALLBACK
