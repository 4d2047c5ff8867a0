"""The category tree and the brands."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import func, or_, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.products.schemas import BrandIn, CategoryIn, CategoryOut
from recsys.domains.products.tables import Brand, Category, Product
from recsys.errors import Conflict, Invalid, NotFound
from recsys.events.publish import publish
from recsys.events.vocabulary import BrandChanged, CategoryChanged
from recsys.own_ids.resolver import own_ids_changed
from recsys.own_ids.scheme import IdKind

__all__ = [
    "brands",
    "category_and_below",
    "delete_brand",
    "delete_category",
    "name_of",
    "named_like",
    "save_brand",
    "save_category",
    "slug_of",
    "tree",
    "unique",
]

_TABLES: dict[IdKind, type[Category] | type[Brand]] = {IdKind.CATEGORY: Category, IdKind.BRAND: Brand}
_TREE_LOCK = 0x63617465  # moves of categories take turns, or two of them could close a circle


def tree(session: Session) -> list[CategoryOut]:
    """The whole tree of active categories, each level by its sort order; a hidden one hides what is below."""
    rows = session.scalars(
        select(Category).where(Category.is_active.is_not(False)).order_by(Category.sort_order, Category.name)
    ).all()
    nodes = {
        row.id: CategoryOut(
            id=row.id,
            name=row.name,
            slug=row.slug,
            parent_id=row.parent_id,
            description=row.description,
            image_url=row.image_url,
            is_active=row.is_active,
        )
        for row in rows
    }
    roots = []
    for node in nodes.values():
        if node.parent_id is None:
            roots.append(node)
        elif node.parent_id in nodes:
            nodes[node.parent_id].children.append(node)
    return roots


def category_and_below(session: Session, category_id: int) -> list[int]:
    """The ids of a category and of all below it. Raises NotFound."""
    found = session.scalars(
        text(
            """
            WITH RECURSIVE below AS (
                SELECT id FROM products_db.categories WHERE id = :id
                UNION
                SELECT child.id FROM products_db.categories child JOIN below ON child.parent_id = below.id
            )
            SELECT id FROM below ORDER BY id
            """
        ),
        {"id": category_id},
    ).all()
    if not found:
        raise NotFound(f"There is no category {category_id}.")
    return list(found)


def save_category(session: Session, given: CategoryIn, category_id: int | None = None) -> Category:
    """Make a category, or replace one.

    Parameters
    ----------
    category_id
        The one to replace; None makes one.

    Raises
    ------
    NotFound
        It, or its parent, is not there.
    Conflict
        The name or the slug is taken.
    Invalid
        The parent lies below the category itself.
    """
    session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _TREE_LOCK})
    if given.parent_id is not None and session.get(Category, given.parent_id) is None:
        raise NotFound(f"There is no category {given.parent_id} to put it under.")
    values = given.model_dump()
    values["slug"] = given.slug or slug_of(given.name)
    with unique(session, "category", given.name):
        if category_id is None:
            row = Category(**values, created_at=clock.now())
            session.add(row)
        else:
            row = _get_category(session, category_id)
            if given.parent_id in category_and_below(session, category_id):
                raise Invalid(
                    "A category cannot be placed below itself or below one of its own subcategories."
                )
            for name, value in values.items():
                setattr(row, name, value)
            row.updated_at = clock.now()
            own_ids_changed(session)
    publish(session, CategoryChanged(category_id=row.id))
    return row


def delete_category(session: Session, category_id: int) -> None:
    """Delete an empty category. Raises NotFound, or Conflict while something is in it."""
    session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _TREE_LOCK})
    row = _get_category(session, category_id)
    if session.scalar(select(Category.id).where(Category.parent_id == category_id).limit(1)) is not None:
        raise Conflict("The category has subcategories; move them first.")
    if session.scalar(select(Product.id).where(Product.category_id == category_id).limit(1)) is not None:
        raise Conflict("The category has products; move them first.")
    session.delete(row)
    own_ids_changed(session)
    publish(session, CategoryChanged(category_id=category_id))


def brands(session: Session, *, after: str, limit: int) -> Sequence[Brand]:
    """Active brands by name, from the name `after` on."""
    return session.scalars(
        select(Brand)
        .where(Brand.is_active.is_not(False), Brand.name > after)
        .order_by(Brand.name)
        .limit(limit)
    ).all()


def name_of(session: Session, kind: IdKind, number: int) -> str | None:
    """The name of a category or brand, None where there is none with this number."""
    row: Category | Brand | None = (
        session.get(Category, number) if kind is IdKind.CATEGORY else session.get(Brand, number)
    )
    return None if row is None else row.name


def named_like(session: Session, kind: IdKind, words: str, *, limit: int) -> list[tuple[str, str]]:
    """Slug and name of active categories or brands with `words` in one of them; first names that begin so."""
    table = _TABLES[kind]
    given = words.strip().lower()
    name, slug = func.lower(table.name), func.lower(table.slug)
    begins = name.startswith(given, autoescape=True)
    rows = session.execute(
        select(table.slug, table.name)
        .where(
            table.is_active.is_not(False),
            or_(name.contains(given, autoescape=True), slug.contains(given, autoescape=True)),
        )
        .order_by(begins.desc(), table.name, table.id)
        .limit(limit)
    )
    return [(row.slug, row.name) for row in rows]


def save_brand(session: Session, given: BrandIn, brand_id: int | None = None) -> Brand:
    """Make a brand, or replace one. Raises NotFound, Conflict when name or slug is taken."""
    values = given.model_dump()
    values["slug"] = given.slug or slug_of(given.name)
    with unique(session, "brand", given.name):
        if brand_id is None:
            row = Brand(**values, created_at=clock.now())
            session.add(row)
        else:
            row = _get_brand(session, brand_id)
            for name, value in values.items():
                setattr(row, name, value)
            row.updated_at = clock.now()
            own_ids_changed(session)
    publish(session, BrandChanged(brand_id=row.id))
    return row


def delete_brand(session: Session, brand_id: int) -> None:
    """Delete a brand without products. Raises NotFound, Conflict."""
    row = _get_brand(session, brand_id)
    if session.scalar(select(Product.id).where(Product.brand_id == brand_id).limit(1)) is not None:
        raise Conflict("The brand has products; assign them another brand first.")
    session.delete(row)
    own_ids_changed(session)
    publish(session, BrandChanged(brand_id=brand_id))


def slug_of(name: str) -> str:
    """A name as part of an address: letters and digits, joined by dashes. Raises Invalid without any."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = "-".join(re.findall(r"[a-z0-9]+", plain))[:100].strip("-")
    if not slug:
        raise Invalid("The name has no letter or digit to make a slug from; send a slug.")
    return slug


@contextmanager
def unique(session: Session, noun: str, name: str) -> Iterator[None]:
    """Write inside; a name, slug or SKU that is taken becomes a Conflict, and nothing else is lost."""
    try:
        with session.begin_nested():
            yield
            session.flush()
    except IntegrityError as error:
        if getattr(error.orig, "sqlstate", None) != "23505":
            raise
        raise Conflict(f"There is a {noun} with this name, slug or SKU already: {name}.") from error


def _get_category(session: Session, category_id: int) -> Category:
    row = session.get(Category, category_id, with_for_update=True)
    if row is None:
        raise NotFound(f"There is no category {category_id}.")
    return row


def _get_brand(session: Session, brand_id: int) -> Brand:
    row = session.get(Brand, brand_id, with_for_update=True)
    if row is None:
        raise NotFound(f"There is no brand {brand_id}.")
    return row
