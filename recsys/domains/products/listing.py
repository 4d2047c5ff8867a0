"""Products as they are shown: one whole, or filtered pages that no change of the catalogue can shift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal

import orjson
from sqlalchemy import BigInteger, Row, Select, and_, bindparam, func, inspect, or_, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import KeyedColumnElement

from recsys.domains.products import cache
from recsys.domains.products.catalogue import category_and_below
from recsys.domains.products.item_fields import chosen
from recsys.domains.products.schemas import ImageOut, ProductBatchOut, ProductListItem, ProductOut, VariantOut
from recsys.domains.products.tables import Product, ProductImage, ProductReview, ProductVariant
from recsys.errors import Invalid, NotFound
from recsys.own_ids.answers import with_own_ids
from recsys.own_ids.resolver import RESOLVER
from recsys.own_ids.scheme import IdKind, OwnId
from recsys.web.pagination import Cursor, Page

__all__ = ["ListingFilters", "Sort", "batch", "coverage", "fresh", "page", "page_json", "shown", "summaries"]

_NAMES = tuple(ProductListItem.model_fields)
_P, _V = inspect(Product).local_table.c, inspect(ProductVariant).local_table.c
_SHOWN = tuple(_P[name] for name in _NAMES)
Sort = Literal["newest", "name", "price", "-price"]


@dataclass(frozen=True)
class ListingFilters:
    """What a list is limited to; a category means everything below it too."""

    category: int | None = None
    brand: int | None = None
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    tag: str | None = None
    in_stock: bool = False
    featured: bool | None = None
    status: str | None = "active"
    skus: tuple[str, ...] | None = None


def shown(session: Session, product_id: int, *, hidden: bool = False) -> ProductOut:
    """Return a product with all its parts. Raises NotFound; also for an inactive product unless `hidden`."""
    found = cache.product(product_id, lambda: _whole(session, product_id))
    if found.status != "active" and not hidden:
        raise NotFound(f"There is no product {product_id}.")
    return found


def fresh(session: Session, product_id: int) -> ProductOut:
    """A product as the caller's own transaction has it, past Redis. Raises NotFound."""
    session.flush()
    return _whole(session, product_id)


def summaries(session: Session, ids: Sequence[int]) -> list[ProductListItem]:
    """Active products in the order of `ids`; those that are gone or hidden are left out."""
    rows = {
        row.id: row
        for row in session.scalars(select(Product).where(Product.id.in_(ids), Product.status == "active"))
    }
    return [ProductListItem.model_validate(rows[one]) for one in ids if one in rows]


def batch(session: Session, ids: Sequence[int], skus: Sequence[str]) -> ProductBatchOut:
    """Active products, by number and then by SKU, each once and in the order of the request."""
    own_ids = [OwnId("sku", sku) for sku in skus]
    found = RESOLVER.look_up(own_ids)
    by_sku = {own_id.value: found.get((IdKind.PRODUCT, own_id)) for own_id in own_ids}
    wanted = dict.fromkeys([*ids, *(number for number in by_sku.values() if number is not None)])
    items = summaries(session, list(wanted))
    there = {item.id for item in items}
    return ProductBatchOut(
        items=list(items),
        unknown_ids=[number for number in dict.fromkeys(ids) if number not in there],
        unknown_skus=[sku for sku, number in by_sku.items() if number not in there],
    )


def coverage(session: Session, examples: int = 3) -> tuple[int, dict[str, tuple[int, list[int]]]]:
    """Return the number of active products, and how many lack each field, with the first of them."""
    has_picture = select(ProductImage.id).where(ProductImage.product_id == Product.id).exists()
    lacking = {
        "price": Product.price <= 0,
        "picture": ~has_picture,
        "category": Product.category_id.is_(None),
        "brand": Product.brand_id.is_(None),
        "SKU": Product.sku.is_(None),
        "description": func.coalesce(Product.description, "") == "",
    }
    active = Product.status == "active"
    counts = session.execute(
        select(func.count(), *(func.count().filter(condition) for condition in lacking.values())).where(
            active
        )
    ).one()
    missing = {}
    for (name, condition), count in zip(lacking.items(), counts[1:], strict=True):
        first = select(Product.id).where(active, condition).order_by(Product.id).limit(examples)
        missing[name] = count, list(session.scalars(first)) if count else []
    return counts[0], missing


def page(
    session: Session, filters: ListingFilters, *, sort: Sort, limit: int, cursor: str | None
) -> Page[ProductListItem]:
    """One page of products.

    The cursor holds the sort key of the last product, so that products added or removed before it shift no
    page.

    Raises
    ------
    NotFound
        The category is unknown.
    Invalid
        The cursor is of another sort.
    """
    rows, following = _read(session, filters, sort, limit, cursor)
    # what comes from our own columns needs no checks
    items = [ProductListItem.model_construct(**dict(zip(_NAMES, row, strict=True))) for row in rows]
    return Page[ProductListItem].model_construct(items=items, next_cursor=following)


