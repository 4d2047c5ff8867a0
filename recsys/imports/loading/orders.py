"""Orders with their items into `orders_db`, found again by order number."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from recsys.imports.loading.staging import Connection, count, stage

__all__ = ["ORDER_STATES", "STAGED_ITEMS", "STAGED_ORDERS", "MergedOrders", "merge_orders"]

STAGED_ORDERS = {
    "order_number": "text",
    "user_id": "integer",
    "email": "text",
    "subtotal_price": "numeric(10,2)",
    "total_price": "numeric(10,2)",
    "total_discount": "numeric(10,2)",
    "created_at": "timestamptz",
}
ORDER_STATES = {"status": "delivered", "financial_status": "paid", "fulfillment_status": "fulfilled"}
"""What every imported order has been through."""
STAGED_ITEMS = {
    "order_number": "text",
    "product_id": "integer",
    "quantity": "integer",
    "price": "numeric(10,2)",
    "total_discount": "numeric(10,2)",
    "created_at": "timestamptz",
}
# an order and its items are stored together or not at all: an order that is there has its items
_MERGE_ORDERS = """
WITH fresh AS (
    INSERT INTO orders_db.orders (order_number, user_id, email, status, financial_status, fulfillment_status,
        subtotal_price, total_price, total_discount, processed_at, created_at)
    SELECT order_number, user_id, email, %(status)s, %(financial_status)s, %(fulfillment_status)s,
        subtotal_price, total_price, total_discount, created_at, created_at
    FROM staged_orders
    ON CONFLICT (order_number) DO NOTHING
    RETURNING id, order_number
), kept AS (
    INSERT INTO fresh_orders (id, order_number) SELECT id, order_number FROM fresh RETURNING id
)
SELECT (SELECT count(*) FROM staged_orders), (SELECT count(*) FROM kept)
"""
_MERGE_ITEMS = """
WITH stored AS (
    INSERT INTO orders_db.order_items
        (order_id, product_id, sku, name, quantity, price, total_discount, created_at)
    SELECT f.id, p.id, p.sku, p.name, i.quantity, i.price, i.total_discount, i.created_at
    FROM staged_items AS i JOIN fresh_orders AS f USING (order_number)
        JOIN products_db.products AS p ON p.id = i.product_id
    RETURNING id
)
SELECT (SELECT count(*) FROM staged_items), (SELECT count(*) FROM stored)
"""


@dataclass(frozen=True)
class MergedOrders:
    """What became of the rows of one batch."""

    added: int
    already_there: int
    items_added: int
    items_already_there: int


def merge_orders(connection: Connection, orders: pl.DataFrame, items: pl.DataFrame) -> MergedOrders:
    """Add the paid and delivered orders that are not there yet, each with all its items.

    An item takes its name and SKU from the product of that moment; it names no variant.

    Parameters
    ----------
    connection
        In the transaction that adds them.
    orders
        The columns of STAGED_ORDERS; order numbers distinct.
    items
        The columns of STAGED_ITEMS.
    """
    stage(connection, "staged_orders", STAGED_ORDERS, orders)
    connection.execute("CREATE TEMPORARY TABLE fresh_orders (id integer, order_number text) ON COMMIT DROP")
    read, added = count(connection, _MERGE_ORDERS, ORDER_STATES)
    stored = 0
    if added:
        stage(connection, "staged_items", STAGED_ITEMS, items)
        connection.execute("ANALYZE fresh_orders")
        _, stored = count(connection, _MERGE_ITEMS)
    return MergedOrders(added, read - added, stored, items.height - stored)
