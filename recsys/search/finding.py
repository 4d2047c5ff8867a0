"""Searches of products in PostgreSQL: one statement for page, count and facets."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from recsys.search.queries import (
    PRICE_STEPS,
    RATING_STEPS,
    Bucket,
    Facet,
    Filters,
    Found,
    Hit,
    ProductQuery,
    Sort,
)
from recsys.search.spelling import Meaning, meanings, meant
from recsys.settings import SearchSettings

__all__ = ["MARKS", "find", "marked", "suggest"]

MARKS = ("\ue000", "\ue001")
"""Around what was found, until the text is safe HTML; letters of nobody's alphabet (private use)."""
_MOST_BUCKETS = 20
# what was searched for: in the words that were typed, or in those that were meant. A plan that is kept would
# make them anew for each row, where they are not a subquery's or an index's.
_TYPED = "plainto_tsquery(CAST(:language AS regconfig), :typed)"
_MEANT = "CAST(:query AS tsquery)"

# Statements are put together from these parts and from nothing else; everything that was asked is a value.
_FIND = """
    WITH hits AS MATERIALIZED (
        SELECT {columns}, {key} AS key FROM products_db.product_search WHERE {conditions}
    )
    SELECT {parts}
"""
_PAGE = """
    (SELECT jsonb_agg(jsonb_build_array(product_id, key)) FROM (
        SELECT product_id, key FROM hits {after}
        ORDER BY key {direction}, product_id {direction} LIMIT :limit
    ) page)
"""
_AFTER = {
    "ASC": "WHERE (key, product_id) > (CAST(:last AS bigint), :last_id)",
    "DESC": "WHERE (key, product_id) < (CAST(:last AS bigint), :last_id)",
}
_AFTER_NAME = 'WHERE (key, product_id) > (CAST(:last AS text) COLLATE "C", :last_id)'
# whole numbers (and names as bytes), so that a page's end can be told exactly
_POPULARITY = "CAST(floor(popularity * 1000000) AS bigint)"
_KEYS = {
    # weights of descriptions, categories, tags and brands, names; divided by 1 + log(length of the document).
    # 1,000 interactions of today have a logarithm of 7 or so: the weight of popularity counts from there.
    "relevance": """
        CAST(floor(ts_rank(CAST('{0.1, 0.3, 0.5, 1}' AS real[]), words, (SELECT {match}), 1)
                   * (1 + CAST(:weight AS float8) * least(popularity / 7.0, 1)) * 1000000000) AS bigint)
    """,
    "popularity": _POPULARITY,
    "newest": "CAST(extract(epoch FROM created_at) * 1000000 AS bigint)",
    "name": 'name COLLATE "C"',
    "price": "CAST(price * 100 AS bigint)",
    "-price": "CAST(price * 100 AS bigint)",
    "rating": "CAST(coalesce(rating_average, 0) * 100 AS bigint)",
}
_DIRECTIONS = {"name": "ASC", "price": "ASC"}
_CONDITIONS = {
    "status": "status = :status",
    "categories": "category_id = ANY(:categories)",
    "brand": "brand_id = :brand",
    "tags": "tags @> CAST(:tags AS text[])",
    "min_price": "price >= :min_price",
    "max_price": "price <= :max_price",
    "min_rating": "rating_average >= :min_rating",
    "in_stock": "(inventory_quantity IS NULL OR inventory_quantity > 0)",
    "featured": "is_featured = :featured",
}
_FACET_COLUMNS = {
    "category": "category_id",
    "brand": "brand_id",
    "tags": "tags",
    "price": "price",
    "rating": "rating_average",
    "in_stock": "inventory_quantity",
}
_COUNTED = """
    (SELECT jsonb_agg(jsonb_build_array(value, number{name})) FROM (
        SELECT value, count(*) AS number FROM (SELECT {value} AS value FROM hits) AS every
        WHERE value IS NOT NULL GROUP BY value ORDER BY number DESC, value LIMIT :buckets
    ) counted)
"""


