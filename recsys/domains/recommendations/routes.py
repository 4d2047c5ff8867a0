"""HTTP of the recommendations domain: what users do, like, and think of recommendations comes in here."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel

from recsys.domains.recommendations import feedback, preferences, service
from recsys.domains.recommendations.schemas import (
    MAX_FEEDBACK,
    MAX_INTERACTIONS,
    FeedbackIn,
    FeedbackOut,
    InteractionIn,
    InteractionsOut,
    PreferencesOut,
    Taste,
    VerdictsOut,
)
from recsys.domains.recommendations.tables import RecommendationFeedback
from recsys.web.dependencies import CurrentUser, MaybeUser, SessionDep
from recsys.web.errors import problem_responses
from recsys.web.pagination import Cursor, Page

__all__ = ["router"]

router = APIRouter(prefix="/api/v1")


def _one_or_several(model: type[BaseModel], kind: str, most: int) -> dict[str, Any]:
    """The body of a batch, which is taken apart by hand: one wrong part must not refuse the others."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    # the kind is a short list of words: written out here, so that the schema stands alone
    (schema["properties"][kind],) = schema.pop("$defs").values()
    several = {"type": "array", "items": schema, "minItems": 1, "maxItems": most}
    examples = {"one": {"value": schema["examples"][0]}, "several": {"value": schema["examples"]}}
    content = {"application/json": {"schema": {"oneOf": [schema, several]}, "examples": examples}}
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "/interactions",
    tags=["interactions"],
    response_model=InteractionsOut,
    responses=problem_responses(400, 413, 422, 503),
    openapi_extra=_one_or_several(InteractionIn, "interaction_type", MAX_INTERACTIONS),
)
def post_interactions(session: SessionDep, body: Annotated[Any, Body()]) -> InteractionsOut:
    """Store one interaction, or up to 1,000, each with its own verdict.

    `stored`; `duplicate` when its `event_id` is known already; `refused` with the reason. One refused
    interaction never stops the others. When none could be taken, the answer is a problem with the verdicts.
    """
    return service.record_interactions(session, body)


@router.get(
    "/recommendations/preferences", tags=["recommendations"], responses=problem_responses(401, 422, 503)
)
def get_preferences(session: SessionDep, user: CurrentUser) -> PreferencesOut:
    """What the caller said they like, and what the shop guessed from what they did."""
    return preferences.of_user(session, user.user_id)


@router.put(
    "/recommendations/preferences",
    tags=["recommendations"],
    responses=problem_responses(400, 401, 413, 422, 503),
)
def put_preferences(session: SessionDep, user: CurrentUser, given: Taste) -> PreferencesOut:
    """Put this in the place of all that the caller said before; what is left out is said no more.

    The shop's guesses never go over what was said, and stay where nothing is said.
    """
    return preferences.replace(session, user.user_id, given)


@router.post(
    "/recommendations/feedback",
    tags=["recommendations"],
    response_model=VerdictsOut,
    responses=problem_responses(400, 401, 413, 422, 503),
    openapi_extra=_one_or_several(FeedbackIn, "feedback_type", MAX_FEEDBACK),
)
def post_feedback(session: SessionDep, user: MaybeUser, body: Annotated[Any, Body()]) -> VerdictsOut:
    """Store what a user did with one recommendation, or with up to 500, each with its own verdict.

    `stored`; `duplicate` when the user's `event_id` is known already; `refused` with the reason. Who is
    logged in speaks for themselves only. A dismissal also counts as an interaction.
    """
    return service.record_feedback(session, body, None if user is None else user.user_id)


@router.get("/recommendations/feedback", tags=["recommendations"], responses=problem_responses(401, 422, 503))
def list_feedback(
    session: SessionDep,
    user: CurrentUser,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=1000)] = None,
) -> Page[FeedbackOut]:
    """The caller's own feedback, newest first."""
    before = None if cursor is None else Cursor.decode(cursor).integer("id")
    found = feedback.of_user(session, user.user_id, before=before, limit=limit + 1)
    items = [_feedback_out(one) for one in found[:limit]]
    more = len(found) > limit
    return Page(items=items, next_cursor=Cursor.encode({"id": items[-1].id}) if more else None)


def _feedback_out(row: RecommendationFeedback) -> FeedbackOut:
    return FeedbackOut(
        id=row.id,
        product_id=row.product_id,
        recommendation_id=row.recommendation_id,
        recommended=row.recommended is True,
        clicked=row.clicked is True,
        purchased=row.purchased is True,
        rating=row.rating,
        feedback_type=row.feedback_type,
        text=row.feedback_text,
        created_at=row.created_at,
    )
