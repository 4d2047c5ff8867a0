"""Product searches and suggestions: cached, relaxed, personalised, and limited to current products."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import orjson
from redis.exceptions import RedisError
from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from recsys.domains.products.catalogue import category_and_below
from recsys.domains.products.schemas import ProductListItem
from recsys.errors import Invalid, Unavailable
from recsys.events.publish import announce
from recsys.events.vocabulary import SearchPerformed
from recsys.log import get_logger
from recsys.search import cache, facet_labels, fallback
from recsys.search.analysis.analyser import analyser, words_of
from recsys.search.backends.base import SearchDown, SearchIndex
from recsys.search.backends.factory import chosen
from recsys.search.queries import Facet, Hit, Key, ProductQuery, SearchFilters, SearchResult, Sort
from recsys.search.ranking import personal_order
from recsys.search.schemas import FoundProduct, ProductsFound, Suggestion, Suggestions
from recsys.search.synonyms import service as synonyms
from recsys.settings import get_settings
from recsys.web.pagination import Cursor, refuse_cursor

__all__ = [
    "MOST_SUGGESTIONS",
    "NOTHING_TO_SEARCH_FOR",
    "SearchRequest",
    "Searcher",
    "key_of",
    "search",
    "suggest",
]

MOST_SUGGESTIONS = 10
NOTHING_TO_SEARCH_FOR = "There is nothing to search for in this text: it has no letter and no digit."

_log = get_logger(__name__)
# as text, since it runs in every search: an expression takes longer to put together than the answer to come
_SHOWN = text(
    f"""
    SELECT {", ".join(ProductListItem.model_fields)} FROM products_db.products
    WHERE id = ANY(CAST(:ids AS integer[])) AND (CAST(:status AS text) IS NULL OR status = :status)
    """  # noqa: S608
)


@dataclass(frozen=True)
class SearchRequest:
    """The parameters of a search; `category` includes everything below it."""

    text: str = ""
    category: int | None = None
    filters: SearchFilters = field(default_factory=SearchFilters)
    facets: tuple[Facet, ...] = ()
    sort: Sort = "relevance"
    limit: int = 20
    cursor: str | None = None
    highlight: bool = False
    fuzzy: bool = True
    personalised: bool = True


@dataclass(frozen=True)
class Searcher:
    """A user, a guest by the session of the visit, or an unknown visitor."""

    user_id: int | None = None
    session_id: str | None = None


@dataclass(frozen=True)
class _PageStart:
    """Where a page begins; `own_order` continues in a user's own order."""

    search_id: UUID = field(default_factory=uuid4)
    shown: int = 0
    any_word: bool = False
    after: tuple[Key, int] | None = None
    own_order: personal_order.PagePosition | None = None


@dataclass(frozen=True)
class _ResultPage:
    hits: Sequence[Hit]
    found: SearchResult
    after: tuple[Key, int] | None = None
    own_order: personal_order.PagePosition | None = None
    personalised: bool = False


def search(session: Session, request: SearchRequest, searcher: Searcher) -> ProductsFound:
    """One page.

    Symbols alone match nothing, and `message` explains it; an empty text matches everything.
    While search is down, the response has products of the database, and says so in `degraded`.

    Raises
    ------
    NotFound
        The category is unknown.
    Invalid
        The cursor is of another search.
    """
    words = words_of(request.text)
    if not words and request.text.strip():
        return ProductsFound(
            search_id=uuid4(), query="", total=0, items=[], message=NOTHING_TO_SEARCH_FOR, next_cursor=None
        )
    filters = request.filters
    if request.category is not None:
        filters = replace(filters, categories=tuple(category_and_below(session, request.category)))
    query = ProductQuery(
        words=words,
        synonyms=_synonyms(session, words),
        fuzzy=request.fuzzy,
        filters=filters,
        facets=request.facets if request.cursor is None else (),
        sort=request.sort,
        limit=request.limit,
        highlight=request.highlight and bool(words),
    )
    mark = _mark(request, words)
    place = _PageStart() if request.cursor is None else _decode(request.cursor, mark, request.sort)
    index = chosen()
    try:
        page, any_word = _page(
            session, index, replace(query, any_word=place.any_word), request, searcher, place
        )
    except SearchDown as error:
        _log.error("search is down", index=index.name, reason=error.message)
        return fallback.products(session, request.category, filters, request.limit, words)
    answer = _answer(session, page, query, place, any_word=any_word, mark=mark)
    if request.cursor is None:
        _announce(answer, searcher)
    return answer


def suggest(session: Session, typed: str, limit: int) -> Suggestions:
    """Names that complete the text; for a misspelt word, names with its likeliest correction."""
    words = words_of(typed)
    if not words:
        return Suggestions(suggestions=[], message=NOTHING_TO_SEARCH_FOR if typed.strip() else None)
    index = chosen()

    def read() -> list[tuple[str, int]]:
        found = index.suggest(session, words, MOST_SUGGESTIONS)
        if found:
            return found
        near = index.search_products(
            session, ProductQuery(words, _synonyms(session, words), limit=MOST_SUGGESTIONS)
        )
        ids = [hit.product_id for hit in near.hits]
        live = _live(session, ids, "active")
        return [(live[one]["name"], one) for one in ids if one in live]

    # the documented key has no number of suggestions: the longest list is cached, and cut
    try:
        found = cache.suggestions(" ".join(words), read)
    except SearchDown as error:
        _log.error("search is down", index=index.name, reason=error.message)
        return Suggestions(suggestions=[], degraded="Search is down; nothing can be suggested for now.")
    live = _live(session, [product_id for _, product_id in found], "active")
    return Suggestions(
        suggestions=[
            Suggestion(text=live[product_id]["name"], product_id=product_id, sku=live[product_id]["sku"])
            for _, product_id in found
            if product_id in live
        ][:limit]
    )


