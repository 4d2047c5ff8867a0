"""Roles in the console: what each account of the shop's staff may change there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.users import activities
from recsys.domains.users.sessions import lock_user
from recsys.domains.users.tables import StaffRole, User
from recsys.errors import Conflict

__all__ = ["Role", "StaffMember", "grant", "members", "role_of", "withdraw"]


class Role(IntEnum):
    """What a member of the staff may do; a higher role may do all that the lower ones may."""

    VIEWER = 1
    """Reads every screen, changes nothing."""
    MERCHANDISER = 2
    """Changes rules and synonyms."""
    OPERATOR = 3
    """Starts jobs, promotes models, runs experiments."""
    ADMINISTRATOR = 4
    """Manages keys and accounts; every account with `users.is_admin`."""

    @property
    def label(self) -> str:
        """The name as it is stored and displayed, such as viewer."""
        return self.name.lower()


@dataclass(frozen=True)
class StaffMember:
    """An account with a role; `granted_by` and `granted_at` are None for administrators."""

    user_id: int
    username: str
    full_name: str
    email: str
    role: Role
    granted_by: str | None
    granted_at: datetime | None


def role_of(session: Session, user_id: int) -> Role | None:
    """The role of an account; None for customers and closed accounts."""
    row = session.execute(
        select(User.is_admin, StaffRole.role)
        .outerjoin(StaffRole, StaffRole.user_id == User.id)
        .where(User.id == user_id, User.is_active.is_not(False))
    ).one_or_none()
    if row is None:
        return None
    if row.is_admin:
        return Role.ADMINISTRATOR
    return None if row.role is None else Role[row.role.upper()]


def members(session: Session) -> Sequence[StaffMember]:
    """The open accounts with a role, the highest role first."""
    rows = session.execute(
        select(User, StaffRole)
        .outerjoin(StaffRole, StaffRole.user_id == User.id)
        .where(User.is_active.is_not(False), User.is_admin.is_(True) | StaffRole.user_id.is_not(None))
    ).all()
    staff = [
        StaffMember(
            user_id=user.id,
            username=user.username,
            full_name=user.full_name,
            email=user.email,
            role=Role.ADMINISTRATOR if user.is_admin else Role[granted.role.upper()],
            granted_by=None if granted is None or user.is_admin else granted.granted_by,
            granted_at=None if granted is None or user.is_admin else granted.granted_at,
        )
        for user, granted in rows
    ]
    return sorted(staff, key=lambda member: (-member.role, member.username))


def grant(session: Session, user_id: int, role: Role, *, by: str) -> None:
    """Give an account a role below administrator. Raises NotFound, Conflict for administrators."""
    user = lock_user(session, user_id)
    if user.is_admin:
        raise Conflict("This account is an administrator's, which may do everything; demote it first.")
    if role is Role.ADMINISTRATOR:
        raise Conflict("Administrators are made with `recsys users create-admin`.")
    if user.is_active is False:
        raise Conflict("This account is closed; reopen it first.")
    given = {"role": role.label, "granted_by": by, "granted_at": clock.now()}
    session.execute(
        insert(StaffRole)
        .values(user_id=user_id, **given)
        .on_conflict_do_update(index_elements=[StaffRole.user_id], set_=given)
    )
    activities.record(session, user_id, "role_granted", role=role.label, by=by)


def withdraw(session: Session, user_id: int, *, by: str) -> bool:
    """Take the role of an account away; whether it had one. Raises NotFound."""
    lock_user(session, user_id)
    row = session.get(StaffRole, user_id)
    if row is None:
        return False
    session.delete(row)
    activities.record(session, user_id, "role_withdrawn", role=row.role, by=by)
    return True
