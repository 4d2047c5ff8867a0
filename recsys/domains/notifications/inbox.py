"""A user's notifications inside the shop: the newest in Redis, all in the table, never stale."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from pydantic import ValidationError
from redis.client import Pipeline
from redis.exceptions import RedisError, WatchError
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.after_commit import after_commit
from recsys.domains.notifications.schemas import NotificationOut
from recsys.domains.notifications.tables import Notification
from recsys.errors import NotFound, Unavailable
from recsys.events.publish import publish
from recsys.events.retention import reason
from recsys.events.vocabulary import NotificationRead
from recsys.log import get_logger

__all__ = ["KEPT", "forget", "mark_all_read", "mark_read", "newest", "older", "unread"]

KEPT = 50
"""So many of the newest are kept in Redis."""
_SECONDS = 3600
_log = get_logger(__name__)


def newest(session: Session, user_id: int) -> list[NotificationOut]:
    """The newest 50, newest first: from Redis where they are, else from the table, and to Redis then.

    What is written to Redis was read after the last change: a change counts `notifications:epoch` up after
    its commit, and a reader who began before that does not write.
    """
    try:
        return _cached(session, user_id)
    except (RedisError, OSError, Unavailable) as error:
        _log.warning("notifications come from PostgreSQL: Redis did not answer", error=type(error).__name__)
        return older(session, user_id, before=None, limit=KEPT)


def older(
    session: Session, user_id: int, *, before: int | None, limit: int, unread_only: bool = False
) -> list[NotificationOut]:
    """Notifications before the id `before`, newest first."""
    query = (
        select(Notification)
        .where(Notification.user_id == user_id)
        .order_by(Notification.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(Notification.id < before)
    if unread_only:
        query = query.where(Notification.is_read.is_not(True))
    return [NotificationOut.model_validate(one) for one in session.scalars(query)]


def unread(session: Session, user_id: int) -> int:
    """How many a user has not read."""
    return (
        session.scalar(
            select(func.count()).where(Notification.user_id == user_id, Notification.is_read.is_not(True))
        )
        or 0
    )


def mark_read(session: Session, user_id: int, notification_id: int) -> NotificationOut:
    """Mark one read; twice keeps the first moment. Raises NotFound, also for another user's."""
    row = session.scalars(
        select(Notification)
        .where(Notification.id == notification_id, Notification.user_id == user_id)
        .with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFound(f"You have no notification {notification_id}.")
    if row.is_read is not True:
        row.is_read, row.read_at = True, clock.now()
        _publish_read(session, user_id, [row.id])
    return NotificationOut.model_validate(row)


def mark_all_read(session: Session, user_id: int) -> int:
    """Mark all read; how many were not."""
    changed = session.scalars(
        update(Notification)
        .where(Notification.user_id == user_id, Notification.is_read.is_not(True))
        .values(is_read=True, read_at=clock.now())
        .returning(Notification.id)
    ).all()
    _publish_read(session, user_id, changed)
    return len(changed)


def forget(user_id: int) -> None:
    """Drop what Redis holds, and whatever a reader is about to write there."""
    pipeline = get_redis().pipeline(transaction=True)
    pipeline.incr(keys.notifications_epoch(user_id))
    pipeline.delete(keys.notifications(user_id))
    pipeline.execute()


def _publish_read(session: Session, user_id: int, ids: Sequence[int]) -> None:
    for one in ids:
        publish(session, NotificationRead(notification_id=one, user_id=user_id))
    if ids:
        after_commit(session, lambda: forget(user_id))


def _cached(session: Session, user_id: int) -> list[NotificationOut]:
    key, epoch = keys.notifications(user_id), keys.notifications_epoch(user_id)
    with get_redis().pipeline(transaction=True) as pipeline:
        pipeline.watch(epoch)  # type: ignore[no-untyped-call]
        held = pipeline.lrange(key, 0, -1)
        if held:
            try:
                return [NotificationOut.model_validate_json(one) for one in held]
            except ValidationError as error:
                _log.warning("cached notifications cannot be read; they are read again", error=reason(error))
        found = older(session, user_id, before=None, limit=KEPT)
        if found:
            _fill(pipeline, key, found)
        return found


def _fill(pipeline: Pipeline, key: str, found: Sequence[NotificationOut]) -> None:
    pipeline.multi()
    pipeline.delete(key)
    pipeline.rpush(key, *[orjson.dumps(one.model_dump(mode="json")) for one in found])
    pipeline.expire(key, _SECONDS)
    try:
        pipeline.execute()
    except WatchError:
        _log.debug("notifications changed while they were read; the next reader fills Redis")
