"""Makes the stored list of a user anew after something they did, within the generation that is shown."""

from __future__ import annotations

import threading
import time
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
from serving.batch.list_builder import Batch
from serving.state.serving_state import State, the_state

__all__ = ["refresh_list"]

_DONE = "serving.refreshed"
_log = get_logger(__name__)
# a scoring holds this lock for itself: what it writes is newer than what is made here, so nothing is
_TRY = text("SELECT pg_try_advisory_xact_lock_shared(:lock)")
_STORE = text(
    """
    INSERT INTO recommendations_db.stored_lists (generation_id, user_id, list)
    SELECT :generation, id, :list FROM users_db.users WHERE id = :user AND is_active FOR KEY SHARE
    ON CONFLICT (generation_id, user_id) DO UPDATE SET list = excluded.list
    """
)


def refresh_list(session: Session, user: int) -> bool:
    """Fold in what the user did until now and put the list in the place of the stored one.

    Until that is committed, answers for this user are made live, because Redis knows that they did something;
    from then on the stored list is taken again. False where nothing had to be done or could be: no list is
    shown, another model serves by now, or a scoring runs.
    """
    done: set[int] = session.info.setdefault(_DONE, set())
    recent = _recent(user)
    if user in done or recent == set():
        return False
    if not session.scalars(_TRY, {"lock": locks.SCORING_LOCK}).one():
        return False
    live = generations.live(session)
    state = _fresh_state()
    loaded = state.model.current
    if live is None or loaded is None or loaded.registered.name != live.model:
        return False
    connection = cast("psycopg.Connection[Any]", session.connection().connection.driver_connection)
    made_at = int(clock.now().timestamp())
    batch = Batch(
        loaded,
        state.catalogue.current,
        state.popular,
        get_settings().serving,
        np.array([user], dtype=np.int64),
        fold_in=True,
    )
    with loaded.lock:
        lists = batch.lists(connection)[user]
    packed = pack(StoredList(live.id, live.model, live.version, lists.any, made_at, lists.new))
    stored = session.execute(_STORE, {"generation": live.id, "user": user, "list": packed})
    if stored.rowcount == 0:  # type: ignore[attr-defined]  # deleted, or closed the account
        return False
    write_rows(session, live.id, expires_at=live.expires_at, users=[user])
    done.add(user)
    generation, expires = live.id, live.expires_at

    def tell() -> None:
        left = None if expires is None else max(1, int((expires - clock.now()).total_seconds()))
        pipeline = get_redis().pipeline(transaction=True)
        pipeline.set(keys.stored_recommendations(generation, user), packed, ex=left)
        if recent:
            pipeline.srem(keys.recent_interactions(user), *recent)
        pipeline.execute()

    after_commit(session, tell)
    return True


def _recent(user: int) -> set[bytes] | None:
    """What Redis knows that the stored list may not; None while it is away."""
    try:
        return cast("set[bytes]", get_redis().smembers(keys.recent_interactions(user)))
    except (RedisError, OSError, Unavailable) as error:
        _log.warning("a list is refreshed without Redis", error=str(error))
        return None


_own: list[tuple[float, State]] = []
_own_lock = threading.Lock()
_OWN_SECONDS = 2.0


def _fresh_state() -> State:
    """That of the API in this process, else one of this process's own, kept as fresh."""
    running = the_state()
    if running is not None:
        return running
    with _own_lock:
        at, state = _own[-1] if _own else (0.0, State())
        if time.monotonic() - at > _OWN_SECONDS:
            state.refresh_from_other_unit()
            _own[:] = [(time.monotonic(), state)]
        return state
