"""HTTP routes of the recommendations domain: interactions, feedback and preferences."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Response
from pydantic import BaseModel

from recsys.domains.recommendations import preferences, service
from recsys.domains.recommendations.feedback import ingest as feedback
from recsys.domains.recommendations.schemas import (
    FEEDBACK,
    INTERACTIONS,
    FeedbackIn,
    FeedbackOut,
    InteractionIn,
    PreferencesOut,
    Taste,
)
from recsys.domains.recommendations.tables import RecommendationFeedback
from recsys.own_ids.answers import with_own_ids
from recsys.web.dependencies import CurrentUser, GuestSession, SessionDep
from recsys.web.errors import problem_responses
from recsys.web.pagination import Cursor, CursorParam, Limit, Page, last_id
from recsys.write_buffer.batches import BatchKind, PostVerdicts
from recsys.write_buffer.senders import ReporterDep, in_post_thread

__all__ = ["router"]

router = APIRouter(prefix="/api/v1")
_QUEUED: dict[int | str, dict[str, Any]] = {
    202: {"model": PostVerdicts, "description": "Accepted; some wait, and are stored later"}
}


def _one_or_several(model: type[BaseModel], tag: str, kind: BatchKind) -> dict[str, Any]:
    """The OpenAPI description of a batch, which the service takes apart: one wrong part refuses no other."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    # a short list of words: written out here, so that the schema refers to no other
    (schema["properties"][tag],) = schema.pop("$defs").values()
    several = {"type": "array", "items": schema, "minItems": 1, "maxItems": kind.most}
    examples = {"one": {"value": schema["examples"][0]}, "several": {"value": schema["examples"]}}
    content = {"application/json": {"schema": {"oneOf": [schema, several]}, "examples": examples}}
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "/interactions",
    tags=["interactions"],
    response_model=PostVerdicts,
    responses={**_QUEUED, **problem_responses(400, 401, 403, 413, 422, 429, 503)},
    openapi_extra=_one_or_several(InteractionIn, "interaction_type", INTERACTIONS),
)
async def post_interactions(
    response: Response, sender: ReporterDep, visit: GuestSession, body: Annotated[Any, Body()]
) -> PostVerdicts:
    """Store one interaction, or up to 1,000, each with its own verdict.

    `stored`; `duplicate` when its `event_id` is stored already; `refused` with the reason; `queued` while
    PostgreSQL is away, full, read-only or too slow: accepted, and stored when it is back (status 202). One
    refused interaction never stops the others. When all are refused, the response is a problem with the
    verdicts. A key with the scope `events` posts for anybody, a user who is logged in for nobody else. With a
    publishable key they are the visitor's: the user's of the signed token, or the guest's of `X-Session-Id`.
    """
    return _accepted(response, await in_post_thread(service.record_interactions, body, sender, visit))


@router.get(
    "/recommendations/preferences", tags=["recommendations"], responses=problem_responses(401, 422, 503)
)
def get_preferences(session: SessionDep, user: CurrentUser) -> PreferencesOut:
    """The caller's stated preferences, and those that the shop inferred from interactions."""
    return preferences.of_user(session, user.user_id)


@router.put(
    "/recommendations/preferences",
    tags=["recommendations"],
    responses=problem_responses(400, 401, 413, 422, 503),
)
def put_preferences(session: SessionDep, user: CurrentUser, given: Taste) -> PreferencesOut:
    """Replace all stated preferences of the caller; what is left out is no longer stated.

    Inferred preferences never replace stated ones, and stay where none are stated.
    """
    return preferences.replace(session, user.user_id, given)


@router.post(
    "/recommendations/feedback",
    tags=["recommendations"],
    response_model=PostVerdicts,
    responses={**_QUEUED, **problem_responses(400, 401, 403, 413, 422, 429, 503)},
    openapi_extra=_one_or_several(FeedbackIn, "feedback_type", FEEDBACK),
)
async def post_feedback(
    response: Response,
    sender: ReporterDep,
    visit: GuestSession,
    body: Annotated[Any, Body()],
) -> PostVerdicts:
    """Store feedback on one recommendation, or on up to 500, each with its own verdict.

    `shown`, `clicked`, `carted`, `purchased` (or `bought`), `rated`, `dismissed`, `restored`. With the
    `request_id` of a response the product has to be in it, its model and position are stored, and the
    feedback may be a guest's. `stored`; `duplicate` when the user's `event_id` is stored already; `refused`
    with the reason; `queued` while PostgreSQL takes no writes or the response is on its way there (status
    202). A key with the scope `events` posts for anybody, a user who is logged in for nobody else. A
    dismissed product is in no list from the next response on, until it is `restored` (which means nothing
    else), liked, put into a cart or bought.
    """
    return _accepted(response, await in_post_thread(service.record_feedback, body, sender, visit))


def _accepted(response: Response, verdicts: PostVerdicts) -> PostVerdicts:
    if verdicts.queued:
        response.status_code = 202
    return verdicts


@router.get("/recommendations/feedback", tags=["recommendations"], responses=problem_responses(401, 422, 503))
def list_feedback(
    session: SessionDep,
    user: CurrentUser,
    limit: Limit = 20,
    cursor: CursorParam = None,
) -> Page[FeedbackOut]:
    """The caller's own feedback, newest first."""
    before = last_id(cursor)
    rows = feedback.of_user(session, user.user_id, before=before, limit=limit + 1)
    items = with_own_ids(session, [_feedback_out(row) for row in rows[:limit]])
    more = len(rows) > limit
    return Page(items=list(items), next_cursor=Cursor.encode({"id": items[-1].id}) if more else None)


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
