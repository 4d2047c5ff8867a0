"""Requests and responses of the products domain."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from recsys.domains.products.embeddings import MOST_NUMBERS
from recsys.own_ids.answers import WithSku, WithUsername, WithVariantSku
from recsys.own_ids.references import BrandRef, CategoryRef, VariantRef
from recsys.web.validators import Id, Input, Text

__all__ = [
    "AdjustIn",
    "BrandIn",
    "BrandOut",
    "CategoryIn",
    "CategoryOut",
    "ChosenProduct",
    "Dimensions",
    "ImageIn",
    "ImageOut",
    "LogOut",
    "ProductBatchIn",
    "ProductBatchOut",
    "ProductChange",
    "ProductIn",
    "ProductListItem",
    "ProductOut",
    "ReviewIn",
    "ReviewOut",
    "StockOut",
    "TrendingOut",
    "VariantIn",
    "VariantOut",
    "ViewOut",
]


Name = Annotated[Text, Field(min_length=1, max_length=255)]
Label = Annotated[Text, Field(min_length=1, max_length=100)]
Slug = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Long = Annotated[Text, Field(max_length=20_000)]
Url = Annotated[Text, Field(max_length=500, pattern=r"^(https?://|/)\S+$")]
Price = Annotated[Decimal, Field(ge=0, max_digits=10, decimal_places=2)]
Weight = Annotated[Decimal, Field(ge=0, max_digits=8, decimal_places=2, description="In kilograms.")]
Embedding = Annotated[
    list[Annotated[float, Field(allow_inf_nan=False)]],
    Field(
        min_length=1,
        max_length=MOST_NUMBERS,
        description="The shop's own vector of the product, such as that of its text or picture; as long as "
        "those of all other products.",
    ),
]
Size = Annotated[float, Field(gt=0, le=100_000)]
Status = Literal["active", "draft", "archived"]


class _ProductOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class CategoryIn(Input):
    """One node of the category tree."""

    name: Label
    slug: Slug | None = Field(default=None, description="Default: made from the name.")
    parent_id: CategoryRef | None = None
    description: Long | None = None
    image_url: Url | None = None
    is_active: StrictBool = True
    sort_order: Annotated[int, Field(strict=True, ge=-(2**31), le=2**31 - 1)] = 0


class CategoryOut(_ProductOut):
    """One node of the category tree, with what is under it."""

    id: int
    name: str
    slug: str
    parent_id: int | None
    description: str | None
    image_url: str | None
    is_active: bool | None
    children: list[CategoryOut] = []


class BrandIn(Input):
    """One maker or label."""

    name: Label
    slug: Slug | None = Field(default=None, description="Default: made from the name.")
    logo_url: Url | None = None
    description: Long | None = None
    website_url: Url | None = None
    is_active: StrictBool = True


class BrandOut(_ProductOut):
    """One maker or label."""

    id: int
    name: str
    slug: str
    logo_url: str | None
    description: str | None
    website_url: str | None
    is_active: bool | None


class Dimensions(Input):
    """The size of a parcel with the product; other units than centimetres name themselves."""

    length: Size
    width: Size
    height: Size
    unit: Literal["mm", "cm", "m", "in", "ft"] = "cm"


class ProductIn(Input):
    """A new product."""

    name: Name
    slug: Annotated[str, Field(max_length=255, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")] | None = Field(
        default=None, description="Default: made from the name."
    )
    description: Long | None = None
    short_description: Long | None = None
    sku: Label | None = None
    price: Price
    compare_price: Price | None = None
    cost_price: Price | None = None
    track_inventory: StrictBool = True
    weight: Weight | None = None
    dimensions: Dimensions | None = None
    seo_title: Name | None = None
    seo_description: Long | None = None
    category_id: CategoryRef | None = None
    brand_id: BrandRef | None = None
    tags: Annotated[list[Label], Field(max_length=100)] = Field(default=[])
    status: Status = "active"
    is_featured: StrictBool = False
    embedding: Embedding | None = None


class ProductChange(Input):
    """Changes of a product; fields that are left out stay."""

    name: Name | None = None
    description: Long | None = None
    short_description: Long | None = None
    sku: Label | None = None
    price: Price | None = None
    compare_price: Price | None = None
    cost_price: Price | None = None
    track_inventory: StrictBool | None = None
    weight: Weight | None = None
    dimensions: Dimensions | None = None
    seo_title: Name | None = None
    seo_description: Long | None = None
    category_id: CategoryRef | None = None
    brand_id: BrandRef | None = None
    tags: Annotated[list[Label], Field(max_length=100)] | None = None
    status: Status | None = None
    is_featured: StrictBool | None = None
    embedding: Embedding | None = None


class VariantIn(Input):
    """One size, colour or package; without a price it has the price of the product."""

    sku: Label | None = None
    name: Name | None = None
    price: Price | None = None
    compare_price: Price | None = None
    cost_price: Price | None = Field(default=None, description="Cost of one piece; not shown to customers.")
    weight: Weight | None = None
    barcode: Label | None = None
    inventory_quantity: Annotated[int, Field(strict=True, ge=-(10**9), le=10**9)] | None = Field(
        default=None, description="Default: 0 for a new variant, unchanged for an existing one."
    )
    inventory_policy: Literal["deny", "continue"] = "deny"
    inventory_tracking: StrictBool = True
    requires_shipping: StrictBool = True
    taxable: StrictBool = True
    position: Annotated[int, Field(strict=True, ge=0, le=10**6)] = 0
    option1: Label | None = None
    option2: Label | None = None
    option3: Label | None = None


class VariantOut(_ProductOut):
    """One size, colour or package, with its stock."""

    id: int
    sku: str | None
    name: str | None
    price: Decimal | None
    compare_price: Decimal | None
    inventory_quantity: int | None
    inventory_policy: str | None
    option1: str | None
    option2: str | None
    option3: str | None


class ImageIn(Input):
    """One picture of a product, or of one of its variants."""

    src: Url
    alt: Annotated[Text, Field(max_length=500)] | None = None
    variant_id: VariantRef | None = None
    position: Annotated[int, Field(strict=True, ge=0, le=10**6)] = 0
    is_primary: StrictBool = False


class ImageOut(WithVariantSku, _ProductOut):
    """One picture."""

    id: int
    src: str
    alt: str | None
    variant_id: int | None
    is_primary: bool | None


class ProductListItem(_ProductOut):
    """A product in a list."""

    id: int
    name: str
    slug: str
    sku: str | None
    short_description: str | None
    price: Decimal
    compare_price: Decimal | None
    category_id: int | None
    brand_id: int | None
    tags: list[str] | None
    status: str | None
    is_featured: bool | None
    created_at: datetime | None


class ChosenProduct(BaseModel):
    """A product with the fields that `fields` asks for, and its ids."""

    id: int
    sku: str | None
    name: str | None = None
    slug: str | None = None
    price: Decimal | None = None
    compare_price: Decimal | None = None
    currency: str | None = None
    image: str | None = None
    url: str | None = None
    brand: str | None = None
    category: str | None = None
    stock: Literal["in_stock", "on_order", "out_of_stock"] | None = None


class ProductOut(ProductListItem):
    """A product, whole."""

    description: str | None
    weight: Decimal | None
    dimensions: dict[str, Any] | None
    seo_title: str | None
    seo_description: str | None
    variants: list[VariantOut]
    images: list[ImageOut]
    rating: Decimal | None = Field(description="Average of the approved reviews.")
    reviews: int = Field(description="Number of approved reviews.")


class ProductBatchIn(Input):
    """Products to read together: by number, by SKU, or both."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"ids": [42, 17], "skus": ["EL-0118"]}]}
    )

    ids: Annotated[list[Id], Field(max_length=500)] = Field(default=[])
    skus: Annotated[list[Label], Field(max_length=500)] = Field(default=[])
    fields: Annotated[list[str], Field(min_length=1, max_length=20)] | None = Field(
        default=None, description="Fields of each item, as in `fields=` of other routes."
    )

    @model_validator(mode="after")
    def _names_something(self) -> ProductBatchIn:
        if not self.ids and not self.skus:
            raise ValueError("ids, skus, or both")
        return self


