"""Users of Gorse's API: accounts that nobody can log in to, named by their username."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from recsys.domains.users.registration import add_shop_users
from recsys.domains.users.tables import User, UserProfile
from recsys.own_ids.resolver import own_ids_changed
from serving.gorse.bodies import UserBody, UserPatch
from serving.gorse.ids import user_numbers, user_of

__all__ = ["change_user", "delete_user", "get_user", "list_users", "put_users"]

_SETTING = "gorse"
"""The member of a user's settings that holds labels and comment."""


def put_users(session: Session, given: Sequence[UserBody]) -> int:
    """Add users, or replace labels and comments of those that exist; return how many."""
    by_name = {user.UserId: user for user in given}
    add_shop_users(session, sorted(by_name))
    numbers = user_numbers(session, by_name)
    for name, user in by_name.items():
        _store(session, numbers[name], {"Labels": user.Labels, "Comment": user.Comment or ""})
    return len(by_name)


def change_user(session: Session, name: str, given: UserPatch) -> None:
    """Change what is given. Raises NotFound."""
    number = user_of(session, name)
    stored = get_user(session, name)
    changes = {
        field: value for field, value in given.model_dump(exclude_unset=True).items() if value is not None
    }
    _store(session, number, {"Labels": stored["Labels"], "Comment": stored["Comment"], **changes})


def get_user(session: Session, name: str) -> dict[str, Any]:
    """Return a user in Gorse's form. Raises NotFound."""
    number = user_of(session, name)
    settings = session.scalars(select(UserProfile.settings).where(UserProfile.user_id == number)).first()
    return _user(name, settings)


def list_users(session: Session, after: int, limit: int) -> list[tuple[int, dict[str, Any]]]:
    """Return users after a number, by number, each with it."""
    rows = session.execute(
        select(User.id, User.username, UserProfile.settings)
        .outerjoin(UserProfile, UserProfile.user_id == User.id)
        .where(User.id > after)
        .order_by(User.id)
        .limit(limit)
    )
    return [(row.id, _user(row.username, row.settings)) for row in rows]


def delete_user(session: Session, name: str) -> None:
    """Delete a user; interactions stay without a user. Raises NotFound."""
    session.delete(session.get_one(User, user_of(session, name)))
    own_ids_changed(session)


def _user(name: str, settings: dict[str, Any] | None) -> dict[str, Any]:
    stored = (settings or {}).get(_SETTING) or {}
    return {"UserId": name, "Labels": stored.get("Labels"), "Comment": stored.get("Comment", "")}


def _store(session: Session, number: int, members: dict[str, Any]) -> None:
    profile = session.scalars(select(UserProfile).where(UserProfile.user_id == number)).first()
    if profile is None:
        profile = UserProfile(user_id=number, preferences={}, settings={})
        session.add(profile)
    profile.settings = {**(profile.settings or {}), _SETTING: members}
