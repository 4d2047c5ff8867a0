"""What administrators do with accounts: list, block, reopen, demote."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.users import activities, cache, sessions
from recsys.domains.users.credentials import account_tokens
from recsys.domains.users.credentials.account_tokens import Purpose
from recsys.domains.users.sessions import lock_user
from recsys.domains.users.tables import User
from recsys.errors import Conflict
from recsys.events.publish import publish
from recsys.events.vocabulary import ProfileUpdated, UserDeactivated

__all__ = ["Status", "block", "demote", "find_accounts", "listed", "lock_removable", "names_of", "reopen"]

Status = Literal["open", "closed", "admin", "any"]
_ADMINISTRATORS = 0x61646D69
"""Key of the advisory lock under which administrators are counted and lost."""
_MOST_DIGITS = 9
"""Of a number that is an id."""


def listed(session: Session, *, status: Status, prefix: str | None, after: int, limit: int) -> Sequence[User]:
    """Accounts by id; `prefix` is what the e-mail address or the username begins with, in whatever case."""
    query = select(User).where(User.id > after).order_by(User.id).limit(limit)
    if status == "admin":
        query = query.where(User.is_admin.is_(True))
    elif status != "any":
        query = query.where(User.is_active.is_not(False) if status == "open" else User.is_active.is_(False))
    if prefix:
        start = prefix.lower()
        query = query.where(
            or_(
                func.lower(User.email).startswith(start, autoescape=True),
                func.lower(User.username).startswith(start, autoescape=True),
            )
        )
    return session.scalars(query).all()


def find_accounts(session: Session, words: str, *, limit: int) -> Sequence[User]:
    """Accounts by number, or by what username, e-mail address or full name begins with or contains, by id.

    An account whose number or username is exactly `words` is the first.
    """
    given = words.strip().lower()
    username, email, name = func.lower(User.username), func.lower(User.email), func.lower(User.full_name)
    exact = username == given
    if given.isascii() and given.isdigit() and len(given) <= _MOST_DIGITS:
        exact = or_(exact, User.id == int(given))
    matches = or_(
        exact,
        username.startswith(given, autoescape=True),
        email.startswith(given, autoescape=True),
        name.contains(given, autoescape=True),
    )
    query = select(User).where(matches).order_by(exact.desc(), User.id).limit(limit)
    return session.scalars(query).all()


def names_of(session: Session, users: Collection[int]) -> dict[int, str]:
    """What people call each account that exists: the full name, else the username, else the address."""
    if not users:
        return {}
    rows = session.execute(
        select(User.id, User.full_name, User.username, User.email).where(User.id.in_(users))
    )
    return {row.id: row.full_name or row.username or row.email for row in rows}


def block(session: Session, user_id: int, *, by: int | None) -> None:
    """Close an account and end its sessions.

    Parameters
    ----------
    by
        The administrator who acts; None for a program.

    Raises
    ------
    NotFound
        There is no such user.
    Conflict
        It is one's own account or the last administrator's.
    """
    user = lock_removable(session, user_id, by)
    if user.is_active is False:
        return
    user.is_active = False
    user.updated_at = clock.now()
    cache.forget(user)
    sessions.end_all(session, user.id)
    account_tokens.discard(session, user.id, Purpose.RESET_PASSWORD, Purpose.CHANGE_EMAIL)
    activities.record(session, user.id, "account_blocked", by=_actor(by))
    publish(session, UserDeactivated(user_id=user.id))


def reopen(session: Session, user_id: int, *, by: int | None) -> bool:
    """Let a closed account's user log in again; whether it was closed. Raises NotFound."""
    user = lock_user(session, user_id)
    if user.is_active is not False:
        return False
    user.is_active = True
    user.updated_at = clock.now()
    cache.forget(user)
    activities.record(session, user_id, "reopen", by=_actor(by))
    publish(session, ProfileUpdated(user_id=user_id, changed=("is_active",)))
    return True


def demote(session: Session, user_id: int, *, by: int | None) -> None:
    """Make an administrator an ordinary user. Raises NotFound, Conflict as `block` does."""
    user = lock_removable(session, user_id, by)
    if not user.is_admin:
        return
    user.is_admin = False
    user.updated_at = clock.now()
    cache.forget(user)
    activities.record(session, user.id, "demote", by=_actor(by))
    publish(session, ProfileUpdated(user_id=user.id, changed=("is_admin",)))


def lock_removable(session: Session, user_id: int, by: int | None) -> User:
    """Lock a user who may go.

    Parameters
    ----------
    by
        The administrator who acts; None for a program, and for the user themself.

    Raises
    ------
    NotFound
        There is no such user.
    Conflict
        It is one's own account or the last administrator's.
    """
    # two administrators who demote each other at the same time must not both succeed
    session.execute(select(func.pg_advisory_xact_lock(_ADMINISTRATORS)))
    user = lock_user(session, user_id)
    if user_id == by:
        raise Conflict("This is your own account; another administrator has to do it.")
    if user.is_admin and user.is_active is not False:
        others = select(User.id).where(
            User.is_admin.is_(True), User.is_active.is_not(False), User.id != user_id
        )
        if session.scalar(others.limit(1)) is None:
            raise Conflict("This is the last administrator; make another one first.")
    return user


def _actor(by: int | None) -> str:
    return "–" if by is None else f"user {by}"