def page_json(
    session: Session,
    filters: ListingFilters,
    *,
    sort: Sort,
    limit: int,
    cursor: str | None,
    fields: Sequence[str] | None = None,
) -> bytes:
    """What `page` would be as JSON, without making its objects first; with `fields`, these of each item."""
    rows, following = _read(session, filters, sort, limit, cursor)
    items = [dict(zip(_NAMES, row, strict=True)) for row in rows]
    if fields is not None:
        by_id = chosen(session, [item["id"] for item in items], fields)
        items = [dict(by_id[item["id"]]) for item in items if item["id"] in by_id]
    # an amount is written as text, as everywhere
    return orjson.dumps({"items": items, "next_cursor": following}, default=str, option=orjson.OPT_UTC_Z)


def _read(
    session: Session, filters: ListingFilters, sort: Sort, limit: int, cursor: str | None
) -> tuple[Sequence[Row[Any]], str | None]:
    """The columns of a page's products, in the order of `_NAMES`, and the cursor of the next page."""
    values: dict[str, Any] = {name: value for name, value in vars(filters).items() if value is not None}
    if not filters.in_stock:
        values.pop("in_stock")
    if filters.category is not None:
        values["category"] = category_and_below(session, filters.category)
    if filters.tag is not None:
        values["tag"] = [filters.tag]
    if cursor is not None:
        values |= _place(sort, Cursor.decode(cursor))
    statement = _statement(sort, frozenset(values))
    found = session.execute(statement, {**values, "most": limit + 1}).all()
    rows, following = found[:limit], None
    if len(found) > limit:
        last = rows[-1]
        key = last.id if sort == "newest" else getattr(last, _key(sort)[0].key)
        following = Cursor.encode({"sort": sort, "key": str(key), "id": last.id})
    return rows, following


@lru_cache(maxsize=256)
def _statement(sort: Sort, given: frozenset[str]) -> Select[Any]:
    """The query of a list that is limited by what is `given`, made once: it takes longer than its answer.

    It asks the table for columns, not the ORM for objects: a list shows a third of a row, and nobody is going
    to change it.
    """
    query = select(*_SHOWN)
    conditions: dict[str, Any] = {
        "status": _P.status == bindparam("status"),
        "skus": or_(
            _P.sku.in_(bindparam("skus", expanding=True)),
            _P.id.in_(select(_V.product_id).where(_V.sku.in_(bindparam("skus", expanding=True)))),
        ),
        "category": _P.category_id.in_(bindparam("category", expanding=True)),
        "brand": _P.brand_id == bindparam("brand"),
        "min_price": _P.price >= bindparam("min_price"),
        "max_price": _P.price <= bindparam("max_price"),
        "tag": _P.tags.contains(bindparam("tag")),
        "featured": _P.is_featured == bindparam("featured"),
        "in_stock": _in_stock(),
    }
    for name, condition in conditions.items():
        if name in given:
            query = query.where(condition)
    column, descending = _key(sort)
    if "last_id" in given:
        query = query.where(_after(sort, column, descending))
    order = [column.desc(), _P.id.desc()] if descending else [column.asc(), _P.id.asc()]
    return query.order_by(*order).limit(bindparam("most"))


def _key(sort: Sort) -> tuple[KeyedColumnElement[Any], bool]:
    if sort == "newest":
        return _P.id, True
    if sort == "name":
        return _P.name, False
    return _P.price, sort == "-price"


def _place(sort: Sort, cursor: Cursor) -> dict[str, Any]:
    if cursor.text("sort") != sort:
        raise Invalid("This cursor belongs to another sort order; start again without a cursor.")
    place: dict[str, Any] = {"last_id": cursor.integer("id")}
    if sort != "newest":
        place["last_key"] = cursor.text("key") if sort == "name" else cursor.decimal("key")
    return place


def _after(sort: Sort, column: KeyedColumnElement[Any], descending: bool) -> Any:
    last_id = bindparam("last_id", type_=BigInteger)
    if sort == "newest":
        return _P.id < last_id
    key: Any = bindparam("last_key")
    if descending:
        return or_(column < key, and_(column == key, _P.id < last_id))
    return or_(column > key, and_(column == key, _P.id > last_id))


def _in_stock() -> Any:
    # a product without variants has no stock that is counted: it can always be sold
    variants = select(_V.id).where(_V.product_id == _P.id)
    sells = variants.where(
        or_(
            _V.inventory_quantity > 0,
            _V.inventory_policy == "continue",
            _V.inventory_tracking.is_(False),
        )
    )
    return or_(_P.track_inventory.is_(False), ~variants.exists(), sells.exists())


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
    pictures = [ImageOut.model_validate(row) for row in images]
    rating, reviews = session.execute(
        select(func.round(func.avg(ProductReview.rating), 2), func.count()).where(
            ProductReview.product_id == product_id, ProductReview.is_approved.is_(True)
        )
    ).one()
    return ProductOut(
        **ProductListItem.model_validate(row).model_dump(),
        description=row.description,
        weight=row.weight,
        dimensions=row.dimensions,
        seo_title=row.seo_title,
        seo_description=row.seo_description,
        variants=[VariantOut.model_validate(one) for one in variants],
        images=list(with_own_ids(session, pictures)),
        rating=rating,
        reviews=reviews,
    )
