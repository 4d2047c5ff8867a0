"""Co-purchases of a product, counted when a request first needs them: the fallback without a basket model."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache, TTLCache
from sqlalchemy import text

from recsys.database.session import unit_of_work
from recsys.domains.recommendations.reasons import Kind, ReasonCode
from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT, Entry
from recsys.errors import RecsysError
from recsys.log import get_logger
from serving.catalogue.catalogue import Catalogue

__all__ = ["CoPurchases"]

FRESH_SECONDS = 600.0
CACHE_SIZE = 5_000
MAX_ORDERS = 2_000
"""The newest orders of a product that are counted."""
MIN_SHARED_ORDERS = 2
"""Orders that must hold both products; a single one is no evidence."""
_log = get_logger(__name__)
_COUNT_QUERY = text(
    """
    SELECT seed.id AS seed, other.product_id, other.shared, other.orders
    FROM unnest(CAST(:products AS bigint[])) AS seed (id) CROSS JOIN LATERAL (
        WITH lately AS MATERIALIZED (
            SELECT DISTINCT order_id FROM orders_db.order_items WHERE product_id = seed.id
            ORDER BY order_id DESC LIMIT :max_orders
        )
        SELECT l.product_id, count(DISTINCT l.order_id) AS shared, (SELECT count(*) FROM lately) AS orders
        FROM lately JOIN orders_db.order_items l USING (order_id)
        WHERE l.product_id IS NOT NULL AND l.product_id <> seed.id
        GROUP BY l.product_id HAVING count(DISTINCT l.order_id) >= :min_shared
        ORDER BY shared DESC, l.product_id LIMIT 300
    ) AS other
    """
)


class CoPurchases:
    """Counts co-purchases and caches them for `FRESH_SECONDS`; thread-safe.

    While PostgreSQL is away, counts that were read before are used on.
    """

    def __init__(self) -> None:
        self._fresh: TTLCache[int, dict[int, float]] = TTLCache(CACHE_SIZE, FRESH_SECONDS)
        self._last: LRUCache[int, dict[int, float]] = LRUCache(CACHE_SIZE)
        self._lock = threading.Lock()

    def entries(
        self, catalogue: Catalogue, products: Sequence[int], k: int, eligible: npt.NDArray[np.bool_]
    ) -> list[Entry]:
        """Return the k eligible products that share most orders with `products`, scored by that share.

        The shares of several products are averaged. Empty while PostgreSQL is away and nothing is cached.

        Parameters
        ----------
        eligible : bool, shape (catalogue rows,)
        """
        total: dict[int, float] = {}
        nearest: dict[int, tuple[float, int]] = {}
        for seed in products:
            for product, share in self._shares(seed).items():
                total[product] = total.get(product, 0.0) + share
                nearest[product] = max(nearest.get(product, (0.0, seed)), (share, seed))
        entries = []
        for product, share in sorted(total.items(), key=lambda item: (-item[1], item[0])):
            row = catalogue.row(product)
            if row >= 0 and eligible[row] and product not in products:
                units = round(min(1.0, share / len(products)) * SCORE_UNIT)
                evidence = nearest[product][1]
                entries.append(
                    Entry(product, units, Kind.SIMILAR, ReasonCode.BOUGHT_TOGETHER, evidence, True)
                )
                if len(entries) == k:
                    break
        return entries

    def count(self, products: Sequence[int]) -> None:
        """Count the orders of these products now, by one statement."""
        values = {"products": list(products), "max_orders": MAX_ORDERS, "min_shared": MIN_SHARED_ORDERS}
        try:
            with unit_of_work() as session:
                rows = session.execute(_COUNT_QUERY, values).all()
        except RecsysError as error:
            _log.error("co-purchases cannot be counted", error=str(error))
            return
        shares: dict[int, dict[int, float]] = {product: {} for product in products}
        for row in rows:
            shares[row.seed][row.product_id] = row.shared / row.orders
        with self._lock:
            self._fresh.update(shares)
            self._last.update(shares)

    def forget(self, product: int) -> None:
        """Count the product's orders again when they are needed next."""
        with self._lock:
            self._fresh.pop(product, None)

    def _shares(self, product: int) -> dict[int, float]:
        """The share of the product's newest orders that hold each other product."""
        with self._lock:
            fresh = self._fresh.get(product)
        if fresh is not None:
            return fresh
        self.count([product])
        with self._lock:
            return self._last.get(product, {})
