"""Preview of a business rule: what it would do to a list, before it is in force."""

from __future__ import annotations

from collections.abc import Callable
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
from serving.recommender.recommender import Recommender
from serving.recommender.request import Placement, RecommendationRequest

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
    """What a list would look like with this rule in force, whatever its period; nothing is stored."""
    recommender: Recommender = request.app.state.recommender
    found = await run_in_threadpool(_preview, recommender, given)
    name_of = recommender.data.catalogue.name
    return PreviewOut(
        before=_places(name_of, found.before),
        after=_places(name_of, found.after),
        changes=[
            ChangeOut(
                product_id=change.product,
                name=name_of(change.product),
                before=change.before,
                after=change.after,
            )
            for change in found.changes
        ],
    )


def _preview(recommender: Recommender, given: PreviewIn) -> Preview:
    request = RecommendationRequest(
        given.shelf, given.user_id, products=tuple(given.product_ids), limit=given.limit
    )
    ranked, filtered = recommender.without_rules(request)
    rules = recommender.data.rules
    return preview(
        rules,
        given.rule.as_rule(given.rule_id or 0),
        candidates_of(ranked.entries, filtered.eligible),
        shelf=request.placement,
        limit=request.limit,
        lifted=lifted_by(request),
        diversify=diversify_of(rules.catalogue, request),
    )


def _places(name_of: Callable[[int], str | None], ruled: RuledList) -> list[PlaceOut]:
    return [
        PlaceOut(product_id=product, name=name_of(product), rules=[rule.name for rule in moved_by])
        for product, moved_by in zip(ruled.products.tolist(), ruled.moved_by, strict=True)
    ]
