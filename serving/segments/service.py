"""Makes the segment that a request describes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.registry import registry
from recsys import clock
from recsys.domains.products.catalogue import category_and_below
from recsys.errors import Invalid, NotFound
from serving.segments import by_history, by_model
from serving.segments.members import Segment, SegmentKind, kept

__all__ = ["MAX_MEMBERS", "SegmentRequest", "make"]

MAX_MEMBERS = 1_000_000
_PRODUCTS = text(
    """
    SELECT id FROM products_db.products
    WHERE status = 'active' AND (id = ANY(:products) OR category_id = ANY(:categories) OR brand_id = :brand)
    ORDER BY id
    """
)
_ON_SALE = text("SELECT id, category_id FROM products_db.products WHERE status = 'active' ORDER BY id")


@dataclass(frozen=True)
class SegmentRequest:
    """Which segment.

    product_ids, category_id, brand_id : of `buyers`: what is to be bought; of a category with all below it.
    user_ids : of `look-alikes`: whom the members are to be like.
    new : of `buyers`: only users without an interaction with the product.
    days : due within (`replenishment`), or changed within (`price-drop`, `back-in-stock`).
    looked_days : of the last two: the user looked at the product at most so many days ago.
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


def make(session: Session, request: SegmentRequest) -> Segment:
    """Make the segment of this moment.

    Raises Invalid for a request without what its kind needs, NotFound for an unknown category or where no
    model is active, Unavailable where the model's artifact is damaged.
    """
    if not 1 <= request.limit <= MAX_MEMBERS:
        raise Invalid(f"limit: give 1 to {MAX_MEMBERS:,}", field="limit")
    for name in ("days", "looked_days"):
        if not 0 < getattr(request, name) <= 366:
            raise Invalid(f"{name}: give more than 0 and at most 366", field=name)
    now = clock.now()
    if request.kind is SegmentKind.REPLENISHMENT:
        members = by_history.due_replenishment(session, now, request.days, request.limit)
        return Segment(request.kind, None, members)
    if request.kind in (SegmentKind.PRICE_DROP, SegmentKind.BACK_IN_STOCK):
        of_kind = (
            by_history.lower_prices if request.kind is SegmentKind.PRICE_DROP else by_history.back_in_stock
        )
        return Segment(
            request.kind, None, of_kind(session, now, request.days, request.looked_days, request.limit)
        )
    return _by_model(session, request)


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
        rows = session.execute(_ON_SALE).all()
        on_sale = np.array([row.id for row in rows], dtype=np.int64)
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
