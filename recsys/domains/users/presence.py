"""Who is online: `online_users` in Redis, `is_online` and `last_seen` in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from redis.exceptions import RedisError
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.after_commit import after_commit
from recsys.domains.users.tables import User
from recsys.errors import Unavailable
from recsys.log import get_logger
from recsys.settings import get_settings

__all__ = ["gone", "is_online", "online", "seen", "sweep"]

_SWEPT_AT_ONCE = 500
_log = get_logger(__name__)


def seen(session: Session, user: User, now: datetime) -> None:
    """Note that a user, whose row is locked, is online now; users silent for long become offline."""
    user.last_seen = now
    user.is_online = True
    session.flush()
    after_commit(session, lambda: get_redis().sadd(keys.online_users(), user.id))
    sweep(session)


def gone(session: Session, user_id: int) -> None:
    """A user logged out of the last device."""
    session.execute(
        update(User)
        .where(User.id == user_id)
        .values(is_online=False, last_seen=clock.now())
        .execution_options(synchronize_session="fetch")
    )
    _leave(session, [user_id])


def sweep(session: Session) -> int:
    """Take out who was silent for `online_seconds`; gives how many. Locked rows wait for the next time."""
    limit = clock.now() - timedelta(seconds=get_settings().users.online_seconds)
    silent = session.scalars(
        select(User.id)
        .where(User.is_online.is_(True), User.last_seen < limit)
        .order_by(User.last_seen)
        .limit(_SWEPT_AT_ONCE)
        .with_for_update(key_share=True, skip_locked=True)
    ).all()
    if silent:
        session.execute(
            update(User)
            .where(User.id.in_(silent))
            .values(is_online=False)
            .execution_options(synchronize_session="fetch")
        )
        _leave(session, silent)
    return len(silent)


def is_online(user: User) -> bool:
    """Whether a user is here; the stored flag may lag behind by a sweep, the moment does not."""
    limit = clock.now() - timedelta(seconds=get_settings().users.online_seconds)
    return bool(user.is_online) and user.last_seen is not None and user.last_seen >= limit


def online(user_ids: Iterable[int]) -> set[int]:
    """Which of these users `online_users` holds; none when Redis is away."""
    wanted = list(user_ids)
    if not wanted:
        return set()
    try:
        found = get_redis().smismember(keys.online_users(), [str(one) for one in wanted])
    except (RedisError, OSError, Unavailable) as error:
        _log.warning("nobody is shown as online: Redis is away", error=str(error))
        return set()
    return {user_id for user_id, here in zip(wanted, found, strict=True) if here}


def _leave(session: Session, user_ids: Iterable[int]) -> None:
    members = [str(one) for one in user_ids]
    after_commit(session, lambda: get_redis().srem(keys.online_users(), *members))
