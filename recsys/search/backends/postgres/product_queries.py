"""Searches of products in PostgreSQL: one statement for page, count and facets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.orm import Session

from recsys.search.analysis.analyser import Analyser, analyser
from recsys.search.analysis.expression import AllOf, AnyOf, Expression, Token, all_of, any_of
from recsys.search.analysis.highlighting import highlights
from recsys.search.analysis.query_terms import exact_tokens, parsed
from recsys.search.backends.postgres.spelling import meanings, meant
from recsys.search.queries import (
    PRICE_STEPS,
    RATING_STEPS,
    Bucket,
    Facet,
    Hit,
    ProductQuery,
    SearchFilters,
    SearchResult,
    Sort,
)
from recsys.settings import SearchSettings

__all__ = ["find", "suggest", "tsquery"]

_MOST_BUCKETS = 20

# Statements are put together from these parts and from nothing else; everything that was asked is a value.
_FIND = """
    WITH hits AS MATERIALIZED (
        SELECT {columns}, {key} AS key FROM products_db.product_search WHERE {conditions}
    )
    SELECT {parts}
"""
# A product whose whole name was typed is the tenth at worst, and up to 20 namesakes are on the first page of
# 20. What is popular may stand before it, since many names are those of a kind of product (docs/search.md).
# Both inner queries run once, and only where there is such a product.
_FIND_NAMED = """
    WITH found AS MATERIALIZED (
        SELECT {columns}, {key} AS worth, words @@ (SELECT CAST(:whole_name AS tsquery)) AS named
        FROM products_db.product_search WHERE {conditions}
    ), hits AS MATERIALIZED (
        SELECT {columns}, CASE WHEN named THEN greatest(worth, worth / 1000 + (
            SELECT worth FROM found ORDER BY worth DESC LIMIT 1 OFFSET (
                SELECT CASE WHEN count(*) BETWEEN 12 AND 20 THEN 20 - count(*) ELSE 9 END
                FROM found WHERE named
            )
        )) ELSE worth END AS key
        FROM found
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
# whole numbers (and names as bytes), so that a cursor compares exactly
_POPULARITY = "CAST(floor(popularity * 1000000) AS bigint)"
_KEYS = {
    # weights of descriptions, categories, tags and brands, names; divided by 1 + log(length of the document).
    # 1,000 interactions of today have a logarithm of 7 or so: the weight of popularity counts from there.
    # The product of that SKU comes first: no text and no taste is worth that.
    "relevance": """
        CAST(floor(ts_rank(CAST('{0.1, 0.3, 0.5, 1}' AS real[]), words, (SELECT CAST(:ranked AS tsquery)), 1)
                   * (1 + CAST(:weight AS float8) * least(popularity / 7.0, 1)) * 1000000000) AS bigint)
        + CASE WHEN words @@ (SELECT CAST(:sku AS tsquery)) THEN 100000000000000 ELSE 0 END
    """,
    "popularity": _POPULARITY,
    "newest": "CAST(extract(epoch FROM created_at) * 1000000 AS bigint)",
    "name": 'name COLLATE "C"',
    "price": "CAST(price * 100 AS bigint)",
    "-price": "CAST(price * 100 AS bigint)",
    "rating": "CAST(coalesce(rating_average, 0) * 100 AS bigint)",
}
Suggested = list[tuple[str, int]]
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
_TEXTS = text(
    """
    SELECT id, name, left(concat_ws(' ', short_description, description), 5000) AS description
    FROM products_db.products WHERE id = ANY(:ids)
    """
)
_KNOWN = text(
    """
    SELECT EXISTS (
               SELECT FROM products_db.search_words s WHERE s.stem = ANY(string_to_array(given.stems, ' '))
           ) OR (
               -- counted: for EXISTS, PostgreSQL may think that the first of all rows will do
               SELECT count(*) > 0 FROM products_db.product_search p
               WHERE p.words @@ CAST(given.query AS tsquery)
           )
    FROM unnest(:stems, :queries) WITH ORDINALITY AS given(stems, query, place)
    ORDER BY given.place
    """
).bindparams(bindparam("stems", type_=ARRAY(TEXT)), bindparam("queries", type_=ARRAY(TEXT)))
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


def find(session: Session, query: ProductQuery, settings: SearchSettings) -> SearchResult:
    """One page of products.

    One statement where something has all words as they were typed, which says that all of them are known;
    else up to four more for the spelling; one more for highlights.
    """
    used = analyser(settings.language)
    values = {
        "limit": query.limit,
        "weight": settings.popularity_weight,
        "buckets": _MOST_BUCKETS,
        "steps": list(PRICE_STEPS),
        **_filtered(query.filters),
    }
    if query.after is not None:
        last = query.after[0] if query.sort == "name" else int(query.after[0])
        values |= {"last": last, "last_id": query.after[1]}
    terms = parsed(used, query)
    if not terms:
        return _found(session, query, None, values, used)
    found = None
    if not query.any_word:
        found = _found(session, query, all_of([term.asked for term in terms]), values, used)
        if found.total:
            return found
    known = meanings(session, used, terms, lambda some: _known(session, some), fuzzy=query.fuzzy)
    probably = meant(known)
    joined = (any_of if query.any_word else all_of)([one.asked for one in known])
    if found is None or joined != all_of([term.asked for term in terms]):
        found = _found(session, query, joined, values, used)
    return replace(found, did_you_mean=probably)


def _found(
    session: Session,
    query: ProductQuery,
    asked: Expression | None,
    values: Mapping[str, Any],
    used: Analyser,
) -> SearchResult:
    if asked is not None:
        sku, whole_name = exact_tokens(query)
        values = {
            **values,
            "query": tsquery(any_of([asked, sku])),
            "ranked": tsquery(asked),
            "sku": tsquery(sku),
            "whole_name": tsquery(whole_name),
        }
    filters = tuple(name for name in _CONDITIONS if name in values)
    after = query.after is not None
    statement = _statement(filters, query.sort, query.facets, words=asked is not None, after=after)
    row = session.execute(statement, values).one()
    hits = [Hit(product_id, place) for product_id, place in row[1] or []]
    if query.highlight and asked is not None and hits:
        hits = _highlighted(session, hits, asked, used)
    facets: dict[str, Sequence[Bucket]] = {
        facet: _buckets(facet, row[2 + place]) for place, facet in enumerate(query.facets)
    }
    return SearchResult(row[0], hits, facets)


def _known(session: Session, asked: Sequence[Expression]) -> list[bool]:
    """Whether any product has each of these, by the list of words where it can tell."""
    values = {
        "stems": [" ".join(_choices(one)) for one in asked],
        "queries": [tsquery(one) for one in asked],
    }
    return list(session.scalars(_KNOWN, values))


def _choices(asked: Expression) -> list[str]:
    """The tokens each of which is enough."""
    parts = asked.parts if isinstance(asked, AnyOf) else (asked,)
    return [one.text for one in parts if isinstance(one, Token) and not one.prefix]


def tsquery(asked: Expression) -> str:
    """An expression in PostgreSQL's language; tokens are quoted, so nothing in them is syntax."""
    if isinstance(asked, Token):
        escaped = asked.text.replace("\\", "\\\\").replace("'", "''")
        return f"'{escaped}':*" if asked.prefix else f"'{escaped}'"
    operator = " & " if isinstance(asked, AllOf) else " | "
    return f"({operator.join(map(tsquery, asked.parts))})"


@lru_cache(maxsize=1024)
def _statement(
    filters: Sequence[str], sort: Sort, facets: Sequence[Facet], *, words: bool, after: bool
) -> TextClause:
    """The same text for all searches of the same form, so that every layer below knows it again."""
    columns = {"product_id", *(_FACET_COLUMNS[facet] for facet in facets)}
    conditions = [_CONDITIONS[name] for name in filters]
    if words:
        conditions.append("words @@ CAST(:query AS tsquery)")
    key = _KEYS["popularity" if sort == "relevance" and not words else sort]
    direction = _DIRECTIONS.get(sort, "DESC")
    beyond = "" if not after else _AFTER_NAME if sort == "name" else _AFTER[direction]
    page = _PAGE.replace("{direction}", direction).replace("{after}", beyond)
    parts = ["(SELECT count(*) FROM hits)", page, *(_FACETS[facet] for facet in facets)]
    return text(
        (_FIND_NAMED if words and sort == "relevance" else _FIND).format(
            columns=", ".join(sorted(columns)),
            key=key,
            conditions=" AND ".join(conditions) or "true",
            parts=", ".join(parts),
        )
    )


def suggest(session: Session, words: Sequence[str], limit: int, settings: SearchSettings) -> Suggested:
    """Names with all these words, the last of which may be unfinished."""
    terms = analyser(settings.language).terms(words)
    if not terms:
        return []
    asked = all_of([*(term.asked for term in terms[:-1]), terms[-1].begun or terms[-1].asked])
    values = {"query": tsquery(asked), "candidates": 20 * limit, "size": limit}
    return [(name, product_id) for name, product_id in session.execute(_SUGGEST, values)]


def _filtered(wanted: SearchFilters) -> dict[str, Any]:
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


def _highlighted(session: Session, page: Sequence[Hit], asked: Expression, used: Analyser) -> list[Hit]:
    found = {
        row.id: highlights(used, asked, row.name, row.description)
        for row in session.execute(_TEXTS, {"ids": [hit.product_id for hit in page]})
    }
    return [Hit(hit.product_id, hit.key, found.get(hit.product_id, {})) for hit in page]
