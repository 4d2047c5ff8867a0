"""HTTP of the catalogue for those who run the shop: every write, stock, and reviews to approve."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response
from sqlalchemy import select

from recsys.domains.products import catalogue, inventory, listing, reviews, service
from recsys.domains.products.schemas import (
    AdjustIn,
    BrandIn,
    BrandOut,
    CategoryIn,
    CategoryOut,
    ImageIn,
    ImageOut,
    LogOut,
    ProductChange,
    ProductIn,
    ProductOut,
    ReviewOut,
    StockOut,
    VariantIn,
    VariantOut,
)
from recsys.domains.products.tables import InventoryLog
from recsys.own_ids.answers import with_own_ids
from recsys.own_ids.references import BrandText, CategoryText, ProductText, VariantText
from recsys.web.dependencies import AdminUser, SessionDep
from recsys.web.errors import problem_responses
from recsys.web.pagination import Cursor, CursorParam, Limit, Page, last_id

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/admin", tags=["products (admin)"])

Id = Annotated[int, Path(ge=1, le=2**31 - 1)]
_WRITES = problem_responses(400, 401, 403, 404, 409, 422, 503)
_DELETES = problem_responses(401, 403, 404, 409, 422, 503)


@router.post("/categories", status_code=201, responses=_WRITES)
def create_category(session: SessionDep, admin: AdminUser, given: CategoryIn) -> CategoryOut:
    """Create a category."""
    return CategoryOut.model_validate(catalogue.save_category(session, given))


@router.put("/categories/{category_id}", responses=_WRITES)
def change_category(
    session: SessionDep, admin: AdminUser, category_id: CategoryText, given: CategoryIn
) -> CategoryOut:
    """Replace a category, or move it with its subcategories."""
    return CategoryOut.model_validate(catalogue.save_category(session, given, category_id))


@router.delete("/categories/{category_id}", status_code=204, responses=_DELETES)
def delete_category(session: SessionDep, admin: AdminUser, category_id: CategoryText) -> Response:
    """Delete an empty category."""
    catalogue.delete_category(session, category_id)
    return Response(status_code=204)


@router.post("/brands", status_code=201, responses=_WRITES)
def create_brand(session: SessionDep, admin: AdminUser, given: BrandIn) -> BrandOut:
    """Create a brand."""
    return BrandOut.model_validate(catalogue.save_brand(session, given))


@router.put("/brands/{brand_id}", responses=_WRITES)
def change_brand(session: SessionDep, admin: AdminUser, brand_id: BrandText, given: BrandIn) -> BrandOut:
    """Replace a brand."""
    return BrandOut.model_validate(catalogue.save_brand(session, given, brand_id))


@router.delete("/brands/{brand_id}", status_code=204, responses=_DELETES)
def delete_brand(session: SessionDep, admin: AdminUser, brand_id: BrandText) -> Response:
    """Delete a brand without products."""
    catalogue.delete_brand(session, brand_id)
    return Response(status_code=204)


@router.post("/products", status_code=201, responses=_WRITES)
def create_product(session: SessionDep, admin: AdminUser, given: ProductIn) -> ProductOut:
    """Create a product."""
    return listing.fresh(session, service.create(session, given).id)


@router.get("/products/{product_id}", responses=problem_responses(401, 403, 404, 422, 503))
def get_product(session: SessionDep, admin: AdminUser, product_id: ProductText) -> ProductOut:
    """One product, also a hidden one."""
    return listing.shown(session, product_id, hidden=True)


@router.patch("/products/{product_id}", responses=_WRITES)
def change_product(
    session: SessionDep, admin: AdminUser, product_id: ProductText, given: ProductChange
) -> ProductOut:
    """Change the given fields of a product."""
    service.change(session, product_id, given)
    return listing.fresh(session, product_id)


@router.delete("/products/{product_id}", status_code=204, responses=_DELETES)
def delete_product(session: SessionDep, admin: AdminUser, product_id: ProductText) -> Response:
    """Delete a product; orders keep its name and price."""
    service.delete(session, product_id)
    return Response(status_code=204)


@router.post("/products/{product_id}/variants", status_code=201, responses=_WRITES)
def add_variant(
    session: SessionDep, admin: AdminUser, product_id: ProductText, given: VariantIn
) -> VariantOut:
    """Add a variant, with its first stock."""
    return VariantOut.model_validate(service.add_variant(session, product_id, given, by=admin.user_id))


@router.put("/products/{product_id}/variants/{variant_id}", responses=_WRITES)
def change_variant(
    session: SessionDep, admin: AdminUser, product_id: ProductText, variant_id: VariantText, given: VariantIn
) -> VariantOut:
    """Replace a variant; a difference in stock is logged."""
    row = service.change_variant(session, product_id, variant_id, given, by=admin.user_id)
    return VariantOut.model_validate(row)


@router.delete("/products/{product_id}/variants/{variant_id}", status_code=204, responses=_DELETES)
def delete_variant(
    session: SessionDep, admin: AdminUser, product_id: ProductText, variant_id: VariantText
) -> Response:
    """Delete a variant."""
    service.delete_variant(session, product_id, variant_id)
    return Response(status_code=204)


@router.post("/products/{product_id}/images", status_code=201, responses=_WRITES)
def add_image(session: SessionDep, admin: AdminUser, product_id: ProductText, given: ImageIn) -> ImageOut:
    """Add an image."""
    image = ImageOut.model_validate(service.add_image(session, product_id, given))
    return with_own_ids(session, [image])[0]


@router.delete("/products/{product_id}/images/{image_id}", status_code=204, responses=_DELETES)
def delete_image(session: SessionDep, admin: AdminUser, product_id: ProductText, image_id: Id) -> Response:
    """Delete an image."""
    service.delete_image(session, product_id, image_id)
    return Response(status_code=204)


@router.post("/variants/{variant_id}/stock", responses=_WRITES)
def adjust_stock(session: SessionDep, admin: AdminUser, variant_id: VariantText, given: AdjustIn) -> StockOut:
    """Change a variant's stock by hand; each change is logged."""
    inventory.adjust(
        session, variant_id, given.change, reason=given.reason, notes=given.notes, by=admin.user_id
    )
    product_id = inventory.product_of(session, variant_id)
    stock = StockOut(product_id=product_id, quantity=inventory.stock_of(session, product_id))
    return with_own_ids(session, [stock])[0]


