"""The documented mappings of the two Elasticsearch indices, and the documents that go into them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from recsys.search.analysis.analyser import analyser
from recsys.search.analysis.document_tokens import document_tokens

__all__ = ["PRODUCTS", "TOKENS", "USERS", "product_document", "user_document"]

_NAMED = {"id": {"type": "integer"}, "name": {"type": "keyword"}, "slug": {"type": "keyword"}}
_EXACT = {"keyword": {"type": "keyword"}}
_COMPLETED = {"keyword": {"type": "keyword"}, "suggest": {"type": "completion"}}

PRODUCTS: dict[str, Any] = {
    "properties": {
        "id": {"type": "integer"},
        "name": {"type": "text", "fields": _COMPLETED},
        "description": {"type": "text", "fields": _EXACT},
        "short_description": {"type": "text", "fields": _EXACT},
        "sku": {"type": "keyword"},
        "price": {"type": "float"},
        "compare_price": {"type": "float"},
        "category": {"type": "object", "properties": _NAMED},
        "brand": {"type": "object", "properties": _NAMED},
        "tags": {"type": "keyword"},
        "status": {"type": "keyword"},
        "is_featured": {"type": "boolean"},
        "rating_average": {"type": "float"},
        "review_count": {"type": "integer"},
        "inventory_quantity": {"type": "integer"},
        "created_at": {"type": "date"},
        "updated_at": {"type": "date"},
    }
}
"""The products index, as documented."""

USERS: dict[str, Any] = {
    "properties": {
        "id": {"type": "integer"},
        "username": {"type": "text", "fields": _COMPLETED},
        "full_name": {"type": "text", "fields": _EXACT},
        "bio": {"type": "text"},
        "location": {"type": "geo_point"},
        "is_active": {"type": "boolean"},
        "is_online": {"type": "boolean"},
        "followers_count": {"type": "integer"},
        "following_count": {"type": "integer"},
        "created_at": {"type": "date"},
    }
}
"""The users index, as documented."""

# the tokens are finished: they are only taken apart at the blanks between them
_TOKENS = {"type": "text", "analyzer": "whitespace"}
TOKENS: dict[str, Any] = {
    "tokens": {
        "properties": {
            "whole": {"type": "keyword"},
            **dict.fromkeys(("name", "sku", "labels", "category", "text"), _TOKENS),
        }
    }
}
"""A field of our own beside the documented ones: what the analyser of search made of a product."""

_LONGEST = 8000
"""Lucene refuses a keyword of more than 32,766 bytes, and with it the whole document."""
_LARGEST = 2**31 - 1


def product_document(row: Mapping[Any, Any], language: str) -> dict[str, Any]:
    """A product's document, with tokens in this language.

    The documented fields have no place for what can always be sold: it has no inventory_quantity. A product
    without reviews has a rating of 0, so that every document has a place in that order.
    """
    quantity = row["inventory_quantity"]
    return {
        "id": row["product_id"],
        "name": _text(row["name"]) or "-",
        "description": _text(row["description"]),
        "short_description": _text(row["short_description"]),
        "sku": row["sku"],
        "price": float(row["price"]),
        "compare_price": _number(row["compare_price"]),
        "category": _named(row, "category"),
        "brand": _named(row, "brand"),
        "tags": [tag[:_LONGEST] for tag in row["tags"] if tag is not None],
        "status": row["status"],
        "is_featured": row["is_featured"],
        "rating_average": _number(row["rating_average"]) or 0.0,
        "review_count": row["review_count"],
        "inventory_quantity": None if quantity is None else min(int(quantity), _LARGEST),
        "created_at": row["created_at"].isoformat(),
        "updated_at": None if row["updated_at"] is None else row["updated_at"].isoformat(),
        "tokens": _tokens(row, language),
    }


def user_document(row: Mapping[Any, Any], language: str) -> dict[str, Any]:
    """A user's document, the same in every language."""
    place = None
    if row["latitude"] is not None:
        place = {"lat": float(row["latitude"]), "lon": float(row["longitude"])}
    return {
        "id": row["user_id"],
        "username": row["username"],
        "full_name": row["full_name"],
        "bio": _text(row["bio"]),
        "location": place,
        "is_active": row["is_active"],
        "is_online": row["is_online"],
        "followers_count": row["followers_count"],
        "following_count": row["following_count"],
        "created_at": row["created_at"].isoformat(),
    }


def _tokens(row: Mapping[Any, Any], language: str) -> dict[str, Any]:
    tokens = document_tokens(row, analyser(language))
    parts = {"name": tokens.name, "sku": tokens.sku, "labels": tokens.labels}
    parts |= {"category": tokens.category, "text": tokens.text}
    return {"whole": list(tokens.whole)} | {
        part: " ".join(token for word in words for token in word) for part, words in parts.items()
    }


def _named(row: Mapping[Any, Any], what: str) -> dict[str, Any] | None:
    if row[f"{what}_id"] is None:
        return None
    return {part: row[f"{what}_{part}"] for part in ("id", "name", "slug")}


def _text(text: str | None) -> str | None:
    return None if text is None else text[:_LONGEST]


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
