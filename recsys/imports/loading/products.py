"""Products, their one variant and its stock into `products_db`, found again by SKU."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from recsys.imports.embeddings import packed
from recsys.imports.loading.catalogue import Brands, Categories
from recsys.imports.loading.staging import Connection, one_row, stage
from recsys.imports.loading.stock import STAGED_STOCK, count_stock, with_stock
from recsys.imports.slugs import slug

__all__ = ["MergedProducts", "hide", "merge_products", "product_ids", "product_names"]

_STAGED = {
    "line": "bigint",
    "sku": "text",
    "name": "text",
    "slug": "text",
    "price": "numeric(10,2)",
    "category_id": "integer",
    "brand_id": "integer",
    "tags": "text",
    "description": "text",
    "created_at": "timestamptz",
    **STAGED_STOCK,
    "compare_price": "numeric(10,2)",
    "status": "text",
    "image": "text",
    "url": "text",
    "attributes": "jsonb",
    "embedding": "bytea",
}
_UPDATABLE = ("category_id", "brand_id", "tags", "description", "compare_price", "status", "attributes")
# someone else's product may have the slug already; and a product is only touched where it differs
_MERGE = """
WITH incoming AS (
    SELECT s.line, s.sku, s.name, s.price, s.category_id, s.brand_id, s.description, s.created_at, s.stock,
        s.compare_price, coalesce(s.status, 'active') AS status,
        string_to_array(s.tags, '|') AS tags,
        -- what others know of the product stays; an attribute that is null goes
        nullif(jsonb_strip_nulls(
            CASE WHEN jsonb_typeof(old.dimensions) = 'object' THEN old.dimensions ELSE '{}' END
            || coalesce(s.attributes, '{}')), '{}') AS dimensions,
        CASE WHEN p.id IS NULL THEN s.slug ELSE left(s.slug, 222) || '-' || md5(s.sku) END AS slug
    FROM staged_products AS s
        LEFT JOIN products_db.products AS p ON p.slug = s.slug AND p.sku IS DISTINCT FROM s.sku
        LEFT JOIN products_db.products AS old ON old.sku = s.sku
), merged AS (
    INSERT INTO products_db.products AS p (name, slug, sku, price, category_id, brand_id, tags, description,
        track_inventory, compare_price, status, dimensions, created_at)
    SELECT name, slug, sku, price, category_id, brand_id, tags, description, stock IS NOT NULL,
        compare_price, status, dimensions, coalesce(created_at, %(now)s)
    FROM incoming ORDER BY line
    ON CONFLICT (sku) DO UPDATE SET name = excluded.name, price = excluded.price, updated_at = %(now)s,
        category_id = CASE WHEN %(has_category_id)s THEN excluded.category_id ELSE p.category_id END,
        brand_id = CASE WHEN %(has_brand_id)s THEN excluded.brand_id ELSE p.brand_id END,
        tags = CASE WHEN %(has_tags)s THEN excluded.tags ELSE p.tags END,
        description = CASE WHEN %(has_description)s THEN excluded.description ELSE p.description END,
        compare_price = CASE WHEN %(has_compare_price)s THEN excluded.compare_price ELSE p.compare_price END,
        status = CASE WHEN %(has_status)s THEN excluded.status ELSE p.status END,
        dimensions = CASE WHEN %(has_attributes)s THEN excluded.dimensions ELSE p.dimensions END
    WHERE (p.name, p.price) IS DISTINCT FROM (excluded.name, excluded.price)
        OR %(has_category_id)s AND p.category_id IS DISTINCT FROM excluded.category_id
        OR %(has_brand_id)s AND p.brand_id IS DISTINCT FROM excluded.brand_id
        OR %(has_tags)s AND p.tags IS DISTINCT FROM excluded.tags
        OR %(has_description)s AND p.description IS DISTINCT FROM excluded.description
        OR %(has_compare_price)s AND p.compare_price IS DISTINCT FROM excluded.compare_price
        OR %(has_status)s AND p.status IS DISTINCT FROM excluded.status
        OR %(has_attributes)s AND p.dimensions IS DISTINCT FROM excluded.dimensions
    RETURNING p.id, p.sku, p.xmax = 0 AS is_new
)
SELECT (SELECT count(*) FROM staged_products),
    coalesce(array_agg(id) FILTER (WHERE is_new), '{}'),
    coalesce(array_agg(id) FILTER (WHERE NOT is_new), '{}') FROM merged
