"""Views of products: the history, the count of the last day, and the trend."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID, uuid4

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, IPvAnyAddress
from redis.client import Pipeline
from redis.exceptions import RedisError
from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER, TIMESTAMP, VARCHAR
from sqlalchemy.orm import Session

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.after_commit import after_commit
from recsys.domains.products import service
from recsys.domains.products.tables import ProductView
from recsys.errors import NotFound, Unavailable
from recsys.events import inbox
from recsys.events.publish import publish_all
from recsys.events.vocabulary import ProductViewed
from recsys.log import get_logger
from recsys.privacy.consent import owners_of, refusing_personalisation, without_analytics
from recsys.write_buffer.batches import PostVerdict
from recsys.write_buffer.buffer import QueuedPost, Sender, store_or_queue
from recsys.write_buffer.group_commit import GroupCommit

__all__ = ["HALF_LIFE", "PostedView", "adopt", "recent_views", "record", "settle", "store_queued", "trending"]

HALF_LIFE = 86_400.0
"""Seconds after which a view counts half in `trending_products`."""
_log = get_logger(__name__)
# The domain of recommendations is above this one: plain SQL reads its table, so that one rule decides whose
# a guest's view is.
_LOG_INS = text(
    """
    SELECT session_id, array_agg(user_id ORDER BY logged_in_at, id) AS users,
        array_agg(logged_in_at ORDER BY logged_in_at, id) AS moments
    FROM recommendations_db.guest_logins WHERE session_id = ANY(:sessions) GROUP BY session_id
    """
).bindparams(bindparam("sessions", type_=ARRAY(VARCHAR)))
_SETTLE = text(
    """
    UPDATE products_db.product_view_history AS v SET user_id = (
        SELECT l.user_id FROM unnest(:users, :moments) WITH ORDINALITY AS l(user_id, logged_in_at, place)
        WHERE l.logged_in_at >= v.viewed_at ORDER BY l.place LIMIT 1
    )
    WHERE v.session_id = :session AND v.user_id IS NULL AND v.viewed_at <= ANY(:moments)
    """
).bindparams(
    bindparam("users", type_=ARRAY(INTEGER)), bindparam("moments", type_=ARRAY(TIMESTAMP(timezone=True)))
)
_DAY = 86_400
_KEPT = 10_000
_TRENDING = 1_000
# the weights of views double each half-life; long before they leave a float's range, all are scaled down
_RESCALE_AFTER = 64


class PostedView(BaseModel):
    """A view of a product as it is posted, and as it waits in the write buffer."""

    product_id: int
    user_id: int | None = None
    session_id: str | None = None
    ip_address: IPvAnyAddress | None = None
    user_agent: Annotated[str, AfterValidator(lambda agent: agent.replace("\x00", "")[:500])] | None = None
    viewed_at: AwareDatetime = Field(default_factory=clock.now)
    event_id: UUID = Field(default_factory=uuid4)


def record(view: PostedView, sender: Sender) -> bool:
    """Store a view in the history and count it for the trend; False when it was queued instead.

    Raises
    ------
    NotFound
        The product is hidden.
    Unavailable
        No server takes the view.
    """
    return store_or_queue("views", sender, _STORED, view, lambda: [view.model_dump(mode="json")]) is True


def _store_all(session: Session, views: Sequence[PostedView]) -> list[bool | Exception]:
    active = service.existing_ids(session, {view.product_id for view in views}, active=True)
    _store(session, [view for view in views if view.product_id in active])
    return [
        view.product_id in active or NotFound(f"There is no product {view.product_id}.") for view in views
    ]


_STORED = GroupCommit(_store_all)


def store_queued(session: Session, posts: Sequence[QueuedPost]) -> list[PostVerdict]:
    """Store views of the write buffer; a verdict for each."""
    views = [
        PostedView.model_validate(post.piece | ({} if post.user_id is None else {"user_id": post.user_id}))
        for post in posts
    ]
    existing = service.existing_ids(session, {view.product_id for view in views})
    fresh = _store(session, [view for view in views if view.product_id in existing])
    gone = "product_id: no such product"
    return [
        PostVerdict(index=place, status="refused", reason=gone)
        if view.product_id not in existing
        else PostVerdict(index=place, status="stored" if view.event_id in fresh else "duplicate")
        for place, view in enumerate(views)
    ]


def _store(session: Session, views: Sequence[PostedView]) -> set[UUID]:
    """Store views, each once; the event ids of the new ones."""
    fresh = inbox.receive(session, "views", {view.event_id for view in views})
    rows = {view.event_id: view for view in views if view.event_id in fresh}
    owners = {owner for view in rows.values() for owner in owners_of(view.user_id, view.session_id)}
    refusing = without_analytics(session, owners)
    # nearly always nobody: then nothing more is read
    impersonal = refusing_personalisation(session, owners) if refusing else set()
    for view in rows.values():
        # counted like every view, without its visitor where they refuse analytics
        is_named = refusing.isdisjoint(owners_of(view.user_id, view.session_id))
        session.add(
            ProductView(
                product_id=view.product_id,
                user_id=view.user_id if is_named else None,
                session_id=view.session_id if is_named else None,
                ip_address=view.ip_address if is_named else None,
                user_agent=view.user_agent if is_named else None,
                viewed_at=view.viewed_at,
            )
        )
    events = []
    for event_id, view in rows.items():
        # from an event that names its visitor, consumers store an interaction, which lists are made from
        visitor = owners_of(view.user_id, view.session_id)
        is_named = refusing.isdisjoint(visitor) or impersonal.isdisjoint(visitor)
        event = ProductViewed(
            product_id=view.product_id,
            user_id=view.user_id if is_named else None,
            session_id=view.session_id if is_named else None,
            occurred=view.viewed_at,
        )
        events.append((event_id, event))
    publish_all(session, events)
    after_commit(session, lambda: _count_all(rows.values()))
    return fresh


def recent_views(product_id: int) -> int | None:
    """The number of views of a product in the last 24 hours; None while Redis does not answer."""
    now = clock.now().timestamp()
    try:
        return int(get_redis().zcount(keys.product_views(product_id), now - _DAY, "+inf"))
    except (RedisError, OSError, Unavailable):
        return None


def trending(session: Session, limit: int) -> list[int]:
    """Ids of products by their views, each weighted by half for every half-life of its age.

    Without Redis: by the number of their views among the last 10,000.
    """
    try:
        return _ranked(limit)
    except (RedisError, OSError, Unavailable) as error:
        _log.warning("the trend is read from PostgreSQL: Redis did not answer", error=type(error).__name__)
    last = select(ProductView.product_id).order_by(ProductView.id.desc()).limit(_KEPT).subquery()
    ranked = session.scalars(
        select(last.c.product_id)
        .where(last.c.product_id.is_not(None))
        .group_by(last.c.product_id)
        .order_by(func.count().desc(), last.c.product_id)
        .limit(limit)
    )
    return list(ranked)


def _ranked(limit: int) -> list[int]:
    members: list[bytes] = get_redis().zrevrange(keys.trending_products(), 0, limit - 1)  # type: ignore[assignment]
    return [int(member) for member in members]


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
    for row in session.execute(_LOG_INS, {"sessions": sorted(set(guest_sessions))}).all():
        session.execute(_SETTLE, {"session": row.session_id, "users": row.users, "moments": row.moments})


def _count_all(views: Iterable[PostedView]) -> None:
    for view in views:
        _count(view.product_id, view.viewed_at.timestamp())


def _count(product_id: int, now: float) -> None:
    """Add a view to the count of the day and to the trend.

    A view adds 2^(seconds since the landmark / half-life), so that older views need not be scaled down at
    each view (forward decay: Cormode et al., ICDE 2009); the order is the same at any time.
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
