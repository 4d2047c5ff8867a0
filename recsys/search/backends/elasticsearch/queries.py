"""Queries in Elasticsearch's language: made of values only, nothing typed becomes syntax or a script."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recsys.search.analysis.expression import AllOf, Expression, Token
from recsys.search.analysis.query_terms import exact_tokens
from recsys.search.backends.postgres.spelling import edits_allowed
from recsys.search.queries import (
    PRICE_STEPS,
    RATING_STEPS,
    Bucket,
    Facet,
    GeoArea,
    Key,
    ProductQuery,
    SearchFilters,
    UserQuery,
)

__all__ = ["buckets", "known", "products", "suggestions", "users"]

Body = dict[str, Any]
_MOST_BUCKETS = 20
_BOOSTS = {"name": 4.0, "sku": 4.0, "labels": 2.0, "category": 1.0, "text": 0.5}
"""What a word is worth, by the part of the product that it is in."""
_SKU_WORTH, _NAME_WORTH = 1e6, 1e4
_PRODUCT_ORDERS: dict[str, tuple[str, str]] = {
    "newest": ("created_at", "desc"),
    "name": ("name.keyword", "asc"),
    "price": ("price", "asc"),
    "-price": ("price", "desc"),
    "rating": ("rating_average", "desc"),
    "popularity": ("review_count", "desc"),
}
_USER_ORDERS: dict[str, tuple[str, str]] = {
    "newest": ("created_at", "desc"),
    "followers": ("followers_count", "desc"),
}


def products(query: ProductQuery, asked: Expression | None, *, popularity_weight: float) -> Body:
    """One page of products that have what is asked for; all of them for None.

    The documented fields know popularity by the number of reviews only.
    """
    filters = _filters(query.filters)
    body: Body = {"query": {"bool": {"filter": filters}}, "size": query.limit, "track_total_hits": True}
    if asked is not None:
        sku, whole_name = exact_tokens(query)
        matching = {"bool": {"should": [_scored(asked), _exactly(sku, 1.0)], "minimum_should_match": 1}}
        body["query"] = {"bool": {"filter": filters, "must": [matching]}}
    if query.sort == "relevance" and asked is not None:
        raised = {
            "function_score": {
                "query": body["query"],
                "functions": [
                    {"weight": 1.0},
                    # 1,000 reviews have a logarithm of 3: the weight counts from there
                    {
                        "field_value_factor": {"field": "review_count", "modifier": "log1p", "missing": 0},
                        "weight": max(popularity_weight / 3, 1e-9),
                    },
                ],
                "score_mode": "sum",
                "boost_mode": "multiply",
            }
        }
        # no text is worth as much as the SKU or the whole name
        first = [_exactly(sku, _SKU_WORTH), _exactly(whole_name, _NAME_WORTH)]
        body["query"] = {"bool": {"must": [raised], "should": first}}
        body["sort"] = [{"_score": "desc"}, {"id": "desc"}]
    else:
        field, direction = _PRODUCT_ORDERS["popularity" if query.sort == "relevance" else query.sort]
        body["sort"] = [{field: direction}, {"id": direction}]
    if query.after is not None:
        body["search_after"] = [_exact(query.after[0]), query.after[1]]
    if query.facets:
        body["aggs"] = {facet: _facet(facet) for facet in query.facets}
    return body


def suggestions(asked: Expression, size: int) -> Body:
    """Active products that have what is asked for in their names."""
    return {
        "query": {"bool": {"must": [_written(asked, _named)], "filter": [{"term": {"status": "active"}}]}},
        "sort": [{"review_count": "desc"}, {"id": "asc"}],
        "size": size,
    }


def known(asked: Sequence[Expression]) -> Body:
    """How many products have each of these, whatever their status."""
    filters = {str(place): {"filter": _scored(one)} for place, one in enumerate(asked)}
    return {"size": 0, "track_total_hits": False, "aggs": filters}


def _exact(key: Key) -> Key:
    """A score of single precision that was printed short, as the exact number it stands for.

    Servers that compare in double precision would find the last product of a page again.
    """
    if not isinstance(key, float) or abs(key) > 1e38:
        return key
    (single,) = struct.unpack("f", struct.pack("f", key))
    printed = any(float(f"{single:.{digits}g}") == key for digits in range(6, 10))
    return float(single) if printed else key


def users(query: UserQuery, *, fuzzy: bool) -> Body:
    """One page of users."""
    wanted = query.filters
    filters: list[Body] = []
    if wanted.near is not None:
        filters.append({"exists": {"field": "location"}})
        if wanted.near.kilometres is not None:
            far = f"{wanted.near.kilometres:.6f}km"
            filters.append({"geo_distance": {"distance": far, "location": _point(wanted.near)}})
    if wanted.active is not None:
        filters.append({"term": {"is_active": wanted.active}})
    if wanted.online is not None:
        filters.append({"term": {"is_online": wanted.online}})
    if wanted.min_followers is not None:
        filters.append({"range": {"followers_count": {"gte": wanted.min_followers}}})
    if wanted.min_following is not None:
        filters.append({"range": {"following_count": {"gte": wanted.min_following}}})
    matches = [_name(word, fuzzy=fuzzy) for word in query.words]
    body: Body = {
        "query": {"bool": {"filter": filters, "must": matches}},
        "size": query.limit,
        "track_total_hits": True,
    }
    if query.sort == "distance" and wanted.near is not None:
        nearest_first = {"location": _point(wanted.near), "order": "asc", "unit": "km"}
        body["sort"] = [{"_geo_distance": nearest_first}, {"id": "asc"}]
    elif query.sort in _USER_ORDERS:
        field, direction = _USER_ORDERS[query.sort]
        body["sort"] = [{field: direction}, {"id": "desc"}]
    else:
        body["sort"] = [{"_score": "desc"}, {"id": "desc"}]
    if query.after is not None:
        body["search_after"] = [_exact(query.after[0]), query.after[1]]
    return body


def buckets(facet: Facet, given: Mapping[str, Any]) -> list[Bucket]:
    """The counts of a facet, as every index gives them."""
    if facet == "in_stock":
        return [Bucket("true", given["doc_count"])]
    rows = given["buckets"]
    if facet == "price":
        return [Bucket(str(int(row["from"])), row["doc_count"]) for row in rows if row["doc_count"]]
    if facet == "rating":
        return [Bucket(str(int(row["from"])), row["doc_count"]) for row in rows]
    return [Bucket(str(row["key"]), row["doc_count"]) for row in rows]


def _written(asked: Expression, token: Callable[[Token], Body]) -> Body:
    """An expression in Elasticsearch's language."""
    if isinstance(asked, Token):
        return token(asked)
    parts = [_written(part, token) for part in asked.parts]
    if isinstance(asked, AllOf):
        return {"bool": {"must": parts}}
    return {"bool": {"should": parts, "minimum_should_match": 1}}


