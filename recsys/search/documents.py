"""The documents that are searched, read from the tables of products and users."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

__all__ = ["PRODUCTS", "USERS", "every_product", "every_user", "products", "users"]

PRODUCTS = """
    SELECT p.id AS product_id, p.name, p.sku, p.price, p.compare_price,
           left(p.short_description, 20000) AS short_description, left(p.description, 20000) AS description,
           c.id AS category_id, c.name AS category_name, c.slug AS category_slug,
           coalesce(tree.names, c.name) AS category_path,
           b.id AS brand_id, b.name AS brand_name, b.slug AS brand_slug,
           coalesce(p.tags, CAST('{}' AS text[])) AS tags, p.status,
           coalesce(p.is_featured, false) AS is_featured,
           variants.skus AS variant_skus, variants.options,
           reviews.average AS rating_average, reviews.number AS review_count,
           CASE WHEN p.track_inventory IS FALSE OR variants.unlimited THEN NULL ELSE variants.pieces END
               AS inventory_quantity,
           coalesce(p.created_at, CAST('epoch' AS timestamptz)) AS created_at, p.updated_at,
           statement_timestamp() AS as_of
    FROM products_db.products p
    LEFT JOIN products_db.categories c ON c.id = p.category_id
    LEFT JOIN tree ON tree.id = p.category_id
    LEFT JOIN products_db.brands b ON b.id = p.brand_id
    CROSS JOIN LATERAL (
        SELECT CAST(round(avg(r.rating), 2) AS numeric(3, 2)) AS average, CAST(count(*) AS integer) AS number
        FROM products_db.product_reviews r WHERE r.product_id = p.id AND r.is_approved
    ) reviews
    -- a product without variants, or whose stock isn't tracked or may be oversold, is always in stock
    CROSS JOIN LATERAL (
        SELECT coalesce(
                   bool_or(v.inventory_policy = 'continue' OR v.inventory_tracking IS FALSE), true
               ) AS unlimited,
               sum(greatest(v.inventory_quantity, 0)) AS pieces,
               coalesce(
                   array_agg(DISTINCT v.sku COLLATE "C") FILTER (WHERE v.sku IS DISTINCT FROM p.sku), '{}'
               ) AS skus,
               coalesce(
                   array_agg(DISTINCT concat_ws(' ', v.option1, v.option2, v.option3) COLLATE "C") FILTER (
                       WHERE num_nonnulls(v.option1, v.option2, v.option3) > 0
                   ), '{}'
               ) AS options
        FROM products_db.product_variants v WHERE v.product_id = p.id
    ) variants
"""
"""A query of every product as a document; TREE must precede it."""

TREE = """
    tree AS (
        SELECT id, CAST(name AS text) AS names FROM products_db.categories WHERE parent_id IS NULL
        UNION ALL
        SELECT child.id, tree.names || ' ' || child.name
        FROM products_db.categories child JOIN tree ON child.parent_id = tree.id
    )
"""
"""A common table expression: each category with the names of all categories above it."""

# a place is {"lat": …, "lon": …} in a user's preferences; anything else counts as no place
USERS = """
    SELECT u.id AS user_id, u.username, u.full_name, left(p.bio, 20000) AS bio,
           place.latitude, place.longitude,
           coalesce(u.is_active, true) AS is_active, coalesce(u.is_online, false) AS is_online,
           coalesce(cardinality(s.followers), 0) AS followers_count,
           coalesce(cardinality(s.following), 0) AS following_count,
           coalesce(u.created_at, CAST('epoch' AS timestamptz)) AS created_at,
           statement_timestamp() AS as_of
    FROM users_db.users u
    LEFT JOIN LATERAL (
        SELECT bio, preferences FROM users_db.user_profiles WHERE user_id = u.id ORDER BY id LIMIT 1
    ) p ON true
    LEFT JOIN LATERAL (
        SELECT followers, following FROM users_db.user_social WHERE user_id = u.id ORDER BY id LIMIT 1
    ) s ON true
    LEFT JOIN LATERAL (
        SELECT given.latitude, given.longitude
        FROM (
            SELECT CASE WHEN jsonb_typeof(p.preferences #> '{location,lat}') = 'number'
                        THEN CAST(p.preferences #>> '{location,lat}' AS numeric) END AS latitude,
                   CASE WHEN jsonb_typeof(p.preferences #> '{location,lon}') = 'number'
                        THEN CAST(p.preferences #>> '{location,lon}' AS numeric) END AS longitude
        ) given
        WHERE given.latitude BETWEEN -90 AND 90 AND given.longitude BETWEEN -180 AND 180
    ) place ON true
"""
"""A query of every user as a document."""

_ONE_PRODUCT = text(f"WITH RECURSIVE {TREE} {PRODUCTS} WHERE p.id = ANY(:ids) ORDER BY p.id")
_NEXT_PRODUCTS = text(f"WITH RECURSIVE {TREE} {PRODUCTS} WHERE p.id > :after ORDER BY p.id LIMIT :size")
_ONE_USER = text(f"{USERS} WHERE u.id = ANY(:ids) ORDER BY u.id")
_NEXT_USERS = text(f"{USERS} WHERE u.id > :after ORDER BY u.id LIMIT :size")
_BATCH = 1000


def products(session: Session, ids: Sequence[int]) -> list[RowMapping]:
    """The documents of these products; a missing product is left out."""
    return list(session.execute(_ONE_PRODUCT, {"ids": list(ids)}).mappings())


def users(session: Session, ids: Sequence[int]) -> list[RowMapping]:
    """The documents of these users; a missing user is left out."""
    return list(session.execute(_ONE_USER, {"ids": list(ids)}).mappings())


def every_product(session: Session) -> Iterator[list[RowMapping]]:
    """All products in batches, by their ids."""
    return _batches(session, _NEXT_PRODUCTS, "product_id")


def every_user(session: Session) -> Iterator[list[RowMapping]]:
    """All users in batches, by their ids."""
    return _batches(session, _NEXT_USERS, "user_id")


def _batches(session: Session, query: Any, key: str) -> Iterator[list[RowMapping]]:
    after = 0
    while rows := list(session.execute(query, {"after": after, "size": _BATCH}).mappings()):
        yield rows
        after = rows[-1][key]
