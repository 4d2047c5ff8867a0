"""The routes of Gorse's API below `/gorse/api`; docs/gorse.md describes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar, cast

from fastapi import APIRouter, Body, Depends, Header, Path, Query, Request, Response
from pydantic import Field

from recsys.database.session import unit_of_work
from recsys.domains.recommendations.service import record_interactions
from recsys.errors import Forbidden, Invalid, NotFound, Unavailable
from recsys.web.access.api_key_dependencies import require
from recsys.web.access.authorization import plainly_allowed
from recsys.web.dependencies import AdmissionDep, SessionDep, brief_admin
from recsys.web.pagination import Cursor
from recsys.web.validators import Text, storable
from recsys.write_buffer.buffer import Sender
from recsys.write_buffer.deadlines import Deadline
from recsys.write_buffer.senders import ReporterDep, in_post_thread
from serving.api import health
from serving.gorse import feedback, items, lists, users
from serving.gorse.bodies import FeedbackBody, ItemBody, ItemPatch, UserBody, UserPatch
from serving.gorse.lists import NON_PERSONALIZED, SIMILAR, placement_named, ranked
from serving.recommender.request import Placement, RecommendationRequest

__all__ = ["PREFIX", "router"]

PREFIX = "/gorse/api"
MOST_ROWS = 1000
MOST_FOUND = 100
_NO_DELAY = re.compile(r"0+(ns|us|ms|s|m|h)?")
# another project's contract: it is no part of this API's OpenAPI document
router = APIRouter(prefix=PREFIX, include_in_schema=False)

Row = TypeVar("Row")
OwnId = Annotated[str, Path(min_length=1, max_length=100, pattern="^[^\\x00]*$")]
Count = Annotated[int, Query(ge=1, le=100)]
Rows = Annotated[int, Query(ge=1, le=MOST_ROWS)]
Offset = Annotated[int, Query(ge=0, le=10_000)]
CursorText = Annotated[str, Query(max_length=1000)]
Name = Annotated[Text, Field(max_length=100)]
Label = Name | None
"""Part of the path in some routes, a parameter in others."""
Version = Annotated[str | None, Header(alias="X-API-Version")]
Affected = dict[str, int]
ADMIN = [Depends(brief_admin)]
RECOMMEND = [Depends(require("recommend"))]


def _affected(count: int) -> Affected:
    return {"RowAffected": count}


def _batch(given: Sequence[Row]) -> Sequence[Row]:
    if len(given) > MOST_ROWS:
        raise Invalid(f"{len(given)} rows in one request; send at most {MOST_ROWS} at a time.")
    return given


def _page(
    read: Callable[[int, int], list[tuple[int, dict[str, Any]]]], name: str, n: int, cursor: str
) -> dict[str, Any]:
    """Return a page in Gorse's form; its cursor is empty on the last page."""
    after = Cursor.decode(cursor).integer("id") if cursor else 0
    rows = read(after, n + 1)
    following = Cursor.encode({"id": rows[n - 1][0]}) if len(rows) > n else ""
    return {"Cursor": following, name: [row for _, row in rows[:n]]}


@router.get("/health/live")
async def gorse_live(http: Request) -> dict[str, bool]:
    """Which stores answer; 200 in any case."""
    return await _health(http)


@router.get("/health/ready")
async def gorse_ready(http: Request, response: Response) -> dict[str, bool]:
    """Whether lists can be served, and which stores answer; 503 when they cannot."""
    state = await _health(http)
    response.status_code = 200 if state["Ready"] else 503
    return state


async def _health(http: Request) -> dict[str, bool]:
    """Return the members of Gorse's health; /health/ready of this API gives the reasons."""
    try:
        checked = await health.check(http.app.state.refresher, http.app.state.late_share)
        ready, parts = True, checked.model_dump()["parts"]
    except Unavailable as error:
        ready, parts = False, cast("dict[str, Any]", error.details["parts"])
    return {
        "Ready": ready,
        "DataStoreConnected": parts["postgresql"]["well"],
        "CacheStoreConnected": parts["redis"]["well"],
    }


@router.post("/user", dependencies=ADMIN)
def insert_user(session: SessionDep, given: UserBody) -> Affected:
    """Add or replace a user."""
    return _affected(users.put_users(session, [given]))


