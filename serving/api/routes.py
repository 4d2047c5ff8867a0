"""What people are told, over HTTP: async, one round trip, prepared bytes."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from recsys.web.access.api_key_dependencies import allow, require
from recsys.web.dependencies import GuestSession
from recsys.web.errors import problem_responses
from serving.api import fast_path, health
from serving.api.params import (
    Country,
    CursorParam,
    Diversity,
    Explain,
    FiltersDep,
    Limit,
    NoveltyParam,
    limit_of,
)
from serving.api.schemas import Health, PageIn, PageOut, RecommendationsOut
from serving.ranking.eligibility import Novelty
from serving.recommender import recommender
from serving.recommender.request import Placement, RecommendationRequest
from serving.recommender.response import RecommendationResponse, answered, render, shelf_of
from serving.state.metrics import count_answer
from serving.state.serving_state import State

__all__ = ["router"]

router = APIRouter()


def _state(request: Request) -> State:
    found: State = request.app.state.serving
    return found


StateDep = Annotated[State, Depends(_state)]
UserId = Annotated[
    int, Path(ge=1, le=2**31 - 1, description="`users.id`; one that nobody has gets what is popular.")
]
ProductId = Annotated[int, Path(ge=1, le=2**31 - 1)]
_LIST: dict[str, Any] = {
    "tags": ["recommendations"],
    "response_model": RecommendationsOut,
    "response_model_exclude_unset": True,
}


async def _answer(request: Request, wish: RecommendationRequest, cursor: str | None) -> Response:
    state = _state(request)
    if cursor is None:
        answer = await recommender.answer(state, wish)
    else:
        answer = await recommender.go_on(state, wish, cursor)
    return _rendered(request, state, answer)


def _rendered(request: Request, state: State, answer: RecommendationResponse) -> Response:
    count_answer(answer.source)
    request_id = request.scope["state"]["request_id"]
    state.exposures.note(answered(answer, request_id))
    return Response(render(state.catalogue.current, answer, request_id), media_type="application/json")


@router.get(
    fast_path.PATH,
    responses=problem_responses(401, 403, 404, 422, 503),
    dependencies=[Depends(require("recommend", about="user_id"))],
    **_LIST,
)
async def user_recommendations(
    request: Request,
    user_id: UserId,
    filters: FiltersDep,
    shelf: Annotated[Placement, Query(description="Which list.")] = Placement.FOR_YOU,
    limit: Limit = None,
    novelty: NoveltyParam = Novelty.ANY,
    diversity: Diversity = 0.0,
    explain: Explain = False,
    country: Country = None,
    cursor: CursorParam = None,
) -> Response:
    """Products for one user: stored ones, else made now from what the user did, else what is popular.

    Filters hold before the best are taken, so there are `limit` products as long as so many qualify; any
    attribute of products can be asked for as `attr.NAME=VALUE` (a column such as `sku`, an `option1` of a
    variant, a key of `dimensions`).
    """
    wish = RecommendationRequest(
        shelf,
        user_id,
        limit=limit_of(limit),
        novelty=novelty,
        filters=filters,
        diversity=diversity,
        explain=explain,
        country=country,
    )
    return await _answer(request, wish, cursor)


@router.get("/api/v1/recommendations", responses=problem_responses(404, 422, 503), **_LIST)
async def guest_recommendations(
    request: Request,
    session: GuestSession,
    filters: FiltersDep,
    shelf: Annotated[Placement, Query(description="Which list.")] = Placement.FOR_YOU,
    limit: Limit = None,
    novelty: NoveltyParam = Novelty.ANY,
    diversity: Diversity = 0.0,
    explain: Explain = False,
    country: Country = None,
    cursor: CursorParam = None,
) -> Response:
    """Products for a guest, by what the session (header `X-Session-Id`) did; without one for anybody."""
    wish = RecommendationRequest(
        shelf,
        session=session,
        limit=limit_of(limit),
        novelty=novelty,
        filters=filters,
        diversity=diversity,
        explain=explain,
        country=country,
    )
    return await _answer(request, wish, cursor)


@router.post(
    "/api/v1/recommendations",
    tags=["recommendations"],
    response_model=PageOut,
    responses=problem_responses(400, 401, 403, 404, 413, 422, 503),
)
async def page_recommendations(request: Request, page: PageIn) -> Response:
    """The lists of one page for a user, a guest or a cart; no product stands on two of them.

    What a shelf shows is not shown by those after it, so put the one that matters most first.
    """
    if page.user_id is not None:
        await allow(request, "recommend", about=page.user_id)
    state = _state(request)
    request_id = request.scope["state"]["request_id"]
    answers = await recommender.answer_page(state, page.wishes(limit_of(None)))
    names = [one.name or one.shelf.value for one in page.shelves]
    state.exposures.note(
        *(answered(answer, request_id, name) for name, answer in zip(names, answers, strict=True))
    )
    shelves = []
    for name, answer in zip(names, answers, strict=True):
        count_answer(answer.source)
        shelf = shelf_of(state.catalogue.current, answer)
        del shelf["next_cursor"]  # its pages would know nothing of the other shelves
        shelves.append({"name": name, **shelf})
    return Response(
        orjson.dumps({"request_id": request_id, "shelves": shelves}), media_type="application/json"
    )


@router.get("/api/v1/products/popular", responses=problem_responses(422, 503), **_LIST)
async def popular_products(
    request: Request,
    filters: FiltersDep,
    limit: Limit = None,
    country: Country = None,
    diversity: Diversity = 0.0,
    cursor: CursorParam = None,
) -> Response:
    """What most people chose lately: everywhere, in a category, or in a country."""
    wish = RecommendationRequest(
        Placement.POPULAR, limit=limit_of(limit), filters=filters, country=country, diversity=diversity
    )
    return await _answer(request, wish, cursor)


@router.get("/api/v1/products/new", responses=problem_responses(422, 503), **_LIST)
async def new_products(
    request: Request, filters: FiltersDep, limit: Limit = None, diversity: Diversity = 0.0,
    cursor: CursorParam = None,
) -> Response:  # fmt: skip
    """What arrived in the shop last."""
    wish = RecommendationRequest(
        Placement.NEW_ARRIVALS, limit=limit_of(limit), filters=filters, diversity=diversity
    )
    return await _answer(request, wish, cursor)


@router.get("/api/v1/products/{product_id}/similar", responses=problem_responses(404, 422, 503), **_LIST)
async def similar_products(
    request: Request, product_id: ProductId, filters: FiltersDep, limit: Limit = None,
    diversity: Diversity = 0.0, cursor: CursorParam = None,
) -> Response:  # fmt: skip
    """Products like this one."""
    wish = RecommendationRequest(
        Placement.SIMILAR, products=(product_id,), limit=limit_of(limit), filters=filters, diversity=diversity
    )
    return await _answer(request, wish, cursor)


@router.get(
    "/api/v1/products/{product_id}/bought-together", responses=problem_responses(404, 422, 503), **_LIST
)
async def bought_together(
    request: Request, product_id: ProductId, filters: FiltersDep, limit: Limit = None,
    diversity: Diversity = 0.0, cursor: CursorParam = None,
) -> Response:  # fmt: skip
    """Products that are bought together with this one; then similar ones."""
    wish = RecommendationRequest(
        Placement.BOUGHT_TOGETHER,
        products=(product_id,),
        limit=limit_of(limit),
        filters=filters,
        diversity=diversity,
    )
    return await _answer(request, wish, cursor)


@router.get("/health/live", tags=["operations"])
async def live() -> Health:
    """The process runs."""
    return Health(status="live")


@router.get("/health/ready", tags=["operations"], responses=problem_responses(503))
async def ready(state: StateDep) -> Health:
    """Whether it can serve: 503 with the reason when not, `degraded` when answers are not at their best."""
    return await health.check(state)
