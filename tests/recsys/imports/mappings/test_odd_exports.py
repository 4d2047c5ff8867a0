"""Odd rows that real exports have: sales that ended, stock below zero, names in another place, no header."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from recsys.imports.event_ids import event_ids
from recsys.imports.files import parsed_batches
from recsys.imports.readers.mapping import chosen_mappings
from recsys.imports.readers.rows import INTERACTIONS
from recsys.imports.readers.source import open_source
from recsys.settings import get_settings
from tests.recsys.imports.mappings.shop_exports import FIELDS, events, ga4, preview, products

SHOPIFY = (
    "\ufeffHandle,Title,Published,Option1 Value,Option2 Value,Variant SKU,Variant Inventory Tracker,"
    "Variant Inventory Qty,Variant Inventory Policy,Variant Price,Image Src,Variant Image,Status\n"
    'tee,"Tee\n""X""",TRUE,S,Red,T-S,shopify,-3,continue,19.90,/a.jpg,/red.jpg,active\n'
    "tee,,,M,Red,T-M,shopify,-1,deny,19.90,/b.jpg,,\n"
    "tee,,,L,Red,,shopify,2,deny,21.90,/c.jpg,,\n"
    "tee,,,XL,Red,,shopify,2,deny,22.90,,,\n"
    "tee,,,,,,,,,,/d.jpg,,\n"
    "ebook,E-Book,TRUE,Default Title,,,,0,deny,5.00,,,active\n"
    "secret,Secret,FALSE,Default Title,,S-1,shopify,5,deny,5.00,,,active\n"
    "off,Unlisted,TRUE,Default Title,,U-1,shopify,5,deny,5.00,,,unlisted\n"
)
SHOPIFY_NEW_NAMES = (
    "Title,URL handle,Published on online store,Status,SKU,Option1 value,Price,Compare-at price,"
    "Inventory tracker,Inventory quantity,Continue selling when out of stock,Product image URL,"
    "Variant image URL\n"
    "Tee,tee,TRUE,Active,T-S,S,19.99,24.99,shopify,3,DENY,/a.jpg,\n"
    ",tee,,,T-M,M,19.99,,shopify,0,CONTINUE,/b.jpg,/m.jpg\n"
    ",tee,,,,,,,,,,/c.jpg,\n"
)
SHOPIFY_ORDERS = (
    "Name,Email,Financial Status,Created at,Lineitem quantity,Lineitem name,Lineitem sku,Notes,Cancelled at\n"
    '1,a@x.example,paid,2024-03-01 10:00:00 +0200,2,Tee,T-S,"two\nlines",\n1,,,,1,Mug,MUG,,\n'
    "2,b@x.example,voided,2024-03-01 10:00:00 +0200,1,Tee,T-S,,\n2,,,,1,Mug,MUG,,\n"
    "3,c@x.example,paid,2024-03-01 10:00:00 +0200,1,Tee,T-S,,2024-03-02 10:00:00 +0200\n3,,,,1,Mug,MUG,,\n"
    "4,d@x.example,refunded,2024-03-01 10:00:00 +0200,1,Tee,T-S,,\n"
    "5,e@x.example,partially_refunded,2024-03-01 10:00:00 +0200,1,Tee,T-S,,\n"
)
WOO = (
    "ID,Type,SKU,Name,Published,Date sale price starts,Date sale price ends,In stock?,Stock,Sale price,"
    "Regular price,Categories\n"
    '1,simple,ended,Ended,1,2020-01-01,2020-02-01,1,,42,45,"Clothing, Clothing > Hoodies\\, warm"\n'
    "2,simple,now,Now,1,2020-01-01,2999-02-01,0,,42,45,Clothing\n"
    "3,simple,later,Later,1,2999-01-01,,backorder,-4,42,45,Clothing\n"
    "4,grouped,set,Set,1,,,1,,,,Clothing\n"
)
MAGENTO = (
    "sku,categories,name,price,special_price,special_price_from_date,special_price_to_date,base_image,"
    "additional_attributes,qty,allow_backorders,use_config_backorders,is_in_stock,manage_stock,"
    "use_config_manage_stock\n"
    '1,"Default Category/Gear,Default Category/Gear/Bags",Duffle,34.0,,,,/m/b.jpg,'
    '"activity=Gym|Hiking,brand=Joust,material=Nylon, Polyester,note=""a, b""",100.5,0,1,1,0,1\n'
    '2,,Old sale,40.0,30.0,"1/1/20, 12:00 AM","2/1/20, 12:00 AM",no_selection,,100,0,1,0,1,1\n'
    '3,,New sale,40.0,30.0,"1/1/20, 12:00 AM","2/1/68, 12:00 AM",,,0,0,1,1,0,0\n'
    "4,,Backorder,40.0,,,,,,-5.0000,1,0,1,1,0\n"
)
FEED = """<!-- by a plugin -->
<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel>
<item><title>other</title><g:id>1</g:id><g:title><![CDATA[Café & Tea]]></g:title>
<g:price>20.00 USD</g:price><g:sale_price>15.00 USD</g:sale_price>
<g:sale_price_effective_date>2020-01-01T00:00+0100/2020-02-01T00:00+0100</g:sale_price_effective_date>
<g:availability>out of stock</g:availability><g:shipping><g:price>4.90 USD</g:price></g:shipping>
<g:product_type>A</g:product_type><g:product_type>B &gt; C</g:product_type></item>
<item><g:id>2</g:id><title>V1</title><g:price>20.00USD</g:price><g:sale_price>15.00 USD</g:sale_price>
<g:sale_price_effective_date>2020-01-01T00:00-0800/2999-02-01T00:00-0800</g:sale_price_effective_date>
<g:availability>in_stock</g:availability></item>
<item><g:id>3</g:id><title>V2</title><g:price>20 EUR</g:price><g:availability>preorder</g:availability></item>
</channel></rss>"""


