"""HTTP of accounts for administrators: list, block, reopen, demote."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from recsys.domains.users import administration
from recsys.domains.users.schemas import AccountOut
from recsys.own_ids.references import UserText
from recsys.web.dependencies import AdminUser, SessionDep
from recsys.web.errors import problem_responses
from recsys.web.pagination import Cursor, Page

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/admin/users", tags=["users (admin)"])

Id = Annotated[UserText, Path(description="A number or `username:…`.")]
_REFUSALS = problem_responses(401, 403, 404, 409, 422, 503)


@router.get("", responses=problem_responses(401, 403, 422, 503))
def list_accounts(
    session: SessionDep,
    admin: AdminUser,
    status: Annotated[administration.Status, Query()] = "any",
    prefix: Annotated[
        str | None,
        Query(min_length=1, max_length=255, pattern="^[^\\x00]*$", description="Of address or name."),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=1000)] = None,
) -> Page[AccountOut]:
    """Accounts in the order of their ids."""
    after = 0 if cursor is None else Cursor.decode(cursor).integer("id")
    rows = administration.listed(session, status=status, prefix=prefix, after=after, limit=limit + 1)
    items = [AccountOut.model_validate(row) for row in rows[:limit]]
    return Page(items=items, next_cursor=Cursor.encode({"id": items[-1].id}) if len(rows) > limit else None)


@router.post("/{user_id}/block", status_code=204, responses=_REFUSALS)
def block_account(session: SessionDep, admin: AdminUser, user_id: Id) -> None:
    """Close an account and log every device out; a closed one stays as it is."""
    administration.block(session, user_id, by=admin.user_id)


@router.post("/{user_id}/reopen", status_code=204, responses=problem_responses(401, 403, 404, 422, 503))
def reopen_account(session: SessionDep, admin: AdminUser, user_id: Id) -> None:
    """Open a closed account again: its user logs in with the old password. An open one stays as it is."""
    administration.reopen(session, user_id, by=admin.user_id)


@router.post("/{user_id}/demote", status_code=204, responses=_REFUSALS)
def demote_account(session: SessionDep, admin: AdminUser, user_id: Id) -> None:
    """Make an administrator an ordinary user; the last administrator stays one."""
    administration.demote(session, user_id, by=admin.user_id)
