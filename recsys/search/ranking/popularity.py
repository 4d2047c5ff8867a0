"""Popularity of products: the logarithm of their weighted interactions, with a half-life.

It is a column of PostgreSQL's documents. A reindex computes it for all products as of the same time; in
between, `follow` recomputes it for products with new interactions from all of theirs, so repeating it changes
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.after_commit import after_commit
from recsys.settings import get_settings

__all__ = ["EVERY", "LATE", "MOST", "follow", "follow_now_and_then", "popularity_of"]

EVERY = timedelta(minutes=1)
"""The shortest time between two updates of popularity."""

MOST = 1000
"""Interactions that one update reads; the next update continues there."""
LATE = timedelta(minutes=1)
"""How long after its timestamp an interaction may be committed."""

_RECENT = text(
    """
    SELECT product_id, created_at FROM recommendations_db.user_interactions
    WHERE created_at > :since ORDER BY created_at LIMIT :most
    """
)
_LIKED = text(
    """
    WITH weights AS (
        SELECT * FROM unnest(CAST(:kinds AS text[]), CAST(:weights AS float8[])) AS given(kind, weight)
    ), moment AS (
        SELECT max(created_at) AS newest FROM recommendations_db.user_interactions
    )
    SELECT i.product_id, CAST(ln(1 + greatest(0, sum(
               w.weight * exp(-ln(2) * date_part('epoch', m.newest - i.created_at) / 86400
                              / CAST(:half_life AS float8))))) AS real) AS popularity
    FROM recommendations_db.user_interactions i
    JOIN weights w ON w.kind = i.interaction_type CROSS JOIN moment m
    WHERE CAST(:products AS integer[]) IS NULL OR i.product_id = ANY(:products)
    GROUP BY i.product_id
    """
)
_FOLLOW = text(
    """
    WITH changed AS (
        SELECT p.product_id, liked.popularity
        FROM products_db.product_search p
        JOIN unnest(CAST(:products AS integer[]), CAST(:popularity AS real[]))
            AS liked(product_id, popularity) USING (product_id)
        WHERE abs(p.popularity - liked.popularity) > 0.001
        -- a document that another transaction writes is skipped; its popularity follows the next time
        FOR NO KEY UPDATE OF p SKIP LOCKED
    )
    UPDATE products_db.product_search p SET popularity = changed.popularity
    FROM changed WHERE p.product_id = changed.product_id
    """
)


def popularity_of(session: Session, products: Sequence[int] | None = None) -> dict[str, list[Any]]:
    """Popularity of products with interactions.

    Parameters
    ----------
    products
        Their ids; None: all.

    Returns
    -------
    dict of str to list
        `products` and, in their order, `popularity`, as parameters of a statement.
    """
    features = get_settings().features
    values = {
        "kinds": list(features.weights),
        "weights": list(features.weights.values()),
        "half_life": features.half_life_days,
        "products": None if products is None else list(products),
    }
    rows = session.execute(_LIKED, values).all()
    return {"products": [row.product_id for row in rows], "popularity": [row.popularity for row in rows]}


def follow_now_and_then(session: Session, occurred_at: datetime) -> bool:
    """Follow the interactions since the last update, if that was a minute ago; whether it did.

    Redis stores where the last update ended.

    Parameters
    ----------
    session
        In whose transaction it does.
    occurred_at
        Time of an interaction; if Redis has no last update, the update begins an hour before it.
    """
    now = clock.now()
    since, looked = _ended(occurred_at)
    if now - looked < EVERY:
        return False
    until = follow(session, since, now)
    after_commit(
        session, lambda: get_redis().set(keys.search_popularity(), f"{until.isoformat()} {now.isoformat()}")
    )
    return True


def _ended(occurred_at: datetime) -> tuple[datetime, datetime]:
    stored = get_redis().get(keys.search_popularity())
    if stored is None:
        return occurred_at - timedelta(hours=1), datetime.min.replace(tzinfo=UTC)
    since, looked = (stored if isinstance(stored, str) else stored.decode("ascii")).split()
    return datetime.fromisoformat(since), datetime.fromisoformat(looked)


def follow(session: Session, since: datetime, now: datetime, *, most: int = MOST) -> datetime:
    """Recompute products with interactions after `since`; the time at which the next call has to begin."""
    recent = session.execute(_RECENT, {"since": since, "most": most}).all()
    if recent:
        session.execute(_FOLLOW, popularity_of(session, sorted({row.product_id for row in recent})))
    if len(recent) < most:
        return max(since, now - LATE)
    last: datetime = recent[-1].created_at
    return last
