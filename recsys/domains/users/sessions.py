"""Logged-in devices: rows of user_sessions, which decide, and their mirror in Redis.

`session:{id}` and `session:user:{user_id}` are written inside the transaction, while the user's row is
locked: two changes of one user's sessions never pass each other, neither in PostgreSQL nor in Redis.
Redis never decides who is logged in, so what a flush, an outage or a rolled back transaction leaves there
opens no door; the next use of a session puts it right.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import Select, bindparam, delete, select
from sqlalchemy.orm import Session

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.domains.users import presence
from recsys.domains.users.tables import User, UserSession
from recsys.errors import NotFound, Unavailable
from recsys.events.publish import publish
from recsys.events.vocabulary import UserLoggedOut
from recsys.log import get_logger
from recsys.security import new_token, token_id
from recsys.settings import get_settings

__all__ = [
    "Caller",
    "Device",
    "authenticate",
    "end",
    "end_all",
    "listed",
    "lock_user",
    "mirror",
    "mirrored",
    "start",
]

_TOUCH_EVERY = timedelta(seconds=60)
_log = get_logger(__name__)
# put together once, and of columns only: every request of somebody who is logged in asks this
_OPEN = (
    select(
        UserSession.id,
        UserSession.user_id,
        UserSession.session_id,
        UserSession.last_activity,
        User.is_admin,
    )
    .join(User, User.id == UserSession.user_id)
    .where(
        UserSession.session_id == bindparam("token_id"),
        UserSession.expires_at > bindparam("now"),
        User.is_active.is_not(False),
    )
)


@dataclass(frozen=True)
class Caller:
    """Who sends a request; `session_id` is what is stored of the token, never the token."""

    user_id: int
    session_id: str
    is_admin: bool


@dataclass(frozen=True)
class Device:
    """Where a log-in comes from."""

    type: str | None = None
    info: Mapping[str, str] | None = None
    address: str | None = None


def lock_user(session: Session, user_id: int) -> User:
    """The user's row, fresh, and nobody else's to change until the transaction ends.

    Rows that refer to the user may still be written meanwhile.

    Raises
    ------
    NotFound
        There is no such user.
    """
    user = session.scalars(
        select(User)
        .where(User.id == user_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if user is None:
        raise NotFound(f"There is no user {user_id}.")
    return user


def start(session: Session, user: User, device: Device) -> tuple[str, UserSession]:
    """Start a session of a user whose row is locked; return its token, which is not stored, and the row."""
    now = clock.now()
    limit = get_settings().users
    token = new_token()
    row = UserSession(
        session_id=token_id(token),
        user_id=user.id,
        device_type=device.type,
        device_info=dict(device.info or {}),
        ip_address=None if device.address is None else ip_address(device.address),
        last_activity=now,
        created_at=now,
        expires_at=now + timedelta(days=limit.session_days),
    )
    session.execute(delete(UserSession).where(UserSession.user_id == user.id, UserSession.expires_at <= now))
    session.add(row)
    session.flush()
    silent = session.scalars(_newest_first(user.id).offset(limit.max_sessions)).all()
    for one in silent:
        session.delete(one)
        publish(session, UserLoggedOut(user_id=user.id, session_id=one.session_id))
    presence.seen(session, user, now)
    mirror(session, user.id)
    return token, row


def authenticate(session: Session, token: str) -> Caller | None:
    """Whose token this is; None when its session ended or expired, or the account is closed."""
    now = clock.now()
    row = session.execute(_OPEN, {"token_id": token_id(token), "now": now}).one_or_none()
    if row is None:
        return None
    if row.last_activity is None or now - row.last_activity >= _TOUCH_EVERY or not _mirrored(row.session_id):
        _touch(session, row.user_id, row.id)
    return Caller(row.user_id, row.session_id, bool(row.is_admin))


def listed(session: Session, user_id: int) -> Sequence[UserSession]:
    """The open sessions of a user, the last used first; there are at most `max_sessions`."""
    return session.scalars(_newest_first(user_id).where(UserSession.expires_at > clock.now())).all()


def end(session: Session, user_id: int, row_id: int) -> None:
    """End one of a user's own sessions; its token becomes invalid. Raises NotFound."""
    lock_user(session, user_id)
    row = session.scalars(
        select(UserSession).where(UserSession.id == row_id, UserSession.user_id == user_id)
    ).one_or_none()
    if row is None:
        raise NotFound(f"You have no session {row_id}.")
    _remove(session, user_id, [row])