def _counted(value: str, name: str | None = None) -> str:
    named = "" if name is None else f", {name}"
    return _COUNTED.replace("{value}", value).replace("{name}", named)


_LEAST = ", ".join(f"count(*) FILTER (WHERE rating_average >= {step})" for step in RATING_STEPS)
_FACETS = {
    "category": _counted("category_id", "(SELECT name FROM products_db.categories WHERE id = value)"),
    "brand": _counted("brand_id", "(SELECT name FROM products_db.brands WHERE id = value)"),
    "tags": _counted("unnest(tags)"),
    "price": _counted("width_bucket(price, CAST(:steps AS numeric[]))"),
    "rating": f"(SELECT jsonb_build_array({_LEAST}) FROM hits)",  # noqa: S608
    "in_stock": """
        (SELECT jsonb_build_array(
             count(*) FILTER (WHERE inventory_quantity IS NULL OR inventory_quantity > 0)
         ) FROM hits)
    """,
}
_HIGHLIGHTS = """
    SELECT id,
           ts_headline(CAST(:language AS regconfig), translate(name, :marks, ''), asked.query,
                       'HighlightAll=true,' || :options) AS name,
           ts_headline(CAST(:language AS regconfig),
                       translate(left(concat_ws(' ', short_description, description), 5000), :marks, ''),
                       asked.query,
                       'MaxFragments=1,MaxWords=30,MinWords=10,' || :options) AS description
    FROM products_db.products, (SELECT {match} AS query) AS asked WHERE id = ANY(:ids)
"""
_SUGGEST = text(
    """
    SELECT name, min(product_id) AS product_id
    FROM (
        SELECT name, product_id, popularity FROM products_db.product_search
        WHERE name_words @@ CAST(:query AS tsquery) AND status = 'active'
        ORDER BY popularity DESC, product_id LIMIT :candidates
    ) best
    GROUP BY name ORDER BY max(popularity) DESC, min(product_id) LIMIT :size
    """
)


def find(session: Session, query: ProductQuery, settings: SearchSettings) -> Found:
    """One page of products.

    One statement where something has all words as they were typed, which says that all of them are known;
    else up to three more for the spelling; one more for highlights.
    """
    values = {
        "language": settings.language,
        "typed": " ".join(query.words),
        "limit": query.limit,
        "weight": settings.popularity_weight,
        "buckets": _MOST_BUCKETS,
        "steps": list(PRICE_STEPS),
        **_filtered(query.filters),
    }
    if query.after is not None:
        last = query.after[0] if query.sort == "name" else int(query.after[0])
        values |= {"last": last, "last_id": query.after[1]}
    found = None
    if not query.any_word or not query.words:
        found = _found(session, query, _TYPED if query.words else None, values)
        if found.total or not query.words:
            return found
    known = meanings(session, query.words, settings.language)
    values["query"] = _tsquery(known, query)
    if not values["query"]:
        return Found(total=0, hits=[])  # nothing but words such as `the`
    probably = meant(known) if query.fuzzy else None
    if found is None or probably is not None:
        found = _found(session, query, _MEANT, values)
    return replace(found, did_you_mean=probably)


def _found(session: Session, query: ProductQuery, match: str | None, values: Mapping[str, Any]) -> Found:
    filters = tuple(name for name in _CONDITIONS if name in values)
    statement = _statement(filters, match, query.sort, query.facets, after=query.after is not None)
    row = session.execute(statement, values).one()
    hits = [Hit(product_id, place) for product_id, place in row[1] or []]
    if query.highlight and match is not None and hits:
        hits = _highlighted(session, hits, match, values)
    facets: dict[str, Sequence[Bucket]] = {
        facet: _buckets(facet, row[2 + place]) for place, facet in enumerate(query.facets)
    }
    return Found(row[0], hits, facets)


