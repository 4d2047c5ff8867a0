"""Batches of orders and interactions into the database: in bulk where the tables are empty, else merged."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from recsys.imports.loading.bulk import BulkLoad
from recsys.imports.loading.interactions import MergedInteractions, merge_interactions
from recsys.imports.loading.orders import (
    ORDER_STATES,
    STAGED_ITEMS,
    STAGED_ORDERS,
    MergedOrders,
    merge_orders,
)
from recsys.imports.loading.staging import batch_transaction

__all__ = ["EVENT_TABLES", "ORDER_TABLES", "EventLane", "OrderLane"]

ORDER_TABLES = ("orders_db.orders", "orders_db.order_items")
EVENT_TABLES = ("recommendations_db.user_interactions", "recommendations_db.interaction_events")


@dataclass
class OrderLane:
    """Orders with their items; for a bulk load the order numbers of all batches differ.

    Attributes
    ----------
    bulk
        The bulk load; None where orders may be there already.
    names
        `product_id`, `sku` and `name` of the products.
    """

    bulk: BulkLoad | None
    names: pl.DataFrame

    def take(self, orders: pl.DataFrame, items: pl.DataFrame) -> MergedOrders:
        """Store what is not there yet; see `merge_orders`."""
        if self.bulk is None:
            with batch_transaction("orders") as connection:
                return merge_orders(connection, orders, items)
        numbered = orders.select(
            *STAGED_ORDERS,
            id=self.bulk.reserve("orders_db.orders", orders.height) + pl.int_range(pl.len()),
            processed_at="created_at",
            **{name: pl.lit(state) for name, state in ORDER_STATES.items()},
        )
        self.bulk.copy("orders_db.orders", numbered)
        stored = (
            items.select(*STAGED_ITEMS)
            .join(numbered.select("order_number", order_id="id"), on="order_number", maintain_order="left")
            .join(self.names, on="product_id", maintain_order="left")
        )
        self.bulk.copy("orders_db.order_items", stored.drop("order_number"))
        return MergedOrders(orders.height, 0, stored.height, items.height - stored.height)

    def finish(self) -> None:
        """Build what a bulk load has taken off."""
        if self.bulk is not None:
            self.bulk.finish()


@dataclass
class EventLane:
    """Interactions, each event once; for a bulk load the event ids of all batches differ."""

    bulk: BulkLoad | None

    def take(self, interactions: pl.DataFrame) -> MergedInteractions:
        """Store what is not there yet; see `merge_interactions`."""
        if self.bulk is None:
            with batch_transaction("interactions") as connection:
                return merge_interactions(connection, interactions)
        first = self.bulk.reserve("recommendations_db.user_interactions", interactions.height)
        numbered = interactions.with_columns(id=first + pl.int_range(pl.len()))
        self.bulk.copy("recommendations_db.user_interactions", numbered.drop("event_id"))
        self.bulk.copy(
            "recommendations_db.interaction_events", numbered.select("event_id", interaction_id="id")
        )
        return MergedInteractions(interactions.height, 0)

    def finish(self) -> None:
        """Build what a bulk load has taken off."""
        if self.bulk is not None:
            self.bulk.finish()
