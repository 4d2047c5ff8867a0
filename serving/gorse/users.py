"""Users of Gorse's API: accounts that nobody can log in to, named by their username."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from recsys.database.session import unit_of_work
from recsys.domains.users.registration import add_shop_users
from recsys.domains.users.tables import User, UserProfile
from recsys.privacy.erasure import erase
from serving.gorse.bodies import UserBody, UserPatch
from serving.gorse.ids import user_numbers, user_of

__all__ = ["change_user", "delete_user", "get_user", "list_users", "neighbors", "put_users"]

# the latest products of the user, and at most 2,000 interactions of others with each, in no order, so that
# neither a long history nor a bestseller makes it slow; the score is the cosine of both sets of products
_NEIGHBORS = text(
    """
    WITH own AS (
        SELECT product_id FROM recommendations_db.user_interactions
        WHERE user_id = :user AND interaction_type <> 'dismissed'
        GROUP BY product_id ORDER BY max(created_at) DESC, product_id LIMIT 50
    ), shared AS (
        SELECT o.user_id, count(DISTINCT o.product_id) AS number
        FROM own CROSS JOIN LATERAL (
            SELECT i.user_id, i.product_id FROM recommendations_db.user_interactions AS i
            WHERE i.product_id = own.product_id AND i.user_id <> :user AND i.interaction_type <> 'dismissed'
            LIMIT 2000
        ) AS o
        GROUP BY o.user_id ORDER BY number DESC, o.user_id LIMIT 500
    ), counted AS (
        SELECT s.user_id, s.number, count(DISTINCT i.product_id) AS products
        FROM shared AS s JOIN recommendations_db.user_interactions AS i ON i.user_id = s.user_id
            AND i.interaction_type <> 'dismissed'
        GROUP BY s.user_id, s.number
    )
    SELECT c.user_id, c.number / sqrt(c.products * greatest((SELECT count(*) FROM own), 1)) AS score
    FROM counted AS c
    ORDER BY score DESC, c.user_id OFFSET :offset LIMIT :limit
    """
)
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


def neighbors(session: Session, name: str, limit: int, offset: int) -> list[tuple[str, float]]:
    """Return the names of users with the same products, and how alike they are, 0 to 1. Raises NotFound."""
    parameters = {"user": user_of(session, name), "limit": limit, "offset": offset}
    found = {row.user_id: float(row.score) for row in session.execute(_NEIGHBORS, parameters)}
    query = select(User.id, User.username).where(User.id.in_(found))
    names = {row.id: row.username for row in session.execute(query)}
    return [(names[user], score) for user, score in found.items() if user in names]


def delete_user(name: str) -> None:
    """Erase a user from every place, interactions included. Raises NotFound."""
    with unit_of_work() as session:
        number = user_of(session, name)
    erase(number, by=None, requested_by="gorse API")


def _user(name: str, settings: dict[str, Any] | None) -> dict[str, Any]:
    stored = (settings or {}).get(_SETTING) or {}
    return {"UserId": name, "Labels": stored.get("Labels"), "Comment": stored.get("Comment", "")}


def _store(session: Session, number: int, members: dict[str, Any]) -> None:
    profile = session.scalars(select(UserProfile).where(UserProfile.user_id == number)).first()
    if profile is None:
        profile = UserProfile(user_id=number, preferences={}, settings={})
        session.add(profile)
    profile.settings = {**(profile.settings or {}), _SETTING: members}
