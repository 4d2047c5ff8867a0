"""The fields of items: small and stable by default, chosen by `fields=` on each route that lists products."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from recsys.database.session import unit_of_work
from recsys.domains.products.item_fields import FIELDS
from recsys.search.backends.postgres.index import PostgresIndex
from recsys.settings import get_settings
from serving.server.app import create_app
from tests.serving.api.answers import execute
from tests.serving.running import running
from tests.support.shop import Shop

V1 = "/api/v1"
LISTS = (
    *("/users/1/recommendations", "/recommendations", "/products/popular", "/products/new"),
    *("/products/8/similar", "/products/8/bought-together"),
)
DEFAULT = ["product_id", "sku", "name", "price", "score", "type", "reason"]
EVERYTHING = {
    "sku": "a/b",
    "name": "Coffee “7”",
    "slug": "p7",
    "currency": "EUR",
    "image": "https://cdn.example/7.jpg",
    "url": "https://shop.example/p7?sku=a%2Fb",
    "brand": "B & C",
    "category": "Coffee",
    "stock": "on_order",
}


@pytest.fixture
def furnished(scored_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Product 7 has a brand, two pictures, a former price and no stock, which it is sold without."""
    for statement in (
        "INSERT INTO products_db.brands (id, name, slug) VALUES (5, 'B & C', 'b')",
        "UPDATE products_db.products SET sku = 'a/b', brand_id = 5, compare_price = 9.5 WHERE id = 7",
        "UPDATE products_db.product_variants SET inventory_quantity = 0, inventory_policy = 'continue' "
        "WHERE product_id = 7",
        "INSERT INTO products_db.product_images (product_id, src, is_primary) VALUES "
        "(7, 'https://cdn.example/other.jpg', false), (7, 'https://cdn.example/7.jpg', true)",
    ):
        execute(scored_shop, statement)
    monkeypatch.setenv("RECSYS_SHOP__CURRENCY", "EUR")
    monkeypatch.setenv("RECSYS_SHOP__PRODUCT_URL", "https://shop.example/{slug}?sku={sku}")
    get_settings.cache_clear()
    return scored_shop


def test_lists_have_few_fields_and_those_that_are_chosen(furnished: Shop) -> None:
    with running(create_app()) as client:
        for path in LISTS:
            plain = _items(client, path, limit=100)
            assert {tuple(item) for item in plain} == {tuple(DEFAULT)}, path
            full = _items(client, path, limit=100, fields=",".join(FIELDS))
            assert [item["product_id"] for item in full] == [item["product_id"] for item in plain]
            chosen = _items(client, path, limit=1, fields="image, stock")
            assert list(chosen[0]) == ["product_id", "sku", "image", "stock", "score", "type", "reason"]
        coffee = _items(client, LISTS[1], limit=100, fields=",".join(FIELDS), brand=5)
        (seventh,) = [item for item in coffee if item["product_id"] == 7]
        assert {name: seventh[name] for name in EVERYTHING} == EVERYTHING
        assert (seventh["price"], seventh["compare_price"]) == (7.25, 9.5)
        body = {
            "shelves": [{"placement": "similar"}],
            "page": {"product_ids": [8]},
            "fields": ["url", "stock"],
        }
        page = client.post(f"{V1}/recommendations", json=body).json()["shelves"][0]["items"]
        assert set(page[0]) == {"product_id", "sku", "url", "stock", "score", "type", "reason"}


def test_products_and_searches_have_the_same_fields(furnished: Shop) -> None:
    expected = {"id": 7, **EVERYTHING, "price": "7.25", "compare_price": "9.50"}
    fields = ",".join(FIELDS)
    with unit_of_work() as session:
        PostgresIndex(get_settings().search).reindex(session)
    with running(create_app()) as client:
        read = client.get(f"{V1}/products/sku:a%2Fb", params={"fields": fields}).json()
        assert read == expected
        (listed,) = _items(client, "/products", sku="a/b", fields=fields)
        assert listed == expected
        batch = client.post(f"{V1}/products/batch", json={"skus": ["a/b"], "fields": list(FIELDS)}).json()
        assert batch["items"] == [expected]
        (found,) = _items(client, "/search/products", brand=5, fields=fields)
        assert {
            name: value for name, value in found.items() if name not in ("position", "highlights")
        } == expected
        assert list(_items(client, "/products", sku="a/b", fields="name")[0]) == ["id", "sku", "name"]


def test_an_unknown_field_is_refused_with_the_nearest(furnished: Shop) -> None:
    with running(create_app()) as client:
        for path in (*LISTS, "/products", "/products/7", "/search/products"):
            refused = client.get(V1 + path, params={"fields": "name,imgae"})
            assert (refused.status_code, "Did you mean image?" in refused.text) == (422, True), path


def _items(client: httpx.Client, path: str, **parameters: Any) -> Any:
    answer = client.get(V1 + path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]
