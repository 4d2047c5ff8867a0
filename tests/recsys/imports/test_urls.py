"""Addresses of products' pages: from the column `url` and from known exports, into `fields=url`."""

from __future__ import annotations

import pytest

from recsys.database.session import unit_of_work
from recsys.domains.products.item_fields import chosen
from recsys.imports.files import import_files
from recsys.imports.readers.mapping import chosen_mappings
from recsys.imports.readers.rows import PRODUCTS
from recsys.settings import get_settings
from tests.recsys.imports.desk import Desk, counts

HEAD = "product,name,price,url"
SHOP = "https://shop.example"


def stored(desk: Desk) -> dict[str, str]:
    query = """SELECT p.sku, g.url FROM products_db.product_pages g
        JOIN products_db.products p ON p.id = g.product_id ORDER BY p.sku"""
    return dict(desk.rows(query))


def test_the_page_is_stored_changed_and_kept(desk: Desk) -> None:
    desk.take(products=f"{HEAD}\nlamp,Lamp,20, {SHOP}/lamp \nmug,Mug,8,/p/mug?a=1\npen,Pen,1,\n")
    assert stored(desk) == {"lamp": f"{SHOP}/lamp", "mug": "/p/mug?a=1"}
    desk.take(products=f"{HEAD}\nlamp,Lamp,20,{SHOP}/new-lamp\nmug,Mug,8,\n")
    assert stored(desk) == {"lamp": f"{SHOP}/new-lamp", "mug": "/p/mug?a=1"}
    desk.take(products="product,name,price\nlamp,Lamp,21\n")
    assert stored(desk)["lamp"] == f"{SHOP}/new-lamp"


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "shop.example/lamp", "https://", "//a.example", "/a b", "ftp://a/b"]
)
def test_other_texts_are_refused(desk: Desk, url: str) -> None:
    report = desk.take(products=f"{HEAD}\nlamp,Lamp,20,{url}\n")
    assert counts(report, "products")[-1] == 1


def test_a_long_address_is_refused(desk: Desk) -> None:
    assert counts(desk.take(products=f"{HEAD}\nlamp,Lamp,20,/{'x' * 2000}\n"), "products")[-1] == 1


def test_the_own_page_goes_before_the_setting(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_SHOP__PRODUCT_URL", f"{SHOP}/p/{{sku}}")
    get_settings.cache_clear()
    desk.take(products=f"{HEAD}\nlamp,Lamp,20,{SHOP}/lamp\nmug,Mug,8,\n")
    ids = [number for (number,) in desk.rows("SELECT id FROM products_db.products ORDER BY sku")]
    with unit_of_work() as session:
        found = chosen(session, ids, ["url"])
    assert [found[number]["url"] for number in ids] == [f"{SHOP}/lamp", f"{SHOP}/p/mug"]


@pytest.mark.parametrize(
    ("mapping", "text", "expected"),
    [
        (
            "shopify",
            "Handle,Title,Variant SKU,Variant Price\nsteel-mug,Steel mug,M1,8.00\n",
            "/products/steel-mug",
        ),
        (
            "woocommerce",
            "ID,SKU,Name,Published,Regular price,Permalink\n1,M1,Steel mug,1,8,https://shop.example/product/mug/\n",
            "https://shop.example/product/mug/",
        ),
        (
            "magento",
            "sku,name,price,url_key,product_type\nM1,Steel mug,8.00,steel-mug,simple\n",
            "/steel-mug.html",
        ),
        (
            "google_merchant",
            "id,title,link,price\nM1,Steel mug,https://shop.example/mug?v=1,8.00 USD\n",
            "https://shop.example/mug?v=1",
        ),
    ],
)
def test_known_exports_have_pages(desk: Desk, mapping: str, text: str, expected: str) -> None:
    mapped = chosen_mappings(
        {PRODUCTS.name: PRODUCTS.required + PRODUCTS.optional}, mapping, [], [], None, None
    )
    import_files(
        users=[],
        products=[desk.write("export.csv", text)],
        interactions=[],
        create_missing=False,
        refused_file=desk.refused_file,
        progress=lambda *_: None,
        mappings=mapped,
    )
    assert list(stored(desk).values()) == [expected]
