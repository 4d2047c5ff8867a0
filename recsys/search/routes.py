"""HTTP routes of search: products for everybody, users for administrators, and clicks."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any
from uuid import uuid5

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator
from sqlalchemy.orm import Session

from recsys.database.session import unit_of_work
from recsys.domains.products import service as products
from recsys.domains.products.item_fields import FieldsDep, chosen
from recsys.errors import Forbidden, Invalid
from recsys.events.vocabulary import SearchResultClicked
from recsys.own_ids.references import BrandText, CategoryText
from recsys.search import service, user_search
from recsys.search.analysis.analyser import LONGEST_TEXT, normal
from recsys.search.queries import Facet, GeoArea, SearchFilters, Sort, UserFilters, UserSort
from recsys.search.schemas import ClickIn, ProductsFound, Suggestions, UsersFound
from recsys.search.service import MOST_SUGGESTIONS, Searcher, SearchRequest
from recsys.web.access.authorization import key_opens
from recsys.web.dependencies import (
    AdminUser,
    AdmissionDep,
    GuestSession,
    SessionDep,
    caller_of,
)
from recsys.web.errors import problem_responses
from recsys.web.pagination import CursorParam, Limit
from recsys.web.validators import storable
from recsys.write_buffer.events import publish_or_queue
from recsys.write_buffer.senders import VisitorDep, in_post_thread

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/search", tags=["search"])

# a millionth of a degree is 11 cm; PostgreSQL's trigonometry refuses numbers near the smallest one
_ROUNDED = AfterValidator(lambda number: None if number is None else round(number, 6))

Typed = Annotated[str, Query(max_length=LONGEST_TEXT, description="Words, SKUs, numbers with units.")]
Price = Annotated[Decimal | None, Query(ge=0, max_digits=10, decimal_places=2)]
Tag = Annotated[str, Query(min_length=1, max_length=100), AfterValidator(storable)]
Count = Annotated[int | None, Query(ge=0, le=2**31 - 1)]


# asynchronous only so that it needs no thread
async def _filters(
    brand: BrandText | None = None,
    tag: Annotated[list[Tag] | None, Query(max_length=10, description="A product must have all.")] = None,
    min_price: Price = None,
    max_price: Price = None,
    min_rating: Annotated[Decimal | None, Query(ge=0, le=5, max_digits=3, decimal_places=2)] = None,
    in_stock: bool = False,
    featured: bool | None = None,
    status: Annotated[
        str,
        Query(pattern="^(active|draft|archived|any)$", description="Others are for administrators."),
    ] = "active",
) -> SearchFilters:
    if min_price is not None and max_price is not None and min_price > max_price:
        raise Invalid("min_price is above max_price; no product can be between.")
    return SearchFilters(
        brand=brand,
        tags=tuple(tag or ()),
        min_price=min_price,
        max_price=max_price,
        min_rating=min_rating,
        in_stock=in_stock,
        featured=featured,
        status=None if status == "any" else status,
    )


# Searches open their unit of work themselves: a session and a user as dependencies cost four more switches to
# a thread and back, a third of the time of a response.
@router.get("/products", response_model=ProductsFound, responses=problem_responses(401, 403, 404, 422, 503))
def search_products(
    request: Request,
    _: AdmissionDep,
    guest: GuestSession,
    filters: Annotated[SearchFilters, Depends(_filters)],
    fields: FieldsDep,
    q: Typed = "",
    category: CategoryText | None = None,
    facet: Annotated[
        list[Facet] | None, Query(max_length=6, description="Counts for the first page.")
    ] = None,
    sort: Sort = "relevance",
    highlight: bool = False,
    fuzzy: bool = True,
    personalised: bool = True,
    limit: Limit = 20,
    cursor: CursorParam = None,
) -> Response:
    """Products by words, filters or both; for a logged-in user in their own order."""
    search_request = SearchRequest(
        text=q,
        category=category,
        filters=filters,
        facets=tuple(dict.fromkeys(facet or ())),
        sort=sort,
        limit=limit,
        cursor=cursor,
        highlight=highlight,
        fuzzy=fuzzy,
        personalised=personalised,
    )
    with unit_of_work() as session:
        user = caller_of(request, session)
        administers = key_opens(request.scope, "admin") or (user is not None and user.is_admin)
        if filters.status != "active" and not administers:
            raise Forbidden("Only administrators see products that are not active.")
        found = service.search(
            session, search_request, Searcher(None if user is None else user.user_id, guest)
        )
        # validated already: FastAPI would validate it again
        if fields is not None:
            return JSONResponse(_with_fields(session, found, fields))
    return Response(found.model_dump_json(), media_type="application/json")


def _with_fields(session: Session, found: ProductsFound, fields: Sequence[str]) -> dict[str, Any]:
    """Return the answer with these fields of each product, its place and highlights."""
    answer = found.model_dump(mode="json")
    by_id = chosen(session, [item.id for item in found.items], fields)
    answer["items"] = [
        {**by_id[item["id"]], "position": item["position"], "highlights": item["highlights"]}
        for item in answer["items"]
        if item["id"] in by_id
    ]
    return answer


@router.get("/suggest", response_model=Suggestions, responses=problem_responses(422, 503))
def suggest(
    _: AdmissionDep, prefix: Typed, limit: Annotated[int, Query(ge=1, le=MOST_SUGGESTIONS)] = 10
) -> Response:
    """Names of products that complete the typed text."""
    with unit_of_work() as session:
        found = service.suggest(session, prefix, limit)
    return Response(found.model_dump_json(), media_type="application/json")


@router.get("/users", responses=problem_responses(401, 403, 422, 503))
def search_users(
    session: SessionDep,
    admin: AdminUser,
    q: Typed = "",
    lat: Annotated[float | None, Query(ge=-90, le=90, allow_inf_nan=False), _ROUNDED] = None,
    lon: Annotated[float | None, Query(ge=-180, le=180, allow_inf_nan=False), _ROUNDED] = None,
    within_km: Annotated[float | None, Query(ge=0.001, le=20_100, allow_inf_nan=False), _ROUNDED] = None,
    active: bool | None = None,
    online: bool | None = None,
    min_followers: Count = None,
    min_following: Count = None,
    sort: UserSort = "relevance",
    limit: Limit = 20,
    cursor: CursorParam = None,
) -> UsersFound:
    """Users by name or bio, by place, and by how many follow them."""
    if (lat is None) != (lon is None):
        raise Invalid("Send both lat and lon, or neither.")
    near = None if lat is None or lon is None else GeoArea(lat, lon, within_km)
    if near is None and (sort == "distance" or within_km is not None):
        raise Invalid("A distance needs a place: send lat and lon.")
    wanted = UserFilters(near, active, online, min_followers, min_following)
    return user_search.search(session, q, wanted, sort=sort, limit=limit, cursor=cursor)


@router.post(
    "/clicks",
    status_code=204,
    responses={
        202: {"description": "Queued: PostgreSQL takes no writes now"},
        **problem_responses(400, 401, 403, 404, 422, 503),
    },
)
async def click(sender: VisitorDep, guest: GuestSession, given: ClickIn) -> Response:
    """Record that a search result was opened; models learn from it."""
    fields = {
        "query": normal(given.query),
        "session_id": guest,
        "search_id": str(given.search_id),
        "product_id": given.product_id,
        "position": given.position,
    }
    stored = await in_post_thread(
        publish_or_queue,
        sender,
        SearchResultClicked,
        fields,
        uuid5(given.search_id, f"{guest or sender.token_id}:{given.product_id}"),
        lambda session: products.get(session, given.product_id),
    )
    return Response(status_code=204 if stored else 202)
