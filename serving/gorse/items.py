"""Items of Gorse's API: products, named by their SKU."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from recsys.domains.products import catalogue, service
from recsys.domains.products.schemas import CategoryIn, ProductChange, ProductIn, VariantIn
from recsys.domains.products.tables import Category, Product
from recsys.search import service as search
from recsys.search.service import Searcher, SearchRequest
from serving.gorse.bodies import ItemBody, ItemPatch, plain_labels
from serving.gorse.ids import category_of, product_numbers, product_of

__all__ = [
    "add_category",
    "change_item",
    "delete_item",
    "ensure_items",
    "get_item",
    "list_items",
    "put_items",
    "remove_category",
    "search_items",
]

_COLUMNS = (
    Product.id,
    Product.sku,
    Product.name,
    Product.status,
    Product.tags,
    Product.created_at,
    Category.name.label("category"),
)


def put_items(session: Session, given: Sequence[ItemBody]) -> int:
    """Add items, or replace those that exist; return how many."""
    by_sku = {item.ItemId: item for item in given}
    numbers = product_numbers(session, by_sku)
    for sku, item in by_sku.items():
        whole = item.model_copy(
            update={
                "IsHidden": bool(item.IsHidden),
                "Categories": item.Categories or [],
                "Labels": [] if item.Labels is None else item.Labels,
                "Comment": item.Comment or sku,
            }
        )
        if sku in numbers:
            _change(session, numbers[sku], whole)
        else:
            _create(session, sku, whole)
    return len(by_sku)


def ensure_items(session: Session, skus: Collection[str]) -> dict[str, int]:
    """Return the numbers of items, added where they do not exist: feedback may come before its item."""
    numbers = product_numbers(session, skus)
    missing = sorted(set(skus) - numbers.keys())
    return numbers | {sku: _create(session, sku, ItemPatch()).id for sku in missing}


def change_item(session: Session, sku: str, given: ItemPatch) -> None:
    """Change what is given and not null. Raises NotFound."""
    _change(session, product_of(session, sku), given)


def add_category(session: Session, sku: str, category: str) -> None:
    """Put an item into one more category: its category where it has none, else a tag. Raises NotFound."""
    stored = get_item(session, sku)
    if category not in (*stored["Categories"], *stored["Labels"]):
        given = ItemPatch(Categories=[*stored["Categories"], category], Labels=stored["Labels"])
        _change(session, product_of(session, sku), given)


def remove_category(session: Session, sku: str, category: str) -> None:
    """Take an item out of a category, which may be a tag. Raises NotFound."""
    stored = get_item(session, sku)
    categories = [name for name in stored["Categories"] if name != category]
    labels = [label for label in stored["Labels"] if label != category]
    _change(session, product_of(session, sku), ItemPatch(Categories=categories, Labels=labels))


def get_item(session: Session, sku: str) -> dict[str, Any]:
    """Return an item in Gorse's form. Raises NotFound."""
    number = product_of(session, sku)
    query = select(*_COLUMNS).outerjoin(Category, Product.category_id == Category.id)
    return _item(session.execute(query.where(Product.id == number)).one())


def list_items(session: Session, after: int, limit: int) -> list[tuple[int, dict[str, Any]]]:
    """Return items after a number, by number, each with it; products without a SKU are none."""
    query = select(*_COLUMNS).outerjoin(Category, Product.category_id == Category.id)
    rows = session.execute(
        query.where(Product.id > after, Product.sku.is_not(None)).order_by(Product.id).limit(limit)
    )
    return [(row.id, _item(row)) for row in rows]


def search_items(session: Session, text: str, limit: int) -> list[dict[str, Any]]:
    """Return the items that a text finds, best first; products without a SKU are none."""
    request = SearchRequest(text=text, limit=limit, personalised=False)
    found = [product.id for product in search.search(session, request, Searcher()).items]
    query = select(*_COLUMNS).outerjoin(Category, Product.category_id == Category.id)
    rows = session.execute(query.where(Product.id.in_(found), Product.sku.is_not(None)))
    by_id = {row.id: _item(row) for row in rows}
    return [by_id[number] for number in found if number in by_id]


def delete_item(session: Session, sku: str) -> None:
    """Delete an item. Raises NotFound."""
    service.delete(session, product_of(session, sku))


def _create(session: Session, sku: str, given: ItemPatch) -> Product:
    row = service.create(
        session,
        ProductIn(
            name=given.Comment or sku,
            slug=_slug(given.Comment or sku, sku),
            sku=sku,
            price=Decimal(0),
            track_inventory=False,
            category_id=_category(session, given),
            tags=_tags(given),
            status="archived" if given.IsHidden else "active",
        ),
    )
    # what is not counted must not hide the product
    variant = VariantIn(name="Default", inventory_policy="continue", inventory_tracking=False)
    service.add_variant(session, row.id, variant, by=None)
    if given.Timestamp is not None:
        row.created_at = given.Timestamp
    return row


def _change(session: Session, number: int, given: ItemPatch) -> None:
    changes: dict[str, Any] = {}
    if given.Comment:
        changes["name"] = given.Comment
    if given.IsHidden is not None:
        changes["status"] = "archived" if given.IsHidden else "active"
    if given.Categories is not None:
        changes["category_id"] = _category(session, given)
    if given.Labels is not None or given.Categories is not None:
        changes["tags"] = _tags(given)
    row = service.change(session, number, ProductChange(**changes))
    if given.Timestamp is not None:
        row.created_at = given.Timestamp


def _slug(name: str, own_id: str) -> str:
    """Return a slug that nothing with another id has; names may have no letter that a slug can spell."""
    return catalogue.slug_of(f"{hashlib.sha256(own_id.encode()).hexdigest()[:10]} {name}")


def _category(session: Session, given: ItemPatch) -> int | None:
    """Return the number of the first category, which is added where none has its name."""
    if not given.Categories:
        return None
    name = given.Categories[0]
    number = category_of(session, name)
    if number is not None:
        return number
    return catalogue.save_category(session, CategoryIn(name=name, slug=_slug(name, name))).id


def _tags(given: ItemPatch) -> list[str]:
    """Return the labels, and the categories after the first: a product has one category."""
    further = (given.Categories or [])[1:]
    return list(dict.fromkeys([*further, *plain_labels(given.Labels)]))[:100]


def _item(row: Any) -> dict[str, Any]:
    return {
        "ItemId": row.sku,
        "IsHidden": row.status != "active",
        "Categories": [] if row.category is None else [row.category],
        "Timestamp": None if row.created_at is None else row.created_at.isoformat(),
        "Labels": row.tags or [],
        "Comment": row.name,
    }