"""
_IMAGES = b"""
INSERT INTO products_db.product_images (product_id, src, is_primary)
SELECT p.id, s.image, NOT EXISTS (SELECT FROM products_db.product_images AS i WHERE i.product_id = p.id)
FROM staged_products AS s JOIN products_db.products AS p USING (sku)
WHERE s.image IS NOT NULL AND NOT EXISTS (
    SELECT FROM products_db.product_images AS i WHERE i.product_id = p.id AND i.src = s.image)
ORDER BY p.id
RETURNING product_id
"""
_PAGES = b"""
INSERT INTO products_db.product_pages AS g (product_id, url)
SELECT p.id, s.url FROM staged_products AS s JOIN products_db.products AS p USING (sku)
WHERE s.url IS NOT NULL
ORDER BY p.id
ON CONFLICT (product_id) DO UPDATE SET url = excluded.url WHERE g.url <> excluded.url
RETURNING product_id
"""
# a column that is there and empty says that the product has no vector any more
_EMBEDDINGS = """
WITH given AS (
    SELECT p.id, s.embedding FROM staged_products AS s JOIN products_db.products AS p USING (sku)
), removed AS (
    DELETE FROM products_db.product_embeddings AS e USING given AS g
    WHERE e.product_id = g.id AND g.embedding IS NULL
    RETURNING 1
), merged AS (
    INSERT INTO products_db.product_embeddings AS e (product_id, vector)
    SELECT id, embedding FROM given WHERE embedding IS NOT NULL ORDER BY id
    ON CONFLICT (product_id) DO UPDATE SET vector = excluded.vector WHERE e.vector <> excluded.vector
    RETURNING xmax = 0 AS is_new
)
SELECT count(*) FILTER (WHERE is_new),
    count(*) FILTER (WHERE NOT is_new) + (SELECT count(*) FROM removed) FROM merged
