"""Rollback to former lists: Redis receives the interactions since those lists were made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter

from redis.exceptions import RedisError
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, VARCHAR

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.interactions import recent
from recsys.domains.recommendations.stored_lists import generations
from recsys.errors import Unavailable
from recsys.log import get_logger

__all__ = ["returning"]

_SLACK = timedelta(minutes=10)
"""Interactions of so long before the lists may have been stored only after the lists were made."""
_AT_ONCE = 5_000
_log = get_logger(__name__)
_SINCE = text(
    """
    SELECT user_id, product_id,
           bool_or(interaction_type = 'purchase') AS bought,
           coalesce(
               max(created_at) FILTER (
                   WHERE interaction_type = 'dismissed' AND coalesce(interaction_value, 1) >= 0)
               > coalesce(
                   max(created_at) FILTER (
                       WHERE interaction_type = ANY(:takes_back)
                          OR interaction_type = 'dismissed' AND interaction_value < 0),
                   '-infinity'),
               false) AS dismissed
    FROM recommendations_db.user_interactions WHERE created_at >= :since AND user_id IS NOT NULL
    GROUP BY user_id, product_id ORDER BY user_id
    """
).bindparams(bindparam("takes_back", sorted(recent.TAKES_BACK), type_=ARRAY(VARCHAR)))


@contextmanager
def returning(model: str) -> Iterator[None]:
    """Wrap the switch back to the former lists of `model`, if there are any.

    The newer lists included the interactions until they were made, so Redis dropped those. A user with
    interactions since the former lists were made gets a list ranked live at the next request.

    Raises
    ------
    Unavailable
        PostgreSQL does not answer.
    """
    with unit_of_work() as session:
        kept = generations.former(session)
    if kept is None or kept.model != model:
        yield
        return
    before = clock.now()
    _remember(kept.started_at)
    yield
    # a list that was refreshed meanwhile made Redis drop members again
    _remember(before)


def _remember(since: datetime) -> None:
    try:
        with unit_of_work() as session:
            rows = session.execute(
                _SINCE, {"since": since - _SLACK}, execution_options={"yield_per": _AT_ONCE}
            )
            waiting: defaultdict[int, set[str]] = defaultdict(set)
            for user, interactions in groupby(rows, key=itemgetter(0)):
                for _, product, bought, dismissed in interactions:
                    waiting[user] |= recent.members(product, bought=bought, dismissed=dismissed)
                if len(waiting) >= _AT_ONCE:
                    recent.add(waiting)
                    waiting.clear()
            recent.add(waiting)
    except (RedisError, OSError, Unavailable) as error:
        _log.error(
            "Redis did not take the interactions since these lists were made: lists may show bought products",
            error=str(error),
        )
