"""A cart seen with today's prices: what it holds, what it would cost, what is no longer sold."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from recsys.domains.orders.carts import store as carts
from recsys.domains.orders.carts.store import CartLine, Owner
from recsys.domains.orders.pricing import Discount, PricedLine, Quote, Rules, quote
from recsys.domains.orders.schemas import CartItemIn, CartLineOut, CartOut, QuoteOut
from recsys.domains.products import availability
from recsys.errors import Conflict, Invalid, NotFound
from recsys.money import total
from recsys.settings import get_settings

__all__ = ["priced_lines", "quoted", "seen", "sold", "would_cost"]


def sold(session: Session, item: CartItemIn) -> CartLine:
    """The line that an item means; a product's only variant need not be named.

    Raises
    ------
    NotFound
        The product is not sold.
    Invalid
        A variant has to be chosen.
    """
    if item.variant_id is None:
        variants = availability.variants_of(session, item.product_id)
        if len(variants) > 1:
            raise Invalid(
                f"Product {item.product_id} comes in {len(variants)} variants; send its variant_id."
            )
        variant_id = variants[0] if variants else None
    else:
        variant_id = item.variant_id
    line = CartLine(item.product_id, variant_id, item.quantity)
    if not priced_lines(session, [line], strict=False):
        raise NotFound(
            f"Product {item.product_id} is not sold here{'' if variant_id is None else ' in this variant'}."
        )
    return line


def seen(session: Session, owner: Owner) -> CartOut:
    """The cart at today's prices; what is no longer sold is taken out and named."""
    cart = carts.read(owner)
    lines = priced_lines(session, cart.lines, strict=False)
    there = {(line.product_id, line.variant_id) for line in lines}
    gone = [line for line in cart.lines if (line.product_id, line.variant_id) not in there]
    for line in gone:
        carts.put(owner, CartLine(line.product_id, line.variant_id, 0))
    return CartOut(
        lines=[
            CartLineOut(
                product_id=line.product_id,
                variant_id=line.variant_id,
                name=line.name,
                sku=line.sku,
                quantity=line.quantity,
                unit_price=line.unit_price,
                price=line.gross,
            )
            for line in lines
        ],
        subtotal=total(line.gross for line in lines),
        currency=get_settings().shop.currency,
        unavailable=sorted({line.product_id for line in gone}),
    )


def would_cost(session: Session, owner: Owner, discount_code: str | None) -> QuoteOut:
    """What the cart would cost if it were ordered now."""
    priced = quoted(priced_lines(session, carts.read(owner).lines, strict=True), discount_code)
    return QuoteOut(
        subtotal=priced.subtotal,
        discount=priced.discount,
        tax=priced.tax,
        shipping=priced.shipping,
        total=priced.total,
        currency=get_settings().shop.currency,
    )


def priced_lines(session: Session, lines: Sequence[CartLine], *, strict: bool) -> list[PricedLine]:
    """The lines at today's prices, in the order given.

    Parameters
    ----------
    lines
        What is in the cart.
    strict
        Whether what is not sold (no such product or variant, not active) is an error; otherwise it is left
        out.

    Raises
    ------
    Conflict
        With `strict`, a product is not sold; it names the product.
    """
    offers = availability.offers(session, [(line.product_id, line.variant_id) for line in lines])
    priced = []
    for line in lines:
        offer = offers.get((line.product_id, line.variant_id))
        if offer is not None:
            priced.append(
                PricedLine(
                    product_id=line.product_id,
                    variant_id=line.variant_id,
                    sku=offer.sku,
                    name=offer.name,
                    title=offer.title,
                    unit_price=offer.unit_price,
                    quantity=line.quantity,
                    weight=offer.weight,
                    taxable=offer.taxable,
                    requires_shipping=offer.requires_shipping,
                )
            )
        elif strict:
            raise Conflict(f"Product {line.product_id} is no longer sold; take it out of the cart.")
    return priced


def quoted(lines: Sequence[PricedLine], discount_code: str | None) -> Quote:
    """What the lines cost by the shop's rules. Raises Invalid for a discount code that nobody knows."""
    shop = get_settings().shop
    rules = Rules(shop.tax_rate, shop.shipping_flat, shop.shipping_per_kg, shop.free_shipping_from)
    discount = None
    if discount_code is not None:
        known = shop.discounts.get(discount_code)
        if known is None:
            raise Invalid("There is no such discount code.")
        discount = Discount(discount_code, known.percent, known.amount, known.minimum)
    return quote(lines, rules, discount)
