"""Searches of products in PostgreSQL: one statement for page, count and facets."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
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
)
from recsys.search.spelling import Meaning, meanings, meant
from recsys.settings import SearchSettings

__all__ = ["MARKS", "find", "marked", "suggest"]

MARKS = ("\ue000", "\ue001")
"""Around what was found, until the text is safe HTML; letters of nobody's alphabet (private use)."""
_MOST_BUCKETS = 20

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
        CAST(floor(ts_rank(CAST('{0.1, 0.3, 0.5, 1}' AS real[]), words, CAST(:query AS tsquery), 1)
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
    (SELECT jsonb_agg(jsonb_build_array(value, number)) FROM (
        SELECT value, count(*) AS number FROM (SELECT {value} AS value FROM hits) AS every
        WHERE value IS NOT NULL GROUP BY value ORDER BY number DESC, value LIMIT :buckets
    ) counted)
"""
_LEAST = ", ".join(f"count(*) FILTER (WHERE rating_average >= {step})" for step in RATING_STEPS)
_FACETS = {
    "category": _COUNTED.replace("{value}", "category_id"),
    "brand": _COUNTED.replace("{value}", "brand_id"),
    "tags": _COUNTED.replace("{value}", "unnest(tags)"),
    "price": _COUNTED.replace("{value}", "width_bucket(price, CAST(:steps AS numeric[]))"),
    "rating": f"(SELECT jsonb_build_array({_LEAST}) FROM hits)",  # noqa: S608
    "in_stock": """
        (SELECT jsonb_build_array(
             count(*) FILTER (WHERE inventory_quantity IS NULL OR inventory_quantity > 0)
         ) FROM hits)
    """,
}
_HIGHLIGHTS = text(
    """
    SELECT id,
           ts_headline(CAST(:language AS regconfig), translate(name, :marks, ''), CAST(:query AS tsquery),
                       'HighlightAll=true,' || :options) AS name,
           ts_headline(CAST(:language AS regconfig),
                       translate(left(concat_ws(' ', short_description, description), 5000), :marks, ''),
                       CAST(:query AS tsquery),
                       'MaxFragments=1,MaxWords=30,MinWords=10,' || :options) AS description
    FROM products_db.products WHERE id = ANY(:ids)
    """
)
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
    """One page of products. One statement or two more for words that need a look at the spelling, one more
    for highlights."""
    known = meanings(session, query.words, settings.language) if query.words else []
    wanted = _tsquery(known, query)
    if query.words and not wanted:
        return Found(total=0, hits=[])  # nothing but words such as `the`
    values: dict[str, Any] = {"query": wanted, "limit": query.limit, **_filtered(query.filters)}
    columns = {"product_id", *(_FACET_COLUMNS[facet] for facet in query.facets)}
    conditions = [_CONDITIONS[name] for name in values if name in _CONDITIONS]
    if wanted:
        conditions.append("words @@ CAST(:query AS tsquery)")
    key = _KEYS["popularity" if query.sort == "relevance" and not wanted else query.sort]
    direction = _DIRECTIONS.get(query.sort, "DESC")
    page = _PAGE.replace("{direction}", direction)
    if query.after is not None:
        named = query.sort == "name"
        values |= {"last": query.after[0] if named else int(query.after[0]), "last_id": query.after[1]}
        page = page.replace("{after}", _AFTER_NAME if named else _AFTER[direction])
    parts = ["(SELECT count(*) FROM hits)", page.replace("{after}", "")]
    parts += [_FACETS[facet] for facet in query.facets]
    values |= {"weight": settings.popularity_weight, "buckets": _MOST_BUCKETS, "steps": list(PRICE_STEPS)}
    statement = _FIND.format(
        columns=", ".join(sorted(columns)),
        key=key,
        conditions=" AND ".join(conditions) or "true",
        parts=", ".join(parts),
    )
    row = session.execute(text(statement), values).one()
    hits = [Hit(product_id, place) for product_id, place in row[1] or []]
    if query.highlight and wanted and hits:
        hits = _highlighted(session, hits, wanted, settings.language)
    facets: dict[str, Sequence[Bucket]] = {
        facet: _buckets(facet, row[2 + place]) for place, facet in enumerate(query.facets)
    }
    return Found(row[0], hits, facets, meant(known) if query.fuzzy else None)


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
    return [Bucket(str(value), count) for value, count in rows]


def _highlighted(session: Session, page: Sequence[Hit], wanted: str, language: str) -> list[Hit]:
    values = {
        "language": language,
        "query": wanted,
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
        for row in session.execute(_HIGHLIGHTS, values)
    }
    return [Hit(hit.product_id, hit.key, found.get(hit.product_id, {})) for hit in page]
