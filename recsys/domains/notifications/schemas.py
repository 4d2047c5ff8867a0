"""Requests and responses of the notification routes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, EmailStr, Field, StrictBool

from recsys.own_ids.references import UserRef
from recsys.web.validators import Input, Text

__all__ = [
    "ChannelsIn",
    "ChannelsOut",
    "Count",
    "EmailLogOut",
    "NotificationOut",
    "NotifyIn",
    "NotifyOut",
    "SmsLogOut",
    "SmsReceiptIn",
    "TemplateIn",
    "TemplateNew",
    "TemplateOut",
    "TemplatePreviewIn",
    "TemplatePreviewOut",
]


Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[a-z][a-z0-9_\-]*$")]
Kind = Annotated[
    str, Field(min_length=1, max_length=50, pattern=r"^[a-z][a-z0-9_]*$", examples=["order_update"])
]
Channel = Literal["in_app", "email", "sms", "push"]
Copies = Annotated[list[Annotated[EmailStr, Field(max_length=255)]], Field(max_length=20)]
Value = str | int | float | bool | list[Text]


class NotificationOut(BaseModel):
    """One message to the caller."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    type: str
    title: str
    message: str
    data: dict[str, Any] | None
    is_read: bool | None
    created_at: datetime | None


class Count(BaseModel):
    """A number of notifications."""

    count: int


class ChannelsIn(Input):
    """The channels by which the caller wants notifications; `kinds` switches off single kinds."""

    email: StrictBool = True
    sms: StrictBool = False
    push: StrictBool = True
    in_app: StrictBool = True
    kinds: Annotated[dict[Kind, dict[Channel, StrictBool]], Field(max_length=50)] = Field(
        default={}, examples=[{"promotion": {"email": False}}]
    )


class ChannelsOut(ChannelsIn):
    """The current choice of channels."""


class TemplateIn(Input):
    """The parts of a template (Jinja, in a sandbox); every variable is declared with its type."""

    subject: Annotated[Text, Field(max_length=255)] | None = None
    body_html: Annotated[Text, Field(max_length=100_000)] | None = None
    body_text: Annotated[Text, Field(max_length=100_000)] | None = None
    variables: Annotated[
        dict[
            Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")],
            Literal["text", "integer", "number", "boolean", "list"],
        ],
        Field(max_length=100),
    ] = Field(default={}, examples=[{"name": "text"}])
    is_active: StrictBool = True


class TemplateNew(TemplateIn):
    """A template of the shop's own."""

    name: Name
    type: Kind = "promotion"


class TemplateOut(BaseModel):
    """A template as it is stored."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    type: str
    subject: str | None
    body_html: str | None
    body_text: str | None
    variables: dict[str, Any] | None
    is_active: bool | None


class TemplatePreviewIn(Input):
    """Values to try a template with."""

    values: Annotated[dict[str, Value], Field(max_length=100)] = Field(default={})


class TemplatePreviewOut(BaseModel):
    """The message as it would be sent."""

    subject: str
    html: str | None
    text: str


class NotifyIn(Input):
    """A message to one user, made from a template."""

    user_id: UserRef
    template: Name
    values: Annotated[dict[str, Value], Field(max_length=100)] = Field(default={})
    kind: Kind = "promotion"
    channels: Annotated[list[Literal["in_app", "email", "sms"]], Field(min_length=1, max_length=3)] = Field(
        default=["in_app", "email"]
    )
    cc: Copies = Field(default=[], description="Copies of the e-mail.")
    bcc: Copies = Field(default=[], description="Blind copies.")


class NotifyOut(BaseModel):
    """The messages of one call of `notify`."""

    messages: dict[str, int] = Field(
        description="Channel to the id of the notification or of its log row. Channels that the user "
        "switched off are absent."
    )


class EmailLogOut(BaseModel):
    """One e-mail and its delivery status."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    to_email: str
    cc_email: list[str] | None
    bcc_email: list[str] | None
    subject: str
    status: str
    error_message: str | None
    sent_at: datetime | None
    created_at: datetime | None


class SmsReceiptIn(Input):
    """The delivery report of a provider of text messages."""

    delivered: StrictBool = Field(description="False when the message cannot be delivered.")
    error_message: Annotated[Text, Field(max_length=500)] | None = None


class SmsLogOut(BaseModel):
    """One text message and its delivery status."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    phone_number: str
    message: str
    status: str
    error_message: str | None
    sent_at: datetime | None
    delivered_at: datetime | None
    created_at: datetime | None