@lru_cache(maxsize=1024)
def _statement(
    filters: Sequence[str], match: str | None, sort: Sort, facets: Sequence[Facet], *, after: bool
) -> TextClause:
    """The same text for all searches of the same form, so that every layer below knows it again."""
    columns = {"product_id", *(_FACET_COLUMNS[facet] for facet in facets)}
    conditions = [_CONDITIONS[name] for name in filters]
    if match is not None:
        conditions.append(f"words @@ {match}")
    key = _KEYS["popularity" if sort == "relevance" and match is None else sort]
    direction = _DIRECTIONS.get(sort, "DESC")
    beyond = "" if not after else _AFTER_NAME if sort == "name" else _AFTER[direction]
    page = _PAGE.replace("{direction}", direction).replace("{after}", beyond)
    parts = ["(SELECT count(*) FROM hits)", page, *(_FACETS[facet] for facet in facets)]
    return text(
        _FIND.format(
            columns=", ".join(sorted(columns)),
            key=key.replace("{match}", match or ""),
            conditions=" AND ".join(conditions) or "true",
            parts=", ".join(parts),
        )
    )


def suggest(session: Session, words: Sequence[str], limit: int) -> list[tuple[str, int]]:
    """Names with all these words, the last of which may be unfinished."""
    if not words:
        return []
    # the words are letters and digits only, so nothing in them can end the quotes
    parts = [f"'{word}'" for word in words]
    values = {"query": " & ".join(parts) + ":*", "candidates": 20 * limit, "size": limit}
    return [(name, product_id) for name, product_id in session.execute(_SUGGEST, values)]


def marked(text: str | None) -> str | None:
    """A text with marks as safe HTML; None when nothing is marked in it."""
    if text is None or MARKS[0] not in text:
        return None
    return html.escape(text).replace(MARKS[0], "<mark>").replace(MARKS[1], "</mark>")


def _tsquery(known: Sequence[Meaning], query: ProductQuery) -> str:
    """A query put together from what PostgreSQL itself made of single words."""
    groups = (one.queries if query.fuzzy else one.queries[:1] for one in known)
    joined = (" | ".join(f"({part})" for part in group) for group in groups if group)
    return (" | " if query.any_word else " & ").join(f"({group})" for group in joined)


def _filtered(wanted: Filters) -> dict[str, Any]:
    """The filters that limit something, by the name of their condition."""
    given = {
        "status": wanted.status,
        "categories": None if wanted.categories is None else list(wanted.categories),
        "brand": wanted.brand,
        "tags": list(wanted.tags) or None,
        "min_price": wanted.min_price,
        "max_price": wanted.max_price,
        "min_rating": wanted.min_rating,
        "in_stock": wanted.in_stock or None,
        "featured": wanted.featured,
    }
    return {name: value for name, value in given.items() if value is not None}


def _buckets(facet: Facet, given: Sequence[Any] | None) -> list[Bucket]:
    rows = given or []
    if facet == "rating":
        return [Bucket(str(step), count) for step, count in zip(RATING_STEPS, rows, strict=True)]
    if facet == "in_stock":
        return [Bucket("true", rows[0])]
    if facet == "price":
        return [Bucket(str(PRICE_STEPS[place - 1]), count) for place, count in sorted(map(tuple, rows))]
    return [Bucket(str(value), count, *name) for value, count, *name in rows]


def _highlighted(session: Session, page: Sequence[Hit], match: str, searched: Mapping[str, Any]) -> list[Hit]:
    values = {
        **searched,
        "marks": "".join(MARKS),
        "options": f"StartSel={MARKS[0]},StopSel={MARKS[1]}",
        "ids": [hit.product_id for hit in page],
    }
    found: Mapping[int, dict[str, str]] = {
        row.id: {
            field: safe
            for field, safe in (("name", marked(row.name)), ("description", marked(row.description)))
            if safe is not None
        }
        for row in session.execute(text(_HIGHLIGHTS.format(match=match)), values)
    }
    return [Hit(hit.product_id, hit.key, found.get(hit.product_id, {})) for hit in page]
