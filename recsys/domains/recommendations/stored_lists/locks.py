"""Locks: one process at a time changes the serving model or generation, and one writes lists.

They are held on the server of the lists, whose transactions end last.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg import sql
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from recsys.database.addresses import libpq_url_of
from recsys.domains.recommendations.tables import RecommendationGeneration
from recsys.errors import Conflict, Unavailable

__all__ = ["only_one_promotion", "only_one_scoring", "share_scoring"]

_PROMOTION_LOCK = 7_290_311
_SCORING_LOCK = 7_290_321
"""Advisory lock: held by the session that writes all lists, shared by transactions that refresh some."""
_PATIENCE_SECONDS = 5.0
_OF_LISTS = {"mapper": RecommendationGeneration}


def only_one_promotion(session: Session) -> None:
    """Wait until nobody else changes which model or generation serves; held until the transaction ends."""
    session.execute(select(func.pg_advisory_xact_lock(_PROMOTION_LOCK)), bind_arguments=_OF_LISTS)


def share_scoring(session: Session) -> bool:
    """Keep a scoring from its start until the transaction ends; False where one runs."""
    taken = select(func.pg_try_advisory_xact_lock_shared(_SCORING_LOCK))
    return bool(session.scalars(taken, bind_arguments=_OF_LISTS).one())


@contextmanager
def only_one_scoring(*, wait: bool = False) -> Iterator[None]:
    """Hold the lock of writing lists. Raises Conflict when another process holds it and not `wait`."""
    try:
        connection = psycopg.connect(libpq_url_of("recommendations"), autocommit=True)
    except psycopg.OperationalError as error:
        raise Unavailable(
            f"PostgreSQL cannot be reached: {error}; `recsys up` starts the embedded one"
        ) from error
    with connection:
        # a refresh of some lists holds it for a moment, and is no reason to refuse the scoring of a night
        seconds = 0.0 if wait else _PATIENCE_SECONDS
        connection.execute(sql.SQL("SET lock_timeout = {}").format(int(seconds * 1000)))
        try:
            connection.execute("SELECT pg_advisory_lock(%s)", [_SCORING_LOCK])
        except psycopg.errors.LockNotAvailable:
            raise Conflict("another scoring is running; wait for it to end, then run this again") from None
        try:
            yield
        finally:
            # the server notices a closed connection a little later: who comes next would be refused
            with suppress(psycopg.OperationalError):
                connection.execute("SELECT pg_advisory_unlock(%s)", [_SCORING_LOCK])
