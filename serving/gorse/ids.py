"""The numbers of users and products by Gorse's ids (username, SKU), and back."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from recsys.domains.products.tables import Category, Product
from recsys.domains.users.tables import User
from recsys.errors import NotFound

__all__ = ["category_of", "product_numbers", "product_of", "user_numbers", "user_of"]


def user_numbers(session: Session, names: Collection[str]) -> dict[str, int]:
    """Return the number of each user that exists, by username."""
    rows = session.execute(select(User.username, User.id).where(User.username.in_(names)))
    return {row.username: row.id for row in rows}


def product_numbers(session: Session, skus: Collection[str]) -> dict[str, int]:
    """Return the number of each product that exists, by SKU."""
    rows = session.execute(select(Product.sku, Product.id).where(Product.sku.in_(skus)))
    return {row.sku: row.id for row in rows}


def user_of(session: Session, name: str) -> int:
    """Return the number of a user; raises NotFound."""
    number = user_numbers(session, [name]).get(name)
    if number is None:
        raise NotFound(f"No user has the id {name!r}.")
    return number


def product_of(session: Session, sku: str) -> int:
    """Return the number of a product; raises NotFound."""
    number = product_numbers(session, [sku]).get(sku)
    if number is None:
        raise NotFound(f"No item has the id {sku!r}.")
    return number


def category_of(session: Session, name: str) -> int | None:
    """Return the number of the category with this name or slug; None without one."""
    query = select(Category.id).where((Category.name == name) | (Category.slug == name))
    return session.scalars(query.order_by((Category.name == name).desc()).limit(1)).first()
