"""Rows of variants become variants of one product, whatever the order and the batches of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.imports.files import import_files
from recsys.imports.loading.variants import parents_of
from recsys.imports.readers.mapping import chosen_mappings
from recsys.imports.report import ImportReport
from tests.recsys.imports.desk import Desk
from tests.recsys.imports.mappings.shop_exports import FIELDS, HEADER, MAGENTO, SHIRTS, SHOPIFY
from tests.support.shop import Shop

PRODUCTS = "SELECT sku, name, price, track_inventory FROM products_db.products ORDER BY sku"
VARIANTS = (
    "SELECT p.sku, v.sku, v.name, v.price, v.inventory_quantity, v.inventory_policy, v.option1, v.option2 "
    "FROM products_db.product_variants v JOIN products_db.products p ON p.id = v.product_id "
    "ORDER BY p.sku, v.sku"
)


@pytest.fixture
def desk(shop: Shop, tmp_path: Path) -> Desk:
    """Imports into an empty shop."""
    return Desk(shop, tmp_path)


def _texts(rows: list[tuple[Any, ...]]) -> list[tuple[str, ...]]:
    return [tuple(str(value) for value in row) for row in rows]


PICTURES = (
    "SELECT p.sku, v.sku, i.src, i.is_primary FROM products_db.product_images i "
    "JOIN products_db.products p ON p.id = i.product_id "
    "LEFT JOIN products_db.product_variants v ON v.id = i.variant_id ORDER BY p.sku, v.sku NULLS FIRST, i.src"
)
EXPECTED_PRODUCTS = [
    ("CUP", "Cup", "3.00", "True"),
    ("MUG", "Mug", "8.00", "False"),
    ("SHIRT", "Shirt S", "17.90", "True"),
]
EXPECTED_VARIANTS = [
    ("CUP", "CUP", "Default", "3.00", "2", "deny", "None", "None"),
    ("MUG", "MUG", "Default", "8.00", "0", "continue", "None", "None"),
    ("SHIRT", "SHIRT-M", "M / red", "17.90", "0", "deny", "M", "red"),
    ("SHIRT", "SHIRT-S", "S / red", "19.90", "4", "deny", "S", "red"),
]


@pytest.mark.one_server
def test_variants_become_variants_and_events_by_their_skus_their_products(desk: Desk) -> None:
    events = "user,product,interaction_type,created_at\nann,SHIRT-M,view,2024-03-01T10:00:00Z\n"
    report = desk.take(products=SHIRTS, users="user\nann\n", interactions=events)
    assert _texts(desk.rows(PRODUCTS)) == EXPECTED_PRODUCTS
    assert _texts(desk.rows(VARIANTS)) == EXPECTED_VARIANTS
    named = (
        "SELECT p.sku FROM recommendations_db.user_interactions i "
        "JOIN products_db.products p ON p.id = i.product_id"
    )
    assert desk.rows(named) == [("SHIRT",)]
    assert report.table("products").refused == 0
    again = desk.take(products=SHIRTS)
    assert (again.table("products").added, again.table("products").updated) == (0, 0)
    assert (again.table("product_variants").added, again.table("product_variants").updated) == (0, 0)
    assert _texts(desk.rows(VARIANTS)) == EXPECTED_VARIANTS


def test_the_products_own_row_counts_and_changes_are_taken_over(desk: Desk) -> None:
    own = HEADER + "SHIRT,,A Shirt,20.00,,,\nSHIRT-S,SHIRT,Shirt S,19.90,4,S,red\n"
    desk.take(products=own)
    # the product counts its stock, since its variant does
    assert _texts(desk.rows(PRODUCTS)) == [("SHIRT", "A Shirt", "20.00", "True")]
    desk.take(products=own.replace("19.90,4,S", "18.00,1,XS"))
    assert _texts(desk.rows(VARIANTS)) == [
        ("SHIRT", "SHIRT-S", "XS / red", "18.00", "1", "deny", "XS", "red")
    ]


def test_variants_that_came_after_their_product_replace_its_default(desk: Desk) -> None:
    desk.take(products=HEADER + "SHIRT,,Shirt,20.00,,,\n")
    assert [row[1] for row in desk.rows(VARIANTS)] == ["SHIRT"]
    desk.take(products=HEADER + "SHIRT-S,SHIRT,Shirt,19.90,4,S,\n")
    assert [row[1] for row in desk.rows(VARIANTS)] == ["SHIRT-S"]


def test_a_variant_that_is_a_product_stays_one_and_a_sku_has_one_product(desk: Desk) -> None:
    desk.take(products=HEADER + "SHIRT-S,,Old shirt,19.90,4,,\nM-1,MUGS,Mug,5.00,1,,\n")
    rows = "SHIRT-S,SHIRT,Shirt S,18.90,4,S,\nSHIRT-M,SHIRT,Shirt M,17.90,1,M,\nM-1,CUPS,Cup,4.00,1,,\n"
    report = desk.take(products=HEADER + rows)
    assert [row[:2] for row in desk.rows(VARIANTS)] == [
        ("MUGS", "M-1"),
        ("SHIRT", "SHIRT-M"),
        ("SHIRT-S", "SHIRT-S"),
    ]
    assert any("1 variants have the SKU of a product" in note for note in report.notes)
    assert [refused[2] for refused in desk.refused()] == ["SKU of a variant of another product"]


def _mapped(desk: Desk, name: str, content: str, mapping: str) -> ImportReport:
    return import_files(
        products=[desk.write(name, content)],
        create_missing=False,
        refused_file=desk.refused_file,
        progress=lambda *_: None,
        mappings=chosen_mappings({"products": FIELDS["products"]}, mapping, (), (), None, None),
    )


MERCHANT = (
    "id\ttitle\tprice\titem group id\tcolor\tsize\n"
    "t-r\tTee red\t15.00 USD\ttee\tred\tM\n"
    "t-b\tTee blue\t14.00 USD\ttee\tblue\tM\n"
    "solo\tMug\t8.00 USD\t\t\t\n"
)


def test_shopify_and_google_groups_are_one_product(desk: Desk) -> None:
    _mapped(desk, "shopify.csv", SHOPIFY, "shopify")
    _mapped(desk, "feed.tsv", MERCHANT, "google_merchant")
    assert [row[:4] for row in _texts(desk.rows(VARIANTS))] == [
        ("green-tea", "TEA-100", "100 g", "3.50"),
        ("green-tea", "TEA-250", "250 g", "7.90"),
        ("mug", "MUG", "Mug", "8.00"),
        ("solo", "solo", "Default", "8.00"),
        ("tee", "t-b", "blue / M", "14.00"),
        ("tee", "t-r", "red / M", "15.00"),
    ]
    assert [row[:3] for row in _texts(desk.rows(PRODUCTS))] == [
        ("green-tea", "Green Tea", "3.50"),
        ("mug", "Mug", "8.00"),
        ("solo", "Mug", "8.00"),
        ("tee", "Tee red", "14.00"),
    ]


WOO = (
    'ID,Type,SKU,Name,Published,"Visibility in catalog",Stock,"Sale price","Regular price",Categories,Tags,'
    'Images,Parent,"Attribute 1 name","Attribute 1 value(s)","Attribute 2 name","Attribute 2 value(s)"\n'
    # a variation may come before its product, and name it by its row
    '31,variation,CAP-R,"Cap - Red",1,visible,2,,"9,00",,,https://x.example/red.jpg,id:30,Colour,Red,,\n'
    '30,variable,CAP,"Cap",1,visible,,,,"Hats","wool",https://x.example/cap.jpg,,Colour,"Red, Blue",,\n'
    '32,variation,,"Cap - Blue",1,visible,0,"7,00","9,00",,,https://x.example/blue.jpg,CAP,Colour,Blue,,\n'
    f'40,simple,BAG,"Bag",1,hidden,1,,"5,00","Bags",,https://x.example/bag.jpg,,Material,"{"x" * 120}",,\n'
    '50,variable,,"Sock",-1,visible,,,,"Feet",,,,Size,"1, 2",,\n'
    '51,variation,,"Sock - 1",1,visible,1,,"2,00",,,,id:50,Size,1,,\n'
)


def test_woocommerce_variations_are_variants_with_their_pictures(desk: Desk) -> None:
    report = _mapped(desk, "woo.csv", WOO, "woocommerce")
    assert report.table("products").refused == 0
    assert desk.rows("SELECT sku, name, price::text, status FROM products_db.products ORDER BY sku") == [
        ("50", "Sock", "2.00", "draft"),
        ("BAG", "Bag", "5.00", "archived"),
        ("CAP", "Cap", "7.00", "active"),
    ]
    assert [row[:4] for row in _texts(desk.rows(VARIANTS))] == [
        ("50", "51", "1", "2.00"),
        ("BAG", "BAG", "Default", "5.00"),
        ("CAP", "32", "Blue", "7.00"),
        ("CAP", "CAP-R", "Red", "9.00"),
    ]
    assert desk.rows(PICTURES) == [
        ("BAG", None, "https://x.example/bag.jpg", True),
        ("CAP", None, "https://x.example/cap.jpg", True),
        ("CAP", "32", "https://x.example/blue.jpg", False),
        ("CAP", "CAP-R", "https://x.example/red.jpg", False),
    ]
    again = _mapped(desk, "woo.csv", WOO, "woocommerce")
    tables = ("products", "product_variants")
    assert [(again.table(name).added, again.table(name).updated) for name in tables] == [(0, 0), (0, 0)]
    assert len(desk.rows(PICTURES)) == 4


def test_magento_lists_the_variants_in_the_configurable_product(desk: Desk) -> None:
    report = _mapped(desk, "magento.csv", MAGENTO, "magento")
    assert report.table("products").refused == 0
    assert desk.rows("SELECT sku, name, price::text, status FROM products_db.products ORDER BY sku") == [
        ("GIFT", "Hidden part", "1.00", "archived"),
        ("HOOD", "Hoodie", "49.00", "active"),
        ("TEA", "Tea", "3.50", "active"),
    ]
    assert [row[:4] for row in _texts(desk.rows(VARIANTS)) if row[0] == "HOOD"] == [
        ("HOOD", "HOOD-M-Blue", "M / Blue", "49.00"),
        ("HOOD", "HOOD-S-Red", "S / Red", "52.00"),
    ]
    assert [row for row in desk.rows(PICTURES) if row[0] == "HOOD"] == [
        ("HOOD", None, "/media/catalog/product/h/all.jpg", True),
        ("HOOD", "HOOD-M-Blue", "/media/catalog/product/h/blue.jpg", False),
        ("HOOD", "HOOD-S-Red", "/media/catalog/product/h/red.jpg", False),
    ]


def test_a_picture_of_a_variant_is_its_own_unless_the_product_has_it(desk: Desk) -> None:
    header = "product,variant_of,name,price,image,variant_image\n"
    rows = (
        "SHIRT,,Shirt,9.00,/shirt.jpg,\nSHIRT-S,SHIRT,Shirt,9.00,/shirt.jpg,\n"
        "SHIRT-M,SHIRT,Shirt,9.00,/m.jpg,\nSHIRT-L,SHIRT,Shirt,9.00,/shirt.jpg,/l.jpg\n"
    )
    for _ in range(2):
        desk.take(products=header + rows)
        assert desk.rows(PICTURES) == [
            ("SHIRT", None, "/shirt.jpg", True),
            ("SHIRT", "SHIRT-L", "/l.jpg", False),
            ("SHIRT", "SHIRT-M", "/m.jpg", False),
        ]


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("https://res.example/w_400,h_400/a.jpg", "https://res.example/w_400,h_400/a.jpg"),
        ("https://a.example/w_4,h_4/a.jpg, https://a.example/b.jpg", "https://a.example/w_4,h_4/a.jpg"),
        ("https://a.example/a.jpg,https://a.example/b.jpg", "https://a.example/a.jpg"),
        ("/a.jpg,/b.jpg", "/a.jpg"),
        ("/a,b.jpg", "/a,b.jpg"),
    ],
)
def test_of_several_pictures_the_first_is_stored_whole(desk: Desk, given: str, stored: str) -> None:
    desk.take(products=f'product,name,price,image\nTEA,Tea,9.00,"{given}"\n')
    assert desk.rows(PICTURES) == [("TEA", None, stored, True)]


SCHEMA = {
    "line": pl.Int64,
    "sku": pl.String,
    "variant_of": pl.String,
    "name": pl.String,
    "price": pl.Float64,
    "stock": pl.Int32,
}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9)), max_size=12), st.integers(1, 5))
def test_each_group_has_one_product_however_it_is_batched(groups: list[tuple[str, int]], size: int) -> None:
    lines = enumerate(groups)
    rows = [(line, f"v{line}", group, f"n{line}", float(price), None) for line, (group, price) in lines]
    written: set[str] = set()
    parents: list[dict[str, Any]] = []
    for start in range(0, len(rows), size):
        variants = pl.DataFrame(rows[start : start + size], schema=SCHEMA, orient="row")
        parents += parents_of(variants, variants.head(0), written).to_dicts()
    names = [parent["sku"] for parent in parents]
    assert names == list(dict.fromkeys(group for group, _ in groups))
    first = {group: line for line, (group, _) in reversed(list(enumerate(groups)))}
    assert [parent["name"] for parent in parents] == [f"n{first[name]}" for name in names]
