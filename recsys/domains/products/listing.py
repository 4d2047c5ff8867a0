"""Products as they are shown: one whole, or filtered pages that no change of the catalogue can shift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from recsys.domains.products import cache
from recsys.domains.products.catalogue import category_and_below
from recsys.domains.products.schemas import ImageOut, ProductOut, ProductSummary, VariantOut
from recsys.domains.products.tables import Product, ProductImage, ProductReview, ProductVariant
from recsys.errors import Invalid, NotFound
from recsys.web.pagination import Cursor, Page

__all__ = ["Filters", "Sort", "fresh", "page", "shown", "summaries"]

Sort = Literal["newest", "name", "price", "-price"]


@dataclass(frozen=True)
class Filters:
    """What a list is limited to; a category means everything below it too."""

    category: int | None = None
    brand: int | None = None
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    tag: str | None = None
    in_stock: bool = False
    featured: bool | None = None
    status: str | None = "active"


def shown(session: Session, product_id: int, *, hidden: bool = False) -> ProductOut:
    """A product, whole; one that is not active is NotFound unless `hidden` ones are wanted too."""
    found = cache.product(product_id, lambda: _whole(session, product_id))
    if found.status != "active" and not hidden:
        raise NotFound(f"There is no product {product_id}.")
    return found


def fresh(session: Session, product_id: int) -> ProductOut:
    """A product as the caller's own transaction has it, past Redis. Raises NotFound."""
    session.flush()
    return _whole(session, product_id)


def summaries(session: Session, ids: Sequence[int]) -> list[ProductSummary]:
    """Active products in the order of `ids`; those that are gone or hidden are left out."""
    rows = {
        row.id: row
        for row in session.scalars(select(Product).where(Product.id.in_(ids), Product.status == "active"))
    }
    return [ProductSummary.model_validate(rows[one]) for one in ids if one in rows]


def page(
    session: Session, filters: Filters, *, sort: Sort, limit: int, cursor: str | None
) -> Page[ProductSummary]:
    """One page. The cursor holds the last product's place in the order, so that what comes or goes before
    it shifts nothing.

    Raises NotFound for an unknown category, Invalid for a cursor of another sort.
    """
    query = _filtered(session, select(Product), filters)
    column, descending = _key(sort)
    if cursor is not None:
        query = query.where(_after(sort, column, descending, Cursor.decode(cursor)))
    order = [column.desc(), Product.id.desc()] if descending else [column.asc(), Product.id.asc()]
    found: Sequence[Product] = session.scalars(query.order_by(*order).limit(limit + 1)).all()  # type: ignore[assignment]
    more = len(found) > limit
    shown_rows: list[Product] = list(found[:limit])
    following = None
    if more:
        last = shown_rows[-1]
        key = last.id if sort == "newest" else getattr(last, column.key)
        following = Cursor.encode({"sort": sort, "key": str(key), "id": last.id})
    return Page(items=[ProductSummary.model_validate(row) for row in shown_rows], next_cursor=following)


def _key(sort: Sort) -> tuple[InstrumentedAttribute[Any], bool]:
    if sort == "newest":
        return Product.id, True
    if sort == "name":
        return Product.name, False
    return Product.price, sort == "-price"


def _after(sort: Sort, column: InstrumentedAttribute[Any], descending: bool, cursor: Cursor) -> Any:
    if cursor.text("sort") != sort:
        raise Invalid("This cursor is of a list in another order; start again without a cursor.")
    last_id = cursor.integer("id")
    if sort == "newest":
        return Product.id < last_id
    key: Any = cursor.text("key") if sort == "name" else cursor.decimal("key")
    if descending:
        return or_(column < key, and_(column == key, Product.id < last_id))
    return or_(column > key, and_(column == key, Product.id > last_id))


def _filtered(session: Session, query: Select[tuple[Product]], wanted: Filters) -> Select[tuple[Product]]:
    if wanted.status is not None:
        query = query.where(Product.status == wanted.status)
    if wanted.category is not None:
        query = query.where(Product.category_id.in_(category_and_below(session, wanted.category)))
    if wanted.brand is not None:
        query = query.where(Product.brand_id == wanted.brand)
    if wanted.min_price is not None:
        query = query.where(Product.price >= wanted.min_price)
    if wanted.max_price is not None:
        query = query.where(Product.price <= wanted.max_price)
    if wanted.tag is not None:
        query = query.where(Product.tags.contains([wanted.tag]))
    if wanted.featured is not None:
        query = query.where(Product.is_featured.is_(wanted.featured))
    if wanted.in_stock:
        # a product without variants has no stock that is counted: it can always be sold
        variants = select(ProductVariant.id).where(ProductVariant.product_id == Product.id)
        sells = variants.where(
            or_(
                ProductVariant.inventory_quantity > 0,
                ProductVariant.inventory_policy == "continue",
                ProductVariant.inventory_tracking.is_(False),
            )
        )
        query = query.where(or_(Product.track_inventory.is_(False), ~variants.exists(), sells.exists()))
    return query


def _whole(session: Session, product_id: int) -> ProductOut:
    row = session.get(Product, product_id, populate_existing=True)
    if row is None:
        raise NotFound(f"There is no product {product_id}.")
    variants = session.scalars(
        select(ProductVariant)
        .where(ProductVariant.product_id == product_id)
        .order_by(ProductVariant.position, ProductVariant.id)
    )
    images = session.scalars(
        select(ProductImage)
        .where(ProductImage.product_id == product_id)
        .order_by(ProductImage.is_primary.desc(), ProductImage.position, ProductImage.id)
    )
    rating, reviews = session.execute(
        select(func.round(func.avg(ProductReview.rating), 2), func.count()).where(
            ProductReview.product_id == product_id, ProductReview.is_approved.is_(True)
        )
    ).one()
    return ProductOut(
        **ProductSummary.model_validate(row).model_dump(),
        description=row.description,
        weight=row.weight,
        dimensions=row.dimensions,
        variants=[VariantOut.model_validate(one) for one in variants],
        images=[ImageOut.model_validate(one) for one in images],
        rating=rating,
        reviews=reviews,
    )