def end_all(session: Session, user_id: int, *, but: str | None = None) -> int:
    """End all sessions of a user, or all but one; gives how many ended."""
    lock_user(session, user_id)
    rows = session.scalars(select(UserSession).where(UserSession.user_id == user_id)).all()
    ended = [row for row in rows if row.session_id != but]
    _remove(session, user_id, ended)
    return len(ended)


def mirror(session: Session, user_id: int) -> None:
    """Make Redis say what PostgreSQL says about a user's sessions; the user's row must be locked."""
    session.flush()
    rows = {row.session_id: row for row in listed(session, user_id)}
    try:
        redis = get_redis()
        known = redis.smembers(keys.user_sessions(user_id))
        strangers = {str(one, "ascii") if isinstance(one, bytes) else one for one in known} - set(rows)
        pipeline = redis.pipeline(transaction=True)
        # a session that has ended goes first, before Redis forgets which there are
        pipeline.delete(*map(keys.session, sorted(strangers)), keys.user_sessions(user_id))
        for session_id, row in rows.items():
            pipeline.hset(keys.session(session_id), mapping=_as_hash(row))
            pipeline.expireat(keys.session(session_id), row.expires_at)
            pipeline.sadd(keys.user_sessions(user_id), session_id)
        if rows:
            last = max(row.expires_at for row in rows.values())
            pipeline.expireat(keys.user_sessions(user_id), last)
        pipeline.execute()
    except (RedisError, OSError, Unavailable) as error:
        _log.error("Redis did not follow a change of sessions", error=str(error))


def mirrored(token: str) -> int | None:
    """Whose token this is by the mirror in Redis, for those who read while PostgreSQL is away.

    A log-out that Redis missed is not known here.

    Returns
    -------
    int or None
        The user; None for a token that is not known or has expired.

    Raises
    ------
    RedisError, OSError, Unavailable
        Redis does not answer.
    """
    user_id, expires_at = get_redis().hmget(keys.session(token_id(token)), ["user_id", "expires_at"])
    if user_id is None or expires_at is None:
        return None
    moment = datetime.fromisoformat(expires_at if isinstance(expires_at, str) else str(expires_at, "ascii"))
    return int(user_id) if moment > clock.now() else None


def _newest_first(user_id: int) -> Select[UserSession]:
    return (
        select(UserSession)
        .where(UserSession.user_id == user_id)
        .order_by(UserSession.last_activity.desc(), UserSession.id.desc())
    )


def _remove(session: Session, user_id: int, rows: Sequence[UserSession]) -> None:
    for row in rows:
        session.delete(row)
        publish(session, UserLoggedOut(user_id=user_id, session_id=row.session_id))
    mirror(session, user_id)
    if not listed(session, user_id):
        presence.gone(session, user_id)


def _touch(session: Session, user_id: int, row_id: int) -> None:
    # somebody else who holds the user's row is about to mirror it, or touches as well: no reason to wait
    user = session.scalars(
        select(User)
        .where(User.id == user_id)
        .with_for_update(key_share=True, skip_locked=True)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if user is None:
        return
    # it may have been ended between the look and the lock
    still = session.scalars(
        select(UserSession).where(UserSession.id == row_id).execution_options(populate_existing=True)
    ).one_or_none()
    if still is None:
        return
    now = clock.now()
    still.last_activity = now
    presence.seen(session, user, now)
    mirror(session, user.id)


def _mirrored(session_id: str) -> bool:
    try:
        return bool(get_redis().exists(keys.session(session_id)))
    except (RedisError, OSError, Unavailable):
        # nothing can be put right now, and nothing is wrong for the caller
        return True


def _as_hash(row: UserSession) -> Mapping[Any, Any]:
    assert row.user_id is not None
    assert row.last_activity is not None
    return {
        "user_id": row.user_id,
        "device_type": row.device_type or "",
        "device_info": json.dumps(row.device_info or {}),
        "ip_address": "" if row.ip_address is None else str(row.ip_address),
        "last_activity": row.last_activity.isoformat(),
        "expires_at": row.expires_at.isoformat(),
    }
