"""Why, and why not: the routes that say which step of a list a product passed or was lost at."""

from __future__ import annotations

from typing import Annotated, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import AwareDatetime

from recsys.database.session import unit_of_work
from recsys.own_ids.answers import with_own_ids
from recsys.own_ids.references import ProductText, UserText
from recsys.web.dependencies import AdminUser
from recsys.web.errors import problem_responses
from serving.api.params import Diversity, FiltersDep, Limit, NoveltyParam, PlacementDep, limit_of
from serving.ranking.eligibility import Novelty
from serving.recommender.past_lists import PastTrace, trace_past
from serving.recommender.product_trace import ProductTrace
from serving.recommender.recommender import Recommender
from serving.recommender.request import RecommendationRequest

__all__ = ["router"]

Trace = TypeVar("Trace", ProductTrace, PastTrace)

router = APIRouter(prefix="/api/v1/recommendations/why", tags=["recommendations"])

ProductParam = Annotated[ProductText, Query(description="The product that the question is about.")]
UserParam = Annotated[UserText | None, Query(description="The user; neither: a list for everybody.")]
SessionParam = Annotated[
    str | None, Query(max_length=255, pattern="^[^\\x00]+$", description="The guest's session.")
]


@router.get("", responses=problem_responses(401, 403, 404, 422, 503))
async def why_product(
    http: Request,
    admin: AdminUser,
    product: ProductParam,
    filters: FiltersDep,
    placement: PlacementDep,
    user: UserParam = None,
    session_id: SessionParam = None,
    page_product: Annotated[
        list[ProductText] | None, Query(max_length=20, description="The products that the page displays.")
    ] = None,
    limit: Limit = None,
    novelty: NoveltyParam = Novelty.ANY,
    diversity: Diversity = 0.0,
) -> ProductTrace:
    """Why a product is in a list now, or the step that lost it.

    The list is as it is served for these parameters; no impression is logged.
    """
    recommender: Recommender = http.app.state.recommender
    request = RecommendationRequest(
        placement,
        user,
        session=session_id if user is None else None,
        products=tuple(page_product or ()),
        limit=limit_of(limit),
        novelty=novelty,
        filters=filters,
        diversity=diversity,
    )
    (trace,) = await recommender.trace(request, [product])
    return await run_in_threadpool(_with_username, trace)


@router.get("/past", responses=problem_responses(401, 403, 404, 422, 503))
async def why_product_then(
    http: Request,
    admin: AdminUser,
    product: ProductParam,
    at: Annotated[AwareDatetime, Query(description="The moment; the last list shown up to it is meant.")],
    user: UserParam = None,
    session_id: SessionParam = None,
    placement: Annotated[
        str, Query(pattern="^[A-Za-z0-9_.-]{1,50}$", description="The placement, or the name of the list.")
    ] = "for_you",
) -> PastTrace:
    """Whether a product was in a list at a past moment, from the impressions, and why not."""
    recommender: Recommender = http.app.state.recommender
    trace = await run_in_threadpool(
        trace_past,
        recommender.data.catalogue,
        product,
        user=user,
        session_id=session_id if user is None else None,
        placement=placement,
        at=at,
    )
    return await run_in_threadpool(_with_username, trace)


def _with_username(trace: Trace) -> Trace:
    with unit_of_work() as session:
        return with_own_ids(session, [trace])[0]
