"""The tokens of a product's document by field, and the PostgreSQL vectors that hold them.

Names, brands, categories and tags repeat from product to product, so their tokens are cached.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

from recsys.search.analysis.analyser import LONGEST_TOKEN, Analyser, name_token, sku_token, words_of

__all__ = ["DocumentTokens", "DocumentVectors", "document_tokens", "document_vectors"]

_TAG = re.compile(r"<[^<>]{0,500}>")
_LAST_POSITION = 16_383
"""The highest position that a tsvector can store."""

WordTokens = tuple[tuple[str, ...], ...]
"""For each word of a text, its tokens."""


@dataclass(frozen=True)
class DocumentTokens:
    """The tokens of each field of a product.

    Attributes
    ----------
    whole
        One token for the whole name, and one for each SKU of the product and its variants.
    name, sku
        Of the words of the name, and of the product's own SKU.
    labels
        Of brand, tags, and options of variants.
    category
        Of the category and those above it.
    text
        Of the descriptions, without stop words.
    """

    whole: tuple[str, ...]
    name: WordTokens
    sku: WordTokens
    labels: WordTokens
    category: WordTokens
    text: WordTokens


@dataclass(frozen=True)
class DocumentVectors:
    """Two tsvectors in PostgreSQL's input syntax: of the whole document, and of the name alone."""

    words: str
    name_words: str


def document_tokens(row: Mapping[Any, Any], analyser: Analyser) -> DocumentTokens:
    """The tokens of a row of `recsys.search.documents.PRODUCTS`."""
    return DocumentTokens(
        whole=_whole(row),
        name=analyser.stored(row["name"]),
        sku=_sku_tokens(analyser, row["sku"]),
        labels=tuple(chain.from_iterable(map(analyser.stored, _labels(row)))),
        category=analyser.stored(row["category_path"] or ""),
        text=_text_tokens(row, analyser),
    )


def document_vectors(row: Mapping[Any, Any], analyser: Analyser) -> DocumentVectors:
    """The vectors of a row of `recsys.search.documents.PRODUCTS`.

    The weights are A for name and SKUs, B for labels, C for categories, D for descriptions. A token may occur
    several times: PostgreSQL merges its positions as it reads the vector.
    """
    name, name_words, position = _name_lexemes(analyser, row["name"])
    parts = [name]
    if row["sku"]:
        lexemes, position = _lexemes(_sku_tokens(analyser, row["sku"]), "A", position)
        parts.append(lexemes)
    lexemes, position = _lexemes((_whole(row),), "A", position)
    parts.append(lexemes)
    for label in _labels(row):
        lexemes, position = _repeated_lexemes(analyser, label, "B", position)
        parts.append(lexemes)
    if row["category_path"]:
        lexemes, position = _repeated_lexemes(analyser, row["category_path"], "C", position)
        parts.append(lexemes)
    if row["short_description"] or row["description"]:
        parts.append(_lexemes(_text_tokens(row, analyser), "D", position)[0])
    return DocumentVectors(" ".join(parts), name_words)


def _labels(row: Mapping[Any, Any]) -> Iterable[str]:
    return filter(None, (row["brand_name"], *row["tags"], *row["options"]))


def _whole(row: Mapping[Any, Any]) -> tuple[str, ...]:
    tokens = dict.fromkeys(_whole_name(row["name"]))
    for sku in (row["sku"], *row["variant_skus"]):
        if sku and (words := (sku,) if _is_number(sku) else words_of(sku)):
            tokens[sku_token(words)] = None
    return tuple(tokens)


@lru_cache(maxsize=50_000)
def _whole_name(name: str) -> tuple[str, ...]:
    words = words_of(name)
    return (name_token(words),) if words else ()


def _sku_tokens(analyser: Analyser, sku: str | None) -> WordTokens:
    if sku is None:
        return ()
    # no SKU occurs twice, so each would take the place of a word in the analyser's caches
    return ((sku,),) if _is_number(sku) else tuple(term.stored for term in analyser.of(sku))


def _is_number(sku: str) -> bool:
    """Whether the SKU is a number of digits alone, which is its own only token."""
    return sku.isascii() and sku.isdigit() and len(sku) <= LONGEST_TOKEN


def _text_tokens(row: Mapping[Any, Any], analyser: Analyser) -> WordTokens:
    text = f"{_plain(row['short_description'])} {_plain(row['description'])}"
    return tuple(term.stored for term in analyser.of(text) if not term.stop)


@lru_cache(maxsize=50_000)
def _name_lexemes(analyser: Analyser, name: str) -> tuple[str, str, int]:
    tokens = analyser.stored(name)
    lexemes, position = _lexemes(tokens, "A", 1)
    return lexemes, " ".join(map(_quoted, dict.fromkeys(chain.from_iterable(tokens)))), position


@lru_cache(maxsize=50_000)
def _repeated_lexemes(analyser: Analyser, text: str, weight: str, position: int) -> tuple[str, int]:
    return _lexemes(analyser.stored(text), weight, position)


def _lexemes(tokens: WordTokens, weight: str, position: int) -> tuple[str, int]:
    """Tokens with positions from `position` on, and the position after the last word."""
    lexemes = []
    for word in tokens:
        lexemes += [f"{_quoted(token)}:{position}{weight}" for token in word]
        position = min(position + 1, _LAST_POSITION)
    return " ".join(lexemes), position


def _plain(text: str | None) -> str:
    """The text without HTML tags, and with its entities decoded."""
    if text is None:
        return ""
    return html.unescape(_TAG.sub(" ", text)) if "<" in text or "&" in text else text


def _quoted(token: str) -> str:
    # a backslash can't be part of a token: the analyser splits at it
    return "'" + token.replace("'", "''") + "'"
