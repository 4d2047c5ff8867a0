"""Who looked at what: the history, the last day's views, and what trends now."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from ipaddress import ip_address
from uuid import uuid4

from redis.client import Pipeline
from redis.exceptions import RedisError
from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, VARCHAR
from sqlalchemy.orm import Session

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.after_commit import after_commit
from recsys.domains.products import service
from recsys.domains.products.tables import ProductView
from recsys.errors import NotFound, Unavailable
from recsys.events.publish import publish
from recsys.events.vocabulary import ProductViewed
from recsys.log import get_logger

__all__ = ["HALF_LIFE", "adopt", "record", "settle", "trending", "views_of_late"]

HALF_LIFE = 86_400.0
"""After so many seconds a view counts half in `trending_products`."""
_log = get_logger(__name__)
# Recommendations lie above products: of their table is asked by plain SQL, so that both have one rule for
# whose a guest's deed is.
_LOGGED_IN = text(
    """
    SELECT given.session_id FROM unnest(:sessions) AS given(session_id)
    WHERE EXISTS (
        SELECT FROM recommendations_db.guest_logins l WHERE l.session_id = given.session_id OFFSET 0
    )
    """
).bindparams(bindparam("sessions", type_=ARRAY(VARCHAR)))
_SETTLE = text(
    """
    UPDATE products_db.product_view_history AS v SET user_id = (
        SELECT l.user_id FROM recommendations_db.guest_logins AS l
        WHERE l.session_id = v.session_id AND l.logged_in_at >= v.viewed_at
        ORDER BY l.logged_in_at, l.id LIMIT 1
    )
    WHERE v.session_id = :session AND v.user_id IS NULL AND EXISTS (
        SELECT FROM recommendations_db.guest_logins AS l
        WHERE l.session_id = v.session_id AND l.logged_in_at >= v.viewed_at
    )
    """
)
_DAY = 86_400
_KEPT = 10_000
_TRENDING = 1_000
# the weights of views double each half-life; long before they leave a float's range, all are scaled down
_RESCALE_AFTER = 64


def record(
    session: Session,
    product_id: int,
    *,
    user_id: int | None,
    session_id: str | None,
    address: str | None,
    agent: str | None,
) -> None:
    """Note a look at a product, in the history and for what trends. Raises NotFound for a hidden one."""
    if service.get(session, product_id).status != "active":
        raise NotFound(f"There is no product {product_id}.")
    now = clock.now()
    session.add(
        ProductView(
            product_id=product_id,
            user_id=user_id,
            session_id=session_id,
            ip_address=None if address is None else ip_address(address),
            user_agent=None if agent is None else agent[:500],
            viewed_at=now,
        )
    )
    publish(
        session,
        ProductViewed(product_id=product_id, user_id=user_id, session_id=session_id, occurred=now),
    )
    after_commit(session, lambda: _count(product_id, now.timestamp()))


def views_of_late(product_id: int) -> int | None:
    """How often a product was looked at within the last 24 hours; None while Redis does not answer."""
    now = clock.now().timestamp()
    try:
        return int(get_redis().zcount(keys.product_views(product_id), now - _DAY, "+inf"))
    except (RedisError, OSError, Unavailable):
        return None


def trending(session: Session, limit: int) -> list[int]:
    """Ids of products by their views of late, each halved with every half-life since.

    Without Redis: by how often they are among the last 10,000 views.
    """
    try:
        return _ranked(limit)
    except (RedisError, OSError, Unavailable) as error:
        _log.warning("what trends comes from PostgreSQL: Redis did not answer", error=type(error).__name__)
    last = select(ProductView.product_id).order_by(ProductView.id.desc()).limit(_KEPT).subquery()
    found = session.scalars(
        select(last.c.product_id)
        .where(last.c.product_id.is_not(None))
        .group_by(last.c.product_id)
        .order_by(func.count().desc(), last.c.product_id)
        .limit(limit)
    )
    return list(found)


def _ranked(limit: int) -> list[int]:
    found: list[bytes] = get_redis().zrevrange(keys.trending_products(), 0, limit - 1)  # type: ignore[assignment]
    return [int(one) for one in found]


def adopt(session: Session, guest_session: str, user_id: int, until: datetime | None = None) -> int:
    """Give a guest's views (up to `until`) to the user who logged in with that session; how many."""
    query = (
        update(ProductView)
        .where(ProductView.session_id == guest_session, ProductView.user_id.is_(None))
        .values(user_id=user_id)
    )
    if until is not None:
        query = query.where(ProductView.viewed_at <= until)
    return int(session.execute(query).rowcount)  # type: ignore[attr-defined]


def settle(session: Session, guest_sessions: Collection[str]) -> None:
    """Give guests' stored views to the first user who logged in with the session after each of them."""
    for known in session.scalars(_LOGGED_IN, {"sessions": sorted(set(guest_sessions))}).all():
        session.execute(_SETTLE, {"session": known})


def _count(product_id: int, now: float) -> None:
    """Add the view to the day's, and to what trends.

    A view adds 2^(seconds since the landmark / half-life) instead of all older ones being scaled down at
    each view (forward decay: Cormode et al., ICDE 2009): the order is the same at any moment.
    """
    viewed, trend, mark = keys.product_views(product_id), keys.trending_products(), keys.trending_landmark()

    def add(pipeline: Pipeline) -> None:
        since = pipeline.get(mark)
        landmark = now if since is None else float(since)
        age = (now - landmark) / HALF_LIFE
        pipeline.multi()
        if age > _RESCALE_AFTER:
            pipeline.zunionstore(trend, {trend: 2.0**-age})
            landmark, age = now, 0.0
        if since is None or landmark == now:
            pipeline.set(mark, repr(landmark))
        pipeline.zincrby(trend, 2.0**age, product_id)
        pipeline.zremrangebyrank(trend, 0, -_TRENDING - 1)
        pipeline.zadd(viewed, {uuid4().hex: now})
        pipeline.zremrangebyscore(viewed, "-inf", now - _DAY)
        pipeline.zremrangebyrank(viewed, 0, -_KEPT - 1)
        pipeline.expire(viewed, _DAY)

    get_redis().transaction(add, mark)
