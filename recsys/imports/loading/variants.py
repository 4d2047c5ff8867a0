"""Variants of products into `products_db.product_variants`, found again by SKU."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from recsys.imports.loading.staging import Connection, one_row, stage
from recsys.imports.loading.stock import STAGED_STOCK, count_stock, with_stock

__all__ = ["DividedRows", "MergedVariants", "divide", "merge_variants", "parents_of"]

_STAGED = {
    "line": "bigint",
    "sku": "text",
    "parent": "text",
    "name": "text",
    "price": "numeric(10,2)",
    "compare_price": "numeric(10,2)",
    **STAGED_STOCK,
    "option1": "text",
    "option2": "text",
    "option3": "text",
    "picture": "text",
    "created_at": "timestamptz",
}
# stock that is not given is not counted, and must not hide the product
_MERGE = """
WITH given AS (
    SELECT p.id, s.*, v.inventory_quantity AS old_stock, v.inventory_tracking AS old_tracked,
        v.inventory_policy AS old_policy
    FROM staged_variants AS s JOIN products_db.products AS p ON p.sku = s.parent
        LEFT JOIN products_db.product_variants AS v ON v.sku = s.sku
), merged AS (
    INSERT INTO products_db.product_variants AS v (product_id, sku, name, price, compare_price,
        inventory_quantity, inventory_policy, inventory_tracking, option1, option2, option3, created_at)
    SELECT id, sku, name, price, compare_price, coalesce(stock, old_stock, 0),
        coalesce(policy, CASE WHEN tracked AND NOT coalesce(old_tracked, false) THEN 'deny' END, old_policy,
            'continue'),
        coalesce(tracked, old_tracked, false), option1, option2, option3, coalesce(created_at, %(now)s)
    FROM given ORDER BY line
    ON CONFLICT (sku) DO UPDATE SET name = excluded.name, price = excluded.price, updated_at = %(now)s,
        compare_price = excluded.compare_price, option1 = excluded.option1, option2 = excluded.option2,
        option3 = excluded.option3, inventory_quantity = excluded.inventory_quantity,
        inventory_tracking = excluded.inventory_tracking, inventory_policy = excluded.inventory_policy
    WHERE v.product_id = excluded.product_id
        AND (v.name, v.price, v.compare_price, v.option1, v.option2, v.option3, v.inventory_quantity,
             v.inventory_tracking, v.inventory_policy) IS DISTINCT FROM
            (excluded.name, excluded.price, excluded.compare_price, excluded.option1, excluded.option2,
             excluded.option3, excluded.inventory_quantity, excluded.inventory_tracking,
             excluded.inventory_policy)
    RETURNING product_id, xmax = 0 AS is_new
)
SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new),
    coalesce(array_agg(DISTINCT product_id), '{}') FROM merged
"""
# a picture that the product has itself is that of the variant, too
_PICTURES = b"""
INSERT INTO products_db.product_images (product_id, variant_id, src, is_primary)
SELECT v.product_id, v.id, s.picture, false
FROM staged_variants AS s JOIN products_db.product_variants AS v ON v.sku = s.sku
    JOIN products_db.products AS p ON p.id = v.product_id AND p.sku = s.parent
WHERE s.picture IS NOT NULL AND NOT EXISTS (
    SELECT FROM products_db.product_images AS i
    WHERE i.product_id = v.product_id AND i.src = s.picture AND (i.variant_id IS NULL OR i.variant_id = v.id))
