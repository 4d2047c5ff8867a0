"""Keeps the products in memory current: what changed at once, all of it now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys.log import get_logger
from recsys.settings import get_settings
from serving.catalogue.catalogue import Catalogue, Row, inherit

__all__ = ["FULL_RELOAD_SECONDS", "CatalogueRefresher"]

FULL_RELOAD_SECONDS = 300.0
"""Only deleted variants need it; it costs a second of a processor at 100,000 products."""
_TOGETHER = 2_000
"""Rows of the full reload that are in memory at a time."""
_log = get_logger(__name__)

_SELECT = """
    SELECT p.id, p.name, p.price, coalesce(p.category_id, -1), coalesce(p.brand_id, -1),
           coalesce(CAST(extract(epoch FROM p.created_at) AS double precision), 0),
           coalesce(p.status = 'active', false)
               AND (NOT coalesce(p.track_inventory, true) OR coalesce(v.sellable, true)),
           NOT coalesce(p.track_inventory, true) OR coalesce(v.stocked, true),
           coalesce(p.tags, CAST('{{}}' AS text[]))
    FROM products_db.products p
    LEFT JOIN (
        SELECT product_id,
               bool_or(coalesce(inventory_quantity, 0) > 0 OR coalesce(inventory_policy = 'continue', false)
                       OR NOT coalesce(inventory_tracking, true)) AS sellable,
               bool_or(coalesce(inventory_quantity, 0) > 0
                       OR NOT coalesce(inventory_tracking, true)) AS stocked
        FROM products_db.product_variants {variants} GROUP BY product_id
    ) v ON v.product_id = p.id
    {products}
    ORDER BY p.id
"""
_ALL = text(_SELECT.format(variants="", products=""))
_SOME = text(_SELECT.format(variants="WHERE product_id = ANY(:ids)", products="WHERE p.id = ANY(:ids)"))
# xmin names the transaction that wrote a row: whoever changes a product or its stock, by whatever program,
# is noticed, with no column to keep up to date. Frozen rows are older than any mark.
_CHANGED = text(
    """
    SELECT id FROM products_db.products WHERE age(xmin) <= age(CAST(CAST(:low AS xid8) AS xid))
    UNION
    SELECT product_id FROM products_db.product_variants
    WHERE age(xmin) <= age(CAST(CAST(:low AS xid8) AS xid)) AND product_id IS NOT NULL
    """
)
_MARK = text("SELECT CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text)")
_COUNT = text("SELECT count(*) FROM products_db.products")
_CATEGORIES = text(
    """
    SELECT c.id, c.parent_id, p.repeat_purchases
    FROM products_db.categories c LEFT JOIN recommendations_db.category_policies p ON p.category_id = c.id
    ORDER BY c.id
    """
)

_Categories = dict[int, tuple[int | None, bool | None]]


class CatalogueRefresher:
    """Keeps one `Catalogue` current; its methods may be called by any thread, one after the other."""

    def __init__(self) -> None:
        self.current = Catalogue.of([])
        self._categories: _Categories = {}
        self._default = True
        self._mark: str | None = None
        self._loaded_at = 0.0
        self._lock = threading.Lock()

    def refresh(self, session: Session) -> bool:
        """Bring `current` up to date; True when something changed.

        Deleted variants are noticed by the full reload only, everything else at once.
        """
        with self._lock:
            return self._refresh(session)

    def _refresh(self, session: Session) -> bool:
        started = time.monotonic()
        # the mark is read before the rows: what commits in between is read twice rather than never
        mark = session.scalars(_MARK).one()
        default = get_settings().serving.repeat_purchases
        categories = {row.id: (row.parent_id, row.repeat_purchases) for row in session.execute(_CATEGORIES)}
        before = self.current
        whole = (
            self._mark is None
            or started - self._loaded_at > FULL_RELOAD_SECONDS
            or (categories, default) != (self._categories, self._default)
        )
        changed: list[int] = []
        if not whole:
            changed = list(session.scalars(_CHANGED, {"low": self._mark}))
            count = session.scalars(_COUNT).one()
            new = int((before.rows(changed) < 0).sum()) if changed else 0
            gone = len(before) + new != count
            whole = gone or len(changed) > 0.02 * count + 1000
        if whole:
            self._load(session, categories, default)
            self._loaded_at = started
        elif changed:
            self._patch(session, changed)
        self._mark, self._categories, self._default = mark, categories, default
        if self.current is not before:
            _log.debug("catalogue refreshed", products=len(self.current), whole=whole, changed=len(changed))
        return self.current is not before

    def refresh_products(self, session: Session, products: Collection[int]) -> bool:
        """Bring some products up to date at once, of which an event told; True when something changed."""
        with self._lock:
            before = self.current
            if self._mark is not None:
                self._patch(session, products)
            return self.current is not before

    def _load(self, session: Session, categories: _Categories, default: bool) -> None:
        rows = session.execute(_ALL, execution_options={"yield_per": _TOGETHER})
        fresh = Catalogue.read(
            (_row(row) for row in rows),
            inherit(categories, default),
            default,
            {category: parent for category, (parent, _) in categories.items()},
        )
        # an equal one would be a copy that this process does not share with others, and all made from it too
        if not fresh.same_as(self.current):
            self.current = fresh

    def _patch(self, session: Session, products: Collection[int]) -> None:
        known = self.current
        found = [_row(row) for row in session.execute(_SOME, {"ids": sorted(products)})]
        differing = [row for row in found if row != _row_of(known, row.id)]
        there = {row.id for row in found}
        if any(one not in there and known.row(one) >= 0 for one in products):
            self._load(session, self._categories, self._default)  # deleted
        elif differing:
            self.current = known.with_rows(differing)


def _row(row: Sequence[Any]) -> Row:
    product, name, price, category, brand, created, shown, stocked, tags = row
    return Row(product, name, float(price), category, brand, created, shown, stocked, tuple(tags))


def _row_of(catalogue: Catalogue, product: int) -> Row | None:
    place = catalogue.row(product)
    if place < 0:
        return None
    return Row(
        product,
        catalogue.names[place],
        float(catalogue.price[place]),
        int(catalogue.category[place]),
        int(catalogue.brand[place]),
        float(catalogue.created[place]),
        bool(catalogue.shown[place]),
        bool(catalogue.stocked[place]),
        catalogue.tags_of(place),
    )
