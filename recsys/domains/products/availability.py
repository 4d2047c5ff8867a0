"""What is for sale, at which price: what carts and orders ask of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from recsys.domains.products.tables import Product, ProductVariant

__all__ = ["Offer", "offers", "variants_of"]


@dataclass(frozen=True)
class Offer:
    """One thing that is sold; `unit_price` is for one piece, `weight` in kilograms."""

    product_id: int
    variant_id: int | None
    sku: str | None
    name: str
    title: str | None
    unit_price: Decimal
    weight: Decimal
    taxable: bool
    requires_shipping: bool


def variants_of(session: Session, product_id: int) -> list[int]:
    """The ids of a product's variants, in their order; empty for a product without any, or none."""
    return list(
        session.scalars(
            select(ProductVariant.id)
            .where(ProductVariant.product_id == product_id)
            .order_by(ProductVariant.position, ProductVariant.id)
        )
    )


def offers(session: Session, wanted: Sequence[tuple[int, int | None]]) -> dict[tuple[int, int | None], Offer]:
    """What of `wanted` (product, variant) is sold now; two statements whatever the number.

    Sold is an active product; a product with variants is sold by variant only, and a variant without a
    price of its own costs what the product costs.
    """
    ids = sorted({product_id for product_id, _ in wanted})
    if not ids:
        return {}
    products = {
        product.id: product
        for product in session.scalars(select(Product).where(Product.id.in_(ids), Product.status == "active"))
    }
    variants = {
        variant.id: variant
        for variant in session.scalars(select(ProductVariant).where(ProductVariant.product_id.in_(ids)))
    }
    with_variants = {variant.product_id for variant in variants.values()}
    found = {}
    for product_id, variant_id in wanted:
        product = products.get(product_id)
        variant = None if variant_id is None else variants.get(variant_id)
        if product is None or (variant_id is None and product_id in with_variants):
            continue
        if variant_id is not None and (variant is None or variant.product_id != product_id):
            continue
        found[product_id, variant_id] = _offer(product, variant)
    return found


def _offer(product: Product, variant: ProductVariant | None) -> Offer:
    if variant is None:
        return Offer(
            product.id,
            None,
            product.sku,
            product.name,
            None,
            product.price,
            product.weight or Decimal(0),
            taxable=True,
            requires_shipping=True,
        )
    return Offer(
        product.id,
        variant.id,
        variant.sku or product.sku,
        product.name,
        variant.name,
        product.price if variant.price is None else variant.price,
        variant.weight or product.weight or Decimal(0),
        taxable=variant.taxable is not False,
        requires_shipping=variant.requires_shipping is not False,
    )