@router.post("/users", dependencies=ADMIN)
def insert_users(session: SessionDep, given: list[UserBody]) -> Affected:
    """Add or replace users."""
    return _affected(users.put_users(session, _batch(given)))


@router.get("/users", dependencies=ADMIN)
def get_users(session: SessionDep, n: Rows = 10, cursor: CursorText = "") -> dict[str, Any]:
    """Return a page of users."""
    return _page(lambda after, most: users.list_users(session, after, most), "Users", n, cursor)


@router.get("/user/{user}", dependencies=ADMIN)
def get_user(session: SessionDep, user: OwnId) -> dict[str, Any]:
    """Return a user."""
    return users.get_user(session, user)


@router.patch("/user/{user}", dependencies=ADMIN)
def update_user(session: SessionDep, user: OwnId, given: UserPatch) -> Affected:
    """Change a user."""
    users.change_user(session, user, given)
    return _affected(1)


@router.delete("/user/{user}", dependencies=ADMIN)
def delete_user(_: AdmissionDep, user: OwnId) -> Affected:
    """Delete a user from every place, interactions included."""
    users.delete_user(user)
    return _affected(1)


@router.post("/item", dependencies=ADMIN)
def insert_item(session: SessionDep, given: ItemBody) -> Affected:
    """Add or replace an item."""
    return _affected(items.put_items(session, [given]))


@router.post("/items", dependencies=ADMIN)
def insert_items(session: SessionDep, given: list[ItemBody]) -> Affected:
    """Add or replace items."""
    return _affected(items.put_items(session, _batch(given)))


@router.get("/items", dependencies=ADMIN)
def get_items(
    session: SessionDep,
    n: Rows = 10,
    cursor: CursorText = "",
    q: Annotated[str | None, Query(max_length=200)] = None,
) -> dict[str, Any]:
    """Return a page of items; with `q` the best of a search, at most 100."""
    if q is not None:
        return {"Cursor": "", "Items": items.search_items(session, storable(q), min(n, MOST_FOUND))}
    return _page(lambda after, most: items.list_items(session, after, most), "Items", n, cursor)


@router.get("/item/{item}", dependencies=ADMIN)
def get_item(session: SessionDep, item: OwnId) -> dict[str, Any]:
    """Return an item."""
    return items.get_item(session, item)


@router.patch("/item/{item}", dependencies=ADMIN)
def update_item(session: SessionDep, item: OwnId, given: ItemPatch) -> Affected:
    """Change an item."""
    items.change_item(session, item, given)
    return _affected(1)


@router.delete("/item/{item}", dependencies=ADMIN)
def delete_item(session: SessionDep, item: OwnId) -> Affected:
    """Delete an item."""
    items.delete_item(session, item)
    return _affected(1)


@router.put("/item/{item}/category/{category}", dependencies=ADMIN)
def insert_item_category(session: SessionDep, item: OwnId, category: OwnId) -> Affected:
    """Put an item into a category."""
    items.add_category(session, item, category)
    return _affected(1)


@router.delete("/item/{item}/category/{category}", dependencies=ADMIN)
def delete_item_category(session: SessionDep, item: OwnId, category: OwnId) -> Affected:
    """Take an item out of a category."""
    items.remove_category(session, item, category)
    return _affected(1)


def _checked(given: Sequence[FeedbackBody], sender: Sender) -> Sequence[FeedbackBody]:
    if not sender.anybody:
        raise Forbidden("This needs an API key with the scope `events` as `X-API-Key`.")
    return _batch(given)


def _insert(given: Sequence[FeedbackBody], sender: Sender) -> Affected:
    if not given:
        return _affected(0)
    with unit_of_work() as session:
        interactions = feedback.prepare(session, given)
    report = record_interactions(interactions, sender)
    return _affected(len(given) - report.refused)


@router.post("/feedback")
def insert_feedback(_: AdmissionDep, sender: ReporterDep, given: list[FeedbackBody]) -> Affected:
    """Store feedback, with the users and items that are new."""
    return _insert(_checked(given, sender), sender)


@router.put("/feedback")
def overwrite_feedback(_: AdmissionDep, sender: ReporterDep, given: list[FeedbackBody]) -> Affected:
    """Store feedback in the place of earlier feedback of the same type, user and item."""
    checked = _checked(given, sender)
    with unit_of_work() as session:
        return _affected(feedback.overwrite(session, checked))


