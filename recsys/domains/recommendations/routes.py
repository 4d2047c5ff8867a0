"""HTTP of the recommendations domain: what users do, like, and think of recommendations comes in here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from fastapi import APIRouter, Body, Depends, Query, Request, Response
from pydantic import BaseModel
from redis.exceptions import RedisError

from recsys.domains.recommendations import preferences, service
from recsys.domains.recommendations.deadlines import Deadline, within
from recsys.domains.recommendations.feedback import ingest as feedback
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
from recsys.domains.recommendations.service import Sender
from recsys.domains.recommendations.tables import RecommendationFeedback
from recsys.domains.users import sessions
from recsys.errors import Unavailable
from recsys.security import token_id
from recsys.web.access.api_key_dependencies import reporter
from recsys.web.access.authorization import key_opens
from recsys.web.dependencies import CurrentUser, GuestSession, SessionDep, token_of
from recsys.web.errors import problem_responses
from recsys.web.pagination import Cursor, Page

__all__ = ["router"]

router = APIRouter(prefix="/api/v1")
Told = TypeVar("Told", bound=VerdictsOut)
Result = TypeVar("Result")
_THREADS = 40
_threads: RunVar[CapacityLimiter] = RunVar("posts")


async def _sender(request: Request) -> Sender:
    """Who posts. PostgreSQL decides; while it is away its mirror in Redis does, or it is told later.

    From here on the request has its deadline: nothing that comes after waits longer for PostgreSQL.
    """
    return await _in_thread(_sender_by, request, Deadline.of_post())


def _sender_by(request: Request, deadline: Deadline) -> Sender:
    token = token_of(request)
    if token is None or key_opens(request.scope, "events"):
        # nothing is looked up for these
        return Sender(reporter(request).user_id, deadline=deadline)
    if not service.postgresql_away.lasts():
        try:
            found = within(deadline, lambda seconds: reporter(request))
            return Sender(found.user_id, deadline=deadline)
        except Unavailable:
            service.postgresql_away.noticed()
    try:
        known = sessions.mirrored(token)
    except (RedisError, OSError, Unavailable):
        known = None
    return Sender(known, token_id(token) if known is None else None, deadline)


async def _in_thread(work: Callable[..., Result], *arguments: object) -> Result:
    """In a thread that no other route can keep busy: what is posted is taken while all others wait."""
    try:
        threads = _threads.get()
    except LookupError:
        threads = CapacityLimiter(_THREADS)
        _threads.set(threads)
    return await to_thread.run_sync(work, *arguments, limiter=threads)


SenderDep = Annotated[Sender, Depends(_sender)]


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
    responses=problem_responses(400, 401, 403, 413, 422, 429, 503),
    openapi_extra=_one_or_several(InteractionIn, "interaction_type", MAX_INTERACTIONS),
)
async def post_interactions(
    response: Response, sender: SenderDep, body: Annotated[Any, Body()]
) -> InteractionsOut:
    """Store one interaction, or up to 1,000, each with its own verdict.

    `stored`; `duplicate` when its `event_id` is known already; `refused` with the reason; `queued` while
    PostgreSQL is away, full, read-only or too slow: accepted, and stored when it is back (status 202). One
    refused interaction never stops the others. When none could be taken, the answer is a problem with the
    verdicts. A key with the scope `events` speaks for anybody, who is logged in for themselves only.
    """
    return _accepted(response, await _in_thread(service.record_interactions, body, sender))


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
    responses=problem_responses(400, 401, 403, 413, 422, 429, 503),
    openapi_extra=_one_or_several(FeedbackIn, "feedback_type", MAX_FEEDBACK),
)
async def post_feedback(
    response: Response,
    sender: SenderDep,
    visit: GuestSession,
    body: Annotated[Any, Body()],
) -> VerdictsOut:
    """Store what somebody did with one recommendation, or with up to 500, each with its own verdict.

    `shown`, `clicked`, `carted`, `purchased` (or `bought`), `rated`, `dismissed`, `restored`. With the
    `request_id` of an answer the product has to be in it, its model and position are kept, and guests may be
    meant. `stored`; `duplicate` when the user's `event_id` is known already; `refused` with the reason;
    `queued` while PostgreSQL is away or the answer is on its way there (status 202). A key with the scope
    `events` speaks for anybody, who is logged in for themselves only. A dismissed product is in no list from
    the next answer on, until it is `restored` (which tells nothing but that), liked, put into a cart or
    bought.
    """
    return _accepted(response, await _in_thread(service.record_feedback, body, sender, visit))


def _accepted(response: Response, answer: Told) -> Told:
    if answer.queued:
        response.status_code = 202
    return answer


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
