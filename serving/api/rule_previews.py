"""What a business rule would do to a list, before anybody sees it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from recsys.domains.recommendations.rules.schemas import RuleIn
from recsys.web.dependencies import AdminUser
from recsys.web.errors import problem_responses
from recsys.web.validators import Input
from serving.api.schemas import Id
from serving.merchandising.rerank import candidates_of, diversify_of, lifted_by
from serving.merchandising.rule_engine import Preview, RuledList, preview
from serving.recommender import recommender
from serving.recommender.request import Placement, RecommendationRequest
from serving.state.serving_state import State

__all__ = ["router"]

router = APIRouter()


class PreviewIn(Input):
    """A draft, and the list to try it on."""

    rule: RuleIn
    rule_id: Id | None = Field(default=None, description="The rule that the draft would replace, if any.")
    shelf: Placement = Placement.FOR_YOU
    user_id: Id | None = Field(default=None, description="Whose list; default: what anybody gets.")
    product_ids: Annotated[list[Id], Field(default_factory=list, max_length=20)]
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class PlaceOut(BaseModel):
    """One product of a list, and the rules that put it there."""

    product_id: int
    name: str | None
    rules: list[str]


class ChangeOut(BaseModel):
    """One product that comes, goes or moves; places from 1, null where it is not in the list."""

    product_id: int
    name: str | None
    before: int | None
    after: int | None


class PreviewOut(BaseModel):
    """The list as it is, as it would be, and what differs."""

    before: list[PlaceOut]
    after: list[PlaceOut]
    changes: list[ChangeOut]


@router.post(
    "/api/v1/recommendations/rules/preview",
    tags=["business rules"],
    responses=problem_responses(400, 401, 403, 404, 413, 422, 503),
)
async def preview_rule(request: Request, admin: AdminUser, given: PreviewIn) -> PreviewOut:
    """What a list would look like with this rule in force, whatever its period says; nothing is stored."""
    state: State = request.app.state.serving
    wish = RecommendationRequest(
        given.shelf, given.user_id, products=tuple(given.product_ids), limit=given.limit
    )
    found = await run_in_threadpool(_tried, state, wish, given)
    return PreviewOut(
        before=_places(state, found.before),
        after=_places(state, found.after),
        changes=[
            ChangeOut(
                product_id=one.product,
                name=state.catalogue.current.name(one.product),
                before=one.before,
                after=one.after,
            )
            for one in found.changes
        ],
    )


def _tried(state: State, wish: RecommendationRequest, given: PreviewIn) -> Preview:
    ranked, allowed = recommender.unruled(state, wish)
    compiled = state.rules.compiled(state.catalogue.current)
    return preview(
        compiled,
        given.rule.as_rule(given.rule_id or 0),
        candidates_of(ranked.entries, allowed),
        shelf=wish.shelf,
        limit=wish.limit,
        lifted=lifted_by(wish),
        diversify=diversify_of(compiled.catalogue, wish),
    )


def _places(state: State, arranged: RuledList) -> list[PlaceOut]:
    return [
        PlaceOut(
            product_id=product,
            name=state.catalogue.current.name(product),
            rules=[rule.name for rule in moved_by],
        )
        for product, moved_by in zip(arranged.products.tolist(), arranged.moved_by, strict=True)
    ]
