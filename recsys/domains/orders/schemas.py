"""What the orders domain takes in and answers over HTTP."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    EmailStr,
    Field,
    StrictBool,
    model_validator,
)

from recsys.own_ids.references import ProductRef, VariantRef
from recsys.web.validators import Id, Input, Text

__all__ = [
    "AddressIn",
    "AddressOut",
    "CancelIn",
    "CartItemIn",
    "CartLineOut",
    "CartOut",
    "CheckoutIn",
    "Country",
    "LiveEntries",
    "LiveEntry",
    "LookupIn",
    "OrderChange",
    "OrderItemOut",
    "OrderOut",
    "OrderSummary",
    "ParcelIn",
    "ParcelOut",
    "ParcelUpdate",
    "QuoteOut",
    "ReturnIn",
    "StaffOrderOut",
    "StatusChange",
    "StatusIn",
]


def _country(text: str) -> str:
    if not (len(text) == 2 and text.isascii() and text.isalpha()):
        raise ValueError("two letters as in ISO 3166-1, such as DE or US")
    return text.upper()


def _written(moment: object) -> object:
    # pydantic reads a bare number as seconds since 1970, which the schema does not offer
    if isinstance(moment, int | float) or (isinstance(moment, str) and "-" not in moment[4:5]):
        raise ValueError("a moment with its offset, such as 2026-03-01T12:00:00+01:00")
    return moment


Short = Annotated[Text, Field(min_length=1, max_length=100)]
Long = Annotated[Text, Field(min_length=1, max_length=255)]
Note = Annotated[Text, Field(max_length=2000)]
Moment = Annotated[AwareDatetime, BeforeValidator(_written)]
# one message for whatever is wrong, also for a name that is too long to be a code
Country = Annotated[
    str,
    AfterValidator(_country),
    Field(json_schema_extra={"minLength": 2, "maxLength": 2, "pattern": "^[A-Za-z]{2}$"}),
]


class CartItemIn(Input):
    """So many pieces of a product, or of one of its variants."""

    product_id: ProductRef
    variant_id: VariantRef | None = Field(
        default=None, description="Optional where the product has at most one variant."
    )
    quantity: Annotated[int, Field(strict=True, ge=1, le=999)] = 1


class CartLineOut(BaseModel):
    """One line of a cart, at today's price."""

    product_id: int
    variant_id: int | None
    name: str
    sku: str | None
    quantity: int
    unit_price: Decimal
    price: Decimal


class CartOut(BaseModel):
    """A cart; what can no longer be bought is named and left out of the sum."""

    lines: list[CartLineOut]
    subtotal: Decimal
    currency: str
    unavailable: list[int] = Field(description="Ids of removed products that are no longer sold.")


class QuoteOut(BaseModel):
    """What the cart would cost now: `total = subtotal - discount + tax + shipping`."""

    subtotal: Decimal
    discount: Decimal
    tax: Decimal
    shipping: Decimal
    total: Decimal
    currency: str


class AddressIn(Input):
    """Where a parcel goes."""

    first_name: Short
    last_name: Short
    company: Short | None = None
    address1: Long
    address2: Long | None = None
    city: Short
    province: Short | None = None
    country: Country
    zip: Annotated[Text, Field(min_length=1, max_length=20)]
    phone: Annotated[Text, Field(min_length=3, max_length=20)] | None = None
    is_default: StrictBool = False


