"""What the database says of products and users, as the documents that are searched."""

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
           reviews.average AS rating_average, reviews.number AS review_count,
           CASE WHEN p.track_inventory IS FALSE OR stock.unlimited THEN NULL ELSE stock.pieces END
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
    -- what has no variants, isn't counted, or is sold beyond its stock can always be sold
    CROSS JOIN LATERAL (
        SELECT coalesce(
                   bool_or(v.inventory_policy = 'continue' OR v.inventory_tracking IS FALSE), true
               ) AS unlimited,
               sum(greatest(v.inventory_quantity, 0)) AS pieces
        FROM products_db.product_variants v WHERE v.product_id = p.id
    ) stock
"""
"""Every product as a document; it needs TREE before it."""

TREE = """
    tree AS (
        SELECT id, CAST(name AS text) AS names FROM products_db.categories WHERE parent_id IS NULL
        UNION ALL
        SELECT child.id, tree.names || ' ' || child.name
        FROM products_db.categories child JOIN tree ON child.parent_id = tree.id
    )
"""
"""The categories with the names of all above them."""

# a place is {"lat": …, "lon": …} in what a user says of themselves; anything else is none
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
"""Every user as a document."""

_ONE_PRODUCT = text(f"WITH RECURSIVE {TREE} {PRODUCTS} WHERE p.id = ANY(:ids) ORDER BY p.id")
_NEXT_PRODUCTS = text(f"WITH RECURSIVE {TREE} {PRODUCTS} WHERE p.id > :after ORDER BY p.id LIMIT :size")
_ONE_USER = text(f"{USERS} WHERE u.id = ANY(:ids) ORDER BY u.id")
_NEXT_USERS = text(f"{USERS} WHERE u.id > :after ORDER BY u.id LIMIT :size")
_BATCH = 1000


def products(session: Session, ids: Sequence[int]) -> list[RowMapping]:
    """The documents of these products, as far as they are there."""
    return list(session.execute(_ONE_PRODUCT, {"ids": list(ids)}).mappings())


def users(session: Session, ids: Sequence[int]) -> list[RowMapping]:
    """The documents of these users, as far as they are there."""
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