def some(shown: dict[str, Any], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in shown["first"]]


def imported(folder: Path, content: str, mapping: str) -> list[tuple[Any, ...]]:
    """Event id, user, product and value of the interactions, as an import stores them."""
    path = folder / "export.txt"
    path.write_text(content, encoding="utf-8")
    chosen = chosen_mappings({"interactions": FIELDS["interactions"]}, mapping, (), (), None, None)
    with open_source(
        path, INTERACTIONS.required, INTERACTIONS.optional, None, chosen["interactions"]
    ) as source:
        [batch] = parsed_batches(source, INTERACTIONS, datetime.now(UTC))
        return batch.rows.select("event_id", "user", "product", "interaction_value").rows()


def test_shopify_variants_without_sku_and_stock_below_zero(tmp_path: Path) -> None:
    shown = preview(tmp_path, "products", SHOPIFY, "shopify")
    assert shown["refused"]["total"] == 0
    assert shown["rows"] == 7
    assert some(shown, "sku", "variant_of", "name", "stock", "availability", "image", "variant_image") == [
        ("T-S", "tee", 'Tee\n"X"', 0, "on_order", "/a.jpg", "/red.jpg"),
        # a further picture in the line of a variant is one of the product
        ("T-M", "tee", 'Tee\n"X"', 0, None, "/a.jpg", None),
        ("tee/L/Red", "tee", 'Tee\n"X"', 2, None, "/a.jpg", None),
        ("tee/XL/Red", "tee", 'Tee\n"X"', 2, None, "/a.jpg", None),
        # without a tracker the quantity means nothing
        ("ebook", "ebook", "E-Book", 0, "in_stock", None, None),
    ]
    rows = SHOPIFY.split("\n")
    shown = preview(tmp_path, "products", "\n".join([rows[0], *rows[-3:]]), "shopify")
    assert some(shown, "sku", "status") == [("S-1", "draft"), ("U-1", "archived")]


def test_shopify_under_its_newer_column_names(tmp_path: Path) -> None:
    shown = preview(tmp_path, "products", SHOPIFY_NEW_NAMES, "shopify")
    names = (
        "sku",
        "variant_of",
        "name",
        "price",
        "compare_price",
        "stock",
        "availability",
        "image",
        "status",
    )
    assert some(shown, *names) == [
        ("T-S", "tee", "Tee", 19.99, 24.99, 3, None, "/a.jpg", "active"),
        ("T-M", "tee", "Tee", 19.99, None, 0, "on_order", "/a.jpg", "active"),
    ]
    assert some(shown, "variant_image", "url") == [(None, "/products/tee"), ("/m.jpg", "/products/tee")]


def test_shopify_orders_that_were_cancelled_voided_or_refunded_are_no_purchases(tmp_path: Path) -> None:
    shown = preview(tmp_path, "interactions", SHOPIFY_ORDERS, "shopify")
    assert [row[:4] for row in events(shown)] == [
        ("a@x.example", "T-S", "purchase", 2.0),
        ("a@x.example", "MUG", "purchase", 1.0),
        ("e@x.example", "T-S", "purchase", 1.0),
    ]


