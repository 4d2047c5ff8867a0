"""Queries in Elasticsearch's language: made of values only, nothing typed becomes syntax or a script."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from recsys.search.finding import MARKS, marked
from recsys.search.queries import (
    PRICE_STEPS,
    RATING_STEPS,
    Bucket,
    Facet,
    Filters,
    Hit,
    Key,
    Place,
    ProductQuery,
    UserQuery,
)
from recsys.search.spelling import edits_allowed, nearest
from recsys.search.wordlist import Word
from recsys.search.words import words_of

__all__ = ["buckets", "hit_of", "meant", "products", "suggestions", "users"]

Body = dict[str, Any]
_MOST_BUCKETS = 20
_KEYWORDS = {"tags": 2.0, "brand.name": 2.0, "category.name": 1.0}
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


def products(query: ProductQuery, words: Sequence[Word], *, fuzzy: bool, popularity_weight: float) -> Body:
    """One page of products with `words`: those of the query that say something.

    The documented fields know popularity by the number of reviews only.
    """
    matches = [_word(one, fuzzy=fuzzy) for one in words]
    matching: Body = {"filter": _filters(query.filters)}
    if matches:
        matching |= {"should": matches, "minimum_should_match": 1 if query.any_word else len(matches)}
    body: Body = {"query": {"bool": matching}, "size": query.limit, "track_total_hits": True}
    if query.sort == "relevance" and matches:
        body["query"] = {
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
        body["sort"] = [{"_score": "desc"}, {"id": "desc"}]
    else:
        field, direction = _PRODUCT_ORDERS["popularity" if query.sort == "relevance" else query.sort]
        body["sort"] = [{field: direction}, {"id": direction}]
    if query.after is not None:
        body["search_after"] = [_exact(query.after[0]), query.after[1]]
    if query.facets:
        body["aggs"] = {facet: _facet(facet) for facet in query.facets}
    if query.highlight:
        body["highlight"] = {
            # not what the score is made of: popularity marks nothing
            "highlight_query": {"bool": {"should": matches}},
            "pre_tags": [MARKS[0]],
            "post_tags": [MARKS[1]],
            "fields": {
                "name": {"number_of_fragments": 0},
                "description": {"fragment_size": 200, "number_of_fragments": 1},
            },
        }
    return body


def suggestions(words: Sequence[str], size: int) -> Body:
    """Active products with all these words in their names, the last of which may be unfinished."""
    *whole, begun = words
    must: list[Body] = [{"match": {"name": {"query": word}}} for word in whole]
    must.append({"prefix": {"name": {"value": begun}}})
    return {
        "query": {"bool": {"must": must, "filter": [{"term": {"status": "active"}}]}},
        "sort": [{"review_count": "desc"}, {"id": "asc"}],
        "size": size,
    }


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


def hit_of(row: Mapping[str, Any]) -> Hit:
    """A product that was found, with what is safe to show."""
    highlights = {
        field: safe
        for field, parts in row.get("highlight", {}).items()
        if (safe := marked(" … ".join(parts))) is not None
    }
    return Hit(int(row["_id"]), row["sort"][0], highlights)


def meant(words: Sequence[str], found: Sequence[Mapping[str, Any]]) -> str | None:
    """What a query meant whose words nobody wrote, by the words of what was found in their place."""
    counts: dict[str, int] = {}
    for row in found:
        source = row["_source"]
        named = [source.get("name"), source.get("description"), source.get("short_description")]
        for word in set(words_of(" ".join(filter(None, named)))) | set(words_of(source.get("name") or "")):
            counts[word] = counts.get(word, 0) + 1
    likely = {word: nearest(word, counts.items()) for word in words if word not in counts}
    if not any(likely.values()):
        return None
    return " ".join(likely[word][0] if likely.get(word) else word for word in words)


def _word(given: Word, *, fuzzy: bool) -> Body:
    """One word or a form of it, in any field. They are letters and digits only: no wildcard is in them."""
    word = given.word
    near = {"fuzziness": "AUTO", "prefix_length": 0} if fuzzy and edits_allowed(word) else {}
    # one field has one of the forms: the same as a stem, as far as they are known
    typed = " ".join([word] if fuzzy else [word, *given.forms])
    texts: list[Body] = [
        {"match": {field: {"query": typed, "boost": boost, **near}}}
        for field, boost in (("name", 4.0), ("short_description", 0.5), ("description", 0.5))
    ]
    keywords: list[Body] = [
        {"wildcard": {field: {"value": f"*{word}*", "case_insensitive": True, "boost": boost}}}
        for field, boost in _KEYWORDS.items()
    ]
    keywords.append({"term": {"sku": {"value": word, "case_insensitive": True, "boost": 4.0}}})
    if given.categories:
        keywords.append({"terms": {"category.id": list(given.categories), "boost": 1.0}})
    return {"bool": {"should": [*texts, *keywords], "minimum_should_match": 1}}


def _name(word: str, *, fuzzy: bool) -> Body:
    near = {"fuzziness": "AUTO", "prefix_length": 0} if fuzzy and edits_allowed(word) else {}
    should: list[Body] = [
        {"match": {field: {"query": word, "boost": boost, **near}}}
        for field, boost in (("username", 4.0), ("full_name", 4.0), ("bio", 1.0))
    ]
    should += [{"prefix": {field: {"value": word}}} for field in ("username", "full_name")]
    return {"bool": {"should": should, "minimum_should_match": 1}}


def _filters(wanted: Filters) -> list[Body]:
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


def _point(place: Place) -> Body:
    return {"lat": place.latitude, "lon": place.longitude}
