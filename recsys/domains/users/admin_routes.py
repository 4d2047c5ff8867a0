"""HTTP of accounts for those who run the shop: opening one again that its user had closed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.users import activities, cache
from recsys.domains.users.sessions import lock_user
from recsys.events.publish import publish
from recsys.events.vocabulary import ProfileUpdated
from recsys.own_ids.references import UserText
from recsys.web.dependencies import AdminUser, SessionDep
from recsys.web.errors import problem_responses

__all__ = ["reopen", "router"]

router = APIRouter(prefix="/api/v1/admin/users", tags=["users (admin)"])


@router.post("/{user_id}/reopen", status_code=204, responses=problem_responses(401, 403, 404, 422, 503))
def reopen_account(
    session: SessionDep,
    admin: AdminUser,
    user_id: Annotated[UserText, Path(description="A number or `username:…`.")],
) -> None:
    """Open a closed account again: its user logs in with the old password. An open one stays as it is."""
    reopen(session, user_id)


def reopen(session: Session, user_id: int) -> bool:
    """Let a closed account's user log in again; whether it was closed. Raises NotFound."""
    user = lock_user(session, user_id)
    if user.is_active is not False:
        return False
    user.is_active = True
    user.updated_at = clock.now()
    cache.forget(user)
    activities.record(session, user_id, "reopen")
    publish(session, ProfileUpdated(user_id=user_id, changed=("is_active",)))
    return True
