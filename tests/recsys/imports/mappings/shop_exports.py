"""Exports as the programs of shops write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recsys.imports.preview import preview_files
from recsys.imports.readers.mapping import chosen_mappings
from recsys.imports.readers.rows import INTERACTIONS, PRODUCTS, USERS
from recsys.imports.readers.source import ReadOptions

FIELDS = {
    name: (*kind.required, *kind.optional)
    for name, kind in (("users", USERS), ("products", PRODUCTS), ("interactions", INTERACTIONS))
}
SHOPIFY = (
    "Handle,Title,Body (HTML),Vendor,Product Category,Type,Tags,Published,Option1 Value,Variant SKU,"
    "Variant Inventory Qty,Variant Price,Variant Compare At Price,Image Src,Image Position,Status\n"
    'green-tea,Green Tea,"<p>Loose<br>\nleaf</p>",Leafy,Food > Tea,Tea,"green, loose",true,'
    "100 g,TEA-100,7,3.50,,https://x.example/a.jpg,1,active\n"
    "green-tea,,,,,,,,250 g,TEA-250,3,7.90,,,,\n"
    "green-tea,,,,,,,,,,,,,https://x.example/b.jpg,2,\n"
    "mug,Mug,,Pots,,Cups,,false,Default Title,MUG,,8.00,9.00,,,draft\n"
)

MAGENTO = (
    "sku,store_view_code,product_type,categories,name,price,special_price,qty,base_image,product_online,"
    "visibility,configurable_variations\n"
    'TEA,,simple,"Default Category/Drinks/Tea,Default Category/Sale",Tea,3.500000,,7.0000,/t/e/tea.jpg,1,'
    '"Catalog, Search",\n'
    "TEA,de,,,Tee,,,,,,,\n"
    "HOOD-S-Red,,simple,,Hoodie-S-Red,52.00,,3,/h/red.jpg,1,Not Visible Individually,\n"
    "HOOD-M-Blue,,simple,,Hoodie-M-Blue,54.00,49.00,0,/h/blue.jpg,1,Not Visible Individually,\n"
    'HOOD,,configurable,Default Category/Tops,Hoodie,,,0,/h/all.jpg,1,"Catalog, Search",'
    '"sku=HOOD-S-Red,size=S,color=Red|sku=HOOD-M-Blue,size=M,color=Blue"\n'
    "GIFT,,simple,,Hidden part,1.00,,3,,1,Not Visible Individually,\n"
)


def ga4(name: str, items: list[dict[str, Any]], **more: Any) -> str:
    event = {"event_date": "20210131", "event_timestamp": "1612069510766593", "event_name": name}
    return json.dumps({**event, "user_pseudo_id": "1026454.42", "items": items, **more}) + "\n"


def preview(
    folder: Path,
    kind: str,
    content: str | bytes,
    mapping: str | None = None,
    columns: tuple[str, ...] = (),
    types: tuple[str, ...] = (),
    decimal: str | None = None,
    date_format: str | None = None,
) -> dict[str, Any]:
    path = folder / "export.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    chosen = chosen_mappings({kind: FIELDS[kind]}, mapping, columns, types, decimal, date_format)
    paths = {name: [path] if name == kind else [] for name in FIELDS}
    stated = [text.partition("=")[0] for text in columns]
    [shown] = preview_files(
        paths["users"], paths["products"], paths["interactions"], ReadOptions(), chosen, stated
    )
    return shown


def products(shown: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(row["sku"], row["name"], row["price"], row["category"], row["tags"]) for row in shown["first"]]


def events(shown: dict[str, Any]) -> list[tuple[Any, ...]]:
    names = ("user", "product", "interaction_type", "interaction_value", "created_at")
    return [tuple(row[name] for name in names) for row in shown["first"]]


HEADER = "product,variant_of,name,price,stock,option1,option2\n"
SHIRTS = HEADER + (
    "SHIRT-S,SHIRT,Shirt S,19.90,4,S,red\n"
    "MUG,,Mug,8.00,,,\n"
    "SHIRT-M,SHIRT,Shirt M,17.90,0,M,red\n"
    "CUP,CUP,Cup,3.00,2,,\n"
)
