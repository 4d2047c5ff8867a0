"""Settings of how the shop sells."""

from __future__ import annotations

from decimal import Decimal

from pydantic import BaseModel, Field, model_validator

__all__ = ["DiscountSettings", "ShopSettings"]


class DiscountSettings(BaseModel, extra="forbid"):
    """What one discount code takes off the goods: a percentage or an amount, from a subtotal upwards.

    Attributes
    ----------
    percent, amount
        What is taken off; one of both.
    minimum
        Subtotal from which the code is valid.
    """

    percent: Decimal | None = Field(default=None, gt=0, le=100)
    amount: Decimal | None = Field(default=None, gt=0, decimal_places=2)
    minimum: Decimal = Field(default=Decimal(0), ge=0, decimal_places=2)

    @model_validator(mode="after")
    def _one_of_both(self) -> DiscountSettings:
        if (self.percent is None) == (self.amount is None):
            raise ValueError("a discount is either a percent or an amount")
        return self


class ShopSettings(BaseModel, extra="forbid"):
    """How the shop sells: its currency, tax, parcels, discounts and carts.

    Attributes
    ----------
    front
        The demo shop front is served at /shop. A visitor of it chooses whose lists and whose cart to see, so
        it is never for customers; unset: in development only, on the machine itself.
    currency
        Of all prices, as an ISO 4217 code.
    product_url
        Address of a product's page, with {slug}, {sku} or {id}; unset: no `url`.
    shipping_flat, shipping_per_kg
        Price of a parcel: a fixed part, and a part per kilogram.
    discounts
        Per code a percent or an amount, such as {"SPRING": {"percent": 10, "minimum": 50}}.
    cart_days, guest_cart_days
        Carts of users and of guests expire so long after their last change.
    max_cart_lines
        Different products in one cart at most.
    tax_rate
        Share of the goods' price after discount, such as 0.0825.
    free_shipping_from
        Goods after discount from which parcels are free; unset for never.
    abandoned_after_hours
        A cart that did not change for so long counts as left.
    reservation_minutes
        An order that was not paid for so long is cancelled and its stock released.
    expire_every_seconds
        The relay (or `recsys serve api`) looks for such orders at this interval; 0 leaves it to `recsys
        orders expire`.
    """

    front: bool | None = None
    currency: str = Field(default="USD", pattern="^[A-Z]{3}$")
    product_url: str | None = Field(default=None, pattern=r"^(https?://|/)\S*\{(slug|sku|id)\}\S*$")
    tax_rate: Decimal = Field(default=Decimal(0), ge=0, lt=1)
    shipping_flat: Decimal = Field(default=Decimal(0), ge=0, decimal_places=2)
    shipping_per_kg: Decimal = Field(default=Decimal(0), ge=0, decimal_places=2)
    free_shipping_from: Decimal | None = Field(default=None, ge=0, decimal_places=2)
    discounts: dict[str, DiscountSettings] = {}
    cart_days: float = Field(default=30.0, gt=0)
    guest_cart_days: float = Field(default=7.0, gt=0)
    max_cart_lines: int = Field(default=100, ge=1, le=1000)
    abandoned_after_hours: float = Field(default=24.0, gt=0)
    reservation_minutes: float = Field(default=30.0, gt=0)
    expire_every_seconds: float = Field(default=60.0, ge=0)
