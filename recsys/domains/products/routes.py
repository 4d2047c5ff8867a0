"""HTTP routes of the catalogue for shoppers: categories, brands, products, reviews, views."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator
from sqlalchemy.orm import Session
from starlette.convertors import Convertor, register_url_convertor

from recsys.database.session import unit_of_work
from recsys.domains.products import cache, catalogue, inventory, item_fields, listing, reviews, service, views
from recsys.domains.products.item_fields import FieldsDep
from recsys.domains.products.listing import ListingFilters, Sort
from recsys.domains.products.schemas import (
    BrandOut,
    CategoryOut,
    ChosenProduct,
    ProductBatchIn,
    ProductBatchOut,
    ProductListItem,
    ProductOut,
    ReviewIn,
    ReviewOut,
    StockOut,
    TrendingOut,
    ViewOut,
)
from recsys.domains.products.tables import ProductReview
from recsys.errors import Invalid, Unauthorized
from recsys.events.vocabulary import ProductLiked
from recsys.own_ids.answers import with_own_ids
from recsys.own_ids.references import BrandText, CategoryText, ProductText
from recsys.web.dependencies import CurrentUser, GuestSession, SessionDep
from recsys.web.errors import problem_responses
from recsys.web.pagination import Cursor, CursorParam, Limit, Page, last_id, page_of
from recsys.web.validators import storable
from recsys.write_buffer.events import publish_or_queue
from recsys.write_buffer.senders import UserDep, VisitorDep, in_post_thread

__all__ = ["router"]


class _ProductConvertor(Convertor[str]):
    """Numbers and SKUs only: serving has /products/popular and others beside a product."""

    regex = r"[0-9]+|sku:[^/]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("product", _ProductConvertor())
router = APIRouter(prefix="/api/v1", tags=["products"])

Id = Annotated[int, Path(ge=1, le=2**31 - 1)]
Sku = Annotated[str, AfterValidator(storable), Query(min_length=1, max_length=100)]
Price = Annotated[Decimal | None, Query(ge=0, max_digits=10, decimal_places=2)]


@router.get("/categories", responses=problem_responses(503))
def get_categories(session: SessionDep) -> list[CategoryOut]:
    """The category tree."""
    return catalogue.tree(session)


@router.get("/brands", responses=problem_responses(422, 503))
def list_brands(session: SessionDep, limit: Limit = 50, cursor: CursorParam = None) -> Page[BrandOut]:
    """Brands by name."""
    after = "" if cursor is None else Cursor.decode(cursor).text("name")
    found = catalogue.brands(session, after=after, limit=limit + 1)
    return page_of(found, limit, BrandOut.model_validate, lambda row: {"name": row.name})


@router.get(
    "/products",
    response_model=Page[ProductListItem | ChosenProduct],
    responses=problem_responses(404, 422, 503),
)
def list_products(
    fields: FieldsDep,
    category: CategoryText | None = None,
    brand: BrandText | None = None,
    min_price: Price = None,
    max_price: Price = None,
    tag: Annotated[str | None, Query(min_length=1, max_length=100, pattern=r"^[^\x00]+$")] = None,
    in_stock: bool = False,
    featured: bool | None = None,
    sku: Annotated[
        list[Sku] | None,
        Query(max_length=100, description="With one of these SKUs, variants included."),
    ] = None,
    sort: Sort = "newest",
    limit: Limit = 20,
    cursor: CursorParam = None,
) -> Response:
    """Active products; a category means everything below it too.

    With `fields`, items have these and no others.
    """
    if min_price is not None and max_price is not None and min_price > max_price:
        raise Invalid("min_price is above max_price; no product can be between.")
    skus = None if sku is None else tuple(sku)
    wanted = ListingFilters(category, brand, min_price, max_price, tag, in_stock, featured, skus=skus)
    # the most requested list: one thread for all of it, and written as JSON once
    with unit_of_work() as session:
        page = listing.page_json(session, wanted, sort=sort, limit=limit, cursor=cursor, fields=fields)
    return Response(page, media_type="application/json")


@router.post(
    "/products/batch", response_model=ProductBatchOut, responses=problem_responses(400, 413, 422, 503)
)
def read_batch(session: SessionDep, wanted: ProductBatchIn) -> Response:
    """Read up to 500 products by number and 500 by SKU; those that do not exist are listed."""
    fields = None if wanted.fields is None else item_fields.checked(wanted.fields)
    batch = listing.batch(session, wanted.ids, wanted.skus)
    answer = batch.model_dump(mode="json")
    if fields is not None:
        ids = [item.id for item in batch.items]
        by_id = item_fields.chosen(session, ids, fields)
        answer["items"] = [by_id[number] for number in ids if number in by_id]
    return JSONResponse(answer)


@router.get("/products/trending", responses=problem_responses(422, 503))
def list_trending(session: SessionDep, limit: Limit = 20) -> TrendingOut:
    """Products by their recent views."""
    # more than requested: hidden products are among them
    products = listing.summaries(session, views.trending(session, 3 * limit + 20))
    return TrendingOut(products=products[:limit])


@router.get(
    "/products/{product_id:product}",
    response_model=ProductOut | ChosenProduct,
    responses=problem_responses(404, 422, 503),
)
def get_product(product_id: ProductText, fields: FieldsDep) -> Response:
    """One product, with variants, pictures and rating; with `fields`, these alone."""
    if fields is not None:
        with unit_of_work() as session:
            listing.shown(session, product_id)
            return JSONResponse(item_fields.chosen(session, [product_id], fields)[product_id])
    # what Redis holds is sent as it is, and takes no connection to PostgreSQL
    found = cache.active_json(product_id)
    if found is None:
        with unit_of_work() as session:
            found = listing.shown(session, product_id).model_dump_json().encode()
    return Response(found, media_type="application/json")


@router.get("/products/{product_id}/stock", responses=problem_responses(404, 422, 503))
def get_stock(session: SessionDep, product_id: ProductText) -> StockOut:
    """The stock of a product, all variants together."""
    product = listing.shown(session, product_id)
    quantity = cache.stock(product_id, lambda: inventory.stock_of(session, product_id))
    return StockOut(product_id=product_id, sku=product.sku, quantity=quantity)


@router.post(
    "/products/{product_id}/views",
    status_code=201,
    responses={
        202: {"model": ViewOut, "description": "Queued: PostgreSQL takes no writes now"},
        **problem_responses(401, 403, 404, 422, 503),
    },
)
async def record_view(
    request: Request, response: Response, product_id: ProductText, sender: VisitorDep, guest: GuestSession
) -> ViewOut:
    """Record that the caller views a product: a user, or a guest by the session of the visit."""
    view = views.PostedView(
        product_id=product_id,
        user_id=sender.user_id,
        session_id=guest,
        ip_address=_address(request),
        user_agent=request.headers.get("User-Agent"),
    )
    if not await in_post_thread(views.record, view, sender):
        response.status_code = 202
    return ViewOut(views=await in_post_thread(views.recent_views, product_id))


@router.post(
    "/products/{product_id}/like",
    status_code=204,
    responses={
        202: {"description": "Queued: PostgreSQL takes no writes now"},
        **problem_responses(401, 404, 422, 503),
    },
)
async def like(product_id: ProductText, sender: UserDep) -> Response:
    """Like a product. Models learn from it; there is no list of likes."""
    if sender.anybody:
        raise Unauthorized("Log in first: send the token as `Authorization: Bearer TOKEN`.")
    stored = await in_post_thread(
        publish_or_queue,
        sender,
        ProductLiked,
        {"product_id": product_id},
        uuid4(),
        lambda session: service.get(session, product_id),
    )
    return Response(status_code=204 if stored else 202)


@router.get("/products/{product_id}/reviews", responses=problem_responses(404, 422, 503))
def list_reviews(
    session: SessionDep, product_id: ProductText, limit: Limit = 20, cursor: CursorParam = None
) -> Page[ReviewOut]:
    """Approved reviews of a product, newest first."""
    before = last_id(cursor)
    found = reviews.of_product(session, product_id, before=before, limit=limit + 1)
    items = list(with_own_ids(session, [ReviewOut.model_validate(one) for one in found[:limit]]))
    more = len(found) > limit
    return Page(items=items, next_cursor=Cursor.encode({"id": items[-1].id}) if more else None)


@router.put(
    "/products/{product_id}/review",
    responses={
        201: {"model": ReviewOut, "description": "The caller's first review of this product"},
        **problem_responses(400, 401, 404, 422, 503),
    },
)
def post_review(
    session: SessionDep, user: CurrentUser, product_id: ProductText, given: ReviewIn, response: Response
) -> ReviewOut:
    """Review a product, or replace the caller's review of it; it is shown once it is approved."""
    row, new = reviews.post(session, user.user_id, product_id, given)
    if new:
        response.status_code = 201
    return _review(session, row)


@router.post("/reviews/{review_id}/helpful", responses=problem_responses(401, 403, 404, 422, 503))
def vote_for_review(session: SessionDep, user: CurrentUser, review_id: Id) -> ReviewOut:
    """Vote for a review as helpful; a second vote of the same user does not count."""
    return _review(session, reviews.vote(session, user.user_id, review_id))


def _review(session: Session, row: ProductReview) -> ReviewOut:
    return with_own_ids(session, [ReviewOut.model_validate(row)])[0]


def _address(request: Request) -> str | None:
    # a test client or a Unix socket has no address
    host = None if request.client is None else request.client.host
    return host if host and host.replace(":", "").replace(".", "").isalnum() and not host.isalpha() else None
