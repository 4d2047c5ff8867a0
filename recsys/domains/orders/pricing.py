"""What an order costs: pure functions of lines and rules, on Decimal only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from recsys.errors import Invalid
from recsys.money import LARGEST, ZERO, cents, divide, total

__all__ = ["Discount", "PricedLine", "Quote", "QuotedLine", "Rules", "quote"]


@dataclass(frozen=True)
class PricedLine:
    """So many pieces of one thing at today's price; `weight` is of one piece, in kilograms."""

    product_id: int
    variant_id: int | None
    sku: str | None
    name: str
    title: str | None
    unit_price: Decimal
    quantity: int
    weight: Decimal = Decimal(0)
    taxable: bool = True
    requires_shipping: bool = True

    @property
    def gross(self) -> Decimal:
        """Before any discount."""
        return cents(self.unit_price * self.quantity)


@dataclass(frozen=True)
class Discount:
    """A percentage (0 to 100) or a fixed amount off the goods, from a subtotal of `minimum` upwards."""

    code: str
    percent: Decimal | None = None
    amount: Decimal | None = None
    minimum: Decimal = ZERO


@dataclass(frozen=True)
class Rules:
    """How the shop taxes and ships.

    Attributes
    ----------
    tax_rate
        Share of the goods' price after discount, such as 0.0825; shipping is not taxed.
    shipping_flat, shipping_per_kg
        What a parcel costs; begun kilograms count whole.
    free_shipping_from
        Goods after discount from which shipping is free; None for never.
    """

    tax_rate: Decimal = Decimal(0)
    shipping_flat: Decimal = ZERO
    shipping_per_kg: Decimal = ZERO
    free_shipping_from: Decimal | None = None


@dataclass(frozen=True)
class QuotedLine:
    """One line with its part of the discount."""

    line: PricedLine
    discount: Decimal

    @property
    def net(self) -> Decimal:
        """What the line costs after its part of the discount, before tax."""
        return self.line.gross - self.discount


@dataclass(frozen=True)
class Quote:
    """The sums of an order: `total = subtotal - discount + tax + shipping`, each in cents."""

    lines: tuple[QuotedLine, ...]
    subtotal: Decimal
    discount: Decimal
    tax: Decimal
    shipping: Decimal
    total: Decimal


def quote(lines: Sequence[PricedLine], rules: Rules, discount: Discount | None = None) -> Quote:
    """Price an order.

    The discount never exceeds the goods, and its parts on the lines add up to it to the cent. Tax is
    rounded once, on the sum of the taxable lines after discount: rounding it line by line would make
    the total depend on how pieces are grouped into lines.

    Raises
    ------
    Invalid
        There is no line, the discount's minimum isn't reached, or a sum is larger than an order can hold.
    """
    if not lines:
        raise Invalid("The cart is empty; put something in before ordering.")
    gross = [line.gross for line in lines]
    subtotal = total(gross)
    off = ZERO if discount is None else _off(subtotal, discount)
    quoted = tuple(QuotedLine(line, part) for line, part in zip(lines, divide(off, gross), strict=True))
    tax = cents(total(one.net for one in quoted if one.line.taxable) * rules.tax_rate)
    shipping = _shipping(quoted, subtotal - off, rules)
    whole = total((subtotal, -off, tax, shipping))
    if max(subtotal, whole) > LARGEST:
        raise Invalid(f"The order comes to {whole}; the most that one order can hold is {LARGEST}.")
    return Quote(quoted, subtotal, off, tax, shipping, whole)


def _off(subtotal: Decimal, discount: Discount) -> Decimal:
    if subtotal < discount.minimum:
        raise Invalid(
            f"The discount {discount.code} needs goods for {cents(discount.minimum)}; "
            f"the cart holds goods for {subtotal}."
        )
    off = discount.amount or ZERO
    if discount.percent is not None:
        off += subtotal * discount.percent / 100
    return min(cents(off), subtotal)


def _shipping(lines: Sequence[QuotedLine], goods: Decimal, rules: Rules) -> Decimal:
    shipped = [one.line for one in lines if one.line.requires_shipping]
    if not shipped or (rules.free_shipping_from is not None and goods >= rules.free_shipping_from):
        return ZERO
    kilograms = sum((line.weight * line.quantity for line in shipped), Decimal(0))
    return cents(rules.shipping_flat + rules.shipping_per_kg * kilograms.to_integral_value(ROUND_CEILING))
