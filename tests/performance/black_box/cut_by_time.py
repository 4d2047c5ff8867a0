"""Shops of which everything is known until a moment, and the truth is what users bought after it.

Users who did nothing before it are in no truth: nobody could know them.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tests.performance.black_box.shop import BlackBoxShop, Question, plain_products
from training.paper_benchmarks.complete_journey_data import TEST_WEEKS, TRAIN_WEEKS, folder_of

__all__ = ["event_log", "groceries"]

_PAIR = ["user", "product"]
_KNOWN_SHARE = 0.8
"""Of the purchases of the event log, the first ones."""


def _questions(known: pl.DataFrame, later: pl.DataFrame) -> tuple[Question, ...]:
    """`any`: all that a known user bought later; `new`: of it, what they had nothing to do with before."""
    bought = later.select(_PAIR).unique().join(known.select("user"), on="user", how="semi").sort(_PAIR)
    return Question("any", bought), Question("new", bought.join(known.select(_PAIR), on=_PAIR, how="anti"))


def groceries() -> BlackBoxShop:
    """The Complete Journey: known are 44 weeks, the truth are the four weeks after them. Raises OSError."""
    folder = folder_of(None)
    lines = pl.read_parquet(folder / "transactions.parquet").filter(
        (pl.col("quantity") > 0) & (pl.col("sales_value") > 0)
    )
    events = lines.select(
        "week",
        user=pl.col("household_id").cast(pl.String),
        product=pl.col("product_id").cast(pl.String),
        interaction_type=pl.lit("purchase"),
        created_at=pl.col("transaction_timestamp").dt.epoch("s").cast(pl.String),
        interaction_value=pl.col("quantity").cast(pl.String),
        session_id=pl.col("basket_id").cast(pl.String),
    )
    known = events.filter(pl.col("week") <= TRAIN_WEEKS).drop("week")
    later = events.filter(pl.col("week").is_between(TRAIN_WEEKS + 1, TRAIN_WEEKS + TEST_WEEKS))
    products = pl.read_parquet(folder / "products.parquet").select(
        product=pl.col("product_id").cast(pl.String),
        name=pl.concat_str(
            pl.coalesce("product_type", "product_category", "department", pl.lit("Product")),
            "package_size",
            separator=" ",
            ignore_nulls=True,
        ),
        price=pl.lit("10"),
        category=pl.concat_str("department", "product_category", separator=" > ", ignore_nulls=True),
        brand="brand",
    )
    return BlackBoxShop("groceries", products, known, "purchase", _questions(known, later))


def event_log(data: Path) -> BlackBoxShop:
    """RetailRocket: known is all until four fifths of the purchases were made. Raises OSError."""
    events = pl.read_csv(
        data / "retailrocket" / "events.csv", schema_overrides={"user": pl.String, "item": pl.String}
    )
    events = events.select(
        user="user",
        product="item",
        interaction_type=pl.col("event").replace(
            {"cart": "add_to_cart", "buy": "purchase", "transaction": "purchase"}
        ),
        created_at="ts",
    )
    is_bought = pl.col("interaction_type") == "purchase"
    cut = events.filter(is_bought)["created_at"].quantile(_KNOWN_SHARE, "nearest")
    known, later = events.filter(pl.col("created_at") <= cut), events.filter(pl.col("created_at") > cut)
    return BlackBoxShop(
        "event log, cut at a moment",
        plain_products(events["product"]),
        known.with_columns(pl.col("created_at").cast(pl.String)),
        "purchase",
        _questions(known, later.filter(is_bought)),
    )
