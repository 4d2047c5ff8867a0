"""What an import changes of prices and stock: published as events, and as rows of the log of stock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from uuid import uuid4

from recsys.events.publish import publish_on
from recsys.events.vocabulary import Event, PriceChanged
from recsys.imports.loading.staging import Connection

__all__ = ["published_changes"]

_FORMER = b"""
CREATE TEMPORARY TABLE former_products ON COMMIT DROP AS
SELECT p.id AS product_id, v.id AS variant_id, p.price AS product_price, v.price AS variant_price,
    v.inventory_quantity AS stock, v.inventory_tracking AS tracked
FROM products_db.products AS p LEFT JOIN products_db.product_variants AS v ON v.product_id = p.id
"""
_PRICES = b"""
SELECT DISTINCT p.id, CAST(NULL AS integer), p.price, f.product_price
FROM former_products AS f JOIN products_db.products AS p ON p.id = f.product_id
WHERE p.price <> f.product_price
UNION ALL
SELECT p.id, v.id, coalesce(v.price, p.price), coalesce(f.variant_price, f.product_price)
FROM former_products AS f JOIN products_db.products AS p ON p.id = f.product_id
    JOIN products_db.product_variants AS v ON v.id = f.variant_id
-- the variant that stands for its product costs what this costs
WHERE v.sku IS DISTINCT FROM p.sku AND v.price IS DISTINCT FROM f.variant_price
    AND coalesce(v.price, p.price) <> coalesce(f.variant_price, f.product_price)
ORDER BY 1, 2 NULLS FIRST
"""
# Stock that was not counted before was never short. A variant that was sold out and is sold without a count
# now is in stock again: its new quantity is not known.
_STOCK = b"""
INSERT INTO products_db.inventory_logs
    (product_id, variant_id, old_quantity, new_quantity, adjustment, reason, created_at)
SELECT product_id, id, stock, pieces, pieces - stock, 'import', %(now)s
FROM (
    SELECT v.product_id, v.id, f.stock,
        CASE WHEN coalesce(v.inventory_tracking, true) OR v.inventory_quantity > 0
             THEN v.inventory_quantity END AS pieces
    FROM former_products AS f JOIN products_db.product_variants AS v ON v.id = f.variant_id
    WHERE f.tracked
) AS changed
WHERE pieces <> stock OR pieces IS NULL AND stock <= 0
ORDER BY id
"""


@contextmanager
def published_changes(connection: Connection, skus: Sequence[str], now: datetime) -> Iterator[None]:
    """Publish the prices, and log the stock, that the block changes of the products with these SKUs.

    It belongs to the transaction of the connection, as the changes do. Products and variants that are new
    have no former price, and none is published.
    """
    connection.execute(_FORMER + b"WHERE p.sku = ANY(%(skus)s)", {"skus": list(skus)})
    yield
    events: list[Event] = [
        PriceChanged(product_id=product, variant_id=variant, price=price, former_price=former)
        for product, variant, price, former in connection.execute(_PRICES).fetchall()
    ]
    publish_on(connection, [(uuid4(), event) for event in events], occurred_at=now)
    connection.execute(_STOCK, {"now": now})
