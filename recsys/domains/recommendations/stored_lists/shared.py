"""Lists that are the same for everybody, of the same generations as users' lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.after_commit import after_commit
from recsys.domains.recommendations.stored_lists.codec import StoredList, unpack

__all__ = ["SharedListKey", "forget", "put_into_redis", "read", "store"]


class SharedListKey(NamedTuple):
    """What identifies a list within its generation.

    Attributes
    ----------
    placement
        The kind of list, such as `similar`.
    subject
        What it is of: a product id, `category:4`, `country:DE`; empty for the whole shop.
    models
        A fingerprint of the models it is made by; empty for lists without a model.
    """

    placement: str
    subject: str
    models: str

    def in_redis(self, generation: int) -> str:
        """Return the key in Redis."""
        return keys.stored_shared_list(generation, *self)


_COPY = """
    COPY recommendations_db.shared_lists (generation_id, placement, subject, models, list)
    FROM STDIN WITH (FORMAT binary)
"""
_TYPES = ("int4", "varchar", "varchar", "varchar", "bytea")
_READ = text(
    """
    SELECT list FROM recommendations_db.shared_lists
    WHERE generation_id = :generation AND placement = :placement AND subject = :subject AND models = :models
    """
)
_FORGET = text(
    """
    DELETE FROM recommendations_db.shared_lists s
    USING unnest(CAST(:placements AS varchar[]), CAST(:subjects AS varchar[])) AS given (placement, subject)
    WHERE s.generation_id = :generation AND s.placement = given.placement AND s.subject = given.subject
    """
)


def store(
    connection: psycopg.Connection[Any], generation: int, packed: Mapping[SharedListKey, bytes]
) -> None:
    """Add packed lists, each once, to a generation that is being written."""
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.set_types(_TYPES)
        for key, data in packed.items():
            copy.write_row((generation, *key, data))


def put_into_redis(generation: int, packed: Mapping[SharedListKey, bytes], seconds: int) -> None:
    """Put packed lists into Redis, to expire after `seconds`. Raises redis.RedisError, Unavailable."""
    pipeline = get_redis().pipeline(transaction=False)
    for key, data in packed.items():
        pipeline.set(key.in_redis(generation), data, ex=seconds)
    pipeline.execute()


def read(session: Session, generation: int, key: SharedListKey) -> StoredList | None:
    """Return a list from PostgreSQL; None where the generation has none.

    Raises
    ------
    Invalid
        The list is of another format.
    """
    data = session.scalars(_READ, {"generation": generation, **key._asdict()}).one_or_none()
    return None if data is None else unpack(data)


def forget(session: Session, generation: int, lists: Sequence[SharedListKey]) -> None:
    """Delete lists that are out of date; the next request makes them again.

    Redis follows the commit, so that no reader brings back what PostgreSQL still had.
    """
    if not lists:
        return
    placements, subjects = [key.placement for key in lists], [key.subject for key in lists]
    session.execute(_FORGET, {"generation": generation, "placements": placements, "subjects": subjects})
    names = [key.in_redis(generation) for key in lists]
    after_commit(session, lambda: get_redis().unlink(*names))
