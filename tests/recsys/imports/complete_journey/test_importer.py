"""The Complete Journey, from a tiny folder of the same form with known answers."""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from recsys.errors import Invalid, NotFound
from recsys.imports.complete_journey.importer import data_folder, import_complete_journey
from recsys.imports.report import ImportReport
from tests.recsys.imports.complete_journey.conftest import MORNING
from tests.recsys.imports.desk import Desk, counts


def take(desk: Desk, folder: Path) -> ImportReport:
    return import_complete_journey(folder, desk.refused_file, lambda *_: None)


@pytest.mark.one_server
def test_households_products_baskets_and_purchases(desk: Desk, folder: Path) -> None:
    report = take(desk, folder)
    assert counts(report, "users") == (3, 3, 0, 0, 0)
    assert counts(report, "products") == (4, 4, 0, 0, 0)
    assert counts(report, "orders") == (3, 3, 0, 0, 0)
    assert counts(report, "user_interactions") == (5, 5, 0, 0, 0)
    assert [(line, reason) for _, line, reason, _ in desk.refused()] == [
        (6, "quantity is not positive"),
        (7, "unknown product"),
        (8, "basket of another household"),
    ]
    assert desk.rows(
        """SELECT username, email, full_name, password_hash, preferences -> 'household' ->> 'age'
        FROM users_db.users u LEFT JOIN users_db.user_profiles p ON p.user_id = u.id ORDER BY u.id"""
    ) == [
        ("household-7", "household-7@example.invalid", "Household 7", "!", None),
        ("household-8", "household-8@example.invalid", "Household 8", "!", None),
        ("household-900", "household-900@example.invalid", "Household 900", "!", "65+"),
    ]
    assert desk.rows(
        """SELECT sku, p.name, price, c.name, b.name, tags FROM products_db.products p
        JOIN products_db.categories c ON c.id = category_id JOIN products_db.brands b ON b.id = brand_id
        ORDER BY sku"""
    ) == [
        (
            "1",
            "Crushed & Cubed Ice, 22 lb",
            Decimal("3.00"),
            "Frozen Ice",
            "Manufacturer 69",
            ["private brand"],
        ),
        (
            "2",
            "Regular Unleaded Gasoline",
            Decimal("2.29"),
            "Fuel (Fuel)",
            "Manufacturer 2",
            ["national brand"],
        ),
        ("3", "Card Games", Decimal("2.50"), "Toys And Games", "Manufacturer 2", ["national brand"]),
        ("4", "Grocery", Decimal("3.00"), "Grocery", "Manufacturer 2", ["national brand"]),
    ]
    assert desk.rows(
        """SELECT order_number, username, status, financial_status, subtotal_price, total_discount,
            total_price, (SELECT sum(quantity * price - i.total_discount)
                FROM orders_db.order_items i WHERE order_id = o.id)
        FROM orders_db.orders o JOIN users_db.users u ON u.id = user_id ORDER BY order_number"""
    ) == [
        ("31", "household-900", "delivered", "paid", *map(Decimal, ("33.00", "1.00", "32.00", "32.00"))),
        ("32", "household-900", "delivered", "paid", *map(Decimal, ("2.50", "2.50", "0.00", "0.00"))),
        ("33", "household-7", "delivered", "paid", *map(Decimal, ("4.00", "0.50", "3.50", "3.50"))),
    ]
    assert desk.rows(
        """SELECT sku, interaction_value, session_id, context, i.created_at
        FROM recommendations_db.user_interactions i JOIN products_db.products p ON p.id = product_id
        WHERE session_id = '31' ORDER BY sku, interaction_value"""
    ) == [
        ("1", Decimal(1), "31", {"store": 330}, MORNING.replace(tzinfo=UTC)),
        ("1", Decimal(2), "31", {"store": 330, "discount": 1.0}, MORNING.replace(tzinfo=UTC)),
        ("2", Decimal("10.50"), "31", {"store": 330}, MORNING.replace(tzinfo=UTC)),
    ]
    assert desk.rows(
        """SELECT c.name, repeat_purchases FROM recommendations_db.category_policies p
        JOIN products_db.categories c ON c.id = category_id ORDER BY c.name"""
    ) == [
        ("Drugstore & General Merchandise", True),
        ("Fuel", True),
        ("Grocery", True),
        ("Toys And Games", False),
    ]
    assert desk.rows("SELECT sku, status FROM products_db.products ORDER BY sku") == [
        ("1", "active"),
        ("2", "hidden"),
        ("3", "active"),
        ("4", "active"),
    ]
    assert [note.split(" lines")[0] for note in report.notes[:2]] == ["1", "1"]


def test_a_second_import_adds_nothing(desk: Desk, folder: Path) -> None:
    take(desk, folder)
    report = take(desk, folder)
    for table, counted in report.tables.items():
        assert (counted.added, counted.updated) == (0, 0), table
    assert counts(report, "user_interactions") == (5, 0, 0, 5, 0)
    assert desk.number("orders_db.order_items") == 5
    assert desk.number("products_db.categories") == 6


def test_a_folder_that_is_not_the_data_set_is_refused(desk: Desk, folder: Path) -> None:
    pl.DataFrame({"household_id": [1]}).write_parquet(folder / "transactions.parquet")
    with pytest.raises(Invalid, match=r"transactions\.parquet has no column store_id, basket_id"):
        take(desk, folder)
    (folder / "products.parquet").unlink()
    with pytest.raises(Invalid, match=r"products\.parquet does not exist"):
        take(desk, folder)
    with pytest.raises(NotFound, match="is not a folder"):
        data_folder(folder / "nowhere")