def _scored(asked: Expression) -> Body:
    return _written(asked, _anywhere)


def _anywhere(token: Token) -> Body:
    """A token in any part of a product."""
    fields = [_in_field(token, f"tokens.{field}", boost) for field, boost in _BOOSTS.items()]
    return {"bool": {"should": fields, "minimum_should_match": 1}}


def _named(token: Token) -> Body:
    return _in_field(token, "tokens.name", 1.0)


def _in_field(token: Token, field: str, boost: float) -> Body:
    kind = "prefix" if token.prefix else "term"
    return {kind: {field: {"value": token.text, "boost": boost}}}


def _exactly(token: Token, worth: float) -> Body:
    """A constant score for a token of a whole name or SKU."""
    return {"constant_score": {"filter": {"term": {"tokens.whole": {"value": token.text}}}, "boost": worth}}


def _name(word: str, *, fuzzy: bool) -> Body:
    near = {"fuzziness": "AUTO", "prefix_length": 0} if fuzzy and edits_allowed(word) else {}
    should: list[Body] = [
        {"match": {field: {"query": word, "boost": boost, **near}}}
        for field, boost in (("username", 4.0), ("full_name", 4.0), ("bio", 1.0))
    ]
    should += [{"prefix": {field: {"value": word}}} for field in ("username", "full_name")]
    return {"bool": {"should": should, "minimum_should_match": 1}}


def _filters(wanted: SearchFilters) -> list[Body]:
    found: list[Body] = []
    if wanted.status is not None:
        found.append({"term": {"status": wanted.status}})
    if wanted.categories is not None:
        found.append({"terms": {"category.id": list(wanted.categories)}})
    if wanted.brand is not None:
        found.append({"term": {"brand.id": wanted.brand}})
    found += [{"term": {"tags": tag}} for tag in wanted.tags]
    if wanted.min_price is not None:
        found.append({"range": {"price": {"gte": float(wanted.min_price)}}})
    if wanted.max_price is not None:
        found.append({"range": {"price": {"lte": float(wanted.max_price)}}})
    if wanted.min_rating is not None:
        found.append({"range": {"rating_average": {"gte": float(wanted.min_rating)}}})
        found.append({"range": {"review_count": {"gte": 1}}})
    if wanted.in_stock:
        found.append(_in_stock())
    if wanted.featured is not None:
        found.append({"term": {"is_featured": wanted.featured}})
    return found


def _in_stock() -> Body:
    always = {"bool": {"must_not": [{"exists": {"field": "inventory_quantity"}}]}}
    some = {"range": {"inventory_quantity": {"gt": 0}}}
    return {"bool": {"should": [always, some], "minimum_should_match": 1}}


def _facet(facet: Facet) -> Body:
    if facet == "in_stock":
        return {"filter": _in_stock()}
    if facet == "rating":
        return {"range": {"field": "rating_average", "ranges": [{"from": step} for step in RATING_STEPS]}}
    if facet == "price":
        ends = [*PRICE_STEPS[1:], None]
        ranges = [
            {"from": begin} if end is None else {"from": begin, "to": end}
            for begin, end in zip(PRICE_STEPS, ends, strict=True)
        ]
        return {"range": {"field": "price", "ranges": ranges}}
    field = "tags" if facet == "tags" else f"{facet}.id"
    order = [{"_count": "desc"}, {"_key": "asc"}]
    return {"terms": {"field": field, "size": _MOST_BUCKETS, "order": order}}


def _point(place: GeoArea) -> Body:
    return {"lat": place.latitude, "lon": place.longitude}
