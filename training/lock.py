"""One training at a time for one database, whatever process or machine starts it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text

from recsys.database.session import database_url, get_engine, reaching
from recsys.errors import Conflict

__all__ = ["training_lock"]

TRAINING_LOCK = 7_290_312


@contextmanager
def training_lock() -> Iterator[None]:
    """Hold the advisory lock; the server releases it by itself should this process die.

    Raises Conflict when another training holds it, Unavailable when PostgreSQL cannot be reached.
    """
    with reaching(database_url()):
        connection = get_engine().connect().execution_options(isolation_level="AUTOCOMMIT")
    try:
        if not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": TRAINING_LOCK}):
            raise Conflict(
                "another training is running on this database; wait for it to end, then start this one again"
            )
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": TRAINING_LOCK})
    finally:
        connection.close()
