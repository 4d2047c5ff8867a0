"""Staff: which accounts may use the console, in which role."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Depends, Path, Request, Response
from pydantic import BaseModel, Field

from recsys.database.session import unit_of_work
from recsys.domains.users import administration, cache, roles
from recsys.domains.users.roles import Role
from recsys.errors import NotFound
from serving.console.access import Administrator
from serving.console.rendering import TEMPLATES, screen_router
from serving.pages.forms import SubmittedForm, redirect, submitted

__all__ = ["StaffContent", "router"]

router = screen_router("staff")
UserId = Annotated[int, Path(ge=1, le=2**31 - 1)]
ROLE_WORDS = {
    "viewer": "sees every screen, changes nothing",
    "merchandiser": "changes rules and synonyms",
    "operator": "starts jobs, promotes models, runs experiments",
    "administrator": "manages keys and accounts",
}


class StaffRow(BaseModel):
    """One account."""

    user_id: int
    username: str
    full_name: str
    email: str
    role: str
    granted_by: str | None
    granted_at: datetime | None
    own: bool


class StaffContent(BaseModel):
    """The content of the screen."""

    members: list[StaffRow]


class GrantForm(BaseModel):
    """An account and the role that it is given.

    Attributes
    ----------
    login
        E-mail address or username of the account.
    """

    login: str = Field(min_length=1, max_length=255)
    role: Literal["viewer", "merchandiser", "operator"]


@router.get("")
def staff(request: Request, user: Administrator) -> Response:
    """The accounts with a role."""
    with unit_of_work() as session:
        members = [
            StaffRow(
                user_id=member.user_id,
                username=member.username,
                full_name=member.full_name,
                email=member.email,
                role=member.role.label,
                granted_by=member.granted_by,
                granted_at=member.granted_at,
                own=member.user_id == user.user_id,
            )
            for member in roles.members(session)
        ]
    return TEMPLATES.page(
        request, "console/staff.html.j2", StaffContent(members=members), role_words=ROLE_WORDS
    )


@router.post("/grant")
def grant_role(user: Administrator, form: Annotated[SubmittedForm, Depends(submitted)]) -> Response:
    """Give an account a role."""
    given = form.model(GrantForm)
    with unit_of_work() as session:
        user_id = cache.id_by_email(session, given.login) if "@" in given.login else None
        if user_id is None:
            user_id = cache.id_by_username(session, given.login)
        if user_id is None:
            raise NotFound("No account has this e-mail address or username; it registers in the shop first.")
        roles.grant(session, user_id, Role[given.role.upper()], by=user.actor)
    return redirect("/console/staff", f"{given.login} is {given.role} now.")


@router.post("/{user_id}/withdraw")
def withdraw_role(user: Administrator, user_id: UserId) -> Response:
    """Take a role away; an administrator becomes an ordinary customer."""
    with unit_of_work() as session:
        if roles.role_of(session, user_id) is Role.ADMINISTRATOR:
            administration.demote(session, user_id, by=user.user_id)
        else:
            roles.withdraw(session, user_id, by=user.actor)
    return redirect("/console/staff", "The role is withdrawn.")