ORDER BY s.line
RETURNING product_id
"""
# what stood in for the variants of a product until they came
_DROP_DEFAULTS = """
DELETE FROM products_db.product_variants AS v
USING products_db.products AS p, staged_variants AS s
WHERE p.sku = s.parent AND v.product_id = p.id AND v.sku = p.sku AND v.name = 'Default'
"""


@dataclass(frozen=True)
class DividedRows:
    """The rows of one batch of products.

    Attributes
    ----------
    products
        Rows of products, and of variants whose SKU a product has already.
    variants
        Rows of variants.
    taken
        line, column and reason of variants whose SKU another product's variant has.
    kept
        How many rows of variants are products already, and stay so.
    """

    products: pl.DataFrame
    variants: pl.DataFrame
    taken: pl.DataFrame
    kept: int


@dataclass(frozen=True)
class MergedVariants:
    """What became of the variants of one batch; `changed` are the ids of their products."""

    added: int
    updated: int
    already_there: int
    changed: set[int]


def divide(connection: Connection, rows: pl.DataFrame) -> DividedRows:
    """Tell rows of variants (`variant_of` is the SKU of another row) from those of products."""
    is_variant = (pl.col("variant_of") != pl.col("sku")).fill_null(value=False)
    variants = rows.filter(is_variant)
    if variants.is_empty():
        none = rows.head(0).select("line", column=pl.lit("product"), reason=pl.lit(""))
        return DividedRows(rows, variants, none, 0)
    skus = variants["sku"].to_list()
    existing = connection.execute(
        "SELECT sku FROM products_db.products WHERE sku = ANY(%s)", (skus,)
    ).fetchall()
    are_products = pl.col("sku").is_in([sku for (sku,) in existing])
    others = connection.execute(
        """SELECT v.sku, p.sku FROM products_db.product_variants AS v
        JOIN products_db.products AS p ON p.id = v.product_id WHERE v.sku = ANY(%s)""",
        (skus,),
    ).fetchall()
    owners = pl.DataFrame(others, schema={"sku": pl.String, "owner": pl.String}, orient="row")
    variants = variants.join(owners, on="sku", how="left", maintain_order="left")
    is_taken = ~are_products & pl.col("owner").is_not_null() & (pl.col("owner") != pl.col("variant_of"))
    reason = "SKU of a variant of another product"
    return DividedRows(
        rows.filter(~is_variant | are_products),
        variants.filter(~are_products & ~is_taken.fill_null(value=False)).drop("owner"),
        variants.filter(is_taken).select("line", column=pl.lit("product"), reason=pl.lit(reason)),
        variants.filter(are_products).height,
    )


def parents_of(variants: pl.DataFrame, products: pl.DataFrame, written: set[str]) -> pl.DataFrame:
    """The products of these variants that no row describes: from the first variant, at the lowest price.

    Parameters
    ----------
    variants
        Rows of variants.
    products
        Rows of products of the same batch.
    written
        SKUs of products that this import has written; those of `products` and of the result are added.
    """
    written.update(products["sku"].to_list())
    fresh = variants.filter(~pl.col("variant_of").is_in(list(written & set(variants["variant_of"]))))
    first = [
        pl.col(name).drop_nulls().first()
        for name in products.columns
        if name not in ("sku", "variant_of", "price", "stock", "line")
    ]
    counted = pl.when(pl.col("stock").count() > 0).then(pl.col("stock").sum().cast(pl.Int32))
    parents = (
        fresh.group_by("variant_of", maintain_order=True)
        .agg(*first, pl.col("price").min(), counted.alias("stock"), pl.col("line").first())
        .with_columns(sku="variant_of")
    )
    written.update(parents["sku"].to_list())
    return parents.select(products.columns)


def merge_variants(connection: Connection, variants: pl.DataFrame, now: datetime) -> MergedVariants:
    """Add new variants, and bring changed ones up to date; their products exist."""
    if variants.is_empty():
        return MergedVariants(0, 0, 0, set())
    options = pl.concat_str("option1", "option2", "option3", separator=" / ", ignore_nulls=True)
    staged = with_stock(variants).with_columns(
        parent="variant_of",
        name=pl.coalesce(options.replace("", None), "name"),
        picture=pl.coalesce("variant_image", "image"),
    )
    stage(connection, "staged_variants", _STAGED, staged)
    added, updated, changed = one_row(connection, _MERGE, {"now": now})
    pictured = {int(id_) for (id_,) in connection.execute(_PICTURES).fetchall()}
    connection.execute(_DROP_DEFAULTS)
    counted = count_stock(connection, "staged_variants", "parent", now)
    return MergedVariants(added, updated, variants.height - added - updated, pictured.union(changed, counted))
