"""Makes the segment that a request describes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.registry import registry
from recsys import clock
from recsys.domains.products.catalogue import category_and_below
from recsys.errors import Invalid, NotFound
from serving.segments import by_history, by_model
from serving.segments.members import Segment, SegmentKind, kept

__all__ = ["BY_HISTORY", "MAX_MEMBERS", "OLD_DATA_DAYS", "SegmentRequest", "make"]

MAX_MEMBERS = 1_000_000
OLD_DATA_DAYS = 7
"""Days without an interaction after which days are counted from the newest one, not from now."""
_NEWEST = text("SELECT max(created_at) FROM recommendations_db.user_interactions WHERE created_at < :now")
_PRODUCTS = text(
    """
    SELECT id FROM products_db.products
    WHERE status = 'active' AND (id = ANY(:products) OR category_id = ANY(:categories) OR brand_id = :brand)
    ORDER BY id
    """
)
_CATEGORIES = text(
    "SELECT id, category_id, status IS NOT DISTINCT FROM 'active' AS is_on_sale FROM products_db.products "
    "ORDER BY id"
)


@dataclass(frozen=True)
class SegmentRequest:
    """Which segment.

    Attributes
    ----------
    product_ids, category_id, brand_id
        Of `buyers`: what is to be bought; of a category with all below it.
    user_ids
        Of `look-alikes`: whom the members are to be like.
    new
        Of `buyers`: only users without an interaction with the product.
    days
        Due within so many days (`replenishment`), or changed within them (`price-drop`, `back-in-stock`).
    looked_days
        Of `price-drop` and `back-in-stock`: the user looked at the product at most so many days ago.
    limit
        Members at most.
    as_of
        Of `replenishment`, `price-drop` and `back-in-stock`: the moment from which days are counted; None:
        now, or the newest interaction where that is older than `OLD_DATA_DAYS`. Changes of prices and stock
        then count from now all the same.
    """

    kind: SegmentKind
    product_ids: tuple[int, ...] = ()
    category_id: int | None = None
    brand_id: int | None = None
    user_ids: tuple[int, ...] = ()
    new: bool = False
    days: float = 7.0
    looked_days: float = 60.0
    limit: int = 1_000
    as_of: datetime | None = None


def make(session: Session, request: SegmentRequest) -> Segment:
    """Make the segment of this moment.

    Raises
    ------
    Invalid
        The request lacks what its kind needs, has a value out of range, or asks what the model cannot say.
    NotFound
        The category is unknown, or no model is active.
    Unavailable
        The model's artifact is damaged.
    """
    if not 1 <= request.limit <= MAX_MEMBERS:
        raise Invalid(f"limit: give 1 to {MAX_MEMBERS:,}", field="limit")
    for name in ("days", "looked_days"):
        if not 0 < getattr(request, name) <= 366:
            raise Invalid(f"{name}: give more than 0 and at most 366", field=name)
    if request.kind in BY_HISTORY:
        return _by_history(session, request)
    if request.as_of is not None:
        raise Invalid(
            f"as_of: {request.kind} speaks of the moment of the model's training; leave it out", field="as_of"
        )
    return _by_model(session, request)


BY_HISTORY = (SegmentKind.REPLENISHMENT, SegmentKind.PRICE_DROP, SegmentKind.BACK_IN_STOCK)


def _by_history(session: Session, request: SegmentRequest) -> Segment:
    now = clock.now()
    if request.as_of is not None and request.as_of > now:
        raise Invalid("as_of: give a moment that is not in the future", field="as_of")
    newest: datetime | None = session.scalar(_NEWEST, {"now": now}) if request.as_of is None else None
    is_old = newest is not None and newest < now - timedelta(days=OLD_DATA_DAYS)
    # the end of the newest interaction's moment: what happened in it belongs to the past
    as_of = request.as_of or (newest + timedelta(microseconds=1) if newest is not None and is_old else now)
    if request.kind is SegmentKind.REPLENISHMENT:
        members = by_history.due_replenishment(session, as_of, request.days, request.limit)
    else:
        of_kind = (
            by_history.lower_prices if request.kind is SegmentKind.PRICE_DROP else by_history.back_in_stock
        )
        # prices and stock change at the time of the clock, also in a shop whose interactions are old
        changed_by = request.as_of or now
        looked_since = as_of - timedelta(days=request.looked_days)
        members = of_kind(session, changed_by, request.days, looked_since, request.limit)
    return Segment(request.kind, None, members, as_of.astimezone(UTC), is_old)


def _by_model(session: Session, request: SegmentRequest) -> Segment:
    products = _wanted_products(session, request) if request.kind is SegmentKind.BUYERS else ()
    if request.kind is SegmentKind.LOOK_ALIKES and not request.user_ids:
        raise Invalid("user_id: name one user at least whom the others are to be like", field="user_id")
    active = registry.active(session)
    if active is None:
        raise NotFound("no model is active; train one with `recsys train run --all`")
    model, allowed = registry.load(active), _allowed(session)
    if request.kind is SegmentKind.BUYERS:
        ids = np.array(products, dtype=np.int64)
        members = by_model.likely_buyers(model, ids, request.limit, allowed, new=request.new)
    elif request.kind is SegmentKind.LOOK_ALIKES:
        like = np.array(sorted(set(request.user_ids)), dtype=np.int64)
        members = by_model.look_alikes(model, like, request.limit, allowed)
    else:
        rows = session.execute(_CATEGORIES).all()
        on_sale = np.array([row.id for row in rows if row.is_on_sale], dtype=np.int64)
        category_of = {row.id: row.category_id for row in rows if row.category_id is not None}
        members = by_model.next_categories(model, on_sale, category_of, request.limit, allowed)
    return Segment(request.kind, active.name, members)


def _wanted_products(session: Session, request: SegmentRequest) -> list[int]:
    """The products on sale that are meant. Raises Invalid where none is named or none of these is on sale."""
    if not request.product_ids and request.category_id is None and request.brand_id is None:
        raise Invalid("name a product, a category or a brand that is to be bought", field="product_id")
    categories = [] if request.category_id is None else category_and_below(session, request.category_id)
    values = {"products": list(request.product_ids), "categories": categories, "brand": request.brand_id}
    products = list(session.scalars(_PRODUCTS, values))
    if not products:
        raise Invalid("nothing of what is to be bought is on sale", field="product_id")
    return products


def _allowed(session: Session) -> Callable[[Collection[int]], set[int]]:
    return lambda users: kept(session, users)
