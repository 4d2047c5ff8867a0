"""What people are told, over HTTP: async, one round trip, prepared bytes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from recsys.settings import get_settings
from recsys.web.errors import problem_responses
from serving import health, recommend, shortcut
from serving.catalogue import Catalogue
from serving.metrics import count_answer
from serving.recommend import Answer
from serving.rules import Novelty
from serving.schemas import Health, RecommendationsOut
from serving.state import State

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
Limit = Annotated[
    int | None,
    Query(ge=1, le=100, description="How many products; default: the setting `serving.default_limit` (20)."),
]


def _answer(request: Request, catalogue: Catalogue, answer: Answer) -> Response:
    count_answer(answer.source)
    body = recommend.render(catalogue, answer, request.scope["state"]["request_id"])
    return Response(body, media_type="application/json")


@router.get(
    shortcut.PATH,
    tags=["recommendations"],
    response_model=RecommendationsOut,
    responses=problem_responses(422),
)
async def user_recommendations(
    request: Request,
    user_id: UserId,
    limit: Limit = None,
    novelty: Annotated[
        Novelty, Query(description="`new`: only products the user never touched.")
    ] = Novelty.ANY,
) -> Response:
    """Products for one user: stored ones, else made now from what the user did, else what is popular."""
    state = _state(request)
    catalogue = state.catalogue.current
    wanted = limit or get_settings().serving.default_limit
    return _answer(request, catalogue, await recommend.for_user(state, catalogue, user_id, wanted, novelty))


@router.get(
    "/api/v1/products/popular",
    tags=["recommendations"],
    response_model=RecommendationsOut,
    responses=problem_responses(422),
)
async def popular_products(request: Request, limit: Limit = None) -> Response:
    """What most people chose lately."""
    state = _state(request)
    catalogue = state.catalogue.current
    wanted = limit or get_settings().serving.default_limit
    return _answer(request, catalogue, recommend.popular_products(state, catalogue, wanted))


@router.get(
    "/api/v1/products/{product_id}/similar",
    tags=["recommendations"],
    response_model=RecommendationsOut,
    responses=problem_responses(404, 422),
)
def similar_products(request: Request, product_id: ProductId, limit: Limit = None) -> Response:
    """Products like this one."""
    state = _state(request)
    catalogue = state.catalogue.current
    wanted = limit or get_settings().serving.default_limit
    return _answer(request, catalogue, recommend.similar_products(state, catalogue, product_id, wanted))


@router.get("/health/live", tags=["operations"])
async def live() -> Health:
    """The process runs."""
    return Health(status="live")


@router.get("/health/ready", tags=["operations"], responses=problem_responses(503))
async def ready(state: StateDep) -> Health:
    """Whether it can serve: 503 with the reason when not, `degraded` when answers are not at their best."""
    return await health.check(state)
