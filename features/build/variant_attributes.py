"""Tells colours from sizes among the options of product variants, whose columns have no names.

`product_variants.option1..3` hold values such as "Navy", "XL" or "12 oz" in an order that each shop chooses.
A value is a size when it reads as one, a colour when it holds a word for a colour. A value that is neither
("Heather Dusk") goes with its column where at least half of the column's different values were recognised
and most of those are of one sort; else it is left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np

from features.ids import IdMap
from features.tables import Words

__all__ = ["OPTIONS", "options_of", "sort_of"]

OPTIONS = 3
Sort = Literal["colour", "size"]

_NUMBER = r"\d+(?:[.,/]\d+)?"
_UNIT = (
    r"(?:cm|mm|m|km|in|inch|inches|\"|'|ft|yd|oz|fl ?oz|ml|cl|dl|l|ltr|g|gr|mg|kg|lb|lbs|gal|pt|qt|ct|pk|"
    r"pack|pcs|pieces|eu|us|uk|fr|w|v|gb|tb|y|yrs|years|months?|t)"
)
_SIZE = re.compile(
    rf"(?:one[ -]size|os|free size|(?:\d{{0,2}}x{{0,4}}[- ]?(?:s|m|l))"
    rf"|(?:extra[ -]|x{{1,4}}[ -]?)*(?:small|medium|large)"
    rf"|petite|tall|(?:eu|us|uk|fr|it|size|w)\.? ?{_NUMBER}(?:[ /x]*l? ?{_NUMBER})?|\d{{2,3}} ?[a-k]{{1,3}}"
    rf"|{_NUMBER} ?{_UNIT}?(?: ?[x×/-] ?{_NUMBER} ?{_UNIT}?){{0,2}})\.?"
)
_COLOUR_WORDS = """
amber anthracite apricot aqua aubergine azure beige black blue blush bordeaux bronze brown burgundy
camel caramel champagne charcoal cherry chocolate cobalt copper coral cream crimson cyan denim ecru
emerald fuchsia gold golden gray green grey indigo ivory jade khaki lavender lemon lilac lime
magenta mahogany maroon mauve mint mocha multicolor multicolour mustard natural navy nude ochre
olive orange orchid peach pearl petrol pink platinum plum purple red rose ruby rust salmon sand
sapphire scarlet silver sky slate tan taupe teal terracotta tomato transparent turquoise vanilla
violet walnut white wine yellow
"""
_COLOURS = frozenset(_COLOUR_WORDS.split())
_WORD = re.compile(r"[^\W\d_]+")


def sort_of(value: str) -> Sort | None:
    """What one value reads as by itself."""
    written = " ".join(value.split()).casefold()
    if _SIZE.fullmatch(written):
        return "size"
    return "colour" if any(word in _COLOURS for word in _WORD.findall(written)) else None


def options_of(
    products: Sequence[int], options: Sequence[Sequence[str]], items: IdMap
) -> tuple[Words, Words]:
    """Colours and sizes of `items`, lower case, from the variants' product ids and their option columns."""
    sorts = [_sorts(column) for column in options]
    rows = items.index(np.asarray(products, dtype=np.int64)).tolist()
    found: dict[Sort, tuple[list[int], list[str]]] = {"colour": ([], []), "size": ([], [])}
    for column, meaning in zip(options, sorts, strict=True):
        for row, value in zip(rows, column, strict=True):
            sort = meaning.get(value)
            if row >= 0 and sort is not None:
                found[sort][0].append(row)
                found[sort][1].append(" ".join(value.split()).casefold())
    return Words.of(*found["colour"], len(items)), Words.of(*found["size"], len(items))


def _sorts(column: Sequence[str]) -> dict[str, Sort | None]:
    values = {value for value in column if value.strip() and value.casefold() != "default title"}
    sorts = {value: sort_of(value) for value in values}
    recognised = [sort for sort in sorts.values() if sort is not None]
    sizes = sum(sort == "size" for sort in recognised)
    if recognised and 2 * len(recognised) >= len(values) and 2 * sizes != len(recognised):
        usual: Sort = "size" if 2 * sizes > len(recognised) else "colour"
        sorts = {value: usual if sort is None else sort for value, sort in sorts.items()}
    return sorts
