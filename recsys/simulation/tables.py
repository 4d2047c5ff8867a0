"""A simulated shop straight into the tables of `recsys`, by COPY."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime
from typing import Self

import polars as pl

from recsys import clock
from recsys.errors import Conflict
from recsys.imports.loading.bulk import bulk_load
from recsys.imports.loading.interactions import STAGED_INTERACTIONS
from recsys.imports.loading.lanes import EVENT_TABLES, EventLane
from recsys.imports.loading.products import merge_products, product_ids
from recsys.imports.loading.staging import analyze, batch_transaction
from recsys.imports.loading.users import default_email, merge_users, user_ids

__all__ = ["ShopTables"]

PRODUCTS_AT_ONCE = 20_000
_WRITTEN = (
    "users_db.users",
    "products_db.categories",
    "products_db.brands",
    "products_db.products",
    "products_db.product_variants",
    *EVENT_TABLES,
)


class ShopTables:
    """Writes what an import of the same shop's files writes; no interaction stays when it fails.

    Raises
    ------
    Conflict
        On entering, unless the tables of interactions are empty, and this role owns them.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._skus = pl.DataFrame(schema={"name": pl.String, "id": pl.Int32})
        self._now: datetime = clock.now()

    def __enter__(self) -> Self:
        """Lock the tables of interactions and take their indexes off."""
        bulk = self._stack.enter_context(bulk_load("interactions", EVENT_TABLES))
        if bulk is None:
            self._stack.close()
            raise Conflict(
                "the database has interactions already, or another program uses them; simulate into an empty "
                "database, or write files (without --database) and import them"
            )
        self._lane = EventLane(bulk)
        return self

    def __exit__(self, *error: object) -> None:
        """Commit, or undo the interactions after an error."""
        self._stack.__exit__(*error)  # type: ignore[arg-type]
        if error[0] is None:
            analyze(_WRITTEN)

    def products(self, frame: pl.DataFrame) -> None:
        """Store all products with categories, brands and a variant each."""
        missing = pl.lit(None, dtype=pl.String)
        rows = frame.rename({"product": "sku"}).with_columns(
            description=missing, stock=pl.lit(None, dtype=pl.Int32)
        )
        present = set(frame.columns)
        ids = []
        for part in rows.with_row_index("line").iter_slices(PRODUCTS_AT_ONCE):
            with batch_transaction("catalogue") as connection:
                merge_products(connection, part, present, self._now)
                ids.append(product_ids(connection, part["sku"].to_list()))
        self._skus = pl.concat(ids)

    def block(self, users: pl.DataFrame, interactions: pl.DataFrame) -> None:
        """Store these users, and their interactions by COPY."""
        rows = users.rename({"user": "username"}).with_columns(
            email=default_email(users["user"]), preferences=pl.lit(None, dtype=pl.String)
        )
        with batch_transaction("catalogue") as connection:
            merge_users(connection, rows.with_row_index("line"), self._now)
            names = user_ids(connection, users["user"].to_list())
        numbered = (
            interactions.join(
                names.rename({"name": "user", "id": "user_id"}), on="user", maintain_order="left"
            )
            .join(
                self._skus.rename({"name": "product", "id": "product_id"}),
                on="product",
                maintain_order="left",
            )
            .with_columns(context=pl.lit("{}"))
        )
        self._lane.take(numbered.select(*STAGED_INTERACTIONS))

    def finish(self) -> list[str]:
        """Build the indexes and keys of the interactions; return the next commands."""
        self._lane.finish()
        return ["recsys search reindex", "recsys features build"]
