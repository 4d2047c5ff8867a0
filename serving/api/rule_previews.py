"""Preview of a business rule: its effect on a list, before the rule is in force."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from recsys.database.session import unit_of_work
from recsys.domains.recommendations.rules import service as rules_service
from recsys.domains.recommendations.rules.schemas import RuleIn
from recsys.domains.recommendations.segments import service as segments
from recsys.own_ids.references import ProductRef, UserRef
from recsys.web.dependencies import AdminUser
from recsys.web.errors import problem_responses
from recsys.web.validators import Id, Input
from serving.merchandising.compiled_rules import CompiledRules
from serving.merchandising.rerank import as_candidates, diversity_reranker, ignored_caps_of
from serving.merchandising.rule_engine import RuledList, RulePreview, preview
from serving.recommender.recommender import Recommender
from serving.recommender.request import Placement, RecommendationRequest

__all__ = ["router"]

router = APIRouter()


class RulePreviewIn(Input):
    """A draft of a rule, and the list to apply it to."""

    rule: RuleIn
    rule_id: Id | None = Field(default=None, description="The rule that the draft would replace, if any.")
    shelf: Placement = Placement.FOR_YOU
    user_id: UserRef | None = Field(
        default=None, description="The user of the list; default: a list that is the same for everybody."
    )
    product_ids: Annotated[list[ProductRef], Field(default_factory=list, max_length=20)]
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class PlacedProductOut(BaseModel):
    """One product of a list, and the rules that determined its position."""

    product_id: int
    sku: str | None
    name: str | None
    rules: list[str]


class PositionChangeOut(BaseModel):
    """One product that is added, removed or moved; positions from 1, null where it is not in the list."""

    product_id: int
    sku: str | None
    name: str | None
    before: int | None
    after: int | None


class RulePreviewOut(BaseModel):
    """The list without the draft, the list with it, and the differences."""

    before: list[PlacedProductOut]
    after: list[PlacedProductOut]
    changes: list[PositionChangeOut]


@router.post(
    "/api/v1/recommendations/rules/preview",
    tags=["business rules"],
    responses=problem_responses(400, 401, 403, 404, 413, 422, 503),
)
async def preview_rule(request: Request, admin: AdminUser, body: RulePreviewIn) -> RulePreviewOut:
    """Show a list as it would be with this rule in force, whatever its period; nothing is stored."""
    recommender: Recommender = request.app.state.recommender
    compared = await run_in_threadpool(_preview, recommender, body)
    label_of = recommender.data.catalogue.label
    return RulePreviewOut(
        before=_placed(label_of, compared.before),
        after=_placed(label_of, compared.after),
        changes=[
            PositionChangeOut(
                product_id=change.product,
                name=label_of(change.product)[0],
                sku=label_of(change.product)[1],
                before=change.before,
                after=change.after,
            )
            for change in compared.changes
        ],
    )


def _preview(recommender: Recommender, body: RulePreviewIn) -> RulePreview:
    request = RecommendationRequest(
        body.shelf, body.user_id, products=tuple(body.product_ids), limit=body.limit
    )
    ranked, filtered = recommender.without_rules(request)
    rules = recommender.data_for(body.user_id).rules
    with unit_of_work() as session:
        concerns = segments.concerns(session, body.rule.segment, body.user_id)
        in_force = [] if body.rule.rule_set is None else rules_service.in_force(session, rules.moment)
    if body.rule.rule_set is not None:
        # beside the other rules of its set, which nobody may have yet
        of_set = [rule for rule in in_force if rule.is_for(body.rule.rule_set)]
        together = CompiledRules.compile(rules.catalogue, of_set, rules.moment, members=rules.members)
        rules = together.of_visitor(body.user_id)
    return preview(
        rules,
        body.rule.as_rule(body.rule_id or 0),
        as_candidates(ranked.entries, filtered.eligible),
        placement=request.placement,
        limit=request.limit,
        ignored_caps=ignored_caps_of(request),
        diversify=diversity_reranker(rules.catalogue, request),
        concerns=concerns,
    )


def _placed(
    label_of: Callable[[int], tuple[str | None, str | None]], ruled: RuledList
) -> list[PlacedProductOut]:
    return [
        PlacedProductOut(
            product_id=product,
            name=label_of(product)[0],
            sku=label_of(product)[1],
            rules=[rule.name for rule in moved_by],
        )
        for product, moved_by in zip(ruled.products.tolist(), ruled.moved_by, strict=True)
    ]
