"""Attributes of products: from columns, mappings and JSON, into `dimensions`, where filters read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.errors import Invalid
from recsys.imports.files import import_files
from recsys.imports.readers.mapping import chosen_mappings
from recsys.imports.readers.rows import INTERACTIONS, PRODUCTS
from recsys.imports.readers.source import open_source
from recsys.settings import get_settings
from tests.recsys.imports.desk import Desk, counts

HEAD = "product,name,price,attributes.colour,attributes.Size"


def stored(desk: Desk) -> dict[str, Any]:
    return dict(desk.rows("SELECT sku, dimensions FROM products_db.products ORDER BY sku"))


def test_columns_are_attributes_and_an_emptied_one_goes(desk: Desk) -> None:
    desk.take(products=f"{HEAD}\nlamp,Lamp,20,red,L\nmug,Mug,8,,\n")
    assert stored(desk) == {"lamp": {"colour": "red", "size": "L"}, "mug": None}
    # what the shop wrote by another way stays
    desk.rows("""UPDATE products_db.products SET dimensions = dimensions || '{"watts": 60}'
        WHERE sku = 'lamp' RETURNING id""")
    changed = f"{HEAD}\nlamp,Lamp,20,,XL\nmug,Mug,8,,\n"
    assert counts(desk.take(products=changed), "products") == (2, 0, 1, 1, 0)
    assert stored(desk) == {"lamp": {"size": "XL", "watts": 60}, "mug": None}
    # the same again changes nothing, nor does a file without attributes
    assert counts(desk.take(products=changed), "products") == (2, 0, 0, 2, 0)
    desk.take(products="product,name,price\nlamp,Lamp,21\n")
    assert stored(desk)["lamp"] == {"size": "XL", "watts": 60}


def test_an_object_of_json_lines_and_columns_beside_it(desk: Desk) -> None:
    rows = [
        {"product": "lamp", "name": "Lamp", "price": 20, "attributes": {"colour": "red", "tags": ["a", "b"]}},
        {
            "product": "mug",
            "name": "Mug",
            "price": 8,
            "attributes": {"litres": 0.3},
            "attributes.colour": "blue",
        },
        {"product": "pen", "name": "Pen", "price": 1, "attributes": "no object"},
    ]
    report = desk.take(products=desk.write("p.jsonl", "\n".join(map(json.dumps, rows))))
    assert counts(report, "products")[-1] == 1
    assert [reason for _, _, reason, _ in desk.refused()] == ["attributes is not a JSON object"]
    assert stored(desk) == {
        "lamp": {"colour": "red", "tags": ["a", "b"]},
        "mug": {"litres": 0.3, "colour": "blue"},
    }


@given(
    values=st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8).map(
            str.lower
        ),
        st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8),
        max_size=4,
    )
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_name_and_value_arrives_as_it_is(values: dict[str, str], tmp_path: Path) -> None:
    row = {"product": "a", "name": "A", "price": "1"} | {
        f"attributes.{name}": value for name, value in values.items()
    }
    path = tmp_path / "products.jsonl"
    path.write_text(json.dumps(row), encoding="utf-8")
    with open_source(path, PRODUCTS.required, PRODUCTS.optional) as source:
        (batch,) = source.batches()
    found = batch.rows["attributes"].to_list() if "attributes" in batch.rows.columns else [None]
    assert (json.loads(found[0]) if found[0] else {}) == values


def test_a_mapping_names_attributes(desk: Desk) -> None:
    mapped = chosen_mappings(
        {"products": PRODUCTS.required + PRODUCTS.optional}, None, ["Farbe=attributes.colour"], [], None, None
    )
    file = desk.write("p.csv", "product,name,price,Farbe\nlamp,Lamp,20,rot\n")
    import_files(
        users=[], interactions=[], products=[file],
        create_missing=False, refused_file=desk.refused_file, progress=lambda *_: None, mappings=mapped,
    )  # fmt: skip
    assert stored(desk) == {"lamp": {"colour": "rot"}}
    for field, kind in (("attributes.", PRODUCTS), ("attributes.colour", INTERACTIONS)):
        with pytest.raises(Invalid, match="is not one of"):
            chosen_mappings({kind.name: kind.optional}, None, [f"Farbe={field}"], [], None, None)


def test_prices_in_another_currency_are_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_SHOP__CURRENCY", "EUR")
    get_settings.cache_clear()
    report = desk.take(products="product,name,price,currency\nlamp,Lamp,20,eur\nmug,Mug,8,USD\npen,Pen,1,\n")
    assert counts(report, "products") == (3, 2, 0, 0, 1)
    assert [reason for _, _, reason, _ in desk.refused()] == [
        "currency is not EUR; all prices are in the shop's (RECSYS_SHOP__CURRENCY)"
    ]
