"""Going back to lists of before, though users did something since: Redis is told of it anew."""

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
"""What happened so long before may have been told of, and stored, only after the lists were made."""
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
    """Around the switch back to the kept lists of `model`, if there are any. Raises Unavailable (PostgreSQL).

    Newer lists knew what users did until they were made, and Redis was told to forget it. Who did anything
    since the older ones were made gets their list made anew with the next answer.
    """
    with unit_of_work() as session:
        kept = generations.former(session)
    if kept is None or kept.model != model:
        yield
        return
    before = clock.now()
    _remember(kept.started_at)
    yield
    # a list that was stored anew meanwhile had Redis forget again
    _remember(before)


def _remember(since: datetime) -> None:
    try:
        with unit_of_work() as session:
            rows = session.execute(
                _SINCE, {"since": since - _SLACK}, execution_options={"yield_per": _AT_ONCE}
            )
            waiting: defaultdict[int, set[str]] = defaultdict(set)
            for user, deeds in groupby(rows, key=itemgetter(0)):
                for _, product, bought, dismissed in deeds:
                    waiting[user] |= recent.members(product, bought=bought, dismissed=dismissed)
                if len(waiting) >= _AT_ONCE:
                    recent.add(waiting)
                    waiting.clear()
            recent.add(waiting)
    except (RedisError, OSError, Unavailable) as error:
        _log.error(
            "Redis was not told what users did since these lists were made: some may show what they bought",
            error=str(error),
        )
