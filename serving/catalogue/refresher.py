"""Keeps the catalogue in memory current: changed products often, all products now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys.log import get_logger
from recsys.settings import get_settings
from serving.catalogue.catalogue import Catalogue, CatalogueRow, inherit_policies

__all__ = ["FULL_RELOAD_SECONDS", "CatalogueRefresher"]

FULL_RELOAD_SECONDS = 300.0
"""Only deleted variants and images need a full reload; it takes a second of CPU time at 100,000 products."""
_CHUNK_ROWS = 2_000
"""Rows of a full reload that are in memory at a time."""
_log = get_logger(__name__)

_SELECT = """
    SELECT p.id, p.name, p.price, coalesce(p.category_id, -1), coalesce(p.brand_id, -1),
           coalesce(CAST(extract(epoch FROM p.created_at) AS double precision), 0),
           coalesce(p.status = 'active', false)
               AND (NOT coalesce(p.track_inventory, true) OR coalesce(v.sellable, true)),
           NOT coalesce(p.track_inventory, true) OR coalesce(v.stocked, true),
           coalesce(p.tags, CAST('{{}}' AS text[])),
           CAST(jsonb_build_array(p.sku, p.slug, p.compare_price, i.src, b.name, c.name, g.url) AS text)
    FROM products_db.products p
    LEFT JOIN products_db.brands b ON b.id = p.brand_id
    LEFT JOIN products_db.categories c ON c.id = p.category_id
    LEFT JOIN products_db.product_pages g ON g.product_id = p.id
    LEFT JOIN (
        SELECT DISTINCT ON (product_id) product_id, src FROM products_db.product_images {variants}
        ORDER BY product_id, is_primary DESC NULLS LAST, position, id
    ) i ON i.product_id = p.id
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
_ALL_QUERY = text(_SELECT.format(variants="", products=""))
_SOME_QUERY = text(_SELECT.format(variants="WHERE product_id = ANY(:ids)", products="WHERE p.id = ANY(:ids)"))
# xmin is the transaction that wrote a row: a change of a product or its stock by any program is noticed,
# without a column to keep up to date. Frozen rows are older than any mark.
_CHANGED_QUERY = text(
    """
    SELECT id FROM products_db.products WHERE age(xmin) <= age(CAST(CAST(:low AS xid8) AS xid))
    UNION
    SELECT product_id FROM products_db.product_variants
    WHERE age(xmin) <= age(CAST(CAST(:low AS xid8) AS xid)) AND product_id IS NOT NULL
    UNION
    SELECT product_id FROM products_db.product_images
    WHERE age(xmin) <= age(CAST(CAST(:low AS xid8) AS xid)) AND product_id IS NOT NULL
    UNION
    SELECT product_id FROM products_db.product_pages
    WHERE age(xmin) <= age(CAST(CAST(:low AS xid8) AS xid))
    UNION
    SELECT p.id FROM products_db.products p JOIN products_db.brands b ON b.id = p.brand_id
    WHERE age(b.xmin) <= age(CAST(CAST(:low AS xid8) AS xid))
    UNION
    SELECT p.id FROM products_db.products p JOIN products_db.categories c ON c.id = p.category_id
    WHERE age(c.xmin) <= age(CAST(CAST(:low AS xid8) AS xid))
    """
)
_MARK_QUERY = text("SELECT CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text)")
_COUNT_QUERY = text("SELECT count(*) FROM products_db.products")
_CATEGORIES_QUERY = text(
    """
    SELECT c.id, c.parent_id, p.repeat_purchases
    FROM products_db.categories c LEFT JOIN recommendations_db.category_policies p ON p.category_id = c.id
    ORDER BY c.id
    """
)

_Categories = dict[int, tuple[int | None, bool | None]]


class CatalogueRefresher:
    """Keeps one `Catalogue` current; its methods may be called by any thread."""

    def __init__(self) -> None:
        self.current = Catalogue.of([])
        self._categories: _Categories = {}
        self._default = True
        self._mark: str | None = None
        self._loaded_at = 0.0
        self._lock = threading.Lock()

    def refresh(self, session: Session) -> bool:
        """Bring `current` up to date; True when something changed.

        Deleted variants and images are noticed by the full reload only.
        """
        with self._lock:
            return self._refresh(session)

    def _refresh(self, session: Session) -> bool:
        started = time.monotonic()
        # the mark is read before the rows: a commit in between is read twice rather than never
        mark = session.scalars(_MARK_QUERY).one()
        default = get_settings().serving.repeat_purchases
        categories = {
            row.id: (row.parent_id, row.repeat_purchases) for row in session.execute(_CATEGORIES_QUERY)
        }
        previous = self.current
        full_reload = (
            self._mark is None
            or started - self._loaded_at > FULL_RELOAD_SECONDS
            or (categories, default) != (self._categories, self._default)
        )
        changed: list[int] = []
        if not full_reload:
            changed = list(session.scalars(_CHANGED_QUERY, {"low": self._mark}))
            count = session.scalars(_COUNT_QUERY).one()
            added = int((previous.rows(changed) < 0).sum()) if changed else 0
            deleted = len(previous) + added != count
            full_reload = deleted or len(changed) > 0.02 * count + 1000
        if full_reload:
            self._load(session, categories, default)
            self._loaded_at = started
        elif changed:
            self._patch(session, changed)
        self._mark, self._categories, self._default = mark, categories, default
        if self.current is not previous:
            _log.debug(
                "catalogue refreshed", products=len(self.current), whole=full_reload, changed=len(changed)
            )
        return self.current is not previous

    def refresh_products(self, session: Session, products: Collection[int]) -> bool:
        """Bring the products of an event up to date; True when something changed."""
        with self._lock:
            previous = self.current
            if self._mark is not None:
                self._patch(session, products)
            return self.current is not previous

    def _load(self, session: Session, categories: _Categories, default: bool) -> None:
        rows = session.execute(_ALL_QUERY, execution_options={"yield_per": _CHUNK_ROWS})
        loaded = Catalogue.read(
            (_row(row) for row in rows),
            inherit_policies(categories, default),
            default,
            {category: parent for category, (parent, _) in categories.items()},
        )
        # an equal copy, and all data derived from it, would not be shared with other forked processes
        if not loaded.equals(self.current):
            self.current = loaded

    def _patch(self, session: Session, products: Collection[int]) -> None:
        catalogue = self.current
        rows = [_row(row) for row in session.execute(_SOME_QUERY, {"ids": sorted(products)})]
        differing = [row for row in rows if row != _row_of(catalogue, row.id)]
        existing = {row.id for row in rows}
        if any(product not in existing and catalogue.row(product) >= 0 for product in products):
            self._load(session, self._categories, self._default)  # deleted
        elif differing:
            self.current = catalogue.with_rows(differing)


def _row(row: Sequence[Any]) -> CatalogueRow:
    product, name, price, category, brand, created, shown, stocked, tags, details = row
    return CatalogueRow(
        product, name, float(price), category, brand, created, shown, stocked, tuple(tags), details
    )


def _row_of(catalogue: Catalogue, product: int) -> CatalogueRow | None:
    row_index = catalogue.row(product)
    if row_index < 0:
        return None
    return CatalogueRow(
        product,
        catalogue.names[row_index],
        float(catalogue.price[row_index]),
        int(catalogue.category[row_index]),
        int(catalogue.brand[row_index]),
        float(catalogue.created[row_index]),
        bool(catalogue.shown[row_index]),
        bool(catalogue.stocked[row_index]),
        catalogue.tags_of(row_index),
        catalogue.details[row_index],
    )
