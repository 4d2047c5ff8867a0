"""The HTTP routes of recommendations and health."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Path, Request, Response

from recsys.domains.products.item_fields import FieldsDep
from recsys.errors import Forbidden
from recsys.own_ids.references import ProductText, UserText
from recsys.own_ids.requests import user_named
from recsys.web.access.api_key_dependencies import allow, require
from recsys.web.access.authentication import caller_without_key
from recsys.web.access.guest_sessions import guest_id
from recsys.web.access.pages import PageVisitor, visitor_of
from recsys.web.dependencies import GuestSession
from recsys.web.errors import problem_responses
from recsys.web.openapi.document import operation_id
from recsys.web.query_parameters import REQUEST_CHECKS
from serving.api import health
from serving.api.list_route import ListRoute, UserListRoute, first_page, remember_query
from serving.api.params import (
    Country,
    CursorParam,
    Diversity,
    Explain,
    FiltersDep,
    Limit,
    NoveltyParam,
    PlacementDep,
    limit_of,
)
from serving.api.schemas import Health, PageIn, PageOut, RecommendationsOut
from serving.ranking.eligibility import Novelty
from serving.recommender.recommender import Recommender
from serving.recommender.request import Placement, RecommendationRequest
from serving.recommender.response import RecommendationResponse, impression_of, list_of, render

__all__ = ["list_routes", "router"]

router = APIRouter()


def _recommender(request: Request) -> Recommender:
    recommender: Recommender = request.app.state.recommender
    return recommender


UserId = Annotated[
    UserText,
    Path(description="A number or `username:…`; an unknown number gets popular products."),
]
ProductId = Annotated[ProductText, Path(description="A number or `sku:…`.")]
_LIST: dict[str, Any] = {
    "tags": ["recommendations"],
    "response_model": RecommendationsOut,
    "response_model_exclude_unset": True,
}


async def _respond(
    http: Request, request: RecommendationRequest, cursor: str | None, fields: FieldsDep
) -> Response:
    request = replace(request, caller=caller_without_key(http.scope))
    if cursor is None:
        remember_query(http.scope, request, fields)
        body = await first_page(http.scope, request, fields)
    else:
        recommender = _recommender(http)
        response = await recommender.next_page(request, cursor)
        request_id = _log_impressions(http, [response])
        body = render(recommender.data.catalogue, response, request_id, fields)
    return Response(body, media_type="application/json")


def _log_impressions(http: Request, responses: list[RecommendationResponse]) -> str:
    """Log the impressions of one request and return its id."""
    request_id: str = http.scope["state"]["request_id"]
    http.app.state.impressions.note(*(impression_of(response, request_id) for response in responses))
    return request_id


async def user_recommendations(
    http: Request,
    user_id: UserId,
    filters: FiltersDep,
    fields: FieldsDep,
    placement: PlacementDep,
    limit: Limit = None,
    novelty: NoveltyParam = Novelty.ANY,
    diversity: Diversity = 0.0,
    explain: Explain = False,
    country: Country = None,
    cursor: CursorParam = None,
) -> Response:
    """Products for one user: the stored list, else one ranked now from their history, else popular products.

    Filters apply before ranking, so there are `limit` products while enough are eligible. Any attribute
    of products can be a filter as `attr.NAME=VALUE` (a column such as `sku`, an `option1` of a variant, a key
    of `dimensions`).
    """
    request = RecommendationRequest(
        placement,
        user_id,
        limit=limit_of(limit),
        novelty=novelty,
        filters=filters,
        diversity=diversity,
        explain=explain,
        country=country,
    )
    return await _respond(http, request, cursor, fields)


async def _allow_user_of_page(http: Request) -> None:
    """Authorize a request for the lists of the user in its body, before the body says whether they exist."""
    try:
        body = await http.json()
    except ValueError:
        return
    user = body.get("user_id") if isinstance(body, dict) else None
    if user is not None:
        await allow(http, "recommend", about=user_named(user))


@router.get("/api/v1/recommendations", responses=problem_responses(404, 422, 503), **_LIST)
async def guest_recommendations(
    http: Request,
    session: GuestSession,
    filters: FiltersDep,
    fields: FieldsDep,
    placement: PlacementDep,
    limit: Limit = None,
    novelty: NoveltyParam = Novelty.ANY,
    diversity: Diversity = 0.0,
    explain: Explain = False,
    country: Country = None,
    cursor: CursorParam = None,
) -> Response:
    """Products for a guest, by the history of the session (header `X-Session-Id`).

    With a publishable key and a signed user token: products for that user.
    """
    visitor = visitor_of(http.scope)
    user = None if visitor is None else visitor.user_id
    request = RecommendationRequest(
        placement,
        user,
        session=session if user is None else None,
        limit=limit_of(limit),
        novelty=novelty,
        filters=filters,
        diversity=diversity,
        explain=explain,
        country=country,
    )
    return await _respond(http, request, cursor, fields)


@router.post(
    "/api/v1/recommendations",
    tags=["recommendations"],
    response_model=PageOut,
    responses=problem_responses(400, 401, 403, 404, 413, 422, 503),
    dependencies=[Depends(_allow_user_of_page)],
)
async def page_recommendations(http: Request, session: GuestSession, page: PageIn) -> Response:
    """The lists of one page for a user, a guest or a cart; no product is in two of them.

    Earlier lists take precedence: put the most important one first. With a publishable key they are those of
    the page's visitor: of the signed user token, or of the session in the header `X-Session-Id`.
    """
    visitor = visitor_of(http.scope)
    if visitor is not None:
        page = _of_visitor(page, visitor, session)
    elif page.session_id is not None:
        page = page.model_copy(update={"session_id": guest_id(http.scope, page.session_id)})
    recommender = _recommender(http)
    responses = await recommender.recommend_page(
        page.requests(limit_of(None), caller_without_key(http.scope)),
        request_id=http.scope["state"]["request_id"],
    )
    request_id = _log_impressions(http, responses)
    lists = []
    for response in responses:
        listed = list_of(recommender.data.catalogue, response, page.fields)
        del listed["next_cursor"]  # its pages could repeat products of the other lists
        lists.append({"name": response.request.name or response.request.placement, **listed})
    return Response(orjson.dumps({"request_id": request_id, "shelves": lists}), media_type="application/json")


def _of_visitor(page: PageIn, visitor: PageVisitor, session: str | None) -> PageIn:
    """The request of a web page, about its own visitor. Raises Forbidden where it names somebody."""
    if page.user_id is not None or page.session_id is not None:
        raise Forbidden(
            "A page asks for its visitor alone: with a publishable key, leave out user_id and session_id, "
            "and send the signed user token as `Authorization: Bearer`, or the session as `X-Session-Id`."
        )
    own_session = session if visitor.user_id is None else None
    return page.model_copy(update={"user_id": visitor.user_id, "session_id": own_session})


async def popular_products(
    http: Request,
    filters: FiltersDep,
    fields: FieldsDep,
    limit: Limit = None,
    country: Country = None,
    diversity: Diversity = 0.0,
    cursor: CursorParam = None,
) -> Response:
    """The products that most people chose recently: everywhere, in a category, or in a country."""
    request = RecommendationRequest(
        Placement.POPULAR, limit=limit_of(limit), filters=filters, country=country, diversity=diversity
    )
    return await _respond(http, request, cursor, fields)


async def new_products(
    http: Request, filters: FiltersDep, fields: FieldsDep, limit: Limit = None, diversity: Diversity = 0.0,
    cursor: CursorParam = None,
) -> Response:  # fmt: skip
    """The newest products of the shop."""
    request = RecommendationRequest(
        Placement.NEW_ARRIVALS, limit=limit_of(limit), filters=filters, diversity=diversity
    )
    return await _respond(http, request, cursor, fields)


async def similar_products(
    http: Request, product_id: ProductId, filters: FiltersDep, fields: FieldsDep, limit: Limit = None,
    diversity: Diversity = 0.0, cursor: CursorParam = None,
) -> Response:  # fmt: skip
    """Products like this one."""
    request = RecommendationRequest(
        Placement.SIMILAR, products=(product_id,), limit=limit_of(limit), filters=filters, diversity=diversity
    )
    return await _respond(http, request, cursor, fields)


async def bought_together(
    http: Request, product_id: ProductId, filters: FiltersDep, fields: FieldsDep, limit: Limit = None,
    diversity: Diversity = 0.0, cursor: CursorParam = None,
) -> Response:  # fmt: skip
    """Products that are bought together with this one; then similar ones."""
    request = RecommendationRequest(
        Placement.BOUGHT_TOGETHER,
        products=(product_id,),
        limit=limit_of(limit),
        filters=filters,
        diversity=diversity,
    )
    return await _respond(http, request, cursor, fields)


def _list_route(
    path: str, endpoint: Callable[..., Any], *statuses: int, route: type[ListRoute] = ListRoute, **more: Any
) -> ListRoute:
    return route(
        path,
        endpoint,
        methods=["GET"],
        generate_unique_id_function=operation_id,
        responses=problem_responses(*statuses),
        **_LIST | {"dependencies": REQUEST_CHECKS} | more,
    )


# routes of the application itself: a request finds those of a router later
list_routes = [
    _list_route(
        "/api/v1/users/{user_id}/recommendations",
        user_recommendations,
        *(401, 403, 404, 422, 503),
        route=UserListRoute,
        dependencies=[*REQUEST_CHECKS, Depends(require("recommend", about="user_id"))],
    ),
    _list_route("/api/v1/products/popular", popular_products, 422, 503),
    _list_route("/api/v1/products/new", new_products, 422, 503),
    _list_route("/api/v1/products/{product_id}/similar", similar_products, 404, 422, 503),
    _list_route("/api/v1/products/{product_id}/bought-together", bought_together, 404, 422, 503),
]


@router.get("/health/live", tags=["operations"])
async def live() -> Health:
    """The process runs."""
    return Health(status="live")


@router.get("/health/ready", tags=["operations"], responses=problem_responses(503))
async def ready(http: Request) -> Health:
    """Whether lists can be served: 503 with the reason when not, `degraded` when a part fails."""
    return await health.check(http.app.state.refresher, http.app.state.late_share)
