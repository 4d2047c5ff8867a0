"""Requests and responses of the analytics domain."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationInfo,
    field_validator,
)

from recsys import clock
from recsys.domains.analytics.anonymisation import LONGEST_URL, fitting
from recsys.domains.users.schemas import WantedJson
from recsys.own_ids.answers import WithSku, WithUsername
from recsys.settings import get_settings
from recsys.web.validators import Text, small_json
from recsys.write_buffer.batches import JUDGED, BatchKind, PostedIn

__all__ = [
    "ITEMS",
    "SHOP",
    "BotHitsOut",
    "ItemIn",
    "PageViewIn",
    "ProductDay",
    "SalesDay",
    "UserEventIn",
    "VisitOut",
    "item_schema",
    "read_item",
]

ITEMS = BatchKind("item", "items", 500)
SHOP = "shop"
"""The category of the shop's own events; front ends must not send it."""
_LONGEST_SENT_URL = 4000

Url = Annotated[
    Text,
    Field(
        min_length=1,
        max_length=_LONGEST_SENT_URL,
        description=f"An address of more than {LONGEST_URL} characters is cut; its campaign stays.",
    ),
    AfterValidator(fitting),
]
Word = Annotated[Text, Field(min_length=1, max_length=100)]


class _ItemIn(PostedIn):
    model_config = ConfigDict(extra="forbid")
    time_field: ClassVar[str] = "timestamp"

    event_id: Annotated[Text, Field(min_length=1, max_length=255)] = Field(
        description="The sender's own id: sent again in the same session, it is stored once."
    )
    timestamp: AwareDatetime | None = Field(
        default=None,
        description="When it happened, with time zone; default: now. A time ahead of now counts as now.",
    )

    @field_validator("timestamp")
    @classmethod
    def _happened(cls, moment: datetime | None, info: ValidationInfo) -> datetime | None:
        days = get_settings().analytics.late_days
        if moment is not None and info.context != JUDGED and moment < clock.now() - timedelta(days=days):
            raise ValueError(f"a moment of the last {days:g} days")
        return moment


class PageViewIn(_ItemIn):
    """A page that the visitor opened."""

    type: Literal["page_view"]
    page_url: Url
    page_title: Annotated[Text, Field(max_length=255)] | None = None
    referrer_url: Url | None = None


class UserEventIn(_ItemIn):
    """An event of the visitor other than a page view."""

    type: Literal["event"]
    event_type: Word = Field(examples=["video_played"])
    event_category: Word | None = Field(
        default=None, description=f"Anything but `{SHOP}`, which is for the shop's own events."
    )
    event_action: Word | None = None
    event_label: Annotated[Text, Field(min_length=1, max_length=255)] | None = None
    event_value: Annotated[Decimal, Field(max_digits=10, decimal_places=2)] | None = None
    properties: Annotated[WantedJson, AfterValidator(small_json)] = Field(
        default={}, description="Anything else worth keeping with the event: up to 4 KiB of JSON."
    )
    page_url: Url | None = None

    @field_validator("event_category")
    @classmethod
    def _is_not_the_shops(cls, category: str | None) -> str | None:
        if category == SHOP:
            raise ValueError(f"a category other than {SHOP!r}, which is for the shop's own events")
        return category


ItemIn = Annotated[PageViewIn | UserEventIn, Field(discriminator="type")]
_ITEM: TypeAdapter[PageViewIn | UserEventIn] = TypeAdapter(ItemIn)


def read_item(part: object) -> PageViewIn | UserEventIn:
    """One item of a batch. Raises pydantic's ValidationError."""
    return _ITEM.validate_python(part)


class _FromRow(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class SalesDay(_FromRow):
    """The shop's sales of one day, in its time zone and currency: paid orders that were not cancelled."""

    date: date
    total_sales: Decimal = Field(description="The amounts paid, refunds not subtracted.")
    order_count: int
    average_order_value: Decimal
    unique_customers: int
    returning_customers: int = Field(description="Those of them who had bought before that day.")
    conversion_rate: Decimal = Field(
        description="Share of the day's visits in which a paid order was placed."
    )


class ProductDay(WithSku, _FromRow):
    """One product's figures of one day."""

    product_id: int
    date: date
    views: int
    unique_views: int = Field(description="Views of different visitors.")
    add_to_carts: int
    purchases: int = Field(description="Paid orders with the product.")
    revenue: Decimal = Field(description="The price of its lines after their discounts.")
    conversion_rate: Decimal = Field(description="Purchases per unique view; at most 1, and 0 without views.")


class VisitOut(WithUsername, _FromRow):
    """One visit to the shop."""

    id: int
    session_id: str
    user_id: int | None
    start_time: datetime
    end_time: datetime
    duration_seconds: int
    page_views: int
    events: int
    bounce: bool = Field(description="One page view and no other event.")
    converted: bool
    conversion_value: Decimal
    device_type: str | None
    browser: str | None
    os: str | None
    country: str | None
    city: str | None
    referrer: str | None
    utm_source: str | None
    utm_medium: str | None
    utm_campaign: str | None


class BotHitsOut(_FromRow):
    """The number of items that one bot sent on one day."""

    date: date
    bot: str
    hits: int


def item_schema() -> dict[str, Any]:
    """The JSON schema of one item, without references to other schemas."""
    return {
        "oneOf": [
            one.model_json_schema(ref_template="#/components/schemas/{model}")
            for one in (PageViewIn, UserEventIn)
        ]
    }
