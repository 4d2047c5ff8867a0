"""The parquet files of The Complete Journey as frames in the shape of our tables, and the refused lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from recsys.imports.complete_journey.names import category_paths, product_names, readable, titles
from recsys.imports.event_ids import uuids
from recsys.imports.loading.users import default_email
from recsys.imports.readers.source import open_source
from recsys.imports.readers.validation import Check, moment_checks, moments, split

__all__ = ["Baskets", "JourneyFrames", "basket_frames", "catalogue_frame", "household_frame", "read_journey"]

STOCK = 100
BASKETS_PER_BATCH = 20_000
LARGEST_INTEGER = 2_147_483_647

_TRANSACTIONS = (
    "household_id",
    "store_id",
    "basket_id",
    "product_id",
    "quantity",
    "sales_value",
    "retail_disc",
    "coupon_disc",
    "coupon_match_disc",
    "transaction_timestamp",
)
_PRODUCTS = (
    "product_id",
    "manufacturer_id",
    "department",
    "brand",
    "product_category",
    "product_type",
    "package_size",
)
_DEMOGRAPHICS = (
    "age",
    "income",
    "home_ownership",
    "marital_status",
    "household_size",
    "household_comp",
    "kids_count",
)


@dataclass(frozen=True)
class JourneyFrames:
    """What was read.

    Attributes
    ----------
    lines
        The accepted lines of transactions.parquet, basket by basket in the order of time: ids as text,
        quantity, sales_value, discount, price (regular unit price), is_fuel, moment.
    products
        The rows of products.parquet.
    households
        The household ids of all files.
    demographics
        Of some households.
    refused
        line, column, reason, raw.
    lines_read
        Number of the lines of transactions.parquet.
    notes
        What a person should know about the data.
    """

    lines: pl.DataFrame
    products: pl.DataFrame
    households: pl.Series
    demographics: pl.DataFrame
    refused: pl.DataFrame
    lines_read: int
    notes: list[str]


@dataclass(frozen=True)
class Baskets:
    """One batch in the columns of STAGED_ORDERS, STAGED_ITEMS and STAGED_INTERACTIONS."""

    orders: pl.DataFrame
    items: pl.DataFrame
    interactions: pl.DataFrame


def read_journey(folder: Path, now: datetime) -> JourneyFrames:
    """Read and check the files. Raises Invalid when one is missing or lacks columns."""
    products = _read(folder / "products.parquet", _PRODUCTS).unique(
        "product_id", keep="first", maintain_order=True
    )
    transactions = _read(folder / "transactions.parquet", _TRANSACTIONS)
    demographics = (
        _read(folder / "demographics.parquet", ("household_id", *_DEMOGRAPHICS)).unique(
            "household_id", keep="first", maintain_order=True
        )
        if (folder / "demographics.parquet").exists()
        else pl.DataFrame(schema=dict.fromkeys(("household_id", *_DEMOGRAPHICS), pl.String))
    )
    households = (
        pl.concat([transactions["household_id"], demographics["household_id"]]).drop_nulls().unique().sort()
    )
    read = transactions.height
    lines, refused = _checked(transactions, products, now)
    free = lines.filter(pl.col("sales_value") == 0).height
    fuel = lines.filter("is_fuel").height
    notes = []
    if free:
        notes.append(f"{free} lines were free (discounts paid for them): imported as purchases that cost 0")
    if fuel:
        notes.append(
            f"{fuel} lines are fuel, measured in thousandths of a gallon: one item each, gallons as value"
        )
    return JourneyFrames(lines, products, households, demographics, refused, read, notes)


def household_frame(journey: JourneyFrames) -> pl.DataFrame:
    """One user per household, in the columns of USER_COLUMNS; created with the first purchase."""
    first = journey.lines.group_by("household_id").agg(created_at=pl.col("moment").min())
    preferences_by_household = journey.demographics.select(
        "household_id",
        preferences=pl.struct(household=pl.struct(*_DEMOGRAPHICS)).struct.json_encode(),
    )
    users = (
        pl.DataFrame({"household_id": journey.households})
        .join(first, on="household_id", how="left")
        .join(preferences_by_household, on="household_id", how="left")
        .sort(pl.col("household_id").cast(pl.Int64, strict=False), "household_id")
        .with_row_index("line", offset=1)
        .with_columns(username=pl.concat_str(pl.lit("household-"), "household_id"))
    )
    start = journey.lines["moment"].min()
    return users.with_columns(
        email=default_email(users["username"]),
        full_name=pl.concat_str(pl.lit("Household "), "household_id"),
        created_at=pl.col("created_at").fill_null(pl.lit(start, dtype=pl.Datetime("us", "UTC"))),
    )


def catalogue_frame(journey: JourneyFrames) -> pl.DataFrame:
    """One product per product_id, as `merge_products` takes them.

    The price is the median regular unit price (before discounts) of its sales; of its type, else category,
    else department, where it was never sold. `created_at` is its first sale; the first of all where it was
    never sold.
    """
    sales = journey.lines.group_by("product_id").agg(
        price=pl.col("price").median(), created_at=pl.col("moment").min()
    )
    start = journey.lines["moment"].min()
    products = journey.products.with_columns(
        titles("product_type", "product_category").alias("title"),
        *(readable(column).alias(column) for column in ("department", "product_category")),
    ).join(sales, on="product_id", how="left", maintain_order="left")
    likely = [
        pl.col("price").median().over(columns)
        for columns in (
            ["department", "product_category", "product_type"],
            ["department", "product_category"],
            ["department"],
        )
    ]
    return products.select(
        pl.col("line"),
        pl.col("product_id").alias("sku"),
        product_names("title", "package_size", "product_category", "department").str.head(255).alias("name"),
        pl.coalesce("price", *likely, pl.lit(0.0)).round(2).alias("price"),
        category_paths("department", "product_category").alias("category"),
        pl.concat_str(pl.lit("Manufacturer "), "manufacturer_id").alias("brand"),
        pl.concat_str(pl.col("brand").str.to_lowercase(), pl.lit(" brand")).alias("tags"),
        pl.lit(None, dtype=pl.String).alias("description"),
        pl.col("created_at").fill_null(pl.lit(start, dtype=pl.Datetime("us", "UTC"))),
        pl.lit(STOCK, dtype=pl.Int32).alias("stock"),
    )


def basket_frames(journey: JourneyFrames, users: pl.DataFrame, products: pl.DataFrame) -> Iterator[Baskets]:
    """The baskets in the order of time, BASKETS_PER_BATCH at a time.

    Parameters
    ----------
    journey
        What was read.
    users
        household_id with the id in the database.
    products
        product_id (as name) with the id in the database.
    """
    lines = journey.lines
    number = lines["basket_id"].rle_id()
    baskets = int(number[-1]) + 1 if len(number) else 0
    for first in range(0, baskets, BASKETS_PER_BATCH):
        start = int(number.search_sorted(first, "left"))
        end = int(number.search_sorted(first + BASKETS_PER_BATCH, "left"))
        batch = lines[start:end]
        batch = batch.with_columns(
            _ids(batch["household_id"], users).alias("user_id"),
            _ids(batch["product_id"], products).alias("product"),
        )
        yield Baskets(_orders(batch), _items(batch), _interactions(batch))


def _orders(batch: pl.DataFrame) -> pl.DataFrame:
    orders = batch.group_by("basket_id", maintain_order=True).agg(
        pl.col("user_id").first(),
        pl.col("household_id").first(),
        pl.col("sales_value").sum().round(2).alias("total_price"),
        pl.col("discount").sum().round(2).alias("total_discount"),
        pl.col("moment").first().alias("created_at"),
    )
    return orders.with_columns(
        pl.col("basket_id").alias("order_number"),
        default_email("household-" + orders["household_id"]).alias("email"),
        (pl.col("total_price") + pl.col("total_discount")).round(2).alias("subtotal_price"),
    )


def _items(batch: pl.DataFrame) -> pl.DataFrame:
    return batch.select(
        pl.col("basket_id").alias("order_number"),
        pl.col("product").alias("product_id"),
        pl.when("is_fuel").then(1).otherwise(pl.col("quantity")).alias("quantity"),
        pl.when("is_fuel")
        .then(pl.col("sales_value") + pl.col("discount"))
        .otherwise(pl.col("price"))
        .round(2)
        .alias("price"),
        pl.col("discount").round(2).alias("total_discount"),
        pl.col("moment").alias("created_at"),
    )


def _interactions(batch: pl.DataFrame) -> pl.DataFrame:
    occurrence = pl.int_range(pl.len()).over("basket_id", "product_id")
    names = batch.select(pl.concat_str("basket_id", "product_id", occurrence, separator="\x1f")).to_series()
    discount = pl.col("discount").round(2)
    return batch.select(
        uuids("complete-journey\x1f" + names).alias("event_id"),
        pl.col("user_id"),
        pl.col("product").alias("product_id"),
        pl.lit("purchase").alias("interaction_type"),
        pl.when("is_fuel")
        .then(pl.col("quantity") / 1000)
        .otherwise(pl.col("quantity"))
        .alias("interaction_value"),
        pl.when(discount > 0)
        .then(pl.concat_str(pl.lit('{"store":'), "store_id", pl.lit(',"discount":'), discount, pl.lit("}")))
        .otherwise(pl.concat_str(pl.lit('{"store":'), "store_id", pl.lit("}")))
        .alias("context"),
        pl.col("basket_id").alias("session_id"),
        pl.col("moment").alias("created_at"),
    )


def _checked(
    transactions: pl.DataFrame, products: pl.DataFrame, now: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    numbers = ("quantity", "sales_value", "retail_disc", "coupon_disc", "coupon_match_disc")
    fuel = products.filter(pl.col("product_type").str.starts_with("GASOLINE"))["product_id"]
    judged = transactions.with_columns(
        *(pl.col(name).cast(pl.Float64, strict=False) for name in numbers),
        moments(transactions["transaction_timestamp"]).alias("moment"),
        pl.col("store_id").cast(pl.Int64, strict=False),
        known=pl.col("product_id").is_in(products["product_id"].implode()),
        is_fuel=pl.col("product_id").is_in(fuel.implode()),
        buyer=pl.col("household_id").first().over("basket_id"),
    ).with_columns(discount=pl.col("retail_disc") + pl.col("coupon_match_disc"))
    needed = ("household_id", "basket_id", "product_id", "store_id", *numbers, "transaction_timestamp")
    checks: list[Check] = [
        *(
            (name, f"no {name}", pl.col(name).is_null() | (pl.col(name).cast(pl.String) == ""))
            for name in needed
        ),
        *((name, f"{name} is not a number", ~pl.col(name).is_finite()) for name in numbers),
        ("quantity", "quantity is not positive", pl.col("quantity") <= 0),
        ("quantity", "quantity is not whole", pl.col("quantity") != pl.col("quantity").round()),
        ("quantity", "quantity is too large", pl.col("quantity") > LARGEST_INTEGER),
        ("sales_value", "sales_value is negative", pl.col("sales_value") < 0),
        (
            "sales_value",
            "sales_value is too large",
            (pl.col("sales_value") + pl.col("discount")).abs() >= 1e6,
        ),
        (
            None,
            "a discount is negative",
            pl.min_horizontal("retail_disc", "coupon_disc", "coupon_match_disc") < 0,
        ),
        *moment_checks("transaction_timestamp", "moment", now),
        ("product_id", "unknown product", ~pl.col("known")),
        ("household_id", "basket of another household", pl.col("household_id") != pl.col("buyer")),
        ("basket_id", "basket_id longer than 50 characters", pl.col("basket_id").str.len_chars() > 50),
    ]
    accepted, refused = split(judged, checks)
    rows = transactions.join(refused.select("line"), on="line", how="semi").select(
        "line", pl.struct(pl.exclude("line")).struct.json_encode().alias("row")
    )
    refused = refused.join(rows, on="line").select("line", "column", "reason", pl.col("row").alias("raw"))
    measured = pl.when("is_fuel").then(pl.col("quantity") / 1000).otherwise(pl.col("quantity"))
    return (
        accepted.with_columns(
            price=(pl.col("sales_value") + pl.col("discount")) / measured,
            quantity=pl.col("quantity").cast(pl.Int64),
        )
        .select(
            "household_id",
            "store_id",
            "basket_id",
            "product_id",
            "quantity",
            "sales_value",
            "discount",
            "price",
            "is_fuel",
            "moment",
        )
        .sort("moment", "basket_id", maintain_order=True),
        refused.sort("line"),
    )


def _read(path: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    """The columns with `line`, the row number from 1; ids as text."""
    with open_source(path, columns):
        pass  # says in one line what is missing
    ids = [name for name in columns if name.endswith("_id") and name != "store_id"]
    frame = pl.read_parquet(path, columns=list(columns), glob=False)
    return (
        frame.with_columns(pl.col(ids).cast(pl.String))
        .with_row_index("line", offset=1)
        .cast({"line": pl.Int64})
    )


def _ids(names: pl.Series, ids: pl.DataFrame) -> pl.Series:
    return pl.DataFrame({"name": names}).join(ids, on="name", how="left", maintain_order="left")["id"]
