"""What a file says of stock: pieces, whether they are counted, and whether more than there are is sold."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from recsys.imports.loading.staging import Connection

__all__ = ["STAGED_STOCK", "count_stock", "with_stock"]

STAGED_STOCK = {"stock": "integer", "tracked": "boolean", "policy": "text"}
# a product counts its stock if one of its variants does
_COUNT = """
UPDATE products_db.products AS p SET track_inventory = t.tracked, updated_at = %(now)s
FROM (
    SELECT v.product_id, bool_or(coalesce(v.inventory_tracking, true)) AS tracked
    FROM products_db.product_variants AS v JOIN products_db.products AS o ON o.id = v.product_id
    WHERE o.sku IN (SELECT {key} FROM {table} WHERE tracked IS NOT NULL)
    GROUP BY v.product_id
) AS t
WHERE p.id = t.product_id AND p.track_inventory IS DISTINCT FROM t.tracked
RETURNING p.id
"""


def with_stock(rows: pl.DataFrame) -> pl.DataFrame:
    """`stock` and `availability` as the columns of STAGED_STOCK; null where the file does not say.

    What is in stock without pieces is not counted; what is on order is sold beyond its stock.
    """
    if "availability" not in rows.columns:
        rows = rows.with_columns(availability=pl.lit(None, dtype=pl.String))
    given, stock = pl.col("availability"), pl.col("stock")
    has_pieces = (stock > 0).fill_null(value=False)
    return rows.with_columns(
        stock=pl.when(given == "out_of_stock")
        .then(0)
        .when(given == "on_order")
        .then(stock.fill_null(0))
        .otherwise(stock)
        .cast(pl.Int32),
        tracked=pl.when(given == "in_stock")
        .then(has_pieces)
        .when(given.is_not_null() | stock.is_not_null())
        .then(statement=True),
        policy=pl.when((given == "on_order") | ((given == "in_stock") & ~has_pieces))
        .then(pl.lit("continue"))
        .when(given.is_not_null())
        .then(pl.lit("deny")),
    ).drop("availability")


def count_stock(connection: Connection, table: str, key: str, now: datetime) -> set[int]:
    """Let the products that the staged rows name by `key` count stock as their variants do; those changed."""
    rows = connection.execute(_COUNT.format(table=table, key=key).encode(), {"now": now}).fetchall()
    return {int(id_) for (id_,) in rows}
