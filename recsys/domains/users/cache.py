"""`user:{id}`, `user:email:{email}` and `user:username:{username}`: public profiles and who has which name.

Both sides work under the lock of the user's row: a reader fills while it holds the row FOR SHARE, a writer
deletes while it holds the row to change it, before its commit. So no old row can be filled in after the
deletion, and nobody finds an old entry after the commit. A reader who finds the row locked reads it without
filling. Where Redis was away during the deletion, the event of the change deletes again, and all expires.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from redis.exceptions import RedisError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.domains.users.tables import User, UserProfile
from recsys.errors import Unavailable
from recsys.log import get_logger

__all__ = ["forget", "forget_user", "id_by_email", "id_by_username", "known_id", "profile"]

_SECONDS = 300
_log = get_logger(__name__)


def profile(session: Session, user_id: int) -> dict[str, Any] | None:
    """What everybody may see of an open account: id, username, full_name, avatar_url, bio, created_at."""
    key = keys.user(user_id)
    found = _asked(lambda: get_redis().hget(key, "profile"))
    if found is not None:
        return dict(orjson.loads(found))
    user = _shared(session, user_id)
    fillable = user is not None
    if user is None:
        user = session.get(User, user_id, populate_existing=True)
    if user is None or user.is_active is False:
        return None
    bio = session.scalars(
        select(UserProfile.bio).where(UserProfile.user_id == user_id).order_by(UserProfile.id).limit(1)
    ).first()
    shown = {
        "id": user.id,
        "username": user.username,
        "full_name": user.full_name,
        "avatar_url": user.avatar_url,
        "bio": bio,
        "created_at": None if user.created_at is None else user.created_at.isoformat(),
    }
    if fillable:
        _fill_profile(key, shown)
    return shown


def id_by_username(session: Session, username: str) -> int | None:
    """The user of a name, in whatever case it is written."""
    return _id_by(session, keys.user_by_username(username.lower()), User.username, username.lower())


def id_by_email(session: Session, email: str) -> int | None:
    """The user of an address, in whatever case it is written."""
    return _id_by(session, keys.user_by_email(email.lower()), User.email, email.lower())


def known_id(login: str) -> int | None:
    """Whom Redis knows by an e-mail address or username, in whatever case; one question for both."""
    name = login.lower()
    wanted = [keys.user_by_username(name), *([keys.user_by_email(name)] if "@" in name else ())]
    found = [one for one in _asked(lambda: get_redis().mget(wanted)) or () if one is not None]
    return int(found[-1]) if found else None


def forget(user: User) -> None:
    """Delete what is kept of a user; call it with the row locked, before and after names change."""
    forget_user(user.id, user.email, user.username)


def forget_user(user_id: int, *names: str) -> None:
    """Delete the profile and what these names (an e-mail address, a username) lead to."""
    wanted = [keys.user(user_id)]
    for name in names:
        wanted += [keys.user_by_email(name.lower()), keys.user_by_username(name.lower())]
    _asked(lambda: get_redis().delete(*wanted))


def _shared(session: Session, user_id: int) -> User | None:
    return session.scalars(
        select(User)
        .where(User.id == user_id)
        .with_for_update(read=True, skip_locked=True)
        .execution_options(populate_existing=True)
    ).one_or_none()


def _id_by(session: Session, key: str, column: Any, value: str) -> int | None:
    found = _asked(lambda: get_redis().get(key))
    if found is not None:
        return int(found)
    # an exact match first: two imported users may differ by case alone
    query = select(User.id).where(func.lower(column) == value).order_by(column != value, User.id).limit(1)
    user_id = session.scalars(query).first()
    if user_id is None or (user := _shared(session, user_id)) is None:
        return user_id
    # locked now: the name may have become somebody else's since
    if str(getattr(user, column.key)).lower() != value:
        return session.scalars(query).first()
    _asked(lambda: get_redis().set(key, user_id, ex=_SECONDS))
    return user_id


def _fill_profile(key: str, shown: dict[str, Any]) -> None:
    def fill() -> None:
        pipeline = get_redis().pipeline(transaction=True)
        pipeline.hset(key, mapping={"profile": orjson.dumps(shown), "username": shown["username"]})
        pipeline.expire(key, _SECONDS)
        pipeline.execute()

    _asked(fill)


def _asked(question: Callable[[], Any]) -> Any:
    """Redis' answer; None when it is away, as if nothing were kept."""
    try:
        return question()
    except (RedisError, OSError, Unavailable) as error:
        _log.warning("the cache of users is away", error=str(error))
        return None
