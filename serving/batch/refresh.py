"""Refreshes the stored list of one user after an interaction, within the live generation."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import psycopg
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.after_commit import after_commit
from recsys.domains.recommendations.stored_lists import generations, locks
from recsys.domains.recommendations.stored_lists.codec import StoredList, pack
from recsys.domains.recommendations.stored_lists.rows import write_rows
from recsys.errors import Unavailable
from recsys.log import get_logger
from recsys.settings import get_settings
from serving.batch.list_builder import UserBatch
from serving.state.refresher import Refresher
from serving.state.serving_data import ServingData

__all__ = ["refresh_list", "remove_list", "sharing"]

_REFRESHED_KEY = "serving.refreshed"
_log = get_logger(__name__)
# a scoring holds this lock exclusively; its lists are newer than one refreshed meanwhile, so none is
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock_shared(:lock)")
_REMOVE = (
    text("DELETE FROM recommendations_db.stored_lists WHERE user_id = :user"),
    text("DELETE FROM recommendations_db.product_recommendations WHERE user_id = :user"),
)
_STORE = text(
    """
    INSERT INTO recommendations_db.stored_lists (generation_id, user_id, list)
    SELECT :generation, id, :list FROM users_db.users WHERE id = :user AND is_active FOR KEY SHARE
    ON CONFLICT (generation_id, user_id) DO UPDATE SET list = excluded.list
    """
)


def refresh_list(session: Session, user: int) -> bool:
    """Fold in the user's newest interactions and replace the stored list.

    Until the commit, lists for this user are ranked live, because Redis has the interactions; afterwards the
    stored list is used again. Returns False where nothing was or could be refreshed: no generation is live,
    another model serves, or a scoring runs.
    """
    refreshed: set[int] = session.info.setdefault(_REFRESHED_KEY, set())
    recent = _recent(user)
    if user in refreshed or recent == set():
        return False
    if not session.scalars(_TRY_LOCK, {"lock": locks.SCORING_LOCK}).one():
        return False
    live = generations.live(session)
    data = _fresh_data()
    model = data.model
    if live is None or model is None or model.registered.name != live.model:
        return False
    connection = cast("psycopg.Connection[Any]", session.connection().connection.driver_connection)
    made_at = int(clock.now().timestamp())
    batch = UserBatch(
        model,
        data.catalogue,
        data.popular,
        get_settings().serving,
        np.array([user], dtype=np.int64),
        fold_in=True,
    )
    with model.lock:
        lists = batch.lists(connection)[user]
    packed = pack(StoredList(live.id, live.model, live.version, lists.any, made_at, lists.new))
    stored = session.execute(_STORE, {"generation": live.id, "user": user, "list": packed})
    if stored.rowcount == 0:  # type: ignore[attr-defined]  # deleted, or closed the account
        return False
    write_rows(session, live.id, expires_at=live.expires_at, users=[user])
    refreshed.add(user)
    generation, expires = live.id, live.expires_at

    def update_redis() -> None:
        seconds_left = None if expires is None else max(1, int((expires - clock.now()).total_seconds()))
        pipeline = get_redis().pipeline(transaction=True)
        pipeline.set(keys.stored_recommendations(generation, user), packed, ex=seconds_left)
        if recent:
            pipeline.srem(keys.recent_interactions(user), *recent)
        pipeline.execute()

    after_commit(session, update_redis)
    return True


def remove_list(session: Session, user: int) -> None:
    """Remove what is stored for a user who is no longer active: lists of all generations, rows and keys.

    Raises RedisError, Unavailable while Redis is away: the event is then handled again.
    """
    for statement in _REMOVE:
        session.execute(statement, {"user": user})
    generations_kept = (generations.live(session), generations.former(session))
    lists = [keys.stored_recommendations(each.id, user) for each in generations_kept if each is not None]
    get_redis().delete(keys.recent_interactions(user), *lists)


def _recent(user: int) -> set[bytes] | None:
    """Read the interactions in Redis that the stored list may lack; None while Redis is away."""
    try:
        return cast("set[bytes]", get_redis().smembers(keys.recent_interactions(user)))
    except (RedisError, OSError, Unavailable) as error:
        _log.warning("a list is refreshed without Redis", error=str(error))
        return None


_lock = threading.Lock()
_shared: list[Refresher] = []
_private: list[tuple[float, Refresher]] = []
_PRIVATE_SECONDS = 2.0


@contextmanager
def sharing(refresher: Refresher) -> Iterator[None]:
    """Within the block, refreshed lists use the data of this refresher, which the API keeps fresh."""
    _shared.append(refresher)
    try:
        yield
    finally:
        _shared.remove(refresher)


def _fresh_data() -> ServingData:
    """Return the data of the API in this process, else of a refresher of this module."""
    if _shared:
        return _shared[-1].data
    with _lock:
        refreshed_at, refresher = _private[-1] if _private else (0.0, Refresher())
        if time.monotonic() - refreshed_at > _PRIVATE_SECONDS:
            refresher.refresh_outside_unit_of_work()
            _private[:] = [(time.monotonic(), refresher)]
        return refresher.data
