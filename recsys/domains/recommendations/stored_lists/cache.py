"""Stored lists in Redis: packed, each under its generation, and a pointer to the live generation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
import redis

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.stored_lists import generations
from recsys.domains.recommendations.stored_lists.codec import StoredList, pack
from recsys.errors import Unavailable
from recsys.log import get_logger

__all__ = [
    "OLD_GENERATION_SECONDS",
    "follow",
    "rebuild",
    "reconcile",
    "repair",
    "retire_lists",
    "show_generation",
    "write_lists",
]

OLD_GENERATION_SECONDS = 300
"""How long lists that are no longer kept stay, for readers that began before the switch."""
_LISTS_AT_ONCE = 1000
_GENERATIONS = """
    SELECT id, status, expires_at FROM recommendations_db.recommendation_generations
    WHERE status IN ('live', 'former') ORDER BY id
"""
_SHARED = """
    SELECT placement, subject, models, list FROM recommendations_db.shared_lists
    WHERE generation_id = %s ORDER BY placement, subject
"""
_LISTS = "SELECT user_id, list FROM recommendations_db.stored_lists WHERE generation_id = %s ORDER BY user_id"
_log = get_logger(__name__)


def write_lists(generation: int, lists: Mapping[int, bytes], seconds: int) -> None:
    """Put packed lists into Redis, to expire after `seconds`. Raises redis.RedisError."""
    pipeline = get_redis().pipeline(transaction=False)
    for user, packed in lists.items():
        pipeline.set(keys.stored_recommendations(generation, user), packed, ex=seconds)
    pipeline.execute()


def rebuild(client: redis.Redis, connection: psycopg.Connection[Any]) -> int:
    """Write all lists of PostgreSQL into a Redis that lacks them, and point to the live generation.

    Lists that have expired are left out.

    Returns
    -------
    int
        The number written.

    Raises
    ------
    redis.RedisError
        Redis does not answer.
    """
    written = 0
    for generation, status, expires_at in connection.execute(_GENERATIONS).fetchall():
        if status == "live":
            client.set(keys.live_generation(), generation)
        seconds = None if expires_at is None else int((expires_at - clock.now()).total_seconds())
        if seconds is not None and seconds < 1:
            continue
        with connection.cursor(name="lists") as cursor:
            cursor.itersize = _LISTS_AT_ONCE
            cursor.execute(_LISTS, [generation])
            while rows := cursor.fetchmany(_LISTS_AT_ONCE):
                pipeline = client.pipeline(transaction=False)
                for user, packed in rows:
                    pipeline.set(keys.stored_recommendations(generation, user), packed, ex=seconds)
                pipeline.execute()
                written += len(rows)
        with connection.cursor(name="shared_lists") as cursor:
            cursor.itersize = _LISTS_AT_ONCE
            cursor.execute(_SHARED, [generation])
            while rows := cursor.fetchmany(_LISTS_AT_ONCE):
                pipeline = client.pipeline(transaction=False)
                for placement, subject, models, packed in rows:
                    key = keys.stored_shared_list(generation, placement, subject, models)
                    pipeline.set(key, packed, ex=seconds)
                pipeline.execute()
                written += len(rows)
    return written


def repair(generation: int, user: int, stored: StoredList | None) -> None:
    """Put a list in the place of a damaged one, which cannot be read, to expire when that would have.

    Parameters
    ----------
    generation, user
        Of the damaged list.
    stored
        The list; None, or one of another generation: the damaged one is deleted.

    Raises
    ------
    redis.RedisError
        Redis does not answer.
    """
    key = keys.stored_recommendations(generation, user)
    if stored is None or stored.generation != generation:
        get_redis().delete(key)
    else:
        get_redis().set(key, pack(stored), xx=True, keepttl=True)


def show_generation(generation: int | None) -> None:
    """Point Redis' readers to a generation, or to none. Raises redis.RedisError."""
    if generation is None:
        get_redis().delete(keys.live_generation())
    else:
        get_redis().set(keys.live_generation(), generation)


def follow(generation: int | None) -> bool:
    """`show_generation` after a switch in PostgreSQL; without Redis the API's next `reconcile` does it."""
    try:
        show_generation(generation)
    except (redis.RedisError, OSError, Unavailable) as error:
        _log.error(
            "Redis does not hear of the switch; it follows when it is back",
            generation=generation,
            error=str(error),
        )
        return False
    return True


def retire_lists(generation: int, seconds: int = OLD_GENERATION_SECONDS) -> None:
    """Let a generation's lists in Redis expire soon (0: at once); without Redis they do so by themselves."""
    # users' lists and those that are the same for everybody
    pattern = keys.stored_shared_list(generation, "*", "", "").rstrip(":")
    try:
        client = get_redis()
        pipeline = client.pipeline(transaction=False)
        for waiting, key in enumerate(client.scan_iter(pattern, count=5000), 1):
            if seconds:
                pipeline.expire(key, seconds, lt=True)
            else:
                pipeline.unlink(key)
            if waiting % 5000 == 0:
                pipeline.execute()
        pipeline.execute()
    except (redis.RedisError, OSError, Unavailable) as error:
        _log.error(
            "an old generation's lists stay in Redis until they expire",
            generation=generation,
            error=str(error),
        )


def reconcile() -> int | None:
    """Make Redis point to the generation that PostgreSQL calls live, whatever a crash left; its id.

    Raises
    ------
    Unavailable
        PostgreSQL does not answer.
    redis.RedisError
        Redis does not answer.
    """
    key = keys.live_generation()
    pointer: Any  # `watch` has no types
    with get_redis().pipeline() as pointer:
        # watched before PostgreSQL is asked: a scoring that ends meanwhile moves the pointer itself, and must
        # neither be undone nor have its lists retired
        pointer.watch(key)
        shown = pointer.get(key)
        with unit_of_work() as session:
            live, former = generations.live(session), generations.former(session)
        wanted = None if live is None else str(live.id).encode()
        if shown == wanted:
            return None if live is None else live.id
        pointer.multi()
        if wanted is None:
            pointer.delete(key)
        else:
            pointer.set(key, wanted)
        try:
            pointer.execute()
        except redis.WatchError:
            return None if live is None else live.id
    _log.warning(
        "Redis pointed to another generation",
        found=None if shown is None else str(shown),
        live=None if live is None else live.id,
    )
    kept = {one.id for one in (live, former) if one is not None}
    if shown is not None and shown.isdigit() and int(shown) not in kept:
        retire_lists(int(shown))
    return None if live is None else live.id