@router.get("/feedback", dependencies=ADMIN)
@router.get("/feedback/{feedback_type}", dependencies=ADMIN)
def get_feedback(
    session: SessionDep, feedback_type: Label = None, n: Rows = 10, cursor: CursorText = ""
) -> dict[str, Any]:
    """Return a page of feedback."""

    def read(after: int, most: int) -> list[tuple[int, dict[str, Any]]]:
        return feedback.list_feedback(session, feedback_type=feedback_type, after=after, limit=most)

    return _page(read, "Feedback", n, cursor)


def _all(rows: list[tuple[int, dict[str, Any]]]) -> list[dict[str, Any]]:
    return [row for _, row in rows]


@router.get("/user/{user}/feedback", dependencies=ADMIN)
@router.get("/user/{user}/feedback/{feedback_type}", dependencies=ADMIN)
def get_feedback_of_user(
    session: SessionDep, user: OwnId, feedback_type: Label = None
) -> list[dict[str, Any]]:
    """Return the first 1,000 pieces of a user's feedback."""
    return _all(feedback.list_feedback(session, user=user, feedback_type=feedback_type, limit=MOST_ROWS))


@router.get("/item/{item}/feedback", dependencies=ADMIN)
@router.get("/item/{item}/feedback/{feedback_type}", dependencies=ADMIN)
def get_feedback_on_item(
    session: SessionDep, item: OwnId, feedback_type: Label = None
) -> list[dict[str, Any]]:
    """Return the first 1,000 pieces of feedback on an item."""
    return _all(feedback.list_feedback(session, item=item, feedback_type=feedback_type, limit=MOST_ROWS))


@router.get("/feedback/{user}/{item}", dependencies=ADMIN)
@router.get("/feedback/{feedback_type}/{user}/{item}", dependencies=ADMIN)
def get_feedback_of_pair(
    session: SessionDep, user: OwnId, item: OwnId, feedback_type: Label = None
) -> list[dict[str, Any]]:
    """Return a user's feedback on an item."""
    found = feedback.list_feedback(
        session, user=user, item=item, feedback_type=feedback_type, limit=MOST_ROWS
    )
    return _all(found)


@router.delete("/feedback/{user}/{item}", dependencies=ADMIN)
@router.delete("/feedback/{feedback_type}/{user}/{item}", dependencies=ADMIN)
def delete_feedback(session: SessionDep, user: OwnId, item: OwnId, feedback_type: Label = None) -> Affected:
    """Remove a user's feedback on an item."""
    return _affected(feedback.delete_feedback(session, user, item, feedback_type))


def _scored(found: Sequence[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"Id": sku, "Score": score} for sku, score in found]


@router.get("/recommend/{user}", dependencies=RECOMMEND)
@router.get("/recommend/{user}/", dependencies=RECOMMEND)
@router.get("/recommend/{user}/{category}", dependencies=RECOMMEND)
async def get_recommend(
    http: Request,
    _: AdmissionDep,
    user: OwnId,
    category: Label = None,
    n: Count = 10,
    offset: Offset = 0,
    version: Version = None,
    write_back_type: Annotated[str | None, Query(alias="write-back-type", max_length=50)] = None,
    write_back_delay: Annotated[str | None, Query(alias="write-back-delay", max_length=20)] = None,
) -> list[Any]:
    """Return ids for a user; with the header `X-API-Version: 2` also scores.

    `write-back-type` stores feedback of this type on each product of the list, as displayed now.
    """
    if write_back_delay and not _NO_DELAY.fullmatch(write_back_delay):
        raise Invalid(
            "Feedback is written back at once, never in the future: leave out write-back-delay, or send 0s.",
            field="write-back-delay",
        )
    if write_back_type:
        feedback.interaction_type(write_back_type)
        if not plainly_allowed(http.scope, "events"):
            raise Forbidden("Write-back needs an API key with the scope `events` as well.")
    number = await lists.user_number(user)
    found = await ranked(http, RecommendationRequest(user=number), category=category, n=n, offset=offset)
    if write_back_type and found:
        given = feedback.written_back(user, [sku for sku, _ in found], write_back_type)
        await in_post_thread(_insert, given, Sender(deadline=Deadline.of_post(), with_key=True))
    return _scored(found) if version == "2" else [sku for sku, _ in found]


