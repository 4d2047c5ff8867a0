"""How an order goes, from its checkout to its end (stream `order_events`)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from recsys.events.vocabulary.base import (
    Amount,
    Event,
    MaybeSessionId,
    MaybeUserId,
    MaybeVariantId,
    OrderId,
    ProductId,
    Quantity,
)

__all__ = [
    "OrderCancelled",
    "OrderDelivered",
    "OrderExpired",
    "OrderLine",
    "OrderPaid",
    "OrderPlaced",
    "OrderRefunded",
    "OrderReturned",
    "OrderShipped",
    "OrderStatusChanged",
]


class OrderLine(BaseModel):
    """One line of an order."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    line_id: Annotated[int | None, Field(description="The row in `order_items`.")] = None
    product_id: ProductId
    variant_id: MaybeVariantId = None
    quantity: Quantity
    unit_price: Amount


Lines = Annotated[tuple[OrderLine, ...], Field(description="What was ordered.")]


class _OrderEvent(Event):
    family: ClassVar[str] = "order"
    ordered_by: ClassVar[str] = "order_id"

    order_id: OrderId
    user_id: MaybeUserId = None


class OrderPlaced(_OrderEvent):
    """A checkout went through; the stock is reserved, the money is still to come."""

    name: ClassVar[str] = "order.placed"

    session_id: MaybeSessionId = None
    lines: Lines


class OrderStatusChanged(_OrderEvent):
    """The order took a step."""

    name: ClassVar[str] = "order.status_changed"

    old: Annotated[str | None, Field(description="The status before.")] = None
    new: Annotated[str, Field(description="The status now.")]


class OrderPaid(_OrderEvent):
    """The money for the order is captured: this is a purchase."""

    name: ClassVar[str] = "order.paid"

    session_id: MaybeSessionId = None
    lines: Lines


class OrderCancelled(_OrderEvent):
    """The order was called off and its stock released."""

    name: ClassVar[str] = "order.cancelled"

    reason: Annotated[str | None, Field(description="Why.")] = None


class OrderExpired(_OrderEvent):
    """Nobody paid the order in time: it was cancelled, and its stock is for others again."""

    name: ClassVar[str] = "order.expired"


class OrderShipped(_OrderEvent):
    """A parcel of the order left."""

    name: ClassVar[str] = "order.shipped"

    tracking_number: Annotated[str | None, Field(description="The carrier's number.")] = None
    carrier: Annotated[str | None, Field(description="Who carries it.")] = None


class OrderDelivered(_OrderEvent):
    """The order arrived."""

    name: ClassVar[str] = "order.delivered"

    product_ids: Annotated[tuple[int, ...], Field(description="The products that arrived.")] = ()


class OrderReturned(_OrderEvent):
    """The goods of the order came back."""

    name: ClassVar[str] = "order.returned"

    restocked: Annotated[bool, Field(description="Whether they went into the stock again.")] = True


class OrderRefunded(_OrderEvent):
    """Money of the order was refunded."""

    name: ClassVar[str] = "order.refunded"

    whole: Annotated[bool, Field(description="All of it, not a part.")] = True