class AddressOut(BaseModel):
    """A saved address of a user, or the address of an order."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    first_name: str
    last_name: str
    company: str | None
    address1: str
    address2: str | None
    city: str
    province: str | None
    country: str
    zip: str
    phone: str | None
    is_default: bool | None


class CheckoutIn(Input):
    """Orders what is in the caller's cart."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "shipping_address": {
                        "first_name": "Ada",
                        "last_name": "Lovelace",
                        "address1": "12 St James's Square",
                        "city": "London",
                        "country": "GB",
                        "zip": "SW1Y 4JH",
                    },
                    "discount_code": "WELCOME",
                }
            ]
        },
    )

    email: Annotated[EmailStr, Field(max_length=255)] | None = Field(
        default=None, description="Needed from guests; a user's own address is the default."
    )
    shipping_address: AddressIn | None = None
    shipping_address_id: Id | None = Field(default=None, description="A saved address of the user.")
    discount_code: Annotated[Text, Field(min_length=1, max_length=50)] | None = None
    notes: Note | None = None

    @model_validator(mode="after")
    def _one_address(self) -> CheckoutIn:
        if self.shipping_address is not None and self.shipping_address_id is not None:
            raise ValueError("either shipping_address or shipping_address_id, not both")
        return self


class LookupIn(Input):
    """How a guest finds an order again."""

    order_number: Annotated[Text, Field(min_length=1, max_length=50)]
    email: Annotated[EmailStr, Field(max_length=255)]


class OrderItemOut(BaseModel):
    """One line of an order, with the name and price of that day."""

    model_config = ConfigDict(from_attributes=True)

    product_id: int | None
    variant_id: int | None
    sku: str | None
    name: str
    title: str | None
    quantity: int
    price: Decimal = Field(description="Price of one piece.")
    total_discount: Decimal | None


class StatusChange(BaseModel):
    """One change of the order's status."""

    model_config = ConfigDict(from_attributes=True)

    status: str
    notes: str | None
    notify_customer: bool | None
    created_at: datetime | None


class ParcelOut(BaseModel):
    """Where a parcel is, as its carrier says."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    tracking_number: str | None
    tracking_url: str | None
    carrier: str | None
    current_location: str | None
    estimated_delivery: datetime | None
    delivered_at: datetime | None


class OrderSummary(BaseModel):
    """An order without its lines."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    order_number: str
    status: str | None
    financial_status: str | None
    fulfillment_status: str | None
    currency: str | None
    subtotal_price: Decimal
    total_discount: Decimal | None
    total_tax: Decimal | None
    total_shipping: Decimal | None
    total_price: Decimal
    created_at: datetime | None


class OrderOut(OrderSummary):
    """An order, whole."""

    email: str | None
    notes: str | None
    cancelled_at: datetime | None
    cancel_reason: str | None
    items: list[OrderItemOut]
    shipping_address: AddressOut | None
    history: list[StatusChange]
    parcels: list[ParcelOut]


class LiveEntry(BaseModel):
    """One entry of a stream of live data."""

    id: str
    fields: dict[str, str]


class LiveEntries(BaseModel):
    """Entries in their order; `after` asks for those that follow."""

    items: list[LiveEntry]
    after: str


class StaffOrderOut(OrderOut):
    """A whole order as administrators see it."""

    internal_notes: str | None


class OrderChange(Input):
    """What administrators may change of an order at any time."""

    internal_notes: Note | None = Field(description="Notes that no customer sees; null removes them.")


class ReturnIn(Input):
    """Goods that came back from the customer."""

    reason: Annotated[Text, Field(min_length=1, max_length=500)]
    restock: StrictBool = Field(default=True, description="Whether the goods can be sold again.")


class CancelIn(Input):
    """Why the order is no longer wanted."""

    reason: Annotated[Text, Field(min_length=1, max_length=500)]


class StatusIn(Input):
    """A step of the order that the shop takes by hand."""

    status: Literal["processing", "delivered", "completed"]
    notes: Note | None = None
    notify_customer: StrictBool = True


class ParcelIn(Input):
    """A parcel that leaves the house."""

    carrier: Short
    tracking_number: Short
    tracking_url: Annotated[Text, Field(max_length=500, pattern=r"^https?://")] | None = None
    estimated_delivery: Moment | None = None


class ParcelUpdate(Input):
    """News of a parcel."""

    current_location: Note | None = None
    estimated_delivery: Moment | None = None
    delivered: StrictBool = False