class ProductBatchOut(BaseModel):
    """The active products in the order of the request, numbers first, and what was not found."""

    items: list[ProductListItem | ChosenProduct]
    unknown_ids: list[int]
    unknown_skus: list[str]


class ReviewIn(Input):
    """Stars and words about a product."""

    rating: Annotated[int, Field(strict=True, ge=1, le=5)]
    title: Name | None = None
    review: Annotated[Text, Field(max_length=10_000)] | None = None
    variant_id: VariantRef | None = None


class ReviewOut(WithUsername, WithSku, _ProductOut):
    """A review; `is_verified_purchase` when its author bought the product here."""

    id: int
    product_id: int | None
    user_id: int | None
    rating: int | None
    title: str | None
    review: str | None
    is_verified_purchase: bool | None
    is_approved: bool | None
    helpful_count: int | None
    created_at: datetime | None


class AdjustIn(Input):
    """A change of stock by hand."""

    change: Annotated[int, Field(strict=True, ge=-(10**9), le=10**9)]
    reason: Annotated[Text, Field(min_length=1, max_length=100)] = "counted"
    notes: Annotated[Text, Field(max_length=1000)] | None = None


class StockOut(WithSku):
    """The pieces of a product, all variants together."""

    product_id: int
    quantity: int


class LogOut(WithVariantSku, _ProductOut):
    """One change of stock."""

    id: int
    variant_id: int | None
    old_quantity: int | None
    new_quantity: int | None
    adjustment: int | None
    reason: str | None
    notes: str | None
    created_at: datetime | None


class ViewOut(BaseModel):
    """That a view was noted, and how many there were in the last 24 hours (null while that is unknown)."""

    views: int | None


class TrendingOut(BaseModel):
    """Products by their views of late; an older view counts less."""

    products: list[ProductListItem]
