"""Products that orders share: counted one by one or together, and while PostgreSQL does not answer."""

from __future__ import annotations

import pytest

from recsys.errors import Unavailable
from serving.ranking import co_purchase
from serving.ranking.co_purchase import CoPurchases
from tests.support.database_rows import Rows
from tests.support.shop import Shop

ORDERS = [(1, 2, 3), (1, 2), (1, 2, 3), (1, 4), (3, 4), (3, 4), (5,)]
SHARES = {1: {2: 3 / 4, 3: 2 / 4}, 2: {1: 1.0, 3: 2 / 3}, 3: {1: 0.5, 2: 0.5, 4: 0.5}, 4: {3: 2 / 3}, 5: {}}
"""Of a product's orders those that hold another, where these are two or more."""


@pytest.fixture
def ordered(shop: Shop) -> Shop:
    rows = Rows(shop.database_url)
    for product in range(1, 6):
        rows.product(product)
    rows.users(1)
    rows.many(
        "INSERT INTO orders_db.orders (id, user_id, order_number, email, subtotal_price, total_price) "
        "VALUES (%s, 1, %s, 'a@example.org', 1, 1)",
        [(order, f"n{order}") for order in range(len(ORDERS))],
    )
    rows.many(
        "INSERT INTO orders_db.order_items (order_id, product_id, quantity, price, name) "
        "VALUES (%s, %s, 1, 1, 'A')",
        [(order, product) for order, products in enumerate(ORDERS) for product in products],
    )
    return shop


def test_each_alone_and_all_together_are_the_same(ordered: Shop) -> None:
    alone, together = CoPurchases(), CoPurchases()
    together.count([*SHARES, 99])
    for product, shares in SHARES.items():
        assert alone._shares(product) == together._shares(product) == pytest.approx(shares)
    assert together._shares(99) == {}


def test_what_was_counted_is_not_read_again(ordered: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = CoPurchases()
    counts.count(list(SHARES))

    def away() -> None:
        raise Unavailable("PostgreSQL does not answer")

    monkeypatch.setattr(co_purchase, "unit_of_work", away)
    assert counts._shares(1) == SHARES[1]
    counts.forget(1)
    assert counts._shares(1) == SHARES[1], "an older count, while there is no new one"
    assert CoPurchases()._shares(1) == {}