def _synonyms(session: Session, words: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    if not words:
        return ()
    return synonyms.groups_for(session, analyser(get_settings().search.language), words)


def _page(
    session: Session,
    index: SearchIndex,
    query: ProductQuery,
    request: SearchRequest,
    searcher: Searcher,
    place: _PageStart,
) -> tuple[_ResultPage, bool]:
    page = _ordered(session, index, query, request, searcher, place)
    if page.found.total == 0 and len(query.words) > 1 and not query.any_word:
        wider = replace(query, any_word=True)
        found = _ordered(session, index, wider, request, searcher, place)
        if found.found.total:
            return found, True
    return page, query.any_word


def _ordered(
    session: Session,
    index: SearchIndex,
    query: ProductQuery,
    request: SearchRequest,
    searcher: Searcher,
    place: _PageStart,
) -> _ResultPage:
    def find(one: ProductQuery) -> SearchResult:
        return cache.found(index.name, one, lambda: index.search_products(session, one))

    is_personalised = request.personalised and searcher.user_id is not None and query.sort == "relevance"
    if (
        is_personalised
        and searcher.user_id is not None
        and (place.after is None or place.own_order is not None)
    ):
        own = personal_order.page(session, searcher.user_id, query, place.own_order, find)
        if own is not None:
            return _ResultPage(own.hits, own.found, own.after, own.own_order, personalised=True)
    # a hit more than requested shows whether there is another page
    found = find(replace(query, limit=query.limit + 1, after=place.after))
    hits = found.hits[: query.limit]
    more = len(found.hits) > query.limit
    return _ResultPage(hits, found, (hits[-1].key, hits[-1].product_id) if more else None)


def _answer(
    session: Session, page: _ResultPage, query: ProductQuery, place: _PageStart, *, any_word: bool, mark: str
) -> ProductsFound:
    # items are read from the products: those that were hidden or deleted since are left out
    live = _live(session, [hit.product_id for hit in page.hits], query.filters.status)
    items = [
        FoundProduct(
            **live[hit.product_id],
            position=place.shown + number,
            highlights=dict(hit.highlights),
        )
        for number, hit in enumerate(page.hits, 1)
        if hit.product_id in live
    ]
    following = replace(
        place,
        shown=place.shown + len(page.hits),
        any_word=any_word,
        after=page.after,
        own_order=page.own_order,
    )
    more = page.after is not None or page.own_order is not None
    return ProductsFound(
        search_id=place.search_id,
        query=" ".join(query.words),
        total=page.found.total,
        items=items,
        facets=facet_labels.facets(session, page.found.facets),
        did_you_mean=page.found.did_you_mean,
        any_word=any_word,
        personalised=page.personalised,
        next_cursor=_encode(following, mark) if more else None,
    )


def _live(session: Session, ids: Sequence[int], status: str | None) -> dict[int, RowMapping]:
    if not ids:
        return {}
    rows = session.execute(_SHOWN, {"ids": list(ids), "status": status})
    return {row["id"]: row for row in rows.mappings()}


def _announce(answer: ProductsFound, searcher: Searcher) -> None:
    try:
        announce(
            SearchPerformed(
                query=answer.query,
                user_id=searcher.user_id,
                session_id=searcher.session_id,
                results=answer.total,
                search_id=str(answer.search_id),
                product_ids=tuple(item.id for item in answer.items),
            ),
            event_id=answer.search_id,
        )
    except (RedisError, OSError, Unavailable) as error:
        _log.warning("a search is not published: Redis did not answer", error=type(error).__name__)


def _mark(request: SearchRequest, words: Sequence[str]) -> str:
    """A hash of the search, by which its cursors are recognised."""
    parameters = [words, request.category, request.filters, request.sort, request.fuzzy]
    return hashlib.sha256(orjson.dumps(parameters, default=str)).hexdigest()[:12]


def _encode(place: _PageStart, mark: str) -> str:
    values: dict[str, Any] = {
        "of": mark,
        "search": str(place.search_id),
        "shown": place.shown,
        "any": place.any_word,
    }
    if place.after is not None:
        values |= {"key": place.after[0], "id": place.after[1]}
    if place.own_order is not None:
        values |= place.own_order.values()
    return Cursor.encode(values)


def _decode(encoded: str, mark: str, sort: Sort) -> _PageStart:
    cursor = Cursor.decode(encoded)
    if cursor.text("of") != mark:
        raise Invalid("This cursor belongs to another search; start again without a cursor.")
    try:
        search_id = UUID(cursor.text("search"))
    except ValueError:
        refuse_cursor()
    shown = cursor.integer("shown")
    if not 0 <= shown <= 2**31:
        refuse_cursor()
    after = None
    if "id" in cursor.values:
        after = (key_of(cursor, "key", text=sort == "name"), cursor.integer("id"))
    own_order = personal_order.PagePosition.of(cursor, key_of)
    return _PageStart(search_id, shown, cursor.values.get("any") is True, after, own_order)


def key_of(cursor: Cursor, name: str, *, text: bool = False) -> Key:
    """The sort key in a cursor. Raises Invalid for a value that is none."""
    if text:
        return cursor.text(name)
    value = cursor.values.get(name)
    if isinstance(value, float) and math.isfinite(value) and abs(value) < 2**62:
        return value
    return cursor.integer(name)
