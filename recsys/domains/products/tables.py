"""The tables of products_db: the catalogue, its stock, its reviews and who looked at it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Numeric, String, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from recsys.database.base import (
    Base,
    DefaultNow,
    Id,
    InetAddress,
    JsonObject,
    LargeText,
    Money,
    Off,
    On,
    ZeroCount,
    where_given,
)
from recsys.domains.users.tables import User

__all__ = [
    "Brand",
    "Category",
    "InventoryLog",
    "Product",
    "ProductEmbedding",
    "ProductImage",
    "ProductPage",
    "ProductReview",
    "ProductVariant",
    "ProductView",
    "ReviewVote",
]

SCHEMA = "products_db"


class Category(Base):
    """One node of the category tree; a department is a category without a parent."""

    __tablename__ = "categories"
    __table_args__ = (
        # the children of a category, to walk the tree downwards
        Index(None, "parent_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(String(100), unique=True)
    slug: Mapped[str] = mapped_column(String(100), unique=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("products_db.categories.id"))
    description: Mapped[LargeText | None]
    image_url: Mapped[str | None] = mapped_column(String(500))
    is_active: Mapped[On | None]
    sort_order: Mapped[ZeroCount | None]
    created_at: Mapped[DefaultNow | None]
    updated_at: Mapped[datetime | None]


class Brand(Base):
    """One maker or label that products are sold under."""

    __tablename__ = "brands"
    __table_args__ = ({"schema": SCHEMA},)

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(String(100), unique=True)
    slug: Mapped[str] = mapped_column(String(100), unique=True)
    logo_url: Mapped[str | None] = mapped_column(String(500))
    description: Mapped[LargeText | None]
    website_url: Mapped[str | None] = mapped_column(String(500))
    is_active: Mapped[On | None]
    created_at: Mapped[DefaultNow | None]
    updated_at: Mapped[datetime | None]


class Product(Base):
    """One thing the shop sells; an imported product's own id is its `sku`."""

    __tablename__ = "products"
    __table_args__ = (
        # the products of a category, for filters and popularity by category
        Index(None, "category_id"),
        # the products of a brand, for filters
        Index(None, "brand_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(String(255))
    slug: Mapped[str] = mapped_column(String(255), unique=True)
    description: Mapped[LargeText | None]
    short_description: Mapped[LargeText | None]
    sku: Mapped[str | None] = mapped_column(String(100), unique=True)
    price: Mapped[Money]
    compare_price: Mapped[Money | None]
    cost_price: Mapped[Money | None]
    track_inventory: Mapped[On | None]
    weight: Mapped[Decimal | None] = mapped_column(Numeric(8, 2))
    dimensions: Mapped[JsonObject | None]
    category_id: Mapped[int | None] = mapped_column(ForeignKey(Category.id))
    brand_id: Mapped[int | None] = mapped_column(ForeignKey(Brand.id))
    tags: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    status: Mapped[str | None] = mapped_column(String(20), server_default="active")
    seo_title: Mapped[str | None] = mapped_column(String(255))
    seo_description: Mapped[LargeText | None]
    is_featured: Mapped[Off | None]
    created_at: Mapped[DefaultNow | None]
    updated_at: Mapped[datetime | None]


class ProductPage(Base):
    """The address of a product's page in the shop (our own table); else `shop.product_url` makes it."""

    __tablename__ = "product_pages"
    __table_args__ = ({"schema": SCHEMA},)

    product_id: Mapped[int] = mapped_column(ForeignKey(Product.id, ondelete="CASCADE"), primary_key=True)
    url: Mapped[str] = mapped_column(String(2000))


class ProductEmbedding(Base):
    """The shop's own vector of a product (our own table): float32, little-endian; all of one length."""

    __tablename__ = "product_embeddings"
    __table_args__ = ({"schema": SCHEMA},)

    product_id: Mapped[int] = mapped_column(ForeignKey(Product.id, ondelete="CASCADE"), primary_key=True)
    vector: Mapped[bytes] = mapped_column(LargeBinary)


class ProductVariant(Base):
    """One size, colour or package of a product, with the stock that is sold from."""

    __tablename__ = "product_variants"
    __table_args__ = (
        # the variants (and so the stock) of a product; deleting a product cascades here
        Index(None, "product_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    product_id: Mapped[int | None] = mapped_column(ForeignKey(Product.id, ondelete="CASCADE"))
    sku: Mapped[str | None] = mapped_column(String(100), unique=True)
    name: Mapped[str | None] = mapped_column(String(255))
    price: Mapped[Money | None]
    compare_price: Mapped[Money | None]
    cost_price: Mapped[Money | None]
    weight: Mapped[Decimal | None] = mapped_column(Numeric(8, 2))
    barcode: Mapped[str | None] = mapped_column(String(100))
    inventory_quantity: Mapped[ZeroCount | None]
    inventory_policy: Mapped[str | None] = mapped_column(String(20), server_default="deny")
    inventory_tracking: Mapped[On | None]
    requires_shipping: Mapped[On | None]
    taxable: Mapped[On | None]
    position: Mapped[ZeroCount | None]
    option1: Mapped[str | None] = mapped_column(String(100))
    option2: Mapped[str | None] = mapped_column(String(100))
    option3: Mapped[str | None] = mapped_column(String(100))
    created_at: Mapped[DefaultNow | None]
    updated_at: Mapped[datetime | None]


class ProductImage(Base):
    """One picture of a product, or of one of its variants."""

    __tablename__ = "product_images"
    __table_args__ = (
        # the pictures of a product; deleting a product cascades here
        Index(None, "product_id"),
        # deleting a variant cascades here; most pictures show the whole product
        Index(None, "variant_id", postgresql_where=where_given("variant_id")),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    product_id: Mapped[int | None] = mapped_column(ForeignKey(Product.id, ondelete="CASCADE"))
    variant_id: Mapped[int | None] = mapped_column(ForeignKey(ProductVariant.id, ondelete="CASCADE"))
    src: Mapped[str] = mapped_column(String(500))
    alt: Mapped[LargeText | None]
    position: Mapped[ZeroCount | None]
    is_primary: Mapped[Off | None]
    created_at: Mapped[DefaultNow | None]


class ProductReview(Base):
    """One user's stars and words about a product."""

    __tablename__ = "product_reviews"
    __table_args__ = (
        CheckConstraint("rating >= 1 AND rating <= 5", name="rating"),
        # the reviews of a product; deleting a product cascades here
        Index(None, "product_id"),
        # the reviews of a user; deleting a user sets it null
        Index(None, "user_id"),
        # deleting a variant sets it null; most reviews name none
        Index(None, "variant_id", postgresql_where=where_given("variant_id")),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    product_id: Mapped[int | None] = mapped_column(ForeignKey(Product.id, ondelete="CASCADE"))
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="SET NULL"))
    variant_id: Mapped[int | None] = mapped_column(ForeignKey(ProductVariant.id, ondelete="SET NULL"))
    rating: Mapped[int | None]
    title: Mapped[str | None] = mapped_column(String(255))
    review: Mapped[LargeText | None]
    is_verified_purchase: Mapped[Off | None]
    is_approved: Mapped[Off | None]
    helpful_count: Mapped[ZeroCount | None]
    created_at: Mapped[DefaultNow | None]
    updated_at: Mapped[datetime | None]


class ProductView(Base):
    """One look at a product's page, by a user or a guest's session."""

    __tablename__ = "product_view_history"
    __table_args__ = (
        # who viewed a product; deleting a product cascades here
        Index(None, "product_id"),
        # what a user viewed last; deleting a user sets it null; guests' views stay out
        Index(None, "user_id", "viewed_at", postgresql_where=where_given("user_id")),
        # a guest's views, which belong to the user at log-in
        Index(None, "session_id", postgresql_where=text("user_id IS NULL")),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    product_id: Mapped[int | None] = mapped_column(ForeignKey(Product.id, ondelete="CASCADE"))
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="SET NULL"))
    session_id: Mapped[str | None] = mapped_column(String(255))
    ip_address: Mapped[InetAddress | None]
    user_agent: Mapped[LargeText | None]
    viewed_at: Mapped[DefaultNow | None]


class InventoryLog(Base):
    """One change of a variant's stock: by how much, why and by whom."""

    __tablename__ = "inventory_logs"
    __table_args__ = (
        # the stock changes of a product; deleting a product cascades here
        Index(None, "product_id"),
        # the stock changes of a variant; deleting a variant cascades here
        Index(None, "variant_id"),
        # deleting a user sets it null; changes made by orders and imports name nobody
        Index(None, "user_id", postgresql_where=where_given("user_id")),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    product_id: Mapped[int | None] = mapped_column(ForeignKey(Product.id, ondelete="CASCADE"))
    variant_id: Mapped[int | None] = mapped_column(ForeignKey(ProductVariant.id, ondelete="CASCADE"))
    old_quantity: Mapped[int | None]
    new_quantity: Mapped[int | None]
    adjustment: Mapped[int | None]
    reason: Mapped[str | None] = mapped_column(String(100))
    notes: Mapped[LargeText | None]
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id, ondelete="SET NULL"))
    created_at: Mapped[DefaultNow | None]


class ReviewVote(Base):
    """That a user found a review helpful: each user counts once (our own table)."""

    __tablename__ = "review_votes"
    __table_args__ = (
        # deleting a user cascades here
        Index(None, "user_id"),
        {"schema": SCHEMA},
    )

    review_id: Mapped[int] = mapped_column(
        ForeignKey(ProductReview.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    user_id: Mapped[int] = mapped_column(
        ForeignKey(User.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    created_at: Mapped[DefaultNow]