@router.get("/products/{product_id}/stock-log", responses=problem_responses(401, 403, 404, 422, 503))
def list_stock_log(
    session: SessionDep,
    admin: AdminUser,
    product_id: ProductText,
    limit: Limit = 50,
    cursor: CursorParam = None,
) -> Page[LogOut]:
    """Every change of a product's stock, newest first."""
    service.get(session, product_id)
    query = select(InventoryLog).where(InventoryLog.product_id == product_id)
    if (before := last_id(cursor)) is not None:
        query = query.where(InventoryLog.id < before)
    found = session.scalars(query.order_by(InventoryLog.id.desc()).limit(limit + 1)).all()
    items = list(with_own_ids(session, [LogOut.model_validate(one) for one in found[:limit]]))
    more = len(found) > limit
    return Page(items=items, next_cursor=Cursor.encode({"id": items[-1].id}) if more else None)


@router.get("/reviews", responses=problem_responses(401, 403, 422, 503))
def list_waiting_reviews(
    session: SessionDep, admin: AdminUser, limit: Limit = 20, cursor: CursorParam = None
) -> Page[ReviewOut]:
    """Reviews that wait for approval, the oldest first."""
    after = last_id(cursor) or 0
    found = reviews.waiting(session, after=after, limit=limit + 1)
    items = list(with_own_ids(session, [ReviewOut.model_validate(one) for one in found[:limit]]))
    more = len(found) > limit
    return Page(items=items, next_cursor=Cursor.encode({"id": items[-1].id}) if more else None)


@router.post("/reviews/{review_id}/approve", responses=problem_responses(401, 403, 404, 422, 503))
def approve_review(session: SessionDep, admin: AdminUser, review_id: Id) -> ReviewOut:
    """Approve a review, which makes it visible."""
    review = ReviewOut.model_validate(reviews.approve(session, review_id))
    return with_own_ids(session, [review])[0]


@router.delete("/reviews/{review_id}", status_code=204, responses=problem_responses(401, 403, 404, 422, 503))
def delete_review(session: SessionDep, admin: AdminUser, review_id: Id) -> Response:
    """Delete a review."""
    reviews.remove(session, review_id)
    return Response(status_code=204)
