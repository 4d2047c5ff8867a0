"""Products, their variants and images: each change is published as an event and dropped from the cache."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.products import cache, embeddings, inventory
from recsys.domains.products.catalogue import slug_of, unique
from recsys.domains.products.schemas import ImageIn, ProductChange, ProductIn, VariantIn
from recsys.domains.products.tables import Brand, Category, Product, ProductImage, ProductVariant
from recsys.errors import Conflict, Invalid, NotFound
from recsys.events.publish import publish
from recsys.events.vocabulary import PriceChanged, ProductCreated, ProductDeleted, ProductUpdated
from recsys.own_ids.resolver import own_ids_changed

__all__ = [
    "add_image",
    "add_variant",
    "change",
    "change_variant",
    "create",
    "delete",
    "delete_image",
    "delete_variant",
    "existing_ids",
    "get",
]

# what a row refers to must not be deleted before the row is written (FOR KEY SHARE)
KEPT = {"read": True, "key_share": True}
_REQUIRED = ("name", "price", "status")


def get(session: Session, product_id: int, *, lock: bool = False) -> Product:
    """Return the product, locked against deletion until the transaction ends. Raises NotFound."""
    row = session.get(Product, product_id, with_for_update={"key_share": True} if lock else KEPT)
    if row is None:
        raise NotFound(f"There is no product {product_id}.")
    return row


def existing_ids(session: Session, product_ids: Collection[int], *, active: bool = False) -> set[int]:
    """Those of the products that exist, or that are active, kept from deletion until the transaction ends."""
    query = select(Product.id).where(Product.id.in_(product_ids)).order_by(Product.id)
    if active:
        query = query.where(Product.status == "active")
    return set(session.scalars(query.with_for_update(read=True, key_share=True)))


def create(session: Session, given: ProductIn) -> Product:
    """Put a product into the catalogue.

    Raises
    ------
    NotFound
        There is no such category or brand.
    Conflict
        Its slug or SKU is taken.
    """
    _check_places(session, given.category_id, given.brand_id)
    values = given.model_dump(exclude={"embedding"})
    values["slug"] = given.slug or slug_of(given.name)
    row = Product(**values, created_at=clock.now(), updated_at=clock.now())
    with unique(session, "product", given.name):
        session.add(row)
    if given.embedding is not None:
        embeddings.store(session, row.id, given.embedding)
    publish(session, ProductCreated(product_id=row.id))
    return row


def change(session: Session, product_id: int, given: ProductChange) -> Product:
    """Change the fields that `given` sets.

    Raises
    ------
    NotFound
        There is no such product, category or brand.
    Conflict
        Its new slug or SKU is taken.
    Invalid
        A required field is null.
    """
    wanted = given.model_dump(exclude_unset=True, exclude={"embedding"})
    for name in _REQUIRED:
        if name in wanted and wanted[name] is None:
            raise Invalid(f"{name} cannot be null; leave the field out to keep its value.")
    _check_places(session, wanted.get("category_id"), wanted.get("brand_id"))
    row = get(session, product_id, lock=True)
    changed = {name: value for name, value in wanted.items() if getattr(row, name) != value}
    is_described = "embedding" in given.model_fields_set and embeddings.store(
        session, product_id, given.embedding
    )
    if not changed and not is_described:
        return row
    former_price = row.price
    with unique(session, "product", row.name):
        _set(row, changed)
    if "sku" in changed:
        own_ids_changed(session)
    if "price" in changed:
        event = PriceChanged(product_id=product_id, price=row.price, former_price=former_price)
        publish(session, event)
    _publish_update(session, product_id, *changed, *(["embedding"] if is_described else []))
    return row


def delete(session: Session, product_id: int) -> None:
    """Delete a product; orders keep its name and price. Raises NotFound."""
    session.delete(get(session, product_id, lock=True))
    session.flush()
    publish(session, ProductDeleted(product_id=product_id))
    own_ids_changed(session)
    cache.changed(session, product_id)


def add_variant(session: Session, product_id: int, given: VariantIn, *, by: int | None) -> ProductVariant:
    """Add a variant; its first stock gets a log row like any other. Raises NotFound, Conflict."""
    get(session, product_id, lock=True)
    values = given.model_dump()
    first = values.pop("inventory_quantity") or 0
    if first < 0 and given.inventory_policy != "continue":
        raise Invalid(
            f"inventory_quantity is {first}; a stock below zero needs the inventory_policy `continue`."
        )
    row = ProductVariant(product_id=product_id, **values, inventory_quantity=0, created_at=clock.now())
    with unique(session, "variant", given.name or given.sku or ""):
        session.add(row)
    if first:
        inventory.adjust(session, row.id, first, reason="first stock", by=by)
    _publish_update(session, product_id, "variants")
    return row


def change_variant(
    session: Session, product_id: int, variant_id: int, given: VariantIn, *, by: int | None
) -> ProductVariant:
    """Replace a variant; a difference in stock gets a log row. Raises NotFound, Conflict."""
    row = _variant(session, product_id, variant_id)
    values = given.model_dump()
    stock = values.pop("inventory_quantity")
    old_price, old_sku = row.price, row.sku
    with unique(session, "variant", given.name or given.sku or ""):
        _set(row, values)
    if row.sku != old_sku:
        own_ids_changed(session)
    if stock is not None and stock != (row.inventory_quantity or 0):
        inventory.adjust(session, row.id, stock - (row.inventory_quantity or 0), reason="set", by=by)
    if row.price != old_price:
        of_product = get(session, product_id).price
        publish(
            session,
            PriceChanged(
                product_id=product_id,
                variant_id=row.id,
                price=of_product if row.price is None else row.price,
                former_price=of_product if old_price is None else old_price,
            ),
        )
    _publish_update(session, product_id, "variants")
    return row


def delete_variant(session: Session, product_id: int, variant_id: int) -> None:
    """Delete a variant.

    A product without variants has no stock count: it could be sold without limit.

    Raises
    ------
    NotFound
        There is no such product or variant.
    Conflict
        It is the last one.
    """
    get(session, product_id, lock=True)
    row = _variant(session, product_id, variant_id)
    others = select(ProductVariant.id).where(
        ProductVariant.product_id == product_id, ProductVariant.id != variant_id
    )
    if session.scalar(others.limit(1)) is None:
        raise Conflict("This is the product's last variant; archive the product instead.")
    session.delete(row)
    session.flush()
    own_ids_changed(session)
    _publish_update(session, product_id, "variants")


def add_image(session: Session, product_id: int, given: ImageIn) -> ProductImage:
    """Add an image; a primary image replaces the earlier primary one. Raises NotFound."""
    get(session, product_id, lock=True)
    if given.variant_id is not None:
        _variant(session, product_id, given.variant_id)
    if given.is_primary:
        session.execute(
            update(ProductImage).where(ProductImage.product_id == product_id).values(is_primary=False)
        )
    row = ProductImage(product_id=product_id, **given.model_dump(), created_at=clock.now())
    session.add(row)
    session.flush()
    _publish_update(session, product_id, "images")
    return row


def delete_image(session: Session, product_id: int, image_id: int) -> None:
    """Delete an image. Raises NotFound."""
    row = session.get(ProductImage, image_id)
    if row is None or row.product_id != product_id:
        raise NotFound(f"Product {product_id} has no image {image_id}.")
    session.delete(row)
    session.flush()
    _publish_update(session, product_id, "images")


def _variant(session: Session, product_id: int, variant_id: int) -> ProductVariant:
    row = session.scalars(
        select(ProductVariant)
        .where(ProductVariant.id == variant_id, ProductVariant.product_id == product_id)
        .with_for_update(key_share=True)
    ).one_or_none()
    if row is None:
        raise NotFound(f"Product {product_id} has no variant {variant_id}.")
    return row


def _check_places(session: Session, category_id: int | None, brand_id: int | None) -> None:
    if category_id is not None and session.get(Category, category_id, with_for_update=KEPT) is None:
        raise NotFound(f"There is no category {category_id}.")
    if brand_id is not None and session.get(Brand, brand_id, with_for_update=KEPT) is None:
        raise NotFound(f"There is no brand {brand_id}.")


def _set(row: Product | ProductVariant, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(row, name, value)
    row.updated_at = clock.now()


def _publish_update(session: Session, product_id: int, *changed: str) -> None:
    publish(session, ProductUpdated(product_id=product_id, changed=tuple(changed)))
    cache.changed(session, product_id)
