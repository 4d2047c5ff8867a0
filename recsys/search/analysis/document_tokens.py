"""The tokens of a product's document, by what they are of, and PostgreSQL's vectors of them."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from recsys.search.analysis.analyser import Analyser, name_token, sku_token, words_of

__all__ = ["DocumentTokens", "document_tokens", "vectors"]

_TAG = re.compile(r"<[^<>]{0,500}>")
_LAST_POSITION = 16_383
"""PostgreSQL knows no later one in a vector."""


@dataclass(frozen=True)
class DocumentTokens:
    """For each word of each part of a product, its tokens.

    name : of the name and the SKU; `whole` stands for each of them in one piece.
    labels : of brand and tags.
    category : of the category and those above it.
    text : of the descriptions, without stop words.
    """

    whole: tuple[str, ...]
    name: tuple[tuple[str, ...], ...]
    sku: tuple[tuple[str, ...], ...]
    labels: tuple[tuple[str, ...], ...]
    category: tuple[tuple[str, ...], ...]
    text: tuple[tuple[str, ...], ...]


def document_tokens(row: Mapping[Any, Any], analyser: Analyser) -> DocumentTokens:
    """The tokens of a row of `recsys.search.documents.PRODUCTS`."""
    name, sku = words_of(row["name"]), words_of(row["sku"] or "")
    whole = [name_token(name)] if name else []
    if sku:
        whole.append(sku_token(sku))
    labels = (row["brand_name"], *row["tags"])
    descriptions = f"{_plain(row['short_description'])} {_plain(row['description'])}"
    return DocumentTokens(
        whole=tuple(whole),
        name=analyser.stored(row["name"]),
        sku=tuple(term.stored for term in analyser.of(row["sku"] or "")),
        labels=tuple(chain.from_iterable(map(analyser.stored, filter(None, labels)))),
        category=analyser.stored(row["category_path"] or ""),
        text=tuple(term.stored for term in analyser.of(descriptions) if not term.stop),
    )


def vectors(tokens: DocumentTokens) -> dict[str, str]:
    """`words` and `name_words` as PostgreSQL reads a tsvector. The weights are A for name and SKU, B for
    brand and tags, C for categories, D for descriptions.
    """
    places: dict[str, list[str]] = {}
    position = 1
    weighted = [
        ("A", (*tokens.name, *tokens.sku, tokens.whole)),
        ("B", tokens.labels),
        ("C", tokens.category),
        ("D", tokens.text),
    ]
    for weight, words in weighted:
        for word in words:
            for token in word:
                places.setdefault(token, []).append(f"{position}{weight}")
            position = min(position + 1, _LAST_POSITION)
    named = {token for word in tokens.name for token in word}
    return {
        "words": " ".join(f"{_quoted(token)}:{','.join(where)}" for token, where in places.items()),
        "name_words": " ".join(map(_quoted, named)),
    }


def _plain(given: str | None) -> str:
    """Without the tags and entities of HTML."""
    if given is None:
        return ""
    return html.unescape(_TAG.sub(" ", given)) if "<" in given or "&" in given else given


def _quoted(token: str) -> str:
    return "'" + token.replace("'", "''") + "'"