@router.get("/collaborative-filtering/{user}", dependencies=RECOMMEND)
@router.get("/collaborative-filtering/{user}/{category}", dependencies=RECOMMEND)
async def get_collaborative_filtering(
    http: Request,
    _: AdmissionDep,
    user: OwnId,
    category: Label = None,
    n: Count = 10,
    offset: Offset = 0,
) -> list[dict[str, Any]]:
    """Return ids and scores for a user."""
    number = await lists.user_number(user)
    request = RecommendationRequest(user=number)
    return _scored(await ranked(http, request, category=category, n=n, offset=offset))


@router.get("/user/{user}/neighbors", dependencies=RECOMMEND)
def get_user_neighbors(
    session: SessionDep, user: OwnId, n: Count = 10, offset: Offset = 0
) -> list[dict[str, Any]]:
    """Return names and scores of users with the same products."""
    return _scored(users.neighbors(session, user, n, offset))


@router.get("/user-to-user/{name}/{user}", dependencies=RECOMMEND)
def get_user_to_user(
    session: SessionDep, name: Name, user: OwnId, n: Count = 10, offset: Offset = 0
) -> list[dict[str, Any]]:
    """Return names and scores of the users of a named recommender: neighbors or similar."""
    if name not in ("neighbors", "similar"):
        raise NotFound("No recommender has this name; there are neighbors, similar.")
    return _scored(users.neighbors(session, user, n, offset))


@router.post("/session/recommend")
@router.post("/session/recommend/{category}")
async def session_recommend(
    http: Request,
    _: AdmissionDep,
    given: Annotated[list[dict[str, Any]], Body(max_length=MOST_ROWS)],
    category: Label = None,
    n: Count = 10,
    offset: Offset = 0,
) -> list[dict[str, Any]]:
    """Return ids and scores for a visit, by its feedback, which is not stored."""
    skus = [str(each.get("ItemId", "")) for each in given]
    if not all(0 < len(sku) <= 100 and "\0" not in sku for sku in skus):
        raise Invalid(
            "Each piece of feedback of a session needs an ItemId of 1 to 100 characters.", field="ItemId"
        )
    request = RecommendationRequest(cart=await lists.session_items(skus))
    return _scored(await ranked(http, request, category=category, n=n, offset=offset))


async def _starting_from(
    http: Request, item: str, placement: Placement, category: str | None, n: int, offset: int
) -> list[dict[str, Any]]:
    request = RecommendationRequest(placement, products=(await lists.item_number(item),))
    return _scored(await ranked(http, request, category=category, n=n, offset=offset))


@router.get("/item/{item}/neighbors")
@router.get("/item/{item}/neighbors/{category}")
async def get_neighbors(
    http: Request,
    _: AdmissionDep,
    item: OwnId,
    category: Label = None,
    n: Count = 10,
    offset: Offset = 0,
) -> list[dict[str, Any]]:
    """Return ids and scores of similar items."""
    return await _starting_from(http, item, Placement.SIMILAR, category, n, offset)


@router.get("/item-to-item/{name}/{item}")
async def get_item_to_item(
    http: Request, _: AdmissionDep, name: Name, item: OwnId, n: Count = 10, offset: Offset = 0
) -> list[dict[str, Any]]:
    """Return ids and scores of the items of a named recommender."""
    return await _starting_from(http, item, placement_named(name, SIMILAR), None, n, offset)


@router.get("/latest")
@router.get("/latest/{category}")
async def get_latest(
    http: Request, _: AdmissionDep, category: Label = None, n: Count = 10, offset: Offset = 0
) -> list[dict[str, Any]]:
    """Return ids and scores of the newest items."""
    request = RecommendationRequest(Placement.NEW_ARRIVALS)
    return _scored(await ranked(http, request, category=category, n=n, offset=offset))


@router.get("/non-personalized/{name}")
@router.get("/non-personalized/{name}/{category}")
async def get_non_personalized(
    http: Request, _: AdmissionDep, name: Name, category: Label = None, n: Count = 10, offset: Offset = 0
) -> list[dict[str, Any]]:
    """Return ids and scores of a list for everybody: popular, trending or latest."""
    request = RecommendationRequest(placement_named(name, NON_PERSONALIZED))
    return _scored(await ranked(http, request, category=category, n=n, offset=offset))
