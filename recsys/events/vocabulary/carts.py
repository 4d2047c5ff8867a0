"""What happens in carts, which live in Redis (stream `cart_events`)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from recsys.events.vocabulary.base import (
    CartId,
    Event,
    MaybeSessionId,
    MaybeUserId,
    MaybeVariantId,
    ProductId,
    Quantity,
)

__all__ = [
    "CartAbandoned",
    "CartCleared",
    "CartItemAdded",
    "CartItemRemoved",
    "CartMerged",
    "CartRecovered",
]


class _CartEvent(Event):
    family: ClassVar[str] = "cart"

    user_id: MaybeUserId = None
    session_id: MaybeSessionId = None

    @property
    def aggregate(self) -> str:
        owner = f"session:{self.session_id}" if self.user_id is None else f"user:{self.user_id}"
        return f"cart:{owner}"


class CartItemAdded(_CartEvent):
    """Pieces of a product came into a cart."""

    name: ClassVar[str] = "cart.item_added"

    product_id: ProductId
    variant_id: MaybeVariantId = None
    quantity: Quantity = 1


class CartItemRemoved(_CartEvent):
    """Pieces of a product left a cart."""

    name: ClassVar[str] = "cart.item_removed"

    product_id: ProductId
    variant_id: MaybeVariantId = None
    quantity: Quantity = 1


class CartCleared(_CartEvent):
    """A cart was emptied."""

    name: ClassVar[str] = "cart.cleared"


class CartMerged(_CartEvent):
    """A guest's cart (`session_id`) became part of a user's (`user_id`)."""

    name: ClassVar[str] = "cart.merged"


class CartAbandoned(_CartEvent):
    """A cart was filled and left."""

    name: ClassVar[str] = "cart.abandoned"

    cart_id: CartId


class CartRecovered(_CartEvent):
    """A cart that had been left was ordered after all."""

    name: ClassVar[str] = "cart.recovered"

    cart_id: CartId
    order_id: Annotated[int | None, Field(description="The order it became.")] = None

    @property
    def aggregate(self) -> str:
        """The key of the row that the event is about."""
        return f"abandoned_cart:{self.cart_id}"
