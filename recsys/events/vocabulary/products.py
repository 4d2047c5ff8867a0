"""What happens to the catalogue, its stock and its reviews (stream `product_events`)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from recsys.events.vocabulary.base import (
    Amount,
    BrandId,
    CategoryId,
    Event,
    MaybeSessionId,
    MaybeUserId,
    MaybeVariantId,
    Moment,
    ProductId,
    ReviewId,
    UserId,
)

__all__ = [
    "BrandChanged",
    "CategoryChanged",
    "InventoryChanged",
    "PriceChanged",
    "ProductCreated",
    "ProductDeleted",
    "ProductLiked",
    "ProductUpdated",
    "ProductViewed",
    "ReviewApproved",
    "ReviewPosted",
]

Rating = Annotated[int, Field(ge=1, le=5, description="From 1 to 5.")]


class _ProductEvent(Event):
    family: ClassVar[str] = "product"
    ordered_by: ClassVar[str] = "product_id"

    product_id: ProductId


class ProductCreated(_ProductEvent):
    """A product came into the catalogue."""

    name: ClassVar[str] = "product.created"


class ProductUpdated(_ProductEvent):
    """Something about a product, its variants or images changed."""

    name: ClassVar[str] = "product.updated"

    changed: Annotated[tuple[str, ...], Field(description="The names of the changed fields.")] = ()


class ProductDeleted(_ProductEvent):
    """A product left the catalogue."""

    name: ClassVar[str] = "product.deleted"


class PriceChanged(_ProductEvent):
    """A product costs something else."""

    name: ClassVar[str] = "product.price_changed"

    price: Amount
    former_price: Annotated[
        Amount | None, Field(description="What it cost before; null in events of earlier versions.")
    ] = None
    variant_id: MaybeVariantId = None


class InventoryChanged(_ProductEvent):
    """Pieces came or went."""

    name: ClassVar[str] = "product.inventory_changed"

    variant_id: MaybeVariantId = None
    quantity: Annotated[int, Field(description="How many pieces there are now.")]
    change: Annotated[int, Field(description="How many came (positive) or went (negative).")]
    reason: Annotated[str, Field(description="Why, as in `inventory_logs`.")]


class ProductViewed(_ProductEvent):
    """Somebody looked at a product."""

    name: ClassVar[str] = "product.viewed"

    user_id: MaybeUserId = None
    session_id: MaybeSessionId = None
    occurred: Moment


class ProductLiked(_ProductEvent):
    """A user likes a product."""

    name: ClassVar[str] = "product.liked"

    user_id: UserId


class ReviewPosted(_ProductEvent):
    """A user reviewed a product."""

    name: ClassVar[str] = "product.review_posted"

    review_id: ReviewId
    user_id: MaybeUserId = None
    rating: Rating


class ReviewApproved(_ProductEvent):
    """A review may be shown."""

    name: ClassVar[str] = "product.review_approved"

    review_id: ReviewId
    user_id: MaybeUserId = None
    rating: Annotated[int | None, Field(description="From 1 to 5.")] = None


class CategoryChanged(Event):
    """A category was made, changed, moved or deleted."""

    name: ClassVar[str] = "product.category_changed"
    family: ClassVar[str] = "product"

    category_id: CategoryId

    @property
    def aggregate(self) -> str:
        """The key of the row that the event is about."""
        return f"category:{self.category_id}"


class BrandChanged(Event):
    """A brand was made, changed or deleted."""

    name: ClassVar[str] = "product.brand_changed"
    family: ClassVar[str] = "product"

    brand_id: BrandId

    @property
    def aggregate(self) -> str:
        """The key of the row that the event is about."""
        return f"brand:{self.brand_id}"
