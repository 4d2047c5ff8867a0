"""The stored lists of users in PostgreSQL, one for each user of a generation: written and read packed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.servers.references import lock_users
from recsys.database.session import driver_connection
from recsys.domains.recommendations.stored_lists.codec import StoredList, unpack
from recsys.errors import Conflict
from recsys.privacy.consent import without_personalisation

__all__ = ["read_list", "read_lists", "replace_lists", "store_lists", "with_lists"]

# held until the commit: who shows the generation, or gives it up, waits for lists that are being stored
_OPEN = """
    SELECT FROM recommendations_db.recommendation_generations WHERE id = %s AND status = 'writing' FOR SHARE
"""
# A list that is there already stays (an update that changes nothing returns it): its writer was slow or lost,
# and its work was given to another one.
_STORE = """
    INSERT INTO recommendations_db.stored_lists (generation_id, user_id, list)
    SELECT %s, given.user_id, given.list FROM unnest(%s::integer[], %s::bytea[]) AS given(user_id, list)
    ORDER BY given.user_id
    ON CONFLICT (generation_id, user_id) DO UPDATE SET list = stored_lists.list
    RETURNING user_id, CASE WHEN xmax <> 0 THEN list END
"""
_REPLACE = text(
    """
    INSERT INTO recommendations_db.stored_lists (generation_id, user_id, list)
    SELECT :generation, id, given.list
    FROM unnest(CAST(:users AS integer[]), CAST(:lists AS bytea[])) AS given (id, list)
    ORDER BY id
    ON CONFLICT (generation_id, user_id) DO UPDATE SET list = excluded.list
    RETURNING user_id
    """
)
_LIVE_LISTS = """
    FROM recommendations_db.recommendation_generations g
    JOIN recommendations_db.stored_lists s ON s.generation_id = g.id AND s.user_id = ANY(:user_ids)
    WHERE g.status = 'live' AND (g.expires_at IS NULL OR g.expires_at > :now)
"""
_LISTS, _LISTED = text("SELECT s.user_id, s.list" + _LIVE_LISTS), text("SELECT s.user_id" + _LIVE_LISTS)
_ARM_LIST = text(
    """
    SELECT s.list FROM recommendations_db.stored_lists s
    JOIN recommendations_db.recommendation_generations g ON g.id = s.generation_id
    WHERE g.id = :generation AND g.status = 'arm' AND (g.expires_at IS NULL OR g.expires_at > :now)
      AND s.user_id = :user
    """
)


def read_list(session: Session, user_id: int, generation: int | None = None) -> StoredList | None:
    """A user's list, of the live generation or of an arm's.

    Parameters
    ----------
    generation
        That of an arm; None: the live one.

    Returns
    -------
    StoredList or None
        None if the user has none, or it has expired.

    Raises
    ------
    Invalid
        The list is of another format, or damaged.
    """
    if generation is None:
        return read_lists(session, [user_id]).get(user_id)
    given = {"user": user_id, "generation": generation, "now": clock.now()}
    packed = session.scalars(_ARM_LIST, given).one_or_none()
    return None if packed is None else unpack(packed)


def read_lists(session: Session, user_ids: Sequence[int]) -> dict[int, StoredList]:
    """The live lists of users.

    Returns
    -------
    dict of int to StoredList
        By user, of those who have one; none once they have expired.

    Raises
    ------
    Invalid
        A list is of another format, or damaged.
    """
    found = session.execute(_LISTS, {"user_ids": list(user_ids), "now": clock.now()})
    return {row.user_id: unpack(row.list) for row in found}


def with_lists(session: Session, user_ids: Sequence[int]) -> set[int]:
    """Those of `user_ids` who have a list that `read_lists` reads."""
    return set(session.scalars(_LISTED, {"user_ids": list(user_ids), "now": clock.now()}))


def store_lists(session: Session, generation: int, packed: Mapping[int, bytes]) -> dict[int, bytes]:
    """Add the packed lists of some users to a generation that is being written.

    Each user gets one list, the first that is stored. Users who were deleted, or refused personalisation,
    since their lists were made get none.

    Parameters
    ----------
    packed
        The lists by user, as `codec.pack` gives them.

    Returns
    -------
    dict of int to bytes
        What is stored, by user; where another process was faster, its list.

    Raises
    ------
    Conflict
        The generation is not being written any more.
    """
    connection = driver_connection(session, "recommendations")
    if connection.execute(_OPEN, [generation]).rowcount != 1:
        raise Conflict(f"generation {generation} is not being written any more: these lists come too late")
    users = _who_get_lists(session, packed)
    stored = connection.execute(_STORE, [generation, users, [packed[user] for user in users]])
    return {user: packed[user] if former is None else bytes(former) for user, former in stored}


def replace_lists(session: Session, generation: int, packed: Mapping[int, bytes]) -> set[int]:
    """Put packed lists in the place of those that the generation has.

    Users who were deleted, closed their account, or refuse personalisation get none.

    Parameters
    ----------
    packed
        The lists by user, as `codec.pack` gives them.

    Returns
    -------
    set of int
        The users whose lists are stored.
    """
    users = _who_get_lists(session, packed, active=True)
    given = {"generation": generation, "users": users, "lists": [packed[user] for user in users]}
    return set(session.scalars(_REPLACE, given))


def _who_get_lists(session: Session, users: Iterable[int], *, active: bool = False) -> list[int]:
    """Those who are there, and stay until the commit, and have not refused personalisation meanwhile."""
    kept = lock_users(session, users, active=active)
    return sorted(kept - without_personalisation(session, kept))
