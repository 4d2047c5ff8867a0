"""What an import changes of prices and stock is published and logged, as a change over HTTP is."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from recsys.imports.loading import changes
from tests.recsys.imports.desk import PRODUCTS, Desk
from tests.recsys.imports.mappings.shop_exports import HEADER, SHIRTS
from tests.support.shop import Shop

EVENTS = (
    "SELECT p.sku, v.sku, CAST(data ->> 'price' AS numeric), CAST(data ->> 'former_price' AS numeric) "
    "FROM analytics_db.outbox JOIN products_db.products p ON aggregate = 'product:' || p.id "
    "LEFT JOIN products_db.product_variants v ON v.id = CAST(data ->> 'variant_id' AS integer) "
    "WHERE outbox.name = 'product.price_changed' AND family = 'product' ORDER BY outbox.id"
)
LOGS = (
    "SELECT v.sku, l.old_quantity, l.new_quantity, l.adjustment, l.reason FROM products_db.inventory_logs l "
    "JOIN products_db.product_variants v ON v.id = l.variant_id AND v.product_id = l.product_id ORDER BY l.id"
)


@pytest.fixture
def desk(shop: Shop, tmp_path: Path) -> Desk:
    """Imports into an empty shop."""
    return Desk(shop, tmp_path)


def seen(desk: Desk) -> tuple[list[Any], list[Any]]:
    return desk.rows(EVENTS), desk.rows(LOGS)


def test_a_second_import_publishes_what_differs_and_nothing_else(desk: Desk) -> None:
    desk.take(products=PRODUCTS)
    assert seen(desk) == ([], []), "what is new costs what it costs"
    desk.take(products=PRODUCTS)
    assert seen(desk) == ([], [])
    # the stock of the mug was not counted before: it was never short
    desk.take(products="product,name,price,stock\ntea,Green Tea,2.99,0\nmug,Mug,8,3\n")
    assert seen(desk) == ([("tea", None, Decimal("2.99"), Decimal("3.50"))], [("tea", 7, 0, -7, "import")])
    desk.take(products="product,name,price,stock\ntea,Green Tea,2.99,12\nmug,Mug,9,3\n")
    prices, logs = seen(desk)
    assert prices[1:] == [("mug", None, Decimal(9), Decimal(8))]
    assert logs[1:] == [("tea", 0, 12, 12, "import")]
    assert desk.rows("SELECT DISTINCT occurred_at <= now() FROM analytics_db.outbox") == [(True,)]


def test_what_is_in_stock_without_a_number_was_short_before(desk: Desk) -> None:
    header = "product,name,price,stock,availability\n"
    desk.take(products=header + "tea,Green Tea,3.50,,out_of_stock\nmug,Mug,8,,out_of_stock\ncup,Cup,2,4,\n")
    desk.take(products=header + "tea,Green Tea,3.50,,in_stock\nmug,Mug,8,,on_order\ncup,Cup,2,,in_stock\n")
    # what is on order is not there yet; what was there before is not there again
    assert desk.rows(LOGS) == [("tea", 0, None, None, "import")]


def test_variants_have_events_of_their_own(desk: Desk) -> None:
    desk.take(products=SHIRTS)
    desk.take(products=SHIRTS)
    assert seen(desk) == ([], [])
    desk.take(products=HEADER + "SHIRT-S,SHIRT,Shirt S,15.00,4,S,red\nSHIRT-M,SHIRT,Shirt M,17.90,6,M,red\n")
    assert seen(desk) == (
        [
            # the product itself costs what its cheapest variant costs
            ("SHIRT", None, Decimal(15), Decimal("17.90")),
            ("SHIRT", "SHIRT-S", Decimal(15), Decimal("19.90")),
        ],
        [("SHIRT-M", 0, 6, 6, "import")],
    )


def test_an_import_that_fails_publishes_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.take(products=PRODUCTS)
    monkeypatch.setattr(changes, "_STOCK", b"SELECT 1 / 0")
    with pytest.raises(Exception, match="division by zero"):
        desk.take(products="product,name,price\ntea,Green Tea,2.99\n")
    assert seen(desk) == ([], [])
    assert desk.rows("SELECT price FROM products_db.products WHERE sku = 'tea'") == [(Decimal("3.50"),)]
