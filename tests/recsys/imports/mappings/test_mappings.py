"""Exports of the trade, in their real shapes, become rows of ours by the mappings that ship."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from recsys import clock
from recsys.errors import Invalid
from recsys.imports.files import open_sources, parsed_batches
from recsys.imports.readers.mapping import chosen_mappings, read_mapping, shipped_mappings
from recsys.imports.readers.source import ReadOptions
from tests.recsys.imports.mappings.shop_exports import (
    FIELDS,
    MAGENTO,
    SHOPIFY,
    events,
    ga4,
    preview,
    products,
)

SHOPIFY_ORDERS = (
    "Name,Email,Created at,Lineitem quantity,Lineitem name,Lineitem sku\n"
    "#1001,ann@x.example,2024-03-01 10:00:00 +0200,2,Green Tea,TEA-100\n"
    "#1001,,,1,Mug,MUG\n"
)
WOO = (
    '\ufeffID,Type,SKU,Name,Published,"In stock?",Stock,"Sale price","Regular price",'
    "Categories,Tags,Images,Parent\n"
    '11,simple,TEA-1,"Green Tea",1,1,7,,"3,50","Drinks > Tea, Sale","green, loose",,\n'
    '12,variable,SHIRT,"Shirt",1,1,,,,"Clothes",,,\n'
    '13,variation,SHIRT-S,"Shirt - S",1,1,4,,"1.019,90",,,,SHIRT\n'
    '14,variation,,"Shirt - M",1,1,4,"15,00",19.9,,,,id:12\n'
)
MERCHANT_TSV = (
    "id\ttitle\tdescription\tlink\tprice\tsale price\tavailability\tproduct type\tbrand\n"
    "gm1\tOrganic Tea\tnice\thttps://x.example/1\t1,015.00 USD\t12.00 USD\tin_stock\tFood > Tea\tAcme\n"
)
MERCHANT_XML = """<?xml version="1.0"?>
<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel><title>Shop</title>
<item><g:id>gm1</g:id><title>Organic Tea</title><g:price>15.00 USD</g:price><g:brand>Acme</g:brand>
<g:product_type>Food &gt; Tea</g:product_type></item>
<item><g:id>gm2</g:id><title>Mug</title><g:price>8.00 USD</g:price></item></channel></rss>"""


GA4 = (
    ga4("view_item", [{"item_id": "GGOEAAXX", "price": 5.0, "quantity": None}])
    + ga4("page_view", [])
    + ga4("session_start", [{"item_id": "X"}])
    + ga4(
        "purchase",
        [{"item_id": "A", "quantity": 2}, {"item_id": "B", "quantity": 1}],
        user_id="ann",
        ecommerce={"transaction_id": "T1"},
    )
)
SEGMENT = "".join(
    json.dumps(
        {
            "type": "track",
            "event": event,
            "userId": user,
            "anonymousId": "anon",
            "messageId": message,
            "originalTimestamp": "2024-03-01T10:00:00.000Z",
            "properties": properties,
        }
    )
    + "\n"
    for event, user, message, properties in (
        ("Product Viewed", "ann", "m1", {"product_id": "507f", "sku": "TEA", "quantity": 1}),
        ("Product Added", None, "m2", {"product_id": "MUG", "quantity": 2}),
        ("Signed Up", "ann", "m3", {}),
        ("Order Completed", "ann", "m4", {"products": [{"product_id": "1", "sku": "TEA", "quantity": 3}]}),
    )
)


def test_shopify_products_get_the_title_of_their_group_and_images_are_no_products(tmp_path: Path) -> None:
    shown = preview(tmp_path, "products", SHOPIFY, "shopify")
    assert products(shown) == [
        ("TEA-100", "Green Tea", 3.5, "Food > Tea", "green|loose"),
        ("TEA-250", "Green Tea", 7.9, "Food > Tea", "green|loose"),
        ("MUG", "Mug", 8.0, "Cups", None),
    ]
    assert shown["refused"]["total"] == 0
    assert any("1 rows left out by the mapping" in note for note in shown["notes"])


def test_shopify_orders_are_purchases(tmp_path: Path) -> None:
    moment = datetime(2024, 3, 1, 8, tzinfo=UTC)
    assert events(preview(tmp_path, "interactions", SHOPIFY_ORDERS, "shopify")) == [
        ("ann@x.example", "TEA-100", "purchase", 2.0, moment),
        ("ann@x.example", "MUG", "purchase", 1.0, moment),
    ]


def test_woocommerce(tmp_path: Path) -> None:
    assert products(preview(tmp_path, "products", WOO, "woocommerce")) == [
        ("TEA-1", "Green Tea", 3.5, "Drinks > Tea", "green|loose"),
        ("SHIRT-S", "Shirt", 1019.9, "Clothes", None),
        ("14", "Shirt", 15.0, "Clothes", None),
    ]


def test_magento(tmp_path: Path) -> None:
    assert products(preview(tmp_path, "products", MAGENTO, "magento")) == [
        ("TEA", "Tea", 3.5, "Default Category > Drinks > Tea", None),
        ("HOOD-S-Red", "Hoodie", 52.0, "Default Category > Tops", None),
        ("HOOD-M-Blue", "Hoodie", 49.0, "Default Category > Tops", None),
        ("GIFT", "Hidden part", 1.0, None, None),
    ]


def test_google_merchant_as_tsv_and_as_xml(tmp_path: Path) -> None:
    assert products(preview(tmp_path, "products", MERCHANT_TSV, "google_merchant")) == [
        ("gm1", "Organic Tea", 12.0, "Food > Tea", None)
    ]
    assert products(preview(tmp_path, "products", MERCHANT_XML, "google_merchant")) == [
        ("gm1", "Organic Tea", 15.0, "Food > Tea", None),
        ("gm2", "Mug", 8.0, None, None),
    ]


def test_ga4_events_are_fanned_out_over_their_items(tmp_path: Path) -> None:
    moment = datetime(2021, 1, 31, 5, 5, 10, 766593, tzinfo=UTC)
    shown = preview(tmp_path, "interactions", GA4, "ga4")
    assert events(shown) == [
        ("1026454.42", "GGOEAAXX", "view", None, moment),
        ("ann", "A", "purchase", 2.0, moment),
        ("ann", "B", "purchase", 1.0, moment),
    ]
    assert shown["refused"]["total"] == 0


def test_items_of_an_event_stay_in_the_order_of_the_file(tmp_path: Path) -> None:
    # more rows than DuckDB keeps in order by itself
    bought = [[f"P{event}-{place}" for place in range(7)] for event in range(1_500)]
    content = "".join(
        ga4(
            "purchase",
            [{"item_id": name, "quantity": 1} for name in names],
            ecommerce={"transaction_id": str(event)},
        )
        for event, names in enumerate(bought)
    )
    path = tmp_path / "events.json"
    path.write_text(content)
    chosen = chosen_mappings({"interactions": FIELDS["interactions"]}, "ga4", (), (), None, None)
    with ExitStack() as stack:
        ((kind, source),) = open_sources(stack, [], [], [path], ReadOptions(), chosen, [])
        read = [
            name
            for batch in parsed_batches(source, kind, clock.now())
            for name in batch.rows["product"].to_list()
        ]
    assert read == [name for names in bought for name in names]


def test_a_flat_table_of_ga4_events(tmp_path: Path) -> None:
    content = (
        "event_date,event_timestamp,event_name,user_pseudo_id,item_id\n"
        "20210131,1612069510766593,view_item,1026454.4271112504,GGOEAAXX\n"
        "20210131,1612069510766594,scroll,1026454.4271112504,\n"
    )
    moment = datetime(2021, 1, 31, 5, 5, 10, 766593, tzinfo=UTC)
    assert events(preview(tmp_path, "interactions", content, "ga4")) == [
        ("1026454.4271112504", "GGOEAAXX", "view", None, moment)
    ]


@pytest.mark.parametrize("name", sorted(shipped_mappings()))
@pytest.mark.parametrize("content", ["a,b\n1,2\n", '{"a": 1}\n', '{"items": 3}\n', "<rss></rss>"])
def test_a_file_that_does_not_fit_a_mapping_is_refused_in_one_line(
    tmp_path: Path, name: str, content: str
) -> None:
    for kind in read_mapping(name):
        message, rows = _verdict(tmp_path, kind, content, name)
        # keys of nested JSON may be absent from every object: then no row is stored
        assert rows == 0
        assert message is None or ("has no column" in message and "\n" not in message)


def _verdict(folder: Path, kind: str, content: str, name: str) -> tuple[str | None, int]:
    """The message of a refusal, or the number of rows that would be stored."""
    try:
        return None, int(preview(folder, kind, content, name)["rows"])
    except Invalid as error:
        return error.message, 0


def test_segment(tmp_path: Path) -> None:
    moment = datetime(2024, 3, 1, 10, tzinfo=UTC)
    assert events(preview(tmp_path, "interactions", SEGMENT, "segment")) == [
        ("ann", "TEA", "view", 1.0, moment),
        ("anon", "MUG", "add_to_cart", 2.0, moment),
        ("ann", "TEA", "purchase", 3.0, moment),
    ]


def test_personalize(tmp_path: Path) -> None:
    content = (
        "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE\n35,73,1586731606,click,1\n35,74,1586731606,,\n"
    )
    moment = datetime(2020, 4, 12, 22, 46, 46, tzinfo=UTC)
    assert events(preview(tmp_path, "interactions", content, "personalize")) == [
        ("35", "73", "view", 1.0, moment),
        ("35", "74", "view", None, moment),
    ]


def test_movielens(tmp_path: Path) -> None:
    moment = datetime(2000, 7, 30, 18, 45, 3, tzinfo=UTC)
    ratings = "userId,movieId,rating,timestamp\n1,1,4.0,964982703\n"
    assert events(preview(tmp_path, "interactions", ratings, "movielens")) == [
        ("1", "1", "review", 4.0, moment)
    ]
    movies = 'movieId,title,genres\n11,"American President, The (1995)",Comedy|Drama\n'
    assert products(preview(tmp_path, "products", movies, "movielens")) == [
        ("11", "American President, The (1995)", 0.0, None, "Comedy|Drama")
    ]


def test_retailrocket(tmp_path: Path) -> None:
    content = (
        "timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view,355908,\n"
        "1433221332117,257597,addtocart,355908,\n1433221332117,257597,transaction,355908,4000\n"
    )
    kinds = [row[2] for row in events(preview(tmp_path, "interactions", content, "retailrocket"))]
    assert kinds == ["view", "add_to_cart", "purchase"]


def test_instacart(tmp_path: Path) -> None:
    content = "product_id,product_name,aisle_id,department_id\n1,Chocolate Sandwich Cookies,61,19\n"
    assert products(preview(tmp_path, "products", content, "instacart")) == [
        ("1", "Chocolate Sandwich Cookies", 0.0, "19", "61")
    ]


def test_every_shipped_mapping_can_be_read_and_has_a_test() -> None:
    tested = Path(__file__).read_text(encoding="utf-8")
    for name, description in shipped_mappings().items():
        assert read_mapping(name)
        assert description
        assert f'"{name}"' in tested
        for kind in read_mapping(name):
            assert chosen_mappings({kind: FIELDS[kind]}, name, [], [], None, None)


def test_a_field_that_a_mapping_misspells_is_refused(tmp_path: Path) -> None:
    for line in ('columns.prise = "cost"', 'constants.prise = "1"', 'values.prise.a = "1"'):
        file = tmp_path / "ours.toml"
        file.write_text(f"[products]\n{line}\n")
        with pytest.raises(Invalid, match="products: prise is not one of"):
            chosen_mappings({"products": FIELDS["products"]}, str(file), [], [], None, None)


@pytest.mark.parametrize(
    ("text", "decimal", "price"),
    [
        ("12,50", ",", 12.5),
        ("1.234,50", ",", 1234.5),
        ("1 234,50 €", ",", 1234.5),
        ("$12.50", ".", 12.5),
        ("15.00 USD", ".", 15.0),
        ("1,234.50", ".", 1234.5),
        ("CHF 1'234.50", ".", 1234.5),
        ("12.50", ".", 12.5),
    ],
)
def test_amounts_with_currency_and_marks(tmp_path: Path, text: str, decimal: str, price: float) -> None:
    content = f'product,name,price\np,P,"{text}"\n'
    [row] = preview(tmp_path, "products", content, decimal=decimal)["first"]
    assert row["price"] == price


@pytest.mark.parametrize(
    ("text", "decimal"), [("1.234,50", "."), ("1,234.50", ","), ("12,5,0", "."), ("cheap", "."), ("NaN", ".")]
)
def test_amounts_that_the_decimal_mark_contradicts_are_refused(
    tmp_path: Path, text: str, decimal: str
) -> None:
    shown = preview(tmp_path, "products", f'product,name,price\np,P,"{text}"\n', decimal=decimal)
    assert shown["refused"]["by_reason"] == {"price is not a number": 1}


def test_columns_words_and_dates_are_given_as_options(tmp_path: Path) -> None:
    shown = preview(
        tmp_path,
        "interactions",
        "who;what;did;when\nann;tea;click;202403011005\nann;tea;hover;202403011005\nann;tea;like;soon\n",
        columns=("who=user", "What=product", "did=interaction_type", "when=created_at"),
        types=("click=view", "*=ignore"),
        date_format="%Y%m%d%H%M",
    )
    assert events(shown) == [("ann", "tea", "view", None, datetime(2024, 3, 1, 10, 5, tzinfo=UTC))]
    assert shown["refused"]["by_reason"] == {"created_at is not an ISO 8601 or Unix time": 1}
    assert shown["refused"]["first"][0]["raw"] == "ann;tea;like;soon"


def test_a_mapping_of_ones_own(tmp_path: Path) -> None:
    mapping = tmp_path / "ours.toml"
    mapping.write_text(
        '[products]\ncolumns.product = "nr"\ncolumns.name = { join = ["brand", "title"], separator = " " }\n'
        'columns.price = "eur"\ndecimal = ","\n'
    )
    shown = preview(tmp_path, "products", "nr|brand|title|eur\n1|Acme|Tea|3,50\n2||Mug|1\n", str(mapping))
    assert [row[:3] for row in products(shown)] == [("1", "Acme Tea", 3.5)]
    assert shown["refused"]["by_reason"] == {"no name": 1}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "[products", "is not a TOML file"),
        ("a.toml", '[shelves]\ncolumns.product = "a"\n', "shelves: Extra inputs"),
        ("a.toml", '[products]\ndecimal = "x"\n', "products.decimal: String should match"),
        ("a.toml", '[interactions]\ntypes.click = "stare"\n', "stare is not one of view"),
        ("nothing", "", "neither a file nor one of ga4, google_merchant"),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_refused(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(Invalid, match=message) as caught:
        read_mapping(str(tmp_path / name))
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ("who",)}, "--map 'who' is not of the form"),
        ({"columns": ("who=buyer",)}, "buyer is not one of"),
        ({"columns": ("nobody=user",)}, "no file has a column nobody"),
        ({"types": ("click=stare",)}, "stare is not one of view"),
        ({"decimal": ";"}, "neither . nor ,"),
        ({"mapping": "woocommerce"}, "--mapping woocommerce is for products"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    content = "user,product,interaction_type,created_at\nu,p,view,2024-03-01\n"
    with pytest.raises(Invalid, match=message):
        preview(tmp_path, "interactions", content, **options)


@pytest.mark.parametrize(
    ("kind", "content", "name"),
    [
        ("products", SHOPIFY, "shopify"),
        ("products", MERCHANT_XML, "google_merchant"),
        ("interactions", "timestamp,visitorid,event,itemid\n1,2,view,3\n", "retailrocket"),
        ("interactions", "USER_ID,ITEM_ID,TIMESTAMP\n35,73,1586731606\n", "personalize"),
    ],
)
def test_a_known_export_is_named_with_its_mapping(tmp_path: Path, kind: str, content: str, name: str) -> None:
    with pytest.raises(Invalid, match=f"looks like {name} .*--mapping {name}"):
        preview(tmp_path, kind, content)
