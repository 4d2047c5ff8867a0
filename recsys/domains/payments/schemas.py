"""Requests and responses of the payments domain; no field can hold the number of a card."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from recsys.domains.orders.schemas import Country
from recsys.domains.users.schemas import WantedJson
from recsys.web.validators import Id, Input, Text

__all__ = [
    "AttemptOut",
    "BillingAddress",
    "FlagOut",
    "MethodIn",
    "MethodOut",
    "PaymentIn",
    "PaymentOut",
    "RefundIn",
    "RefundOut",
    "ResolutionIn",
    "WebhookOut",
]


Token = Annotated[
    str,
    Field(min_length=4, max_length=255, pattern=r"^[A-Za-z][A-Za-z0-9_\-]+$", examples=["tok_visa"]),
]
Sum = Annotated[Decimal, Field(gt=0, max_digits=10, decimal_places=2)]


class BillingAddress(Input):
    """Where the bill goes; its country is compared with where the parcel goes."""

    name: Annotated[Text, Field(min_length=1, max_length=200)]
    address1: Annotated[Text, Field(min_length=1, max_length=255)]
    city: Annotated[Text, Field(min_length=1, max_length=100)]
    zip: Annotated[Text, Field(min_length=1, max_length=20)]
    country: Country


class MethodIn(Input):
    """A token that the gateway's own form gave for a card or an account."""

    token: Token
    billing_address: BillingAddress | None = None
    is_default: StrictBool = False
    metadata: WantedJson | None = Field(
        default=None, description="The shop's own data about the method, such as a label."
    )


class MethodOut(BaseModel):
    """A way to pay: its kind and last four digits, nothing that could be used elsewhere."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    type: str
    provider: str
    brand: str | None
    last4: str | None
    expiry_month: int | None
    expiry_year: int | None
    is_default: bool | None
    billing_address: dict[str, Any] | None
    metadata: dict[str, Any] | None = Field(default=None, validation_alias="details")


class PaymentIn(Input):
    """Pays an order, whole, with a stored method or a token."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"order_id": 42, "token": "tok_visa"}]})

    order_id: Id
    payment_method_id: Id | None = None
    token: Token | None = None
    capture: StrictBool = Field(default=True, description="False holds the money until it is captured.")

    @model_validator(mode="after")
    def _one_way(self) -> PaymentIn:
        if (self.payment_method_id is None) == (self.token is None):
            raise ValueError("either payment_method_id or token")
        return self


class AttemptOut(BaseModel):
    """One try to get a payment through its gateway."""

    model_config = ConfigDict(from_attributes=True)

    attempt_number: int
    status: str
    failure_reason: str | None
    created_at: datetime | None


class RefundOut(BaseModel):
    """Money that went back, or is on its way."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    payment_id: int | None
    amount: Decimal
    currency: str | None
    status: str | None
    reason: str | None
    created_at: datetime | None


class PaymentOut(BaseModel):
    """One payment, its tries and its refunds."""

    id: int
    order_id: int | None
    amount: Decimal
    currency: str | None
    status: str | None
    gateway: str
    failure_reason: str | None
    refunded: Decimal
    attempts: list[AttemptOut]
    refunds: list[RefundOut]
    created_at: datetime | None


class RefundIn(Input):
    """Gives money back; without an amount, all that is left of the payment."""

    amount: Sum | None = None
    reason: Annotated[Text, Field(min_length=1, max_length=500)]


class FlagOut(BaseModel):
    """Why a payment looks suspicious."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    payment_id: int | None
    risk_score: Decimal | None
    flags: dict[str, Any] | None
    is_resolved: bool | None
    resolution_notes: str | None
    created_at: datetime | None


class ResolutionIn(Input):
    """What somebody decided about a suspicious payment."""

    decision: Literal["accept", "reject"]
    notes: Annotated[Text, Field(min_length=1, max_length=1000)]


class WebhookOut(BaseModel):
    """What became of a webhook."""

    outcome: Literal["applied", "ignored", "repeated"]