def test_woocommerce_sales_stock_and_categories(tmp_path: Path) -> None:
    shown = preview(tmp_path, "products", WOO, "woocommerce")
    assert shown["refused"]["total"] == 0
    names = ("sku", "price", "compare_price", "stock", "availability", "category")
    assert some(shown, *names) == [
        ("ended", 45.0, None, None, "in_stock", "Clothing > Hoodies, warm"),
        ("now", 42.0, 45.0, None, "out_of_stock", "Clothing"),
        ("later", 45.0, None, 0, "on_order", "Clothing"),
    ]


def test_magento_attributes_sales_and_stock(tmp_path: Path) -> None:
    shown = preview(tmp_path, "products", MAGENTO, "magento")
    assert shown["refused"]["total"] == 0
    assert some(shown, "sku", "price", "stock", "availability", "image") == [
        ("1", 34.0, 100, None, "/media/catalog/product/m/b.jpg"),
        ("2", 40.0, 100, "out_of_stock", None),
        ("3", 30.0, 0, "in_stock", None),
        ("4", 40.0, 0, "on_order", None),
    ]
    [first, *_] = shown["first"]
    assert (first["category"], first["brand"]) == ("Default Category > Gear > Bags", "Joust")
    assert json.loads(first["attributes"]) == {
        "activity": "Gym|Hiking",
        "brand": "Joust",
        "material": "Nylon, Polyester",
        "note": "a, b",
    }


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "windows-1252", "utf-8-sig", "utf-16"])
def test_google_feeds_of_every_encoding_with_sales_and_availability(tmp_path: Path, encoding: str) -> None:
    declared = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>\n{FEED}'
    shown = preview(tmp_path, "products", declared.encode(encoding), "google_merchant")
    assert products(shown) == [("1", "Café & Tea", 20.0, "B > C", None), ("2", "V1", 15.0, None, None)]
    assert some(shown, "availability", "compare_price") == [("out_of_stock", None), ("in_stock", 20.0)]
    # a price in another currency is not a price of this shop
    currency = get_settings().shop.currency
    assert shown["refused"]["by_reason"] == {
        f"currency is not {currency}; all prices are in the shop's (RECSYS_SHOP__CURRENCY)": 1
    }


def test_ga4_placeholders_are_neither_orders_nor_products(tmp_path: Path) -> None:
    unset = {"ecommerce": {"transaction_id": "(not set)"}}
    content = (
        ga4("view_item", [{"item_id": "A"}], **unset)
        + ga4("add_to_cart", [{"item_id": "A", "quantity": "2"}], **unset)
        + ga4("view_item", [{"item_id": "(not set)"}], **unset)
        + ga4("view_item", [], **unset)
    )
    rows = imported(tmp_path, content, "ga4")
    assert [row[1:] for row in rows] == [("1026454.42", "A", None), ("1026454.42", "A", 2.0)]
    assert len({row[0] for row in rows}) == 2
    assert preview(tmp_path, "interactions", content, "ga4")["refused"]["by_reason"] == {"no product": 2}


def test_a_product_twice_in_an_order_is_two_events_and_the_order_twice_is_none(tmp_path: Path) -> None:
    items = [{"item_id": "A", "item_variant": size, "quantity": n} for size, n in (("S", 1), ("M", 3))]
    order = ga4("purchase", [*items, {"item_id": "B"}], ecommerce={"transaction_id": "T1"})
    rows = imported(tmp_path, order + order, "ga4")
    assert len(rows) == 6
    assert sorted({(event, product) for event, _, product, _ in rows}) == sorted(
        (event, product) for event, _, product, _ in rows[:3]
    )
    assert {value for _, _, product, value in rows if product == "A"} == {1.0, 3.0}
    # as another sender of the same order writes it
    assert rows[2][0] in event_ids_of("T1:A", "T1:B", "T1:A:2")


def event_ids_of(*names: str) -> set[str]:
    import polars as pl

    from recsys.imports.repeat_counter import Occurrences

    return set(event_ids(pl.DataFrame({"event_id": list(names)}), Occurrences()).to_list())


def test_segment_of_both_versions_in_one_pass(tmp_path: Path) -> None:
    base = {"type": "track", "userId": "ann", "originalTimestamp": "2024-03-01T10:00:00.000Z"}
    sent = [
        ("Viewed Product", {"id": "1", "sku": "TEA"}),
        ("Completed Order", {"products": [{"id": "2"}, {"sku": "MUG", "quantity": 2}]}),
        ("Order Refunded", {"products": [{"sku": "MUG"}]}),
        ("Product List Viewed", {"products": [{"sku": "MUG"}]}),
        ("Order Completed", {"products": []}),
    ]
    content = "".join(
        json.dumps({**base, "event": event, "messageId": f"m{number}", "properties": properties}) + "\n"
        for number, (event, properties) in enumerate(sent)
    )
    shown = preview(tmp_path, "interactions", content, "segment")
    assert sorted(row[1:4] for row in events(shown)) == [
        ("2", "purchase", None),
        ("MUG", "purchase", 2.0),
        ("TEA", "view", None),
    ]
    assert shown["refused"]["by_reason"] == {"no product": 1}


