"""Puts new lists of some users in the place of those that the live generation has.

The lists were made as a generation of their own, which readers never see. They enter the live one in one
transaction, with their rows; the lists of all other users are not touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.session import copy_connection, driver_connection
from recsys.domains.recommendations.stored_lists import cache, generations
from recsys.domains.recommendations.stored_lists.arm_lists import drop_arm_lists
from recsys.domains.recommendations.stored_lists.changes import DatabaseState
from recsys.domains.recommendations.stored_lists.codec import relabelled
from recsys.domains.recommendations.stored_lists.generations import Generation
from recsys.domains.recommendations.stored_lists.rows import write_rows
from recsys.domains.recommendations.stored_lists.user_lists import replace_lists
from recsys.errors import Unavailable
from recsys.log import get_logger

__all__ = ["Exchange", "exchange", "exchange_in_redis", "move_lists", "note_changed", "write_moved"]

LISTS_AT_ONCE = 5_000
_log = get_logger(__name__)
_STAGED = (
    "SELECT user_id, list FROM recommendations_db.stored_lists WHERE generation_id = %s ORDER BY user_id"
)
_OF_USERS = (
    "SELECT user_id, list FROM recommendations_db.stored_lists WHERE generation_id = %s AND user_id = ANY(%s)"
)
_REMOVE = text(
    "DELETE FROM recommendations_db.stored_lists WHERE generation_id = :generation AND user_id = ANY(:users)"
)
_DROP = text("DELETE FROM recommendations_db.recommendation_generations WHERE id = :id")
_COUNT = text(
    """
    UPDATE recommendations_db.recommendation_generations g
    SET users = (SELECT count(*) FROM recommendations_db.stored_lists s WHERE s.generation_id = g.id)
    WHERE g.id = :id RETURNING g.users
    """
)
_NOTE = text(
    """
    UPDATE recommendations_db.recommendation_generations SET read_up_to = :state, changed_at = :now
    WHERE id = :id
    """
)


@dataclass(frozen=True)
class Exchange:
    """What was exchanged.

    Attributes
    ----------
    changed
        Users with a new list.
    removed
        Users who have none any more.
    users
        With a list of the generation now.
    rows
        Rows that were written for the changed ones.
    arms
        Generations of arms, which have no list of all these users any more.
    """

    changed: Sequence[int]
    removed: Sequence[int]
    users: int
    rows: int
    arms: Sequence[int]


def exchange(session: Session, staged: int, live: Generation, *, removed: Sequence[int]) -> Exchange:
    """Move the lists of `staged` into the live generation, and remove those of some users, by the commit.

    Call it under `locks.only_one_scoring`.

    Parameters
    ----------
    staged
        Id of the generation that has the new lists.
    live
        The generation that is live.
    removed
        Users whose lists go.

    Raises
    ------
    Conflict
        Other lists or another model serve by now.
    """
    generations.check_serving(session, live.model, live.id)
    changed = move_lists(session, staged, live)
    session.execute(_REMOVE, {"generation": live.id, "users": list(removed)})
    touched = sorted({*changed, *removed})
    _, rows = write_rows(session, live.id, expires_at=live.expires_at, users=touched)
    users = int(session.execute(_COUNT, {"id": live.id}).scalar_one())
    # an arm's list lacks what is no longer recent then: its model ranks until the arm has another one
    arms = drop_arm_lists(session, touched)
    return Exchange(changed, removed, users, rows, arms)


def move_lists(session: Session, staged: int, generation: Generation) -> list[int]:
    """Move the lists of `staged`, which is dropped, into another generation; whose they are."""
    connection = driver_connection(session, "recommendations")
    moved: list[int] = []
    for lists in _staged(connection, staged):
        of_generation = {user: relabelled(packed, generation.id) for user, packed in lists.items()}
        moved += sorted(replace_lists(session, generation.id, of_generation))
    session.execute(_DROP, {"id": staged})
    return moved


def write_moved(generation: Generation, moved: Sequence[int]) -> None:
    """Write the moved lists to Redis, after the commit. Raises RedisError, OSError, Unavailable."""
    seconds = generation.seconds_left
    for start in range(0, len(moved), LISTS_AT_ONCE):
        users = list(moved[start : start + LISTS_AT_ONCE])
        with copy_connection("recommendations") as connection:
            rows = connection.execute(_OF_USERS, [generation.id, users]).fetchall()
        cache.write_lists(generation.id, {user: bytes(packed) for user, packed in rows}, seconds)


def exchange_in_redis(live: Generation, exchanged: Exchange) -> bool:
    """Do the same in Redis, after the commit; False, and an error in the log, when it does not answer."""
    try:
        write_moved(live, exchanged.changed)
        outdated = [(arm, user) for arm in exchanged.arms for user in exchanged.changed]
        outdated += [(each, user) for each in (live.id, *exchanged.arms) for user in exchanged.removed]
        for start in range(0, len(outdated), LISTS_AT_ONCE):
            pipeline = get_redis().pipeline(transaction=False)
            for generation, user in outdated[start : start + LISTS_AT_ONCE]:
                pipeline.unlink(keys.stored_recommendations(generation, user))
            pipeline.execute()
    except (RedisError, OSError, Unavailable) as error:
        _log.error(
            "Redis does not take the new lists of changed users; the next run makes them again",
            generation=live.id,
            error=str(error),
        )
        return False
    return True


def note_changed(session: Session, generation: int, state: DatabaseState) -> None:
    """Note that a generation considers everything up to this state."""
    session.execute(_NOTE, {"id": generation, "state": str(state), "now": clock.now()})


def _staged(connection: psycopg.Connection[Any], generation: int) -> Iterator[dict[int, bytes]]:
    with connection.cursor(name="staged_lists") as reader:
        reader.itersize = LISTS_AT_ONCE
        reader.execute(_STAGED, [generation])
        while rows := reader.fetchmany(LISTS_AT_ONCE):
            yield {user: bytes(packed) for user, packed in rows}
