"""The page of a product: picture, price, variants, reviews, and the lists that start from it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from fastapi import Depends, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from recsys.database.session import unit_of_work
from recsys.domains.products import catalogue, item_fields, listing, reviews
from recsys.domains.products.schemas import ProductOut, ReviewIn
from recsys.errors import Invalid
from serving.pages.forms import SubmittedForm, redirect, submitted
from serving.recommender.request import Placement
from serving.storefront.chrome import shop_page, shop_router
from serving.storefront.listing import Crumb, line_to
from serving.storefront.lists import ListSection, product_path, server_drawn
from serving.storefront.pictures import picture_path
from serving.storefront.visitors.interactions import record
from serving.storefront.visitors.visitor import ShopVisitor, VisitorDep

__all__ = ["ProductPage", "router"]

router = shop_router()
ProductNumber = Annotated[int, Path(ge=1, le=2**31 - 1)]
_REVIEWS = 10


class VariantChoice(BaseModel):
    """One size, colour or package that can be chosen."""

    id: int
    name: str


class ReviewLine(BaseModel):
    """An approved review."""

    rating: int | None
    title: str | None
    text: str | None
    verified: bool
    created_at: datetime | None


class ProductPage(BaseModel):
    """A product and its lists.

    Attributes
    ----------
    stock
        In words, such as "In stock".
    """

    id: int
    sku: str | None
    name: str
    description: str | None
    price: Decimal
    was: Decimal | None
    picture: str
    brand: str | None
    crumbs: list[Crumb]
    stock: str
    tags: list[str]
    variants: list[VariantChoice]
    rating: Decimal | None
    review_count: int
    reviews: list[ReviewLine]
    sections: list[ListSection]
    can_review: bool


class ReviewForm(BaseModel):
    """What the form of a review holds."""

    rating: int = Field(ge=1, le=5)
    title: str = Field(default="", max_length=255)
    review: str = Field(default="", max_length=10_000)


@router.get("/products/{number}")
async def product_page(request: Request, visitor: VisitorDep, number: ProductNumber) -> Response:
    """The page of a product."""
    content = await run_in_threadpool(_content, visitor, number)
    sections = await server_drawn(request, visitor, content.sections)
    content = content.model_copy(update={"sections": sections})
    return await run_in_threadpool(shop_page, request, visitor, "product", content)


@router.post("/products/{number}/like")
def like(visitor: VisitorDep, number: ProductNumber, form: SubmittedForm = Depends(submitted)) -> Response:
    """Like a product."""
    record(visitor, number, "like")
    return redirect(form.text("back", product_path(number)), "Noted: you like this.")


@router.post("/products/{number}/review")
def review(visitor: VisitorDep, number: ProductNumber, form: SubmittedForm = Depends(submitted)) -> Response:
    """Write a review, which is displayed once it is approved."""
    if visitor.user_id is None:
        raise Invalid("Guests cannot write reviews: choose a household at the top of the page.")
    given = form.model(ReviewForm)
    with unit_of_work() as session:
        reviews.post(
            session,
            visitor.user_id,
            number,
            ReviewIn(rating=given.rating, title=given.title or None, review=given.review or None),
        )
    return redirect(product_path(number), "Thank you. Your review is displayed once it is approved.")


def _content(visitor: ShopVisitor, number: int) -> ProductPage:
    with unit_of_work() as session:
        product = listing.shown(session, number)
        details = item_fields.chosen(session, [number], ["brand", "stock", "image"])[number]
        return ProductPage(
            id=number,
            sku=product.sku,
            name=product.name,
            description=product.description or product.short_description,
            price=product.price,
            was=None
            if product.compare_price is None or product.compare_price <= product.price
            else product.compare_price,
            picture=details["image"] or picture_path(number),
            brand=details["brand"],
            crumbs=[
                Crumb(name=node.name, path=f"/shop/categories/{node.id}")
                for node in line_to(catalogue.tree(session), product.category_id)
            ],
            stock={"in_stock": "In stock", "on_order": "On order", "out_of_stock": "Out of stock"}[
                details["stock"]
            ],
            tags=product.tags or [],
            variants=_variants(product),
            rating=product.rating,
            review_count=product.reviews,
            reviews=_reviews(session, number),
            sections=_sections(product),
            can_review=visitor.user_id is not None,
        )


def _sections(product: ProductOut) -> list[ListSection]:
    start = {"sku": product.sku, "product": product.id}
    return [
        ListSection(
            placement=Placement.BOUGHT_TOGETHER,
            title="Bought together",
            note="what others put into the same basket",
            **start,
        ),
        ListSection(
            placement=Placement.SIMILAR, title="Similar products", note="instead of this one", **start
        ),
    ]


def _variants(product: ProductOut) -> list[VariantChoice]:
    if len(product.variants) < 2:
        return []
    return [
        VariantChoice(
            id=variant.id,
            name=variant.name
            or " · ".join(filter(None, (variant.option1, variant.option2, variant.option3)))
            or variant.sku
            or str(variant.id),
        )
        for variant in product.variants
    ]


def _reviews(session: Session, number: int) -> list[ReviewLine]:
    return [
        ReviewLine(
            rating=row.rating,
            title=row.title,
            text=row.review,
            verified=bool(row.is_verified_purchase),
            created_at=row.created_at,
        )
        for row in reviews.of_product(session, number, before=None, limit=_REVIEWS)
    ]