def test_personalize_items_and_the_times_of_spark(tmp_path: Path) -> None:
    content = (
        "ITEM_ID,PRICE,CATEGORY_L1,CATEGORY_L2,GENRES,CREATION_TIMESTAMP\n"
        "1,18.02,Electronics,Phones,a|b,1581670067\n2,,Books,,,1.581670067E9\n"
    )
    moment = datetime(2020, 2, 14, 8, 47, 47, tzinfo=UTC)
    shown = preview(tmp_path, "products", content, "personalize")
    assert products(shown) == [
        ("1", "1", 18.02, "Electronics > Phones", "a|b"),
        ("2", "2", 0.0, "Books", None),
    ]
    assert some(shown, "created_at") == [(moment,), (moment,)]
    rounded = "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE\n1,1,1.58E+09,AddToCart\n1,1,1.58167006E9,ProductViewed\n"
    shown = preview(tmp_path, "interactions", rounded, "personalize")
    assert [row[2] for row in events(shown)] == ["view"]
    assert shown["refused"]["by_reason"] == {"created_at is not an ISO 8601 or Unix time": 1}


RATING = ("1", "1193", "review", 5.0, datetime(2000, 12, 31, 22, 12, 40, tzinfo=UTC))


@pytest.mark.parametrize(
    "content",
    [
        "1::1193::5::978300760\n",
        "1\t1193\t5\t978300760\n",
        "userId,movieId,rating,timestamp\r\n1,1193,5.0,978300760\r\n",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t1193\t5\t978300760\n",
    ],
    ids=["ratings.dat", "u.data", "ratings.csv", "RecBole"],
)
def test_movielens_ratings_of_every_year(tmp_path: Path, content: str) -> None:
    assert events(preview(tmp_path, "interactions", content, "movielens")) == [RATING]


@pytest.mark.parametrize(
    ("content", "tags"),
    [
        ("1::Café (1995)::Animation|Comedy\n", "Animation|Comedy"),
        ("1|Café (1995)|01-Jan-1995||http://x.example" + "|0" * 19 + "\n", None),
        ('movieId,title,genres\n1,"Café (1995)",(no genres listed)\n', None),
    ],
    ids=["movies.dat", "u.item", "movies.csv"],
)
def test_movielens_films_of_every_year(tmp_path: Path, content: str, tags: str | None) -> None:
    shown = preview(tmp_path, "products", content.encode("latin-1"), "movielens")
    assert products(shown) == [("1", "Café (1995)", 0.0, None, tags)]


def test_instacart_orders_and_names_come_from_the_files_beside(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(
        "order_id,user_id,eval_set,order_number,order_dow,order_hour_of_day,days_since_prior_order\n"
        "12,1,prior,2,3,07,15.0\n11,1,prior,1,2,08,\n13,1,train,3,3,12,21.0\n21,2,prior,1,3,12,\n"
    )
    (tmp_path / "aisles.csv").write_text("aisle_id,aisle\n61,cookies cakes\n")
    rows = ("11,196,1,0", "12,196,1,1", "13,7,1,0", "21,7,1,0", "99,7,1,0")
    lines = "\n".join(["order_id,product_id,add_to_cart_order,reordered", *rows, ""])
    shown = preview(tmp_path, "interactions", lines, "instacart")
    days = [(1, 8), (16, 7), (37, 12), (1, 12)]
    assert events(shown) == [
        (
            user,
            product,
            "purchase",
            None,
            datetime(2016, 1 + (day > 31), (day - 1) % 31 + 1, hour, tzinfo=UTC),
        )
        for (user, product), (day, hour) in zip(
            [("1", "196"), ("1", "196"), ("1", "7"), ("2", "7")], days, strict=True
        )
    ]
    # the order is in no file beside
    assert shown["refused"]["total"] == 1
    names = "product_id,product_name,aisle_id,department_id\n1,Chocolate Cookies,61,19\n"
    shown = preview(tmp_path, "products", names, "instacart")
    assert products(shown) == [("1", "Chocolate Cookies", 0.0, "19", "cookies cakes")]


def test_a_missing_file_beside_is_named(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"put orders\.csv beside it"):
        preview(tmp_path, "interactions", "order_id,product_id\n11,196\n", "instacart")
