"""How popular products are: weighted, faded interactions, counted anew for what somebody did something with.

The documents of PostgreSQL carry it. A reindex counts for all products, and fades all of them by the same
moment; in between, `follow` counts for those that were touched, all of each, so that doing it twice changes
nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.after_commit import after_commit
from recsys.settings import get_settings

__all__ = ["EVERY", "LATE", "LIKED", "MOST", "follow", "follow_now_and_then", "values"]

EVERY = timedelta(minutes=1)
"""Popularity follows once in this time, however much is done."""

MOST = 1000
"""So many interactions are looked at in one go; the next goes on where it ended."""
LATE = timedelta(minutes=1)
"""An interaction may be committed so long after the moment that it carries."""

LIKED = """
    weights AS (
        SELECT * FROM unnest(CAST(:kinds AS text[]), CAST(:weights AS float8[])) AS given(kind, weight)
    ), moment AS (
        SELECT max(created_at) AS newest FROM recommendations_db.user_interactions
    ), liked AS (
        SELECT i.product_id, CAST(ln(1 + greatest(0, sum(
                   w.weight * exp(-ln(2) * date_part('epoch', m.newest - i.created_at) / 86400
                                  / CAST(:half_life AS float8))))) AS real) AS popularity
        FROM recommendations_db.user_interactions i
        JOIN weights w ON w.kind = i.interaction_type CROSS JOIN moment m
        {which}
        GROUP BY i.product_id
    )
"""
"""The popularity of all products that anybody did something with, or of `which`."""

_FOLLOW = text(
    f"""
    WITH recent AS MATERIALIZED (
        SELECT product_id, created_at FROM recommendations_db.user_interactions
        WHERE created_at > :since ORDER BY created_at LIMIT :most
    ), {LIKED.format(which="WHERE i.product_id IN (SELECT product_id FROM recent)")}, changed AS (
        SELECT p.product_id, liked.popularity
        FROM products_db.product_search p JOIN liked USING (product_id)
        WHERE abs(p.popularity - liked.popularity) > 0.001
        -- who writes a document meanwhile need not wait; its popularity follows the next time
        FOR NO KEY UPDATE OF p SKIP LOCKED
    ), stored AS (
        UPDATE products_db.product_search p SET popularity = changed.popularity
        FROM changed WHERE p.product_id = changed.product_id
    )
    SELECT count(*) AS seen, max(created_at) AS last FROM recent
    """  # noqa: S608
)


def values() -> dict[str, Any]:
    """What LIKED has to be given: the weights and the half-life of the features."""
    features = get_settings().features
    return {
        "kinds": list(features.weights),
        "weights": list(features.weights.values()),
        "half_life": features.half_life_days,
    }


def follow_now_and_then(session: Session, heard_at: datetime) -> bool:
    """Follow what was done since the last time, if that is a minute ago; whether it did.

    Where it ended is kept in Redis.

    heard_at : when something was done; without Redis' memory, an hour before it counts as looked at.
    """
    now = clock.now()
    since, looked = _ended(heard_at)
    if now - looked < EVERY:
        return False
    until = follow(session, since, now)
    after_commit(
        session, lambda: get_redis().set(keys.search_popularity(), f"{until.isoformat()} {now.isoformat()}")
    )
    return True


def _ended(heard_at: datetime) -> tuple[datetime, datetime]:
    held = get_redis().get(keys.search_popularity())
    if held is None:
        return heard_at - timedelta(hours=1), datetime.min.replace(tzinfo=UTC)
    since, looked = (held if isinstance(held, str) else held.decode("ascii")).split()
    return datetime.fromisoformat(since), datetime.fromisoformat(looked)


def follow(session: Session, since: datetime, now: datetime, *, most: int = MOST) -> datetime:
    """Count anew for products of interactions after `since`; where the next call has to begin."""
    row = session.execute(_FOLLOW, {"since": since, "most": most, **values()}).one()
    last: datetime = row.last
    return last if row.seen == most else max(since, now - LATE)
