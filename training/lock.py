"""One training at a time for one database, and one search per study, by any process."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from recsys.database.session import session_connection
from recsys.errors import Conflict

__all__ = ["TRAINING_LOCK", "training_lock", "tuning_lock"]

TRAINING_LOCK = 7_290_312
TUNING_LOCKS = 7_290_314
"""First half of the keys of searches; the second comes from the study's name."""


@contextmanager
def training_lock() -> Iterator[None]:
    """Hold the advisory lock; the server releases it by itself should this process die.

    Raises
    ------
    Conflict
        When another training holds it.
    Unavailable
        When PostgreSQL cannot be reached.
    """
    busy = "another training is running on this database; wait for it to end, then start this one again"
    with _held("(%(key)s::bigint)", {"key": TRAINING_LOCK}, busy):
        yield


@contextmanager
def tuning_lock(study: str) -> Iterator[None]:
    """The same for one study: a search takes an hour and registers nothing, so trainings go on beside it."""
    busy = f"the search {study} is running already; wait for it to end, or stop it, then go on with it"
    half = zlib.crc32(study.encode()) - 2**31  # PostgreSQL's int4 has a sign
    with _held("(%(first)s::int, %(second)s::int)", {"first": TUNING_LOCKS, "second": half}, busy):
        yield


@contextmanager
def _held(key: str, values: Mapping[str, int], busy: str) -> Iterator[None]:
    with session_connection() as connection:
        found = connection.execute(f"SELECT pg_try_advisory_lock{key}".encode(), values).fetchone()
        if found is None or not found[0]:
            raise Conflict(busy)
        try:
            yield
        finally:
            connection.execute(f"SELECT pg_advisory_unlock{key}".encode(), values)
