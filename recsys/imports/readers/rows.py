"""What a row of each file must be, and its cells as values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl

from recsys.domains.recommendations.types import INTERACTION_TYPES
from recsys.imports.embeddings import COLUMN as EMBEDDING
from recsys.imports.embeddings import EmbeddingLength, vectors
from recsys.imports.loading.users import default_email
from recsys.imports.readers.mapping import ATTRIBUTES
from recsys.imports.readers.validation import (
    Check,
    json_objects,
    moment_checks,
    moments,
    money,
    not_negative,
    numbers,
    split,
    too_long,
)
from recsys.imports.repeat_counter import Occurrences
from recsys.settings import get_settings

__all__ = [
    "INTERACTIONS",
    "INTERACTIONS_WITHOUT_TIMES",
    "PRODUCTS",
    "USERS",
    "FileKind",
    "bare_products",
    "bare_users",
    "parse_interactions",
    "parse_products",
    "parse_users",
]

Frames = tuple[pl.DataFrame, pl.DataFrame]
LARGEST_INTEGER = 2_147_483_647
LONGEST_NAME = 100
LONGEST_URL = 2_000
STATUSES = ("active", "draft", "archived")
AVAILABILITIES = ("in_stock", "on_order", "out_of_stock")


@dataclass(frozen=True)
class FileKind:
    """One kind of file and its columns; `ids` are those that name users and products."""

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    ids: tuple[str, ...]


USERS = FileKind("users", ("user",), ("email", "username", "full_name", "created_at"), ("user",))
PRODUCTS = FileKind(
    "products",
    ("product", "name", "price"),
    (
        *("category", "brand", "tags", "description", "created_at", "stock"),
        *("compare_price", "status", "image", "variant_image", "variant_of", "option1", "option2", "option3"),
        *("currency", "url", "availability", EMBEDDING, ATTRIBUTES),
    ),
    ("product",),
)
INTERACTIONS = FileKind(
    "user_interactions",
    ("user", "product", "interaction_type", "created_at"),
    ("interaction_value", "session_id", "event_id", "context"),
    ("user", "product"),
)
INTERACTIONS_WITHOUT_TIMES = replace(INTERACTIONS, required=INTERACTIONS.required[:-1])


def parse_interactions(rows: pl.DataFrame, now: datetime, *, has_times: bool = True) -> Frames:
    """The rows in the columns of STAGED_INTERACTIONS but for ids and event_id, and those refused.

    Without times `created_at` is null.
    """
    rows = _complete(rows, INTERACTIONS)
    checked = rows.with_columns(
        moments(rows["created_at"]).alias("moment"),
        numbers(rows["interaction_value"]).alias("amount"),
        json_objects(rows["context"]).alias("json"),
        pl.col("interaction_type").str.to_lowercase(),
    )
    checks: list[Check] = [
        ("product", "no product", pl.col("product").is_null()),
        (
            "user",
            "neither user nor session_id",
            pl.col("user").is_null() & pl.col("session_id").is_null(),
        ),
        too_long("user", LONGEST_NAME),
        too_long("product", LONGEST_NAME),
        too_long("session_id", 255),
        ("interaction_type", "no interaction_type", pl.col("interaction_type").is_null()),
        (
            "interaction_type",
            pl.concat_str(
                pl.lit("unknown interaction_type '"), pl.col("interaction_type").str.head(40), pl.lit("'")
            ),
            ~pl.col("interaction_type").is_in(INTERACTION_TYPES),
        ),
        *_times(now, has_times),
        *money("interaction_value", "amount"),
        (
            "context",
            "context is not a JSON object",
            pl.col("context").is_not_null() & pl.col("json").is_null(),
        ),
    ]
    accepted, refused = split(checked, checks)
    return (
        accepted.with_columns(
            created_at="moment", interaction_value=pl.col("amount").round(2), context="json"
        ).drop("moment", "amount", "json"),
        refused,
    )


def parse_products(
    rows: pl.DataFrame, seen: Occurrences, now: datetime, length: EmbeddingLength | None = None
) -> Frames:
    """The rows as `merge_products` takes them, and those refused."""
    rows = _complete(rows, PRODUCTS)
    is_variant = (pl.col("variant_of") != pl.col("product")).fill_null(value=False)
    options = ("option1", "option2", "option3", "variant_image")
    # of products that are no variants, the mappings have all values that may be chosen
    rows = rows.with_columns(pl.when(is_variant).then(pl.col(name)).alias(name) for name in options)
    levels = pl.col("category").str.split(">").list.eval(pl.element().str.strip_chars())
    checked = rows.with_columns(
        moments(rows["created_at"]).alias("moment"),
        numbers(rows["price"]).alias("amount"),
        numbers(rows["stock"]).alias("count"),
        numbers(rows["compare_price"]).alias("compared"),
        json_objects(rows[ATTRIBUTES]).alias("json"),
        vectors(rows[EMBEDDING]).alias("vector"),
        pl.col("status").str.to_lowercase(),
        pl.col("availability").str.to_lowercase().str.replace_all(" ", "_"),
        # of several pictures the first; an address may hold commas itself
        pl.col("image", "variant_image").str.strip_chars().str.replace(r",(?:\s|https?://|/).*$", ""),
        pl.col("url").str.strip_chars(),
        _repeated(rows["product"], seen).alias("repeated"),
        levels.list.join(" > ").alias("category"),
        levels.alias("levels"),
        # the empty list is null: no tags given
        pl.col("tags")
        .str.split("|")
        .list.eval(pl.element().str.strip_chars().filter(pl.element().str.strip_chars() != ""))
        .list.join("|")
        .replace("", None)
        .alias("tags"),
    )
    count = pl.col("count")
    currency = get_settings().shop.currency
    checks: list[Check] = [
        ("product", "no product", pl.col("product").is_null()),
        too_long("product", LONGEST_NAME),
        ("product", "duplicate product", pl.col("repeated")),
        ("name", "no name", pl.col("name").is_null()),
        too_long("name", 255),
        ("price", "no price", pl.col("price").is_null()),
        *money("price", "amount"),
        not_negative("price", "amount"),
        *money("compare_price", "compared"),
        not_negative("compare_price", "compared"),
        ("status", f"status is none of {', '.join(STATUSES)}", ~pl.col("status").is_in(STATUSES)),
        (
            "availability",
            f"availability is none of {', '.join(AVAILABILITIES)}",
            ~pl.col("availability").is_in(AVAILABILITIES),
        ),
        too_long("image", 500),
        too_long("variant_image", 500),
        too_long("url", LONGEST_URL),
        (
            "url",
            "url is no address that begins with https://, http:// or /",
            ~pl.col("url").str.contains(r"^(https?://[^\s/]+\S*|/([^\s/]\S*)?)$"),
        ),
        *(too_long(name, LONGEST_NAME) for name in ("variant_of", "option1", "option2", "option3")),
        (
            "category",
            "empty level in category",
            pl.col("levels").list.eval(pl.element() == "").list.any(),
        ),
        (
            "category",
            f"level of category longer than {LONGEST_NAME} characters",
            pl.col("levels").list.eval(pl.element().str.len_chars() > LONGEST_NAME).list.any(),
        ),
        too_long("brand", LONGEST_NAME),
        *moment_checks("created_at", "moment", now),
        (
            "stock",
            "stock is not a whole number",
            pl.col("stock").is_not_null() & (count.is_null() | ~count.is_finite() | (count != count.round())),
        ),
        (
            "currency",
            f"currency is not {currency}; all prices are in the shop's (RECSYS_SHOP__CURRENCY)",
            pl.col("currency").str.to_uppercase() != currency,
        ),
        (
            ATTRIBUTES,
            "attributes is not a JSON object",
            pl.col(ATTRIBUTES).is_not_null() & pl.col("json").is_null(),
        ),
        *(length or EmbeddingLength()).checks(checked, EMBEDDING, "vector"),
        ("stock", "stock is negative", count < 0),
        ("stock", f"stock is larger than {LARGEST_INTEGER}", count > LARGEST_INTEGER),
    ]
    accepted, refused = split(checked, checks)
    return (
        accepted.select(
            "line",
            "name",
            "category",
            "brand",
            "tags",
            "description",
            sku="product",
            price=pl.col("amount").round(2),
            created_at="moment",
            stock=pl.col("count").cast(pl.Int32),
            availability="availability",
            # the price before a reduction; exports repeat the price where there is none
            compare_price=pl.when(pl.col("compared") > pl.col("amount")).then(pl.col("compared").round(2)),
            status="status",
            image="image",
            url="url",
            variant_image="variant_image",
            variant_of="variant_of",
            option1="option1",
            option2="option2",
            option3="option3",
            attributes="json",
            embedding="vector",
        ),
        refused,
    )


def parse_users(rows: pl.DataFrame, seen: Occurrences, emails: Occurrences, now: datetime) -> Frames:
    """The rows in the columns of USER_COLUMNS, and those refused.

    The id is the username; a `username` of its own is what the user is called where no full_name is given.
    """
    rows = _complete(rows, USERS)
    checked = rows.with_columns(
        moments(rows["created_at"]).alias("moment"),
        _repeated(rows["user"], seen).alias("repeated"),
        pl.coalesce("full_name", "username", "user").alias("called"),
    )
    checks: list[Check] = [
        ("user", "no user", pl.col("user").is_null()),
        too_long("user", LONGEST_NAME),
        ("user", "duplicate user", pl.col("repeated")),
        ("email", "email is not an address", ~pl.col("email").str.contains(r"^[^@\s]+@[^@\s]+$")),
        too_long("email", 255),
        too_long("username", LONGEST_NAME),
        too_long("full_name", 255),
        *moment_checks("created_at", "moment", now),
    ]
    accepted, refused = split(checked, checks)
    accepted = accepted.with_columns(pl.col("email").fill_null(default_email(accepted["user"])))
    shared = _repeated(accepted["email"], emails)
    more = accepted.filter(shared).select(
        "line", column=pl.lit("email"), reason=pl.lit("email belongs to another user")
    )
    kept = accepted.filter(~shared)
    return (
        kept.select(
            "line",
            "email",
            username="user",
            full_name="called",
            created_at="moment",
            preferences=pl.lit(None, dtype=pl.String),
        ),
        pl.concat([refused, more]),
    )


def bare_users(names: pl.Series, rows: pl.DataFrame) -> pl.DataFrame:
    """Users that are nothing but a name, created with their first event in `rows`."""
    first = rows.group_by("user").agg(created_at=pl.col("created_at").min())
    return (
        pl.DataFrame({"username": names})
        .join(first, left_on="username", right_on="user", how="left", maintain_order="left")
        .with_row_index("line")
        .with_columns(
            email=default_email(names), full_name="username", preferences=pl.lit(None, dtype=pl.String)
        )
    )


def bare_products(names: pl.Series, rows: pl.DataFrame) -> pl.DataFrame:
    """Products that are nothing but an id, for nothing, created with their first event in `rows`."""
    first = rows.group_by("product").agg(created_at=pl.col("created_at").min())
    empty = pl.lit(None, dtype=pl.String)
    return (
        pl.DataFrame({"sku": names})
        .join(first, left_on="sku", right_on="product", how="left", maintain_order="left")
        .with_row_index("line")
        .with_columns(
            name="sku",
            price=pl.lit(0.0),
            category=empty,
            brand=empty,
            tags=empty,
            description=empty,
            stock=pl.lit(None, dtype=pl.Int32),
        )
    )


def _times(now: datetime, has_times: bool) -> list[Check]:
    if not has_times:
        return []
    missing: Check = ("created_at", "no created_at", pl.col("created_at").is_null())
    return [missing, *moment_checks("created_at", "moment", now)]


def _complete(rows: pl.DataFrame, kind: FileKind) -> pl.DataFrame:
    """Add the columns of the kind that the file lacks, as nulls."""
    return rows.with_columns(
        pl.lit(None, dtype=pl.String).alias(name)
        for name in (*kind.required, *kind.optional)
        if name not in rows.columns
    )


def _repeated(names: pl.Series, seen: Occurrences) -> pl.Series:
    """Whether a name came before in the stream; null is nobody's name."""
    given = names.is_not_null().arg_true()
    hashes = names.gather(given).hash(seed=0).to_numpy().astype(np.uint64, copy=False)
    repeated = pl.Series([False] * len(names), dtype=pl.Boolean)
    return repeated.scatter(given, pl.Series(seen.number(hashes) > 0)) if given.len() else repeated
