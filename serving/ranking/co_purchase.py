"""What was ordered together with a product, counted when first asked: for when no model knows baskets."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sqlalchemy import text

from recsys.database.session import unit_of_work
from recsys.domains.recommendations.reasons import Kind, ReasonCode
from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT, Entry
from recsys.errors import RecsysError
from recsys.log import get_logger
from serving.catalogue.catalogue import Catalogue

__all__ = ["CoPurchases"]

FRESH_SECONDS = 600.0
KEPT = 5_000
LARGEST = 2_000
"""So many orders of a product are looked at, the newest."""
LEAST = 2
"""Orders that must hold both; one says nothing."""
_log = get_logger(__name__)
_COUNT = text(
    """
    WITH lately AS MATERIALIZED (
        SELECT DISTINCT order_id FROM orders_db.order_items WHERE product_id = :product
        ORDER BY order_id DESC LIMIT :largest
    )
    SELECT l.product_id, count(DISTINCT l.order_id) AS shared, (SELECT count(*) FROM lately) AS orders
    FROM lately JOIN orders_db.order_items l USING (order_id)
    WHERE l.product_id IS NOT NULL AND l.product_id <> :product
    GROUP BY l.product_id HAVING count(DISTINCT l.order_id) >= :least
    ORDER BY shared DESC, l.product_id LIMIT 300
    """
)
_Counted = tuple[float, dict[int, float]]


class CoPurchases:
    """Thread-safe; remembers what it counted for some minutes."""

    def __init__(self) -> None:
        self._counted: OrderedDict[int, _Counted] = OrderedDict()
        self._lock = threading.Lock()

    def entries(
        self, catalogue: Catalogue, products: Sequence[int], k: int, allowed: npt.NDArray[np.bool_]
    ) -> list[Entry]:
        """The k products of `allowed` that share most orders with `products`; the score is that share.

        For several the shares are averaged. None while PostgreSQL cannot be asked.
        """
        total: dict[int, float] = {}
        nearest: dict[int, tuple[float, int]] = {}
        for seed in products:
            for product, share in self._shares(seed).items():
                total[product] = total.get(product, 0.0) + share
                nearest[product] = max(nearest.get(product, (0.0, seed)), (share, seed))
        found = []
        for product, share in sorted(total.items(), key=lambda one: (-one[1], one[0])):
            row = catalogue.row(product)
            if row >= 0 and allowed[row] and product not in products:
                units = round(min(1.0, share / len(products)) * SCORE_UNIT)
                evidence = nearest[product][1]
                found.append(Entry(product, units, Kind.SIMILAR, ReasonCode.BOUGHT_TOGETHER, evidence, True))
                if len(found) == k:
                    break
        return found

    def _shares(self, product: int) -> dict[int, float]:
        with self._lock:
            kept = self._counted.get(product)
        if kept is not None and time.monotonic() - kept[0] < FRESH_SECONDS:
            return kept[1]
        try:
            with unit_of_work() as session:
                values = {"product": product, "largest": LARGEST, "least": LEAST}
                rows = session.execute(_COUNT, values).all()
        except RecsysError as error:
            _log.error("baskets cannot be counted", error=str(error))
            return {} if kept is None else kept[1]
        shares = {row.product_id: row.shared / row.orders for row in rows}
        with self._lock:
            self._counted[product] = (time.monotonic(), shares)
            self._counted.move_to_end(product)
            while len(self._counted) > KEPT:
                self._counted.popitem(last=False)
        return shares
