"""HTTP routes of orders for administrators: all orders, their steps, parcels and returns."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from recsys.domains.orders import listing, live, service, shipments
from recsys.domains.orders.schemas import (
    CancelIn,
    LiveEntries,
    OrderChange,
    OrderSummary,
    ParcelIn,
    ParcelOut,
    ParcelUpdate,
    ReturnIn,
    StaffOrderOut,
    StatusIn,
)
from recsys.domains.orders.states import Status
from recsys.web.dependencies import AdminUser, SessionDep
from recsys.web.errors import problem_responses
from recsys.web.pagination import CursorParam, Limit, Page
from recsys.web.validators import RowId

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/admin", tags=["orders (admin)"])

After = Annotated[str, Query(pattern=r"^\d{1,15}-\d{1,15}$", description="The last entry that was read.")]
StreamLimit = Annotated[int, Query(ge=1, le=1000)]


@router.get("/orders", responses=problem_responses(401, 403, 422, 503))
def list_orders(
    session: SessionDep,
    admin: AdminUser,
    status: Status | None = None,
    limit: Limit = 20,
    cursor: CursorParam = None,
) -> Page[OrderSummary]:
    """The orders of all users and guests, newest first."""
    return listing.page(session, status=status, limit=limit, cursor=cursor)


@router.get("/live-orders", responses=problem_responses(401, 403, 422, 503))
def list_live_orders(admin: AdminUser, after: After = "0-0", limit: StreamLimit = 100) -> LiveEntries:
    """Live feed of order steps; request it again with `after` for the next entries."""
    return live.order_steps(after, limit)


@router.get("/cart-events", responses=problem_responses(401, 403, 422, 503))
def list_cart_events(admin: AdminUser, after: After = "0-0", limit: StreamLimit = 100) -> LiveEntries:
    """Live feed of cart changes; request it again with `after` for the next entries."""
    return live.cart_events(after, limit)


@router.get("/orders/{order_id}", responses=problem_responses(401, 403, 404, 422, 503))
def get_order(session: SessionDep, admin: AdminUser, order_id: RowId) -> StaffOrderOut:
    """Any order with all its parts."""
    return listing.whole_for_staff(session, service.get_order(session, order_id))


@router.patch("/orders/{order_id}", responses=problem_responses(400, 401, 403, 404, 422, 503))
def change_order(session: SessionDep, admin: AdminUser, order_id: RowId, given: OrderChange) -> StaffOrderOut:
    """Change the internal notes of an order."""
    order = service.annotate(session, order_id, given.internal_notes)
    return listing.whole_for_staff(session, order)


@router.post("/orders/{order_id}/return", responses=problem_responses(400, 401, 403, 404, 409, 422, 503))
def return_order(session: SessionDep, admin: AdminUser, order_id: RowId, given: ReturnIn) -> StaffOrderOut:
    """Record that the goods of an order came back; the money is returned by a refund of the payment."""
    order = service.take_back(session, order_id, given.reason, restock=given.restock, by=admin.user_id)
    return listing.whole_for_staff(session, order)


@router.post("/orders/{order_id}/status", responses=problem_responses(400, 401, 403, 404, 409, 422, 503))
def change_status(session: SessionDep, admin: AdminUser, order_id: RowId, step: StatusIn) -> StaffOrderOut:
    """Change the status of an order by hand, such as completing an order without parcels."""
    order = service.change_status(
        session, order_id, step.status, by=admin.user_id, notes=step.notes, notify=step.notify_customer
    )
    return listing.whole_for_staff(session, order)


@router.post("/orders/{order_id}/cancel", responses=problem_responses(400, 401, 403, 404, 409, 422, 503))
def cancel_order(session: SessionDep, admin: AdminUser, order_id: RowId, why: CancelIn) -> StaffOrderOut:
    """Cancel any order that was not shipped."""
    return listing.whole_for_staff(session, service.cancel(session, order_id, why.reason, by=admin.user_id))


@router.post(
    "/orders/{order_id}/parcels",
    status_code=201,
    responses=problem_responses(400, 401, 403, 404, 409, 422, 503),
)
def send_parcel(session: SessionDep, admin: AdminUser, order_id: RowId, parcel: ParcelIn) -> ParcelOut:
    """Record that a parcel left; the order is shipped with its first parcel."""
    return ParcelOut.model_validate(shipments.send(session, order_id, parcel, by=admin.user_id))


@router.patch("/parcels/{parcel_id}", responses=problem_responses(400, 401, 403, 404, 409, 422, 503))
def update_parcel(session: SessionDep, admin: AdminUser, parcel_id: RowId, news: ParcelUpdate) -> ParcelOut:
    """Record where a parcel is; when the last parcel has arrived, the order is delivered."""
    return ParcelOut.model_validate(shipments.update(session, parcel_id, news, by=admin.user_id))
