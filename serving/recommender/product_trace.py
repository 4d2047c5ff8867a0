"""The trace of one product through the stages of one list: where it stands, or the step that lost it."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from recsys.domains.recommendations.feedback import ingest as feedback
from recsys.domains.recommendations.interactions.history import interactions_of
from recsys.own_ids.answers import WithUsername
from serving.ranking.eligibility import Novelty
from serving.recommender.request import Placement

__all__ = [
    "MemberRank",
    "ProductFeedback",
    "ProductTrace",
    "TouchingRule",
    "TraceStep",
    "TraceStepName",
    "feedback_on",
]

MAX_FEEDBACK = 20
"""Interactions and pieces of feedback that a trace names, of each."""


class TraceStepName(StrEnum):
    """The steps from the catalogue to a page of a list, in their order."""

    SOLD = "sold"
    FILTERS = "filters"
    HISTORY = "history"
    PAGE_CONTENT = "page_content"
    HIDE_RULES = "hide_rules"
    CANDIDATES = "candidates"
    RANKING = "ranking"
    STORED_LIST = "stored_list"
    POSITION_RULES = "position_rules"
    DEADLINE = "deadline"
    PAGE = "page"


class TraceStep(BaseModel):
    """One step, and whether the product passed it; null: an earlier step lost the product."""

    name: TraceStepName
    passed: bool | None
    text: str = Field(description="What happened to the product, in a sentence.")


class MemberRank(BaseModel):
    """What one member of the model says of the product."""

    member: str
    score: float | None = Field(description="In the member's own units; null where it has none.")
    position: int | None = Field(description="Among all eligible products, from 1; null: not ranked.")
    names: bool = Field(description="Whether the product is a candidate by this member.")


class TouchingRule(BaseModel):
    """A business rule of the placement that is in force and whose target includes the product."""

    rule_id: int
    name: str
    kind: str
    segment: str | None = Field(
        default=None, description="The segment that the rule is for; null: everybody."
    )
    segment_refreshed_at: datetime | None = Field(
        default=None, description="When the members of that segment were found."
    )
    decides: bool = Field(description="Whether it determined the position, or removed the product.")


class ProductFeedback(BaseModel):
    """One thing that the user did with the product: an interaction, or feedback on a recommendation."""

    kind: Literal["interaction", "feedback"]
    name: str = Field(examples=["purchase"])
    moment: datetime | None


class ProductTrace(WithUsername):
    """Why a product is in a list, or which step lost it."""

    product_id: int
    sku: str | None
    name: str | None
    user_id: int | None
    session_id: str | None
    placement: Placement
    novelty: Novelty
    listed: bool = Field(description="Whether it is in the list, on whichever page.")
    position: int | None = Field(description="In the whole list, from 1; null where it is not listed.")
    page: int | None = Field(description="The page of `limit` products that has it, from 1.")
    score: float | None = Field(description="From 0 to 1, as in the list.")
    reason: str | None = Field(description="The reason that the list gives.")
    lost_at: TraceStepName | None = Field(
        description="The step that lost it; null where it is on the first page. `page`: it is on a later one."
    )
    summary: str = Field(description="The answer in one sentence.")
    steps: list[TraceStep]
    source: str = Field(examples=["stored"])
    model: str | None
    version: str | None
    generation: int | None
    arm: str | None = Field(description="The arm of the running A/B test.")
    made_at: datetime | None = Field(description="When the list was made.")
    ranked_position: int | None = Field(
        description="The position in a ranking of all eligible products now, before rules about positions; "
        "for a product that is not eligible, as if it were."
    )
    ranked_products: int = Field(description="How many products that ranking has.")
    members: list[MemberRank] = Field(description="Empty where no model ranks this list by a history.")
    explanation: dict[str, Any] | None = Field(
        description="The parts of the model's score: baseline + parts + others = raw_score."
    )
    rules: list[TouchingRule]
    feedback: list[ProductFeedback] = Field(description="The user's own, newest first.")


def feedback_on(
    session: Session, product: int, *, user: int | None, session_id: str | None
) -> list[ProductFeedback]:
    """Return what a user or guest did with a product, newest first; empty without either."""
    if user is None and session_id is None:
        return []
    rows = [
        ProductFeedback(kind="interaction", name=row.interaction_type, moment=row.created_at)
        for row in interactions_of(
            session, user_id=user, session_id=session_id, product_id=product, limit=MAX_FEEDBACK
        )
    ]
    if user is not None:
        rows += [
            ProductFeedback(kind="feedback", name=row.feedback_type or "rated", moment=row.created_at)
            for row in feedback.of_user(session, user, product_id=product, limit=MAX_FEEDBACK)
            # a page reports what it displays, too, which the user did not do
            if row.feedback_type != "shown"
        ]
    oldest = datetime.min.replace(tzinfo=UTC)
    return sorted(rows, key=lambda row: row.moment or oldest, reverse=True)
