"""HTTP of users among users: public profiles, following and blocking."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from sqlalchemy.orm import Session

from recsys.domains.users import profiles
from recsys.domains.users.schemas import PublicUser, UserBrief
from recsys.domains.users.social import service as social
from recsys.own_ids.references import UserText
from recsys.web.dependencies import CurrentUser, SessionDep
from recsys.web.errors import problem_responses
from recsys.web.pagination import Cursor, Page

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/users", tags=["users"])

Id = Annotated[UserText, Path(description="A number or `username:…`.")]
Limit = Annotated[int, Query(ge=1, le=100)]
After = Annotated[str | None, Query(max_length=1000, description="`next_cursor` of the page before.")]
_LIST = problem_responses(401, 422, 503)
_CHANGE = problem_responses(401, 404, 409, 422, 503)


@router.get("/me/followers", responses=_LIST)
def my_followers(
    session: SessionDep, caller: CurrentUser, limit: Limit = 20, cursor: After = None
) -> Page[UserBrief]:
    """Who follows one, by id."""
    return _page(session, caller.user_id, "followers", limit, cursor)


@router.get("/me/following", responses=_LIST)
def my_following(
    session: SessionDep, caller: CurrentUser, limit: Limit = 20, cursor: After = None
) -> Page[UserBrief]:
    """Whom one follows, by id."""
    return _page(session, caller.user_id, "following", limit, cursor)


@router.get("/me/blocked", responses=_LIST)
def my_blocked(
    session: SessionDep, caller: CurrentUser, limit: Limit = 20, cursor: After = None
) -> Page[UserBrief]:
    """Whom one has blocked, by id."""
    return _page(session, caller.user_id, "blocked", limit, cursor)


@router.put("/me/following/{user_id}", status_code=204, responses=_CHANGE)
def follow(session: SessionDep, caller: CurrentUser, user_id: Id) -> None:
    """Follow a user; again is no error."""
    social.follow(session, caller.user_id, user_id)


@router.delete("/me/following/{user_id}", status_code=204, responses=_CHANGE)
def unfollow(session: SessionDep, caller: CurrentUser, user_id: Id) -> None:
    """Stop following; no error when one didn't."""
    social.unfollow(session, caller.user_id, user_id)


@router.put("/me/blocked/{user_id}", status_code=204, responses=_CHANGE)
def block(session: SessionDep, caller: CurrentUser, user_id: Id) -> None:
    """Block a user: neither follows the other any longer, nor can again."""
    social.block(session, caller.user_id, user_id)


@router.delete("/me/blocked/{user_id}", status_code=204, responses=_CHANGE)
def unblock(session: SessionDep, caller: CurrentUser, user_id: Id) -> None:
    """Take a block back."""
    social.unblock(session, caller.user_id, user_id)


@router.get("/{user_id}", responses=problem_responses(401, 404, 422, 503))
def get_user(session: SessionDep, caller: CurrentUser, user_id: Id) -> PublicUser:
    """The public profile of a user."""
    return profiles.public(session, user_id)


@router.get("/by-username/{username}", responses=problem_responses(401, 404, 422, 503))
def get_user_by_username(
    session: SessionDep,
    caller: CurrentUser,
    username: Annotated[str, Path(min_length=1, max_length=100, pattern=r"^[^\x00]+$")],
) -> PublicUser:
    """The public profile of the user of a name, in whatever case it is written."""
    return profiles.public_by_username(session, username)


def _page(
    session: Session, user_id: int, side: social.Side, limit: int, cursor: str | None
) -> Page[UserBrief]:
    after = 0 if cursor is None else Cursor.decode(cursor).integer("id")
    rows = social.connected(session, user_id, side, after=after, limit=limit + 1)
    items = [UserBrief.model_validate(row) for row in rows[:limit]]
    return Page(items=items, next_cursor=Cursor.encode({"id": items[-1].id}) if len(rows) > limit else None)
