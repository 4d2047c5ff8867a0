"""A load into empty tables leaves their keys and indexes as they were, and the rows that merging leaves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.errors import Conflict
from recsys.imports.complete_journey import importer
from recsys.imports.loading import bulk
from recsys.imports.loading.bulk import BulkLoad, bulk_load
from recsys.imports.loading.lanes import EVENT_TABLES, ORDER_TABLES
from tests.recsys.imports.desk import EVENTS, PRODUCTS, USERS, Desk

ALL = (*ORDER_TABLES, *EVENT_TABLES)
DEFINITIONS = """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace::regnamespace::text LIKE '%_db'
    UNION ALL SELECT schemaname, indexname, indexdef FROM pg_indexes WHERE schemaname LIKE '%_db'
    ORDER BY 1, 2, 3"""
ROWS = (
    """SELECT order_number, u.username, o.email, o.status, financial_status, fulfillment_status,
        subtotal_price, total_price, total_discount, processed_at, o.created_at
    FROM orders_db.orders o JOIN users_db.users u ON u.id = o.user_id ORDER BY 1""",
    """SELECT order_number, i.sku, i.name, i.variant_id, quantity, i.price, i.total_discount,
        i.created_at, taxable
    FROM orders_db.order_items i JOIN orders_db.orders o ON o.id = order_id ORDER BY 1, 2, 5""",
    """SELECT event_id, u.username, p.sku, interaction_type, interaction_value, context, session_id,
        i.created_at
    FROM recommendations_db.user_interactions i JOIN recommendations_db.interaction_events e
        ON e.interaction_id = i.id JOIN users_db.users u ON u.id = i.user_id
        JOIN products_db.products p ON p.id = i.product_id ORDER BY 1""",
)
EMPTY_AGAIN = b"TRUNCATE orders_db.orders, recommendations_db.user_interactions CASCADE"


def journey(desk: Desk, folder: Path) -> list[list[tuple[Any, ...]]]:
    importer.import_complete_journey(folder, desk.refused_file, lambda *_: None)
    return [desk.rows(query) for query in ROWS]


def execute(desk: Desk, statement: bytes) -> None:
    with desk.shop.connect() as connection:
        connection.execute(statement)


@pytest.mark.one_server
def test_loading_stores_what_merging_stores(
    desk: Desk, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    definitions = desk.rows(DEFINITIONS)
    loaded: list[bool] = []

    @contextmanager
    def watched(group: str, tables: Sequence[str]) -> Iterator[BulkLoad | None]:
        with bulk_load(group, tables) as load:
            loaded.append(load is not None)
            yield load

    monkeypatch.setattr(importer, "bulk_load", watched)
    in_bulk = journey(desk, folder)
    assert loaded == [True, True]
    assert desk.rows(DEFINITIONS) == definitions
    assert journey(desk, folder) == in_bulk
    assert loaded == [True, True, False, False]
    execute(desk, EMPTY_AGAIN)

    @contextmanager
    def merged_only(group: str, tables: Sequence[str]) -> Iterator[None]:
        yield None

    monkeypatch.setattr(importer, "bulk_load", merged_only)
    assert journey(desk, folder) == in_bulk
    assert all(in_bulk)


@pytest.mark.one_server
def test_new_rows_get_ids_behind_those_of_the_load(desk: Desk, folder: Path) -> None:
    journey(desk, folder)
    desk.take(users=USERS, products=PRODUCTS, interactions=EVENTS)
    ids = desk.rows("SELECT id FROM recommendations_db.user_interactions ORDER BY id")
    assert len(ids) == len(set(ids)) == 5 + 4


def test_a_load_without_its_end_leaves_everything_as_it_was(desk: Desk) -> None:
    definitions = desk.rows(DEFINITIONS)

    def interrupted() -> None:
        with bulk_load("interactions", EVENT_TABLES):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert desk.rows(DEFINITIONS) == definitions


def test_tables_with_rows_or_in_use_are_not_loaded_in_bulk(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "_LOCK_TIMEOUT", "100ms")
    with desk.shop.connect() as reader:
        reader.execute("SELECT FROM orders_db.order_items")
        with bulk_load("orders", ORDER_TABLES) as load:
            assert load is None
    desk.take(users=USERS, products=PRODUCTS, interactions=EVENTS)
    with bulk_load("interactions", EVENT_TABLES) as load:
        assert load is None


@pytest.mark.one_server
def test_a_row_whose_user_is_gone_refuses_the_whole_load(desk: Desk) -> None:
    rows = pl.DataFrame({"user_id": [999], "product_id": [1], "interaction_type": ["view"]})

    def load_rows() -> None:
        with bulk_load("interactions", EVENT_TABLES) as load:
            assert load is not None
            first = load.reserve("recommendations_db.user_interactions", rows.height)
            load.copy("recommendations_db.user_interactions", rows.with_columns(id=first))
            load.finish()

    with pytest.raises(Conflict, match="run it again"):
        load_rows()
    assert desk.number("recommendations_db.user_interactions") == 0
