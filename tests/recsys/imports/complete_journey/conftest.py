"""A tiny folder of the form of The Complete Journey."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

MORNING = datetime(2017, 1, 1, 11, 53, 26)  # noqa: DTZ001 - the data has no zone
LINES = [
    # household, basket, product, quantity, sales, retail, coupon, match
    (900, 31, 1, 2, 5.0, 1.0, 0.0, 0.0),
    (900, 31, 2, 10_500, 24.0, 0.0, 0.0, 0.0),
    (900, 31, 1, 1, 3.0, 0.0, 0.0, 0.0),
    (900, 32, 3, 1, 0.0, 2.5, 0.0, 0.0),
    (7, 33, 1, 1, 3.5, 0.0, 0.5, 0.5),
    (7, 33, 1, 0, 0.0, 0.0, 0.0, 0.0),
    (7, 33, 99, 1, 1.0, 0.0, 0.0, 0.0),
    (8, 33, 3, 1, 1.0, 0.0, 0.0, 0.0),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "journey"
    folder.mkdir()
    names = ("household_id", "basket_id", "product_id", "quantity", "sales_value")
    pl.DataFrame(
        LINES, schema=[*names, "retail_disc", "coupon_disc", "coupon_match_disc"], orient="row"
    ).with_columns(
        store_id=330,
        week=1,
        transaction_timestamp=pl.lit(MORNING).dt.offset_by(pl.format("{}h", pl.col("basket_id") - 31)),
    ).write_parquet(folder / "transactions.parquet")
    pl.DataFrame(
        [
            (1, 69, "GROCERY", "Private", "FRZN ICE", "ICE - CRUSHED/CUBED", "22 LB"),
            (2, 2, "FUEL", "National", "FUEL", "GASOLINE-REG UNLEADED", None),
            (3, 2, "DRUG GM", "National", "TOYS AND GAMES", "CARD GAMES (INCLUDING", None),
            (4, 2, "GROCERY", "National", None, None, None),
        ],
        schema=[
            "product_id",
            "manufacturer_id",
            "department",
            "brand",
            "product_category",
            "product_type",
            "package_size",
        ],
        orient="row",
    ).write_parquet(folder / "products.parquet")
    pl.DataFrame(
        {
            "household_id": [900],
            "age": ["65+"],
            "income": ["35-49K"],
            "home_ownership": [None],
            "marital_status": ["Married"],
            "household_size": ["2"],
            "household_comp": ["2 Adults No Kids"],
            "kids_count": ["0"],
        },
        schema_overrides={"home_ownership": pl.String},
    ).write_parquet(folder / "demographics.parquet")
    return folder