"""
# stock that is not given is not counted, and must not hide the product
_VARIANTS = """
WITH given AS (
    SELECT p.id, s.sku, s.price, s.stock, s.tracked, s.policy,
        coalesce(s.created_at, %(now)s) AS created_at
    FROM staged_products AS s JOIN products_db.products AS p USING (sku)
), changed AS (
    UPDATE products_db.product_variants AS v
    SET price = t.price, inventory_quantity = coalesce(t.stock, v.inventory_quantity), updated_at = %(now)s,
        inventory_tracking = coalesce(t.tracked, v.inventory_tracking),
        inventory_policy = coalesce(
            t.policy, CASE WHEN t.tracked AND NOT v.inventory_tracking THEN 'deny' END, v.inventory_policy)
    FROM given AS t
    WHERE v.sku = t.sku AND v.product_id = t.id
        AND (v.price IS DISTINCT FROM t.price OR t.stock <> v.inventory_quantity
            OR t.tracked <> v.inventory_tracking OR t.policy <> v.inventory_policy)
    RETURNING v.product_id
), fresh AS (
    INSERT INTO products_db.product_variants
        (product_id, sku, name, price, inventory_quantity, inventory_policy, inventory_tracking, created_at)
    SELECT t.id, t.sku, 'Default', t.price, coalesce(t.stock, 0),
        coalesce(t.policy, CASE WHEN t.tracked THEN 'deny' ELSE 'continue' END), coalesce(t.tracked, false),
        t.created_at
    FROM given AS t
    WHERE NOT EXISTS (SELECT FROM products_db.product_variants AS v WHERE v.product_id = t.id)
    ORDER BY t.id
    ON CONFLICT (sku) DO NOTHING
    RETURNING product_id
)
SELECT array(SELECT product_id FROM fresh), array(SELECT product_id FROM changed)
"""


@dataclass(frozen=True)
class MergedProducts:
    """What became of the rows of one batch; `changed` are the ids of products that were there before."""

    added: int
    updated: int
    already_there: int
    variants_added: int
    variants_updated: int
    categories_added: int
    brands_added: int
    embeddings_added: int
    embeddings_changed: int
    changed: set[int]


def merge_products(
    connection: Connection, products: pl.DataFrame, present: Collection[str], now: datetime
) -> MergedProducts:
    """Add new products with a variant each, and bring changed ones up to date.

    Parameters
    ----------
    connection
        In the transaction that adds them.
    products
        line, sku, name, price, category (a path), brand, tags (joined by "|"), description, created_at,
        stock, and optionally availability, compare_price, status, image, url, attributes (JSON), embedding (a
        list, all of one length); SKUs distinct.
    present
        Only the columns that are named here change what is stored already.
    now
        The moment of the import.
    """
    categories, brands = Categories(connection), Brands(connection)
    category_ids = categories.ensure(_distinct(products["category"]), now)
    brand_ids = brands.ensure(_distinct(products["brand"]), now)
    products = with_stock(products)
    staged = products.with_columns(
        pl.lit(None).alias(name) for name in _STAGED if name not in products.columns
    )
    if "embedding" in products.columns:
        staged = staged.with_columns(packed(products["embedding"]).alias("embedding"))
    staged = staged.with_columns(
        _lookup(products["category"], category_ids).alias("category_id"),
        _lookup(products["brand"], brand_ids).alias("brand_id"),
        (
            slug(products["name"], exact=False, longest=150).replace("", "product")
            + "-"
            + slug(products["sku"], exact=True, longest=100)
        ).alias("slug"),
    )
    stage(connection, "staged_products", _STAGED, staged)
    connection.execute("ANALYZE staged_products")
    given = {f"has_{column}": column.removesuffix("_id") in present for column in _UPDATABLE}
    total, added, updated = one_row(connection, _MERGE, {"now": now, **given})
    pictured = connection.execute(_IMAGES).fetchall() if "image" in present else []
    paged = connection.execute(_PAGES).fetchall() if "url" in present else []
    vectors_added, vectors_changed = one_row(connection, _EMBEDDINGS) if "embedding" in present else (0, 0)
    variants_added, variants_updated = one_row(connection, _VARIANTS, {"now": now})
    counted = count_stock(connection, "staged_products", "sku", now)
    return MergedProducts(
        len(added),
        len(updated),
        total - len(added) - len(updated),
        len(variants_added),
        len(variants_updated),
        categories.added,
        brands.added,
        vectors_added,
        vectors_changed,
        # a new product was never read by anybody: Redis holds nothing of it
        {
            *updated,
            *variants_updated,
            *variants_added,
            *counted,
            *(id_ for (id_,) in [*pictured, *paged]),
        }.difference(added),
    )


def hide(connection: Connection, skus: Sequence[str]) -> set[int]:
    """Take products off the shelves, unless somebody has changed them since they were added; their ids."""
    rows = connection.execute(
        """UPDATE products_db.products SET status = 'hidden'
        WHERE sku = ANY(%s) AND status = 'active' AND updated_at IS NULL RETURNING id""",
        (list(skus),),
    ).fetchall()
    return {int(id_) for (id_,) in rows}


def product_ids(connection: Connection, skus: Sequence[str]) -> pl.DataFrame:
    """`name` (the SKU) and `id` of the products that exist; the SKU of a variant names its product."""
    rows = connection.execute(
        """SELECT sku, id FROM products_db.products WHERE sku = ANY(%(skus)s)
        UNION ALL
        SELECT v.sku, v.product_id FROM products_db.product_variants AS v
        WHERE v.sku = ANY(%(skus)s) AND v.product_id IS NOT NULL
            AND NOT EXISTS (SELECT FROM products_db.products AS p WHERE p.sku = v.sku)""",
        {"skus": list(skus)},
    ).fetchall()
    return pl.DataFrame(rows, schema={"name": pl.String, "id": pl.Int32}, orient="row")


def product_names(connection: Connection, ids: pl.Series) -> pl.DataFrame:
    """`product_id`, `sku` and `name` of the products with these ids."""
    rows = connection.execute(
        "SELECT id, sku, name FROM products_db.products WHERE id = ANY(%s)", (ids.to_list(),)
    ).fetchall()
    return pl.DataFrame(
        rows, schema={"product_id": pl.Int32, "sku": pl.String, "name": pl.String}, orient="row"
    )


def _distinct(series: pl.Series) -> list[str]:
    return series.drop_nulls().unique(maintain_order=True).to_list()


def _lookup(series: pl.Series, ids: dict[str, int]) -> pl.Series:
    if not ids:
        return pl.Series([None] * len(series), dtype=pl.Int32)
    return series.replace_strict(list(ids), list(ids.values()), default=None, return_dtype=pl.Int32)
