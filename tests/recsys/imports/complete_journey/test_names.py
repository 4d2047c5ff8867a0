"""Readable names of products: by the table of titles, by rules, and with the size of the package."""

from __future__ import annotations

import polars as pl
import pytest

from recsys.imports.complete_journey.names import product_names, readable, titles


def _name(product_type: str | None, category: str | None, department: str, size: str | None) -> str:
    frame = pl.DataFrame(
        {"type": [product_type], "category": [category], "department": [department], "size": [size]},
        schema=dict.fromkeys(("type", "category", "department", "size"), pl.String),
    )
    named = frame.with_columns(
        titles("type", "category").alias("title"), *(readable(each) for each in ("category", "department"))
    )
    return str(named.select(product_names("title", "size", "category", "department")).item())


@pytest.mark.parametrize(
    ("product_type", "category", "department", "size", "name"),
    [
        ("FLUID MILK WHITE ONLY", "FLUID MILK PRODUCTS", "GROCERY", "1 GA", "White Milk, 1 ga"),
        # the same word means something else in another category
        ("PREMIUM", "ICE CREAM/MILK/SHERBTS", "GROCERY", "56 OZ", "Premium Ice Cream, 56 oz"),
        ("PREMIUM", "BACON", "MEAT", "16 OZ", "Premium Bacon, 16 oz"),
        ("PREMIUM", "SOUP", "GROCERY", None, "Premium"),
        ("APPLES GALA (BULK&BAG)", "APPLES", "PRODUCE", "3 LB", "Gala Apples, 3 lb"),
        # a case of bananas is not what a customer buys
        ("BANANAS", "TROPICAL FRUIT", "PRODUCE", "40 LB", "Bananas"),
        ("CUCUMBERS", "VEGETABLES - ALL OTHERS", "PRODUCE", "12 CT", "Cucumbers"),
        ("ICE - CRUSHED/CUBED", "FRZN ICE", "GROCERY", "22 LB", "Crushed & Cubed Ice, 22 lb"),
        (
            "FRZN MEAT ALTERNATIVES",
            "FRZN MEAT/MEAT DINNERS",
            "GROCERY",
            ".5 L",
            "Frozen Meat Alternatives, 0.5 L",
        ),
        ("SEAFOOD-FRE-CATFISH", "SEAFOOD-FRESH", "SEAFOOD", "15.00 OZ", "Fresh Catfish, 15 oz"),
        ("SUGAR", "SUGARS/SWEETNERS", "GROCERY", "(600)  4 LB", "Sugar, 4 lb"),
        # numbers of articles and rests of words stand where the size is
        ("CIGARETTES", "CIGARETTES", "GROCERY", "973875 PK", "Cigarettes"),
        ("SUGAR", "SUGARS/SWEETNERS", "GROCERY", "22515 32 OZ", "Sugar, 32 oz"),
        ("SUGAR", "SUGARS/SWEETNERS", "GROCERY", "04503916 OZ", "Sugar"),
        ("SUGAR", "SUGARS/SWEETNERS", "GROCERY", "N .6 OZ", "Sugar, 0.6 oz"),
        ("SUGAR", "SUGARS/SWEETNERS", "GROCERY", "2000 ML", "Sugar, 2000 ml"),
        ("SUGAR", "SUGARS/SWEETNERS", "GROCERY", "L", "Sugar, 1 L"),
        (None, "PKG.SEAFOOD MISC", "SEAFOOD-PCKGD", None, "Packaged Seafood Misc"),
        (None, None, "CHEF SHOPPE", None, "Chef Shoppe"),
    ],
)
def test_names_are_written_out(
    product_type: str | None, category: str | None, department: str, size: str | None, name: str
) -> None:
    assert _name(product_type, category, department, size) == name
